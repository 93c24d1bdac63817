//! Brings the samples of a series together: from rows of `metrics` (lists) with `gather_rows`, from
//! single values with `gather_points`. One row a series comes out: its labels, times in ascending
//! order, values; of samples at one time, one.
//!
//! Samples land in two long buffers in the order they arrive, with a note of which run belongs to
//! which series; only at the end are runs put in order, and sorted where they overlap.

use super::columns::{FloatListBuilder, FloatLists, IntLists, int_lists, offset, timestamps_type, values_type};
use super::grouped::Grouped;
use super::{LABELS, TIMESTAMPS, VALUES};
use crate::error::unsupported;
use crate::functions::label_key;
use crate::functions::maps::{Labels, METRIC_NAME};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int32Type, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{LabelMapBuilder, label_map};

/// OTLP's AggregationTemporality of samples that are differences.
const DELTA: i32 = 1;

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new(LABELS, label_map(), true),
        Field::new(TIMESTAMPS, timestamps_type(), true),
        Field::new(VALUES, values_type(), true),
    ])
});

static ROWS: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Grouped::udaf("gather_rows", returns, state, || Box::new(Gather::new(Source::Rows))));
static POINTS: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Grouped::udaf("gather_points", returns, state, || Box::new(Gather::new(Source::Points))));

fn returns() -> DataType {
    DataType::Struct(FIELDS.clone())
}

fn state() -> Vec<FieldRef> {
    FIELDS.iter().cloned().collect()
}

/// `gather_rows(name, labels, timestamps, values, int_values, after, until, temporality)`: samples of
/// rows of `metrics` in `(after, until]`; a temporality of delta is an error.
pub fn gather_rows() -> Arc<AggregateUDF> {
    Arc::clone(&ROWS)
}

/// `gather_points(labels, time, value)`: one sample a row; rows with a null value count for nothing.
pub fn gather_points() -> Arc<AggregateUDF> {
    Arc::clone(&POINTS)
}

pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![gather_rows(), gather_points()]
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Rows,
    Points,
}

/// Samples of one series that arrived together.
#[derive(Debug, Clone, Copy)]
struct Run {
    group: usize,
    start: usize,
    len: usize,
}

#[derive(Debug)]
struct Gather {
    source: Source,
    times: Vec<i64>,
    values: Vec<f64>,
    runs: Vec<Run>,
    /// Label keys of all groups, one after the other.
    keys: Vec<u8>,
    /// Where a group's key lies; `None` until its first row.
    key_of: Vec<Option<(usize, usize)>>,
}

impl Gather {
    fn new(source: Source) -> Self {
        Self { source, times: Vec::new(), values: Vec::new(), runs: Vec::new(), keys: Vec::new(), key_of: Vec::new() }
    }

    fn take_run(&mut self, group: usize, start: usize) {
        let len = self.times.len() - start;
        if len == 0 {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.group == group && last.start + last.len == start => last.len += len,
            _ => self.runs.push(Run { group, start, len }),
        }
    }

    fn take_labels(&mut self, group: usize, labels: &Labels<'_>, row: usize, name: Option<&str>) {
        if self.key_of[group].is_some() {
            return;
        }
        let start = self.keys.len();
        match name {
            Some(name) => {
                let before = labels.row(row).filter(|(key, _)| *key < METRIC_NAME);
                let after = labels.row(row).filter(|(key, _)| *key > METRIC_NAME);
                let named = (!name.is_empty()).then_some((METRIC_NAME, name));
                label_key::write(&mut self.keys, before.chain(named).chain(after));
            }
            None => label_key::write(&mut self.keys, labels.row(row)),
        }
        self.key_of[group] = Some((start, self.keys.len()));
    }

    fn update_rows(&mut self, columns: &[ArrayRef], groups: &[usize], passes: impl Fn(usize) -> bool) -> Result<()> {
        let [names, labels, times, floats, ints, after, until, temporality] = columns else {
            return exec_err!("gather_rows takes 8 arguments, not {}", columns.len());
        };
        let Some(temporality) = temporality.as_primitive_opt::<Int32Type>() else {
            return exec_err!("gather_rows: temporality must be a 32-bit integer");
        };
        let Some(names) = names.as_string_opt::<i32>() else { return exec_err!("gather_rows: names must be strings") };
        let labels = Labels::of(labels)?;
        let (times, floats, ints) = (IntLists::of(times)?, FloatLists::of(floats)?, IntLists::of(ints)?);
        let (after, until) = (first_int(after)?, first_int(until)?);
        for (row, &group) in groups.iter().enumerate().filter(|(row, _)| passes(*row)) {
            let at = times.row(row);
            // Times ascend within a row: the part inside the bounds is one slice.
            let from = at.partition_point(|time| *time <= after);
            let to = at.partition_point(|time| *time <= until).max(from);
            if from == to {
                continue;
            }
            if floats.is_null(row) && ints.is_null(row) {
                return Err(unsupported(format!(
                    "series '{}' holds native histograms, which queries don't support yet: select its classic buckets instead",
                    names.value(row)
                )));
            }
            if temporality.value(row) == DELTA {
                return Err(unsupported(format!(
                    "series '{}' has delta temporality: rate, increase and the like take running totals; use sum_over_time",
                    names.value(row)
                )));
            }
            let start = self.times.len();
            if floats.is_null(row) {
                let Some(values) = ints.row(row).get(from..to) else { return uneven() };
                self.values.extend(values.iter().map(|value| *value as f64));
            } else {
                let Some(values) = floats.row(row).values.get(from..to) else { return uneven() };
                self.values.extend_from_slice(values);
            }
            self.times.extend_from_slice(&at[from..to]);
            self.take_run(group, start);
            self.take_labels(group, &labels, row, Some(names.value(row)));
        }
        Ok(())
    }

    fn update_points(&mut self, columns: &[ArrayRef], groups: &[usize], passes: impl Fn(usize) -> bool) -> Result<()> {
        let [labels, times, values] = columns else {
            return exec_err!("gather_points takes 3 arguments, not {}", columns.len());
        };
        let labels = Labels::of(labels)?;
        let (Some(times), Some(values)) =
            (times.as_primitive_opt::<Int64Type>(), values.as_primitive_opt::<Float64Type>())
        else {
            return exec_err!("gather_points: times must be 64-bit integers, values 64-bit floats");
        };
        for (row, &group) in groups.iter().enumerate().filter(|(row, _)| passes(*row)) {
            if values.is_null(row) || times.is_null(row) {
                continue;
            }
            let start = self.times.len();
            self.times.push(times.value(row));
            self.values.push(values.value(row));
            self.take_run(group, start);
            self.take_labels(group, &labels, row, None);
        }
        Ok(())
    }

    /// Takes the first groups out, as the three columns of the state.
    fn emit(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = match emit_to {
            EmitTo::All => self.key_of.len(),
            EmitTo::First(n) => n.min(self.key_of.len()),
        };
        // Runs of the emitted groups in order of group, arrival kept.
        let mut runs: Vec<Run> = self.runs.iter().copied().filter(|run| run.group < groups).collect();
        runs.sort_by_key(|run| run.group);
        let total = runs.iter().map(|run| run.len).sum();
        let mut ends = Vec::with_capacity(groups + 1);
        ends.push(0);
        let mut times: Vec<i64> = Vec::with_capacity(total);
        let mut values = FloatListBuilder::with_capacity(groups, total / groups.max(1));
        let mut labels = LabelMapBuilder::new();
        let mut scratch = Scratch::default();
        let mut next = 0;
        for group in 0..groups {
            let first = next;
            while next < runs.len() && runs[next].group == group {
                next += 1;
            }
            let points = matches!(self.source, Source::Points);
            scratch.join(&runs[first..next], &self.times, &self.values, points, &mut times, &mut values);
            ends.push(offset(times.len()));
            if let Some((start, end)) = self.key_of[group] {
                for (name, value) in label_key::read(&self.keys[start..end])? {
                    labels.label(name, value);
                }
            }
            labels.finish_row();
        }
        self.drop_first(groups);
        Ok(vec![Arc::new(labels.finish()), int_lists(ends, times), values.finish()])
    }

    fn drop_first(&mut self, groups: usize) {
        if groups == self.key_of.len() {
            *self = Self::new(self.source);
            return;
        }
        let mut kept = Self::new(self.source);
        for run in self.runs.iter().filter(|run| run.group >= groups) {
            let start = kept.times.len();
            kept.times.extend_from_slice(&self.times[run.start..run.start + run.len]);
            kept.values.extend_from_slice(&self.values[run.start..run.start + run.len]);
            kept.runs.push(Run { group: run.group - groups, start, len: run.len });
        }
        for key in &self.key_of[groups..] {
            let place = key.map(|(start, end)| {
                let at = kept.keys.len();
                kept.keys.extend_from_slice(&self.keys[start..end]);
                (at, kept.keys.len())
            });
            kept.key_of.push(place);
        }
        *self = kept;
    }
}

fn first_int(array: &ArrayRef) -> Result<i64> {
    match array.as_primitive_opt::<Int64Type>() {
        Some(array) if !array.is_empty() => Ok(array.value(0)),
        Some(_) => Ok(0),
        None => exec_err!("gather_rows: bounds must be integers"),
    }
}

fn uneven<T>() -> Result<T> {
    Err(crate::Error::Corrupt("a row of metrics has fewer values than timestamps".into()).into())
}

/// Buffers for sorting one series, kept from series to series.
#[derive(Debug, Default)]
struct Scratch {
    samples: Vec<(i64, f64)>,
}

impl Scratch {
    /// Appends the samples of a series' runs in order of time. Of several at one time the last in the
    /// order of floats is taken, so that the answer doesn't depend on which arrived first; points
    /// (single events, not states) are all kept.
    fn join(
        &mut self,
        runs: &[Run],
        all_times: &[i64],
        all_values: &[f64],
        points: bool,
        times: &mut Vec<i64>,
        values: &mut FloatListBuilder,
    ) {
        let mut last = i64::MIN;
        let ordered = runs.iter().flat_map(|run| &all_times[run.start..run.start + run.len]).all(|time| {
            let later = *time > last || (points && *time == last);
            last = *time;
            later
        });
        if ordered {
            for run in runs {
                times.extend_from_slice(&all_times[run.start..run.start + run.len]);
                values.extend(&all_values[run.start..run.start + run.len]);
            }
            values.finish_row();
            return;
        }
        self.samples.clear();
        for run in runs {
            let range = run.start..run.start + run.len;
            self.samples.extend(all_times[range.clone()].iter().copied().zip(all_values[range].iter().copied()));
        }
        if points {
            self.samples.sort_by_key(|(time, _)| *time);
        } else {
            self.samples.sort_by(|left, right| left.0.cmp(&right.0).then(right.1.total_cmp(&left.1)));
            self.samples.dedup_by_key(|(time, _)| *time);
        }
        for (time, value) in &self.samples {
            times.push(*time);
            values.push(Some(*value));
        }
        values.finish_row();
    }
}

impl GroupsAccumulator for Gather {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.key_of.resize(total.max(self.key_of.len()), None);
        let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        match self.source {
            Source::Rows => self.update_rows(values, groups, passes),
            Source::Points => self.update_points(values, groups, passes),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(StructArray::new(FIELDS.clone(), self.emit(emit_to)?, None)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emit(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.key_of.resize(total.max(self.key_of.len()), None);
        let [labels, times, values] = values else { return exec_err!("gather: a state has 3 columns") };
        let labels = Labels::of(labels)?;
        let (times, values) = (IntLists::of(times)?, FloatLists::of(values)?);
        for (row, &group) in groups.iter().enumerate() {
            let start = self.times.len();
            self.times.extend_from_slice(times.row(row));
            self.values.extend_from_slice(values.row(row).values);
            if self.times.len() > start {
                self.take_run(group, start);
                self.take_labels(group, &labels, row, None);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self::new(self.source);
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.emit(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.times.capacity() * 8
            + self.values.capacity() * 8
            + self.runs.capacity() * size_of::<Run>()
            + self.keys.capacity()
            + self.key_of.capacity() * size_of::<Option<(usize, usize)>>()
    }
}
