//! Joins rows of one series into one: what makes `metrics` small and fast to read.
//!
//! In flight a row is what one message said of a series, often a single sample. In a file there is
//! one row per series (and temporality, and floats apart from histograms), sorted by (name, series
//! id), its samples in ascending time. Of samples with equal times the one that arrived last stays.
//! Floats that are all whole numbers become integers, which pack to a fraction of the size.
//!
//! How: rows are ordered by the first 8 bytes of their series id with their place (one integer sort,
//! no hashing), groups by name and id; samples are then copied slice by slice. A group that turns out
//! not to be in order is sorted on its own.

use crate::Error;
use crate::sort::{column, index, int64, wrong_type};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use std::sync::Arc;
use weft_model::attributes::element_field;
use weft_model::metrics;

/// Rows of an output batch, at most.
const BATCH_ROWS: usize = 8192;
/// Samples after which an output batch is closed.
const BATCH_SAMPLES: usize = 1 << 20;
/// Samples of a row, at most: a row is the unit a reader must take whole.
const ROW_SAMPLES: usize = 16 * 1024;
/// Integers up to this magnitude are exact in both forms.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Joins rows; batches come out one by one, in file order.
#[derive(Debug)]
pub(crate) struct Joiner<'a> {
    batches: &'a [RecordBatch],
    inputs: Vec<Input<'a>>,
    /// Rows by series: series prefix, batch and row in one integer each.
    rows: Vec<u128>,
    groups: Vec<Group>,
    next: usize,
}

/// One input batch, its columns at hand.
#[derive(Debug)]
struct Input<'a> {
    names: &'a StringArray,
    ids: &'a BinaryArray,
    kinds: &'a Int32Array,
    temporalities: &'a Int32Array,
    units: &'a StringArray,
    helps: &'a StringArray,
    min_times: &'a Int64Array,
    timestamps: Lists<'a, i64>,
    starts: Lists<'a, i64>,
    floats: Lists<'a, f64>,
    ints: Lists<'a, i64>,
    histograms: &'a ListArray,
    exemplars: &'a ListArray,
}

/// A list column of numbers.
#[derive(Debug)]
struct Lists<'a, T> {
    list: &'a ListArray,
    values: &'a [T],
}

impl<'a, T> Lists<'a, T> {
    fn get(&self, row: usize) -> Option<&'a [T]> {
        self.list.is_valid(row).then(|| &self.values[range(self.list, row)])
    }
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    // Offsets of a valid list array are never negative.
    offsets[row].unsigned_abs() as usize..offsets[row + 1].unsigned_abs() as usize
}

/// Rows `start..end` of `rows` are one output row (or more, when it has very many samples).
#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Numbers,
    Histograms,
}

impl<'a> Input<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, Error> {
        let text = |name| column(batch, name)?.as_string_opt::<i32>().ok_or_else(|| wrong_type(name));
        let int32 = |name| column(batch, name)?.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong_type(name));
        let list = |name| column(batch, name)?.as_list_opt::<i32>().ok_or_else(|| wrong_type(name));
        let longs = |name| {
            let list = list(name)?;
            let values = list.values().as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(name))?;
            Ok::<_, Error>(Lists { list, values: values.values() })
        };
        let floats = |name| {
            let list = list(name)?;
            let values = list.values().as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_type(name))?;
            Ok::<_, Error>(Lists { list, values: values.values() })
        };
        let ids =
            column(batch, metrics::SERIES_ID)?.as_binary_opt::<i32>().ok_or_else(|| wrong_type(metrics::SERIES_ID))?;
        if ids.null_count() > 0 {
            return Err(Error::Bug("rows of metrics have no series id: it is derived before they are pushed".into()));
        }
        Ok(Self {
            names: text(metrics::NAME)?,
            ids,
            kinds: int32(metrics::KIND)?,
            temporalities: int32(metrics::TEMPORALITY)?,
            units: text(metrics::UNIT)?,
            helps: text(metrics::HELP)?,
            min_times: int64(batch, metrics::MIN_TIME)?,
            timestamps: longs(metrics::TIMESTAMPS)?,
            starts: longs(metrics::START_TIMES)?,
            floats: floats(metrics::VALUES)?,
            ints: longs(metrics::INT_VALUES)?,
            histograms: list(metrics::HISTOGRAMS)?,
            exemplars: list(metrics::EXEMPLARS)?,
        })
    }

    fn class(&self, row: usize) -> Class {
        if self.histograms.is_valid(row) { Class::Histograms } else { Class::Numbers }
    }
}

fn place(key: u128) -> (usize, usize) {
    // The low 64 bits are batch and row, as packed by `Joiner::new`.
    #[expect(clippy::cast_possible_truncation, reason = "32-bit fields of the key")]
    let (batch, row) = ((key >> 32) as u32, key as u32);
    (batch as usize, row as usize)
}

fn prefix(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = id.len().min(8);
    bytes[..length].copy_from_slice(&id[..length]);
    u64::from_be_bytes(bytes)
}

impl<'a> Joiner<'a> {
    /// Finds the series. Batches are in order of arrival.
    pub(crate) fn new(batches: &'a [RecordBatch]) -> Result<Self, Error> {
        let inputs = batches.iter().map(Input::new).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (number, input) in inputs.iter().enumerate() {
            let number = index(number)?;
            for row in 0..input.ids.len() {
                let place = u64::from(number) << 32 | u64::from(index(row)?);
                rows.push(u128::from(prefix(input.ids.value(row))) << 64 | u128::from(place));
            }
        }
        rows.sort_unstable();
        let mut joiner = Self { batches, inputs, rows, groups: Vec::new(), next: 0 };
        joiner.group();
        Ok(joiner)
    }

    /// Everything that rows of one group share, in file order.
    fn key(&self, row: u128) -> (&'a str, &'a [u8], i32, Class) {
        let (batch, row) = place(row);
        let input = &self.inputs[batch];
        (input.names.value(row), input.ids.value(row), input.temporalities.value(row), input.class(row))
    }

    fn group(&mut self) {
        let mut groups = Vec::new();
        let mut start = 0;
        while start < self.rows.len() {
            let series = self.rows[start] >> 64;
            let mut end = start + 1;
            while end < self.rows.len() && self.rows[end] >> 64 == series {
                end += 1;
            }
            let first = self.key(self.rows[start]);
            if self.rows[start + 1..end].iter().any(|row| self.key(*row) != first) {
                // Histograms beside floats, both temporalities, or 64 equal bits of two ids.
                let mut run = self.rows[start..end].to_vec();
                run.sort_by(|a, b| self.key(*a).cmp(&self.key(*b)));
                self.rows[start..end].copy_from_slice(&run);
                let mut from = start;
                for at in start + 1..end {
                    if self.key(self.rows[at]) != self.key(self.rows[from]) {
                        groups.push(Group { start: from, end: at });
                        from = at;
                    }
                }
                groups.push(Group { start: from, end });
            } else {
                groups.push(Group { start, end });
            }
            start = end;
        }
        groups.sort_by(|a, b| self.key(self.rows[a.start]).cmp(&self.key(self.rows[b.start])));
        // Rows mostly arrive in time order; where they don't, put them so.
        let time = |row: &u128| {
            let (batch, row) = place(*row);
            self.inputs[batch].min_times.value(row)
        };
        let mut rows = std::mem::take(&mut self.rows);
        for group in &groups {
            let group = &mut rows[group.start..group.end];
            if !group.is_sorted_by_key(time) {
                group.sort_by_key(time);
            }
        }
        self.rows = rows;
        self.groups = groups;
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        let mut out = Output::new(&self.inputs);
        let mut scratch = Scratch::default();
        while self.next < self.groups.len() && out.rows.len() < BATCH_ROWS && out.timestamps.len() < BATCH_SAMPLES {
            let group = self.groups[self.next];
            self.next += 1;
            scratch.gather(&self.inputs, &self.rows[group.start..group.end])?;
            scratch.put_in_order();
            out.add(&self.inputs, &self.rows[group.start..group.end], &scratch)?;
        }
        if out.rows.is_empty() { Ok(None) } else { out.finish(self.batches, &self.inputs).map(Some) }
    }
}

/// The samples of one group, reused from group to group.
#[derive(Debug, Default)]
struct Scratch {
    times: Vec<i64>,
    /// Empty for histograms.
    values: Vec<f64>,
    /// Empty for numbers; (batch, element) of each.
    histograms: Vec<(usize, usize)>,
    /// Empty when no row has any.
    starts: Vec<i64>,
    exemplars: Vec<(usize, usize)>,
    whole: bool,
}

impl Scratch {
    fn gather(&mut self, inputs: &[Input<'_>], rows: &[u128]) -> Result<(), Error> {
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
        self.exemplars.clear();
        self.whole = true;
        for key in rows {
            let (batch, row) = place(*key);
            let input = &inputs[batch];
            let times = input.timestamps.get(row).unwrap_or_default();
            let length = if input.histograms.is_valid(row) {
                let range = range(input.histograms, row);
                self.histograms.extend(range.clone().map(|element| (batch, element)));
                range.len()
            } else if let Some(ints) = input.ints.get(row) {
                #[expect(clippy::cast_precision_loss, reason = "integer samples are exact as floats by contract")]
                self.values.extend(ints.iter().map(|value| *value as f64));
                ints.len()
            } else {
                let floats = input.floats.get(row).unwrap_or_default();
                self.whole = self.whole && floats.iter().all(|value| is_whole(*value));
                self.values.extend_from_slice(floats);
                floats.len()
            };
            if length != times.len() {
                return Err(Error::Bug(format!("a row of metrics has {} times but {length} samples", times.len())));
            }
            if let Some(starts) = input.starts.get(row).filter(|starts| starts.len() == length) {
                self.starts.resize(self.times.len(), 0);
                self.starts.extend_from_slice(starts);
            } else if !self.starts.is_empty() {
                self.starts.resize(self.times.len() + length, 0);
            }
            self.times.extend_from_slice(times);
            if input.exemplars.is_valid(row) {
                self.exemplars.extend(range(input.exemplars, row).map(|element| (batch, element)));
            }
        }
        Ok(())
    }

    /// Ascending times, the last of equal ones.
    fn put_in_order(&mut self) {
        if self.times.is_sorted_by(|a, b| a < b) {
            return;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|at| self.times[*at]);
        let mut kept: Vec<usize> = Vec::with_capacity(order.len());
        for at in order {
            match kept.last_mut() {
                Some(last) if self.times[*last] == self.times[at] => *last = at,
                _ => kept.push(at),
            }
        }
        fn pick<T: Copy>(column: &mut Vec<T>, kept: &[usize]) {
            if !column.is_empty() {
                *column = kept.iter().map(|at| column[*at]).collect();
            }
        }
        pick(&mut self.values, &kept);
        pick(&mut self.histograms, &kept);
        pick(&mut self.starts, &kept);
        pick(&mut self.times, &kept);
        // What was written over may have been the only fraction.
        self.whole = self.whole || self.values.iter().all(|value| is_whole(*value));
    }
}

/// Whether a float sample can be stored as an integer and read back bit by bit.
fn is_whole(value: f64) -> bool {
    value.abs() <= EXACT && value.fract() == 0.0 && !(value == 0.0 && value.is_sign_negative())
}

/// An output batch in the making.
#[derive(Debug)]
struct Output {
    /// (batch, row) whose name, labels and id a row takes.
    rows: Vec<(usize, usize)>,
    units: Vec<(usize, usize)>,
    helps: Vec<(usize, usize)>,
    kinds: Vec<i32>,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    timestamps: Vec<i64>,
    timestamp_ends: Vec<i32>,
    starts: ListColumn<i64>,
    floats: ListColumn<f64>,
    ints: ListColumn<i64>,
    histograms: ListColumn<(usize, usize)>,
    exemplars: ListColumn<(usize, usize)>,
    some_units: bool,
    some_helps: bool,
}

/// A nullable list column in the making.
#[derive(Debug)]
struct ListColumn<T> {
    values: Vec<T>,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl<T: Copy> ListColumn<T> {
    fn new() -> Self {
        Self { values: Vec::new(), ends: vec![0], valid: Vec::new() }
    }

    fn push(&mut self, values: impl Iterator<Item = T>, valid: bool) -> Result<(), Error> {
        if valid {
            self.values.extend(values);
        }
        self.ends.push(offset(self.values.len())?);
        self.valid.push(valid);
        Ok(())
    }

    fn finish(
        self,
        element: DataType,
        values: impl FnOnce(Vec<T>) -> Result<ArrayRef, Error>,
    ) -> Result<ArrayRef, Error> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let nulls = Some(NullBuffer::from(self.valid)).filter(|nulls| nulls.null_count() > 0);
        Ok(Arc::new(ListArray::try_new(element_field(element), offsets, values(self.values)?, nulls)?))
    }
}

fn offset(length: usize) -> Result<i32, Error> {
    i32::try_from(length).map_err(|_| Error::Bug("a batch of metrics has over 2 billion samples".into()))
}

impl Output {
    fn new(inputs: &[Input<'_>]) -> Self {
        Self {
            rows: Vec::new(),
            units: Vec::new(),
            helps: Vec::new(),
            kinds: Vec::new(),
            min_times: Vec::new(),
            max_times: Vec::new(),
            timestamps: Vec::new(),
            timestamp_ends: vec![0],
            starts: ListColumn::new(),
            floats: ListColumn::new(),
            ints: ListColumn::new(),
            histograms: ListColumn::new(),
            exemplars: ListColumn::new(),
            some_units: inputs.iter().any(|input| input.units.null_count() < input.units.len()),
            some_helps: inputs.iter().any(|input| input.helps.null_count() < input.helps.len()),
        }
    }

    fn add(&mut self, inputs: &[Input<'_>], rows: &[u128], samples: &Scratch) -> Result<(), Error> {
        let Some(last) = rows.last().map(|key| place(*key)) else { return Ok(()) };
        let latest = |is: &dyn Fn(&Input<'_>, usize) -> bool| {
            rows.iter().rev().map(|key| place(*key)).find(|(batch, row)| is(&inputs[*batch], *row)).unwrap_or(last)
        };
        let (batch, row) = latest(&|input, row| input.kinds.value(row) != 0);
        let kind = inputs[batch].kinds.value(row);
        let unit = if self.some_units { latest(&|input, row| input.units.is_valid(row)) } else { last };
        let help = if self.some_helps { latest(&|input, row| input.helps.is_valid(row)) } else { last };
        let total = samples.times.len();
        let mut from = 0;
        loop {
            let to = (from + ROW_SAMPLES).min(total);
            self.rows.push(last);
            self.units.push(unit);
            self.helps.push(help);
            self.kinds.push(kind);
            // A row without samples (exemplars only) keeps the time it came with.
            let bare = inputs[last.0].min_times.value(last.1);
            self.min_times.push(samples.times.get(from).copied().unwrap_or(bare));
            self.max_times.push(if to > from { samples.times[to - 1] } else { bare });
            self.timestamps.extend_from_slice(&samples.times[from..to]);
            self.timestamp_ends.push(offset(self.timestamps.len())?);
            let starts = samples.starts.get(from..to).filter(|starts| !starts.is_empty());
            self.starts.push(starts.unwrap_or_default().iter().copied(), starts.is_some())?;
            let histograms = inputs[last.0].class(last.1) == Class::Histograms;
            let numbers = if histograms { &[][..] } else { &samples.values[from..to] };
            self.floats.push(numbers.iter().copied(), !histograms && !samples.whole)?;
            #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
            self.ints.push(numbers.iter().map(|value| *value as i64), !histograms && samples.whole)?;
            let elements = if histograms { &samples.histograms[from..to] } else { &[][..] };
            self.histograms.push(elements.iter().copied(), histograms)?;
            let exemplars = if from == 0 { samples.exemplars.as_slice() } else { &[] };
            self.exemplars.push(exemplars.iter().copied(), !exemplars.is_empty())?;
            from = to;
            if from >= total {
                return Ok(());
            }
        }
    }

    fn finish(self, batches: &[RecordBatch], inputs: &[Input<'_>]) -> Result<RecordBatch, Error> {
        let schema = metrics::schema();
        let pick = |name: &str, places: &[(usize, usize)]| -> Result<ArrayRef, Error> {
            let arrays = batches.iter().map(|batch| column(batch, name)).collect::<Result<Vec<_>, _>>()?;
            Ok(interleave(&arrays, places)?)
        };
        let nested =
            |lists: Vec<&ListArray>, element: &DataType, places: Vec<(usize, usize)>| -> Result<ArrayRef, Error> {
                if places.is_empty() {
                    return Ok(arrow::array::new_empty_array(element));
                }
                let arrays: Vec<&dyn Array> = lists.into_iter().map(|list| list.values().as_ref()).collect();
                Ok(interleave(&arrays, &places)?)
            };
        let histogram = DataType::Struct(metrics::histogram_fields());
        let exemplar = DataType::Struct(metrics::exemplar_fields());
        let temporality = pick(metrics::TEMPORALITY, &self.rows)?;
        let timestamps = ListArray::try_new(
            element_field(DataType::Int64),
            OffsetBuffer::new(ScalarBuffer::from(self.timestamp_ends)),
            Arc::new(Int64Array::from(self.timestamps)),
            None,
        )?;
        let longs = |values: Vec<i64>| Ok(Arc::new(Int64Array::from(values)) as ArrayRef);
        let columns: Vec<ArrayRef> = vec![
            pick(metrics::NAME, &self.rows)?,
            pick(metrics::LABELS, &self.rows)?,
            pick(metrics::SERIES_ID, &self.rows)?,
            Arc::new(Int32Array::from(self.kinds)),
            temporality,
            pick(metrics::UNIT, &self.units)?,
            pick(metrics::HELP, &self.helps)?,
            Arc::new(Int64Array::from(self.min_times)),
            Arc::new(Int64Array::from(self.max_times)),
            Arc::new(timestamps),
            self.starts.finish(DataType::Int64, longs)?,
            self.floats.finish(DataType::Float64, |values| Ok(Arc::new(Float64Array::from(values))))?,
            self.ints.finish(DataType::Int64, longs)?,
            self.histograms.finish(histogram.clone(), |places| {
                nested(inputs.iter().map(|input| input.histograms).collect(), &histogram, places)
            })?,
            self.exemplars.finish(exemplar.clone(), |places| {
                nested(inputs.iter().map(|input| input.exemplars).collect(), &exemplar, places)
            })?,
        ];
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

#[cfg(test)]
mod tests;
