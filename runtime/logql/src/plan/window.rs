//! The aggregate function behind range aggregations: the samples of a label set → one value a step.
//!
//! Counting functions keep a difference array (two additions a sample, however many windows overlap);
//! the others keep the samples and look at each window once.

use super::pipeline::Windows;
use crate::ast::RangeOp;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, Int64Builder, ListArray, ListBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::sync::Arc;

/// A range aggregation over a grid: `(time, value) -> List<Float64>`, null where a window is empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WindowFunction {
    pub(crate) op: RangeOp,
    pub(crate) windows: Windows,
    /// φ of a quantile.
    pub(crate) parameter: f64,
    /// Samples are values of a label, not lines.
    pub(crate) unwrapped: bool,
}

impl WindowFunction {
    pub(crate) fn udaf(self) -> AggregateUDF {
        AggregateUDF::new_from_impl(WindowUdaf { function: self, signature: Signature::any(2, Volatility::Immutable) })
    }

    fn counts(&self) -> bool {
        match self.op {
            RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Absent => true,
            RangeOp::Rate => !self.unwrapped,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct WindowUdaf {
    function: WindowFunction,
    signature: Signature,
}

impl PartialEq for WindowUdaf {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for WindowUdaf {}

impl std::hash::Hash for WindowUdaf {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.function.windows.hash(state);
        self.function.parameter.to_bits().hash(state);
    }
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

impl AggregateUDFImpl for WindowUdaf {
    fn name(&self) -> &str {
        "logql_window"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Float64))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = arguments.name;
        Ok(vec![
            Arc::new(Field::new(format!("{name}[times]"), list_of(DataType::Int64), true)),
            Arc::new(Field::new(format!("{name}[values]"), list_of(DataType::Float64), true)),
        ])
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("logql_window works on groups only")
    }

    fn groups_accumulator_supported(&self, _arguments: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(if self.function.counts() {
            Box::new(Counting { function: self.function, counts: Vec::new(), sums: Vec::new() })
        } else {
            Box::new(Sampling { function: self.function, groups: Vec::new(), held: 0 })
        })
    }
}

/// Times and values of a batch of arguments; a null value is no sample.
fn arguments(values: &[ArrayRef]) -> Result<(&[i64], &Float64Array)> {
    let times = values.first().and_then(|array| array.as_primitive_opt::<Int64Type>());
    match (times, values.get(1).and_then(|array| array.as_primitive_opt::<Float64Type>())) {
        (Some(times), Some(samples)) => Ok((times.values(), samples)),
        _ => exec_err!("logql_window takes a time and a value"),
    }
}

fn states(values: &[ArrayRef]) -> Result<(&ListArray, &ListArray)> {
    match (values.first().and_then(|a| a.as_list_opt::<i32>()), values.get(1).and_then(|a| a.as_list_opt::<i32>())) {
        (Some(times), Some(samples)) => Ok((times, samples)),
        _ => exec_err!("logql_window got a state that is not its own"),
    }
}

fn passes(filter: Option<&BooleanArray>, at: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at))
}

/// The state of each row by itself.
fn one_group_a_row(
    fresh: &mut impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let rows = values.first().map_or(0, Array::len);
    let groups: Vec<usize> = (0..rows).collect();
    fresh.update_batch(values, &groups, filter, rows)?;
    fresh.state(EmitTo::All)
}

/// Takes the groups to emit off the front.
fn emitted<T>(groups: &mut Vec<T>, emit: EmitTo) -> Vec<T> {
    match emit {
        EmitTo::All => std::mem::take(groups),
        EmitTo::First(count) => {
            let rest = groups.split_off(count.min(groups.len()));
            std::mem::replace(groups, rest)
        }
    }
}

/// Counts and sums of whole numbers.
struct Counting {
    function: WindowFunction,
    /// A group's differences, one a step and one behind the last.
    counts: Vec<Vec<i64>>,
    /// The same for the values.
    sums: Vec<Vec<f64>>,
}

impl Counting {
    fn grow(&mut self, groups: usize) {
        let width = self.function.windows.steps + 1;
        self.counts.resize_with(groups, || vec![0; width]);
        self.sums.resize_with(groups, || vec![0.0; width]);
    }
}

impl GroupsAccumulator for Counting {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let (times, samples) = arguments(values)?;
        for (at, &group) in groups.iter().enumerate() {
            if samples.is_valid(at)
                && passes(filter, at)
                && let Some((first, last)) = self.function.windows.of(times[at])
            {
                self.counts[group][first] += 1;
                self.counts[group][last + 1] -= 1;
                // Exact: lengths of lines are whole numbers far below 2^53.
                self.sums[group][first] += samples.value(at);
                self.sums[group][last + 1] -= samples.value(at);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let steps = self.function.windows.steps;
        #[allow(clippy::cast_precision_loss, reason = "seconds are a float by definition")]
        let seconds = self.function.windows.range as f64 / 1e9;
        let (counts, sums) = (emitted(&mut self.counts, emit), emitted(&mut self.sums, emit));
        let mut out = ListBuilder::new(Float64Builder::with_capacity(counts.len() * steps));
        for (counts, sums) in counts.iter().zip(&sums) {
            let (mut count, mut sum) = (0, 0.0);
            for step in 0..steps {
                count += counts[step];
                sum += sums[step];
                #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                let value = match self.function.op {
                    RangeOp::Bytes => sum,
                    RangeOp::BytesRate => sum / seconds,
                    RangeOp::Rate => count as f64 / seconds,
                    _ => count as f64,
                };
                out.values().append_option((count > 0).then_some(value));
            }
            out.append(true);
        }
        Ok(Arc::new(out.finish()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (counts, sums) = (emitted(&mut self.counts, emit), emitted(&mut self.sums, emit));
        let mut first = ListBuilder::new(Int64Builder::new());
        let mut second = ListBuilder::new(Float64Builder::new());
        for (counts, sums) in counts.iter().zip(&sums) {
            first.values().append_slice(counts);
            first.append(true);
            second.values().append_slice(sums);
            second.append(true);
        }
        Ok(vec![Arc::new(first.finish()), Arc::new(second.finish())])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (counts, sums) = states(values)?;
        for (at, &group) in groups.iter().enumerate() {
            let (row_counts, row_sums) = (counts.value(at), sums.value(at));
            for (held, more) in self.counts[group].iter_mut().zip(row_counts.as_primitive::<Int64Type>().values()) {
                *held += more;
            }
            for (held, more) in self.sums[group].iter_mut().zip(row_sums.as_primitive::<Float64Type>().values()) {
                *held += more;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut fresh = Self { function: self.function, counts: Vec::new(), sums: Vec::new() };
        one_group_a_row(&mut fresh, values, filter)
    }

    fn size(&self) -> usize {
        self.counts.len() * (self.function.windows.steps + 1) * 16 + 64
    }
}

/// All samples of each group.
struct Sampling {
    function: WindowFunction,
    groups: Vec<Vec<(i64, f64)>>,
    held: usize,
}

impl GroupsAccumulator for Sampling {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let (times, samples) = arguments(values)?;
        for (at, &group) in groups.iter().enumerate() {
            if samples.is_valid(at) && passes(filter, at) {
                self.groups[group].push((times[at], samples.value(at)));
                self.held += 1;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let windows = self.function.windows;
        let groups = emitted(&mut self.groups, emit);
        let mut out = ListBuilder::new(Float64Builder::with_capacity(groups.len() * windows.steps));
        let mut scratch = Vec::new();
        for mut samples in groups {
            self.held -= samples.len();
            samples.sort_by_key(|(time, _)| *time);
            let (mut low, mut high) = (0, 0);
            for step in 0..windows.steps {
                let until = windows.start + windows.step * i64::try_from(step).unwrap_or(0) - windows.offset;
                let after = until - windows.range;
                while samples.get(high).is_some_and(|(time, _)| *time <= until) {
                    high += 1;
                }
                while low < high && samples[low].0 <= after {
                    low += 1;
                }
                let value =
                    (low < high).then(|| over_time(&self.function, &samples[low..high], (after, until), &mut scratch));
                out.values().append_option(value);
            }
            out.append(true);
        }
        Ok(Arc::new(out.finish()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emitted(&mut self.groups, emit);
        let mut times = ListBuilder::new(Int64Builder::new());
        let mut values = ListBuilder::new(Float64Builder::new());
        for samples in groups {
            self.held -= samples.len();
            for (time, value) in samples {
                times.values().append_value(time);
                values.values().append_value(value);
            }
            times.append(true);
            values.append(true);
        }
        Ok(vec![Arc::new(times.finish()), Arc::new(values.finish())])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let (times, samples) = states(values)?;
        for (at, &group) in groups.iter().enumerate() {
            let (times, samples) = (times.value(at), samples.value(at));
            let pairs =
                times.as_primitive::<Int64Type>().values().iter().zip(samples.as_primitive::<Float64Type>().values());
            self.groups[group].extend(pairs.map(|(time, value)| (*time, *value)));
            self.held += times.len();
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut fresh = Self { function: self.function, groups: Vec::new(), held: 0 };
        one_group_a_row(&mut fresh, values, filter)
    }

    fn size(&self) -> usize {
        self.held * 16 + self.groups.capacity() * 24
    }
}

/// A function of the samples in one window, of which there is at least one.
fn over_time(function: &WindowFunction, samples: &[(i64, f64)], window: (i64, i64), scratch: &mut Vec<f64>) -> f64 {
    let values = samples.iter().map(|(_, value)| *value);
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53, seconds are a float by definition")]
    let (count, seconds) = (samples.len() as f64, function.windows.range as f64 / 1e9);
    match function.op {
        RangeOp::Sum => values.sum(),
        RangeOp::Rate => values.sum::<f64>() / seconds,
        RangeOp::Avg => mean(values),
        RangeOp::Min => values.fold(f64::NAN, f64::min),
        RangeOp::Max => values.fold(f64::NAN, f64::max),
        RangeOp::Stdvar => variance(samples, count),
        RangeOp::Stddev => variance(samples, count).sqrt(),
        RangeOp::First => samples.first().map_or(f64::NAN, |(_, value)| *value),
        RangeOp::Last => samples.last().map_or(f64::NAN, |(_, value)| *value),
        RangeOp::Quantile => {
            scratch.clear();
            scratch.extend(values);
            quantile(function.parameter, scratch)
        }
        RangeOp::RateCounter => rate_counter(samples, window, seconds),
        RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Absent => count,
    }
}

/// The mean, without overflow and with infinities as they are.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut count) = (0.0f64, 0.0);
    for value in values {
        count += 1.0;
        if mean.is_infinite() && (value.is_infinite() && mean.signum() == value.signum() || value.is_finite()) {
            continue;
        }
        mean += value / count - mean / count;
    }
    mean
}

fn variance(samples: &[(i64, f64)], count: f64) -> f64 {
    let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
    samples.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>() / count
}

/// Linear between ranks; ±infinity outside of 0 to 1.
pub(crate) fn quantile(rank: f64, values: &mut [f64]) -> f64 {
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    if rank > 1.0 {
        return f64::INFINITY;
    }
    // No number sorts first.
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks lie within the slice"
    )]
    {
        let position = rank * (values.len() as f64 - 1.0);
        let low = position.floor().max(0.0) as usize;
        let high = (low + 1).min(values.len() - 1);
        let weight = position - position.floor();
        values[low] * (1.0 - weight) + values[high] * weight
    }
}

/// A counter's increase per second, resets added back, extrapolated to the window's edges where the
/// samples reach near them, never below zero. One sample has no increase.
fn rate_counter(samples: &[(i64, f64)], (after, until): (i64, i64), seconds: f64) -> f64 {
    let ([(first_time, first), ..], [.., (last_time, last)]) = (samples, samples) else { return 0.0 };
    if samples.len() < 2 {
        return 0.0;
    }
    let resets: f64 = samples.windows(2).map(|pair| if pair[1].1 < pair[0].1 { pair[0].1 } else { 0.0 }).sum();
    let increase = last - first + resets;
    #[allow(clippy::cast_precision_loss, reason = "differences of times within a window")]
    let span = |from: i64, to: i64| (to - from) as f64 / 1e9;
    let sampled = span(*first_time, *last_time);
    if sampled <= 0.0 {
        return 0.0;
    }
    let (mut to_start, mut to_end) = (span(after, *first_time), span(*last_time, until));
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let average = sampled / (samples.len() - 1) as f64;
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    if increase > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    increase * ((sampled + to_start + to_end) / sampled) / seconds
}

#[cfg(test)]
mod tests {
    use super::{Windows, quantile};

    #[test]
    fn a_window_leaves_out_its_lower_edge_and_holds_its_upper() {
        let windows = Windows { start: 100, step: 10, steps: 3, range: 20, offset: 0 };
        assert_eq!(windows.of(80), None);
        assert_eq!(windows.of(81), Some((0, 0)));
        assert_eq!(windows.of(100), Some((0, 1)));
        assert_eq!(windows.of(101), Some((1, 2)));
        assert_eq!(windows.of(120), Some((2, 2)));
        assert_eq!(windows.of(121), None);
        let sparse = Windows { start: 100, step: 10, steps: 3, range: 3, offset: 5 };
        assert_eq!(sparse.of(95), Some((0, 0)));
        assert_eq!(sparse.of(92), None);
    }

    #[test]
    fn quantiles_interpolate() {
        assert!((quantile(0.4, &mut [5.0, 1.0, 2.0, 3.0, 4.0]) - 2.6).abs() < 1e-12);
        assert_eq!(quantile(1.5, &mut [1.0]), f64::INFINITY);
    }
}
