//! Aggregations over series, step by step: `steps_sum`, `steps_avg`, … add lists element by element.
//!
//! A group holds one number or a few for each step in flat registers; a batch is added list by list,
//! without an allocation or a look-up per row. A step's result is null while no series had a value there.

use super::columns::{FloatListBuilder, FloatLists, FloatRow, values_type};
use super::compensated::{Mean, Sum};
use super::grouped::Grouped;
use crate::error::rejected;
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use std::sync::{Arc, LazyLock};

/// An aggregation of one number a series and step to one a group and step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// The sum, compensated.
    Sum,
    /// The mean, compensated, safe from overflow.
    Avg,
    /// The least; NaN only when there is nothing else.
    Min,
    /// The greatest; NaN only when there is nothing else.
    Max,
    /// How many series have a value.
    Count,
    /// 1 where any series has a value.
    Group,
    /// Population standard deviation.
    StdDev,
    /// Population variance.
    StdVar,
    /// The value of the only series that has one; two are an error of the query.
    Only,
    /// The value where exactly one series has one, NaN elsewhere: never null.
    Single,
}

/// Numbers a group holds for a step: the first counts series.
const REGISTERS: usize = 4;

fn returns() -> DataType {
    values_type()
}

fn state() -> Vec<FieldRef> {
    ["count", "value", "error", "mode"]
        .into_iter()
        .map(|name| Arc::new(Field::new(name, values_type(), true)))
        .collect()
}

macro_rules! functions {
    ($($op:ident $name:literal),*) => {
        static FUNCTIONS: LazyLock<Vec<(Op, Arc<AggregateUDF>)>> = LazyLock::new(|| vec![
            $((Op::$op, Grouped::udaf($name, returns, state, || Box::new(Steps::new(Op::$op))))),*
        ]);
    };
}

functions!(
    Sum "steps_sum", Avg "steps_avg", Min "steps_min", Max "steps_max", Count "steps_count", Group "steps_group",
    StdDev "steps_stddev", StdVar "steps_stdvar", Only "steps_only", Single "steps_single"
);

impl Op {
    /// The aggregate function of a `values` column.
    pub fn function(self) -> Arc<AggregateUDF> {
        let found = FUNCTIONS.iter().find(|(op, _)| *op == self);
        found.map_or_else(|| Arc::clone(&FUNCTIONS[0].1), |(_, function)| Arc::clone(function))
    }
}

pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    FUNCTIONS.iter().map(|(_, function)| Arc::clone(function)).collect()
}

#[derive(Debug)]
struct Steps {
    op: Op,
    /// Steps a list has; known from the first row.
    steps: Option<usize>,
    groups: usize,
    /// `groups * steps` of each.
    registers: [Vec<f64>; REGISTERS],
}

impl Steps {
    fn new(op: Op) -> Self {
        Self { op, steps: None, groups: 0, registers: Default::default() }
    }

    /// Registers this aggregation uses, counted from the first.
    fn used(&self) -> usize {
        match self.op {
            Op::Count | Op::Group => 1,
            Op::Min | Op::Max | Op::Only | Op::Single => 2,
            Op::Sum | Op::StdDev | Op::StdVar => 3,
            Op::Avg => 4,
        }
    }

    fn grow(&mut self, steps: usize, groups: usize) -> Result<()> {
        match self.steps {
            Some(known) if known != steps => {
                return exec_err!("lists of {known} and of {steps} steps in one aggregation");
            }
            _ => self.steps = Some(steps),
        }
        self.groups = self.groups.max(groups);
        let len = self.groups * steps;
        for register in 0..self.used() {
            self.registers[register].resize(len, 0.0);
        }
        Ok(())
    }

    fn add(&mut self, group: usize, row: FloatRow<'_>) -> Result<()> {
        let steps = row.values.len();
        let range = group * steps..(group + 1) * steps;
        let [count, first, second, third] = &mut self.registers;
        let count = &mut count[range.clone()];
        let each = row.values.iter().enumerate().filter(|(at, _)| row.is_valid(*at));
        match self.op {
            Op::Count | Op::Group => each.for_each(|(at, _)| count[at] += 1.0),
            Op::Sum => {
                let (sum, error) = (&mut first[range.clone()], &mut second[range]);
                for (at, value) in each {
                    let mut total = Sum { sum: sum[at], error: error[at] };
                    total.add(*value);
                    (sum[at], error[at]) = (total.sum, total.error);
                    count[at] += 1.0;
                }
            }
            Op::Avg => {
                let (sum, error, mode) = (&mut first[range.clone()], &mut second[range.clone()], &mut third[range]);
                for (at, value) in each {
                    let mut mean = mean_of(count[at], sum[at], error[at], mode[at]);
                    mean.add(*value);
                    (count[at], sum[at], error[at], mode[at]) = registers_of(mean);
                }
            }
            Op::Min | Op::Max => {
                let kept = &mut first[range];
                let greatest = self.op == Op::Max;
                for (at, value) in each {
                    let held = kept[at];
                    let better = if greatest { *value > held } else { *value < held };
                    if count[at] == 0.0 || held.is_nan() || better {
                        kept[at] = *value;
                    }
                    count[at] += 1.0;
                }
            }
            Op::StdDev | Op::StdVar => {
                let (mean, squares) = (&mut first[range.clone()], &mut second[range]);
                for (at, value) in each {
                    // Welford.
                    count[at] += 1.0;
                    let delta = value - mean[at];
                    mean[at] += delta / count[at];
                    squares[at] += delta * (value - mean[at]);
                }
            }
            Op::Only | Op::Single => {
                let kept = &mut first[range];
                for (at, value) in each {
                    kept[at] = *value;
                    count[at] += 1.0;
                }
                if self.op == Op::Only && count.iter().any(|count| *count > 1.0) {
                    return Err(duplicate());
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, group: usize, rows: [FloatRow<'_>; REGISTERS]) -> Result<()> {
        let [counts, firsts, seconds, thirds] = rows.map(|row| row.values);
        let base = group * counts.len();
        let [count, first, second, third] = &mut self.registers;
        for step in 0..counts.len() {
            let (at, more) = (base + step, counts[step]);
            if more == 0.0 {
                continue;
            }
            let before = count[at];
            match self.op {
                Op::Count | Op::Group => count[at] += more,
                Op::Sum => {
                    let mut total = Sum { sum: first[at], error: second[at] };
                    total.add(firsts[step]);
                    (first[at], second[at]) = (total.sum, total.error + seconds[step]);
                    count[at] += more;
                }
                Op::Avg => {
                    let mut mean = mean_of(before, first[at], second[at], third[at]);
                    mean.merge(mean_of(more, firsts[step], seconds[step], thirds[step]));
                    (count[at], first[at], second[at], third[at]) = registers_of(mean);
                }
                Op::Min | Op::Max => {
                    let (held, value) = (first[at], firsts[step]);
                    let better = if self.op == Op::Max { value > held } else { value < held };
                    if before == 0.0 || held.is_nan() || better {
                        first[at] = value;
                    }
                    count[at] += more;
                }
                Op::StdDev | Op::StdVar => {
                    let total = before + more;
                    let delta = firsts[step] - first[at];
                    second[at] += seconds[step] + delta * delta * (before * more / total);
                    first[at] += delta * (more / total);
                    count[at] = total;
                }
                Op::Only | Op::Single => {
                    first[at] = firsts[step];
                    count[at] += more;
                    if self.op == Op::Only && count[at] > 1.0 {
                        return Err(duplicate());
                    }
                }
            }
        }
        Ok(())
    }

    /// The numbers of the first groups, which are taken out.
    fn take(&mut self, emit_to: EmitTo) -> (usize, [Vec<f64>; REGISTERS]) {
        let groups = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(n) => n.min(self.groups),
        };
        let len = groups * self.steps.unwrap_or(0);
        let used = self.used();
        let all = self.groups * self.steps.unwrap_or(0);
        // Groups whose rows were all null have no registers yet.
        self.registers[..used].iter_mut().for_each(|register| register.resize(all, 0.0));
        self.groups -= groups;
        let taken = std::array::from_fn(|at| {
            let register = &mut self.registers[at];
            let rest = register.split_off(len.min(register.len()));
            std::mem::replace(register, rest)
        });
        (groups, taken)
    }
}

/// Two series of one label set have a value at the same time.
pub(crate) fn duplicate() -> datafusion::error::DataFusionError {
    rejected("vector cannot contain metrics with the same labelset")
}

fn mean_of(count: f64, sum: f64, error: f64, mode: f64) -> Mean {
    Mean { value: Sum { sum, error }, count, incremental: mode != 0.0 }
}

fn registers_of(mean: Mean) -> (f64, f64, f64, f64) {
    (mean.count, mean.value.sum, mean.value.error, f64::from(u8::from(mean.incremental)))
}

impl GroupsAccumulator for Steps {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let [values] = values else { return exec_err!("an aggregation of steps takes one argument") };
        let lists = FloatLists::of(values)?;
        self.groups = self.groups.max(total);
        for (row, &group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) || lists.is_null(row) {
                continue;
            }
            let list = lists.row(row);
            self.grow(list.values.len(), total)?;
            self.add(group, list)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (groups, [count, first, second, third]) = self.take(emit_to);
        let steps = self.steps.unwrap_or(0);
        let mut out = FloatListBuilder::with_capacity(groups, steps);
        for group in 0..groups {
            for at in group * steps..(group + 1) * steps {
                let seen = count[at];
                out.push(match self.op {
                    Op::Single => Some(if seen == 1.0 { first[at] } else { f64::NAN }),
                    _ if seen == 0.0 => None,
                    Op::Count => Some(seen),
                    Op::Group => Some(1.0),
                    Op::Sum => Some(Sum { sum: first[at], error: second[at] }.total()),
                    Op::Avg => Some(mean_of(seen, first[at], second[at], third[at]).mean()),
                    Op::Min | Op::Max | Op::Only => Some(first[at]),
                    Op::StdVar => Some(second[at] / seen),
                    Op::StdDev => Some((second[at] / seen).sqrt()),
                });
            }
            out.finish_row();
        }
        Ok(out.finish())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (groups, registers) = self.take(emit_to);
        let steps = self.steps.unwrap_or(0);
        let unused = vec![0.0; steps];
        Ok(registers
            .iter()
            .map(|register| {
                let mut out = FloatListBuilder::with_capacity(groups, steps);
                for group in 0..groups {
                    // A register this aggregation doesn't use is written as zeros, which encode to little.
                    out.extend(register.get(group * steps..(group + 1) * steps).unwrap_or(&unused));
                    out.finish_row();
                }
                out.finish()
            })
            .collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let [a, b, c, d] = values else { return exec_err!("a state of an aggregation of steps has 4 columns") };
        let lists = [FloatLists::of(a)?, FloatLists::of(b)?, FloatLists::of(c)?, FloatLists::of(d)?];
        self.groups = self.groups.max(total);
        for (row, &group) in groups.iter().enumerate() {
            let rows = lists.map(|lists| lists.row(row));
            if rows[0].values.is_empty() {
                continue;
            }
            self.grow(rows[0].values.len(), total)?;
            self.merge(group, rows)?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self::new(self.op);
        each.groups = rows;
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.registers.iter().map(|register| register.capacity() * 8).sum()
    }
}
