//! A metric's samples and exemplars, which are lists in a row.
//!
//! Modules see one sample a row: the last when they read, the only one when they write. A row with
//! several is cut to its last before a write.

use super::batch::Batch;
use super::columns::{Error, Nulls, Rows};
use super::paths::ExemplarField;
use super::write::{Mode, ids_of, merge};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, StructArray, UInt32Array,
    new_null_array,
    types::{Float64Type, Int64Type},
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{kernels::zip::zip, take};
use std::sync::Arc;
use weft_model::attributes::{element_field, label_map};
use weft_model::metrics::{
    EXEMPLARS, HISTOGRAMS, INT_VALUES, MAX_TIME, MIN_TIME, START_TIMES, TIMESTAMPS, VALUES, exemplar_fields,
};

/// Integers up to this magnitude are kept as such, by the model's rule.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Lists of one element; null (and empty) where `valid` says so.
pub(super) fn single(values: ArrayRef, valid: Option<&NullBuffer>) -> ArrayRef {
    let field = element_field(values.data_type().clone());
    let Some(valid) = valid.filter(|valid| valid.null_count() > 0) else {
        let offsets = OffsetBuffer::from_repeated_length(1, values.len());
        return Arc::new(ListArray::new(field, offsets, values, None));
    };
    let offsets = OffsetBuffer::from_lengths(valid.iter().map(usize::from));
    let mask = BooleanArray::new(valid.inner().clone(), None);
    // The mask has the values' length: filter has nothing to object to.
    let kept = arrow::compute::filter(&values, &mask).unwrap_or_else(|_| values.slice(0, 0));
    Arc::new(ListArray::new(field, offsets, kept, Some(valid.clone())))
}

/// The last element of each row's list; null where there is none.
fn last(list: &ListArray) -> Result<ArrayRef, Error> {
    let offsets = list.value_offsets();
    let some = |row: usize| list.is_valid(row) && offsets[row] < offsets[row + 1];
    let valid = NullBuffer::new(BooleanBuffer::collect_bool(list.len(), some));
    let indices: Vec<u32> =
        (0..list.len()).map(|row| if some(row) { (offsets[row + 1] - 1) as u32 } else { 0 }).collect();
    Ok(take(list.values(), &UInt32Array::new(ScalarBuffer::from(indices), Some(valid)), None)?)
}

fn list(batch: &mut Batch, name: &str) -> Result<ArrayRef, Error> {
    let array = batch.column_named(name)?;
    if array.as_list_opt::<i32>().is_none() {
        return Err(Error::Column(format!("'{name}' is not a list")));
    }
    Ok(array)
}

/// The time of each row's last sample, ms.
pub(super) fn timestamps(batch: &mut Batch) -> Result<Int64Array, Error> {
    let times = list(batch, TIMESTAMPS)?;
    Ok(last(times.as_list())?.as_primitive().clone())
}

/// When each row's last sample began to count, ms; null where that isn't known.
pub(super) fn starts(batch: &mut Batch) -> Result<Int64Array, Error> {
    let starts = list(batch, START_TIMES)?;
    let starts = last(starts.as_list())?;
    Ok(starts.as_primitive::<Int64Type>().iter().map(|start| start.filter(|ms| *ms != 0)).collect())
}

/// The value of each row's last sample; null for histograms.
pub(super) fn float_values(batch: &mut Batch) -> Result<Float64Array, Error> {
    let (floats, ints) = (list(batch, VALUES)?, list(batch, INT_VALUES)?);
    let floats = last(floats.as_list())?;
    let ints = last(ints.as_list())?;
    let (floats, ints) = (floats.as_primitive::<Float64Type>(), ints.as_primitive::<Int64Type>());
    if ints.null_count() == ints.len() {
        return Ok(floats.clone());
    }
    Ok((0..batch.rows)
        .map(|row| match (floats.is_valid(row), ints.is_valid(row)) {
            (true, _) => Some(floats.value(row)),
            (false, true) => Some(ints.value(row) as f64),
            (false, false) => None,
        })
        .collect())
}

/// The same where they are integers.
pub(super) fn int_values(batch: &mut Batch) -> Result<Int64Array, Error> {
    let ints = list(batch, INT_VALUES)?;
    Ok(last(ints.as_list())?.as_primitive().clone())
}

/// Cuts every row to its last sample.
fn collapse(batch: &mut Batch) -> Result<(), Error> {
    let times = list(batch, TIMESTAMPS)?;
    let offsets = times.as_list::<i32>().value_offsets();
    if offsets.windows(2).all(|pair| pair[1] - pair[0] == 1) {
        return Ok(());
    }
    for name in [TIMESTAMPS, START_TIMES, VALUES, INT_VALUES, HISTOGRAMS] {
        let lists = list(batch, name)?;
        let lists = lists.as_list::<i32>();
        let values = last(lists)?;
        let cut = single(Arc::clone(&values), values.nulls());
        // A list that is there but empty stays there.
        let cut = cut.as_list::<i32>();
        let cut = ListArray::try_new(
            element_field(cut.value_type()),
            cut.offsets().clone(),
            Arc::clone(cut.values()),
            lists.nulls().cloned(),
        )?;
        batch.put_named(name, Arc::new(cut))?;
    }
    Ok(())
}

fn no_nulls(values: &dyn Array, mode: Mode, what: &str) -> Result<(), Error> {
    if mode.nulls == Nulls::Clear && values.null_count() > 0 {
        return Err(Error::Column(format!("'{what}' can't be null: use retain to drop rows")));
    }
    Ok(())
}

/// Writes the time of each row's only sample.
pub(super) fn put_timestamps(batch: &mut Batch, times: &Int64Array, mode: Mode) -> Result<(), Error> {
    no_nulls(times, mode, "timestamp")?;
    collapse(batch)?;
    let old: ArrayRef = Arc::new(timestamps(batch)?);
    let mut times = merge(Arc::new(times.clone()), &old, mode)?;
    if times.null_count() > 0 {
        // A row of no samples that is left alone: its bounds stand for the sample it now gets.
        let bounds = batch.column_named(MAX_TIME)?;
        let valid = BooleanBuffer::collect_bool(times.len(), |row| times.is_valid(row));
        times = zip(&BooleanArray::new(valid, None), &times, &bounds)?;
    }
    batch.put_named(TIMESTAMPS, single(Arc::clone(&times), None))?;
    batch.put_named(MIN_TIME, Arc::clone(&times))?;
    batch.put_named(MAX_TIME, times)
}

/// Writes when each row's only sample began to count; a null is unknown.
pub(super) fn put_starts(batch: &mut Batch, times: &Int64Array, mode: Mode) -> Result<(), Error> {
    collapse(batch)?;
    let old: ArrayRef = Arc::new(starts(batch)?);
    let starts = merge(Arc::new(times.clone()), &old, mode)?;
    let valid = starts.nulls().cloned();
    batch.put_named(START_TIMES, single(starts, valid.as_ref()))
}

/// Writes the value of each row's only sample, of ints or floats.
pub(super) fn put_values(batch: &mut Batch, values: &ArrayRef, mode: Mode) -> Result<(), Error> {
    no_nulls(values, mode, "value")?;
    collapse(batch)?;
    // An empty row gets the one sample that its bounds tell the time of.
    let times = timestamps(batch)?;
    if times.null_count() > 0 {
        put_timestamps(batch, &times, Mode { nulls: Nulls::Leave, ..mode })?;
    }
    let values = match values.as_primitive_opt::<Int64Type>() {
        Some(ints) if mode.rows == Rows::All => {
            let old: ArrayRef = Arc::new(int_values(batch)?);
            merge(Arc::new(ints.clone()), &old, mode)?
        }
        // Whether a row has a value is asked of both lists: float_values answers for both.
        Some(ints) => {
            let old: ArrayRef = Arc::new(float_values(batch)?);
            merge(Arc::new(ints.unary::<_, Float64Type>(|value| value as f64)), &old, mode)?
        }
        None => {
            let old: ArrayRef = Arc::new(float_values(batch)?);
            merge(Arc::clone(values), &old, mode)?
        }
    };
    // What is null now had no such value before and isn't given one: it keeps what it has.
    let keeps = values.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    let (ints, is_int) = match values.as_primitive_opt::<Int64Type>() {
        Some(ints) => (ints.clone(), BooleanBuffer::new_set(batch.rows)),
        None => {
            let floats = values.as_primitive::<Float64Type>();
            let is_int = BooleanBuffer::collect_bool(batch.rows, |row| is_exact(floats.value(row)));
            (Int64Array::from_iter_values(floats.values().iter().map(|&value| value as i64)), is_int)
        }
    };
    let ints = Int64Array::new(ints.values().clone(), None);
    let new_ints = single(Arc::new(ints), Some(&NullBuffer::new(is_int.clone())));
    let new_floats = match values.as_primitive_opt::<Float64Type>() {
        Some(floats) => {
            let floats = Float64Array::new(floats.values().clone(), None);
            single(Arc::new(floats), Some(&NullBuffer::new(!&is_int)))
        }
        None => new_null_array(batch.column_named(VALUES)?.data_type(), batch.rows),
    };
    let new_histograms = new_null_array(batch.column_named(HISTOGRAMS)?.data_type(), batch.rows);
    for (name, new) in [(INT_VALUES, new_ints), (VALUES, new_floats), (HISTOGRAMS, new_histograms)] {
        let new = match &keeps {
            Some(keeps) => {
                let old = batch.column_named(name)?;
                zip(&BooleanArray::new(keeps.inner().clone(), None), &new, &old)?
            }
            None => new,
        };
        batch.put_named(name, new)?;
    }
    Ok(())
}

/// Whether the model keeps a value as an integer.
fn is_exact(value: f64) -> bool {
    value.trunc() == value && value.abs() <= EXACT && !(value == 0.0 && value.is_sign_negative())
}

/// Exemplars that wait to be written: one a row at most, there where it has a trace id or a value.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    trace_id: Option<BinaryArray>,
    span_id: Option<BinaryArray>,
    value: Option<Float64Array>,
    timestamp: Option<Int64Array>,
}

/// Notes a field of the rows' exemplars.
pub(super) fn put_exemplar(batch: &mut Batch, field: ExemplarField, values: ArrayRef, mode: Mode) -> Result<(), Error> {
    let lenient = mode.writer == super::write::Writer::Kernel;
    let mut exemplars = batch.exemplars.take().unwrap_or_default();
    let merged = |new: ArrayRef, old: Option<ArrayRef>| match old {
        Some(old) => merge(new, &old, mode),
        None => Ok(new),
    };
    match field {
        ExemplarField::TraceId => {
            let old = exemplars.trace_id.take().map(|old| Arc::new(old) as ArrayRef);
            let ids = merged(Arc::new(ids_of(&values, 16, lenient)?), old)?;
            exemplars.trace_id = Some(ids.as_binary().clone());
        }
        ExemplarField::SpanId => {
            let old = exemplars.span_id.take().map(|old| Arc::new(old) as ArrayRef);
            let ids = merged(Arc::new(ids_of(&values, 8, lenient)?), old)?;
            exemplars.span_id = Some(ids.as_binary().clone());
        }
        ExemplarField::Value => {
            let values = match values.as_primitive_opt::<Int64Type>() {
                Some(ints) => Arc::new(ints.unary::<_, Float64Type>(|value| value as f64)) as ArrayRef,
                None => values,
            };
            if values.as_primitive_opt::<Float64Type>().is_none() {
                return Err(Error::column("'exemplar.value' takes ints or floats"));
            }
            let old = exemplars.value.take().map(|old| Arc::new(old) as ArrayRef);
            exemplars.value = Some(merged(values, old)?.as_primitive().clone());
        }
        ExemplarField::Timestamp => {
            if values.as_primitive_opt::<Int64Type>().is_none() {
                return Err(Error::column("'exemplar.timestamp' takes ints"));
            }
            let old = exemplars.timestamp.take().map(|old| Arc::new(old) as ArrayRef);
            exemplars.timestamp = Some(merged(values, old)?.as_primitive().clone());
        }
    }
    batch.exemplars = Some(exemplars);
    Ok(())
}

impl Exemplars {
    /// Writes them into the batch. The time defaults to the sample's, the value to the sample's.
    pub(super) fn apply(self, batch: &mut Batch) -> Result<(), Error> {
        let rows = batch.rows;
        let valid = BooleanBuffer::collect_bool(rows, |row| {
            self.trace_id.as_ref().is_some_and(|ids| ids.is_valid(row))
                || self.value.as_ref().is_some_and(|values| values.is_valid(row))
        });
        let times: ArrayRef = {
            let own: ArrayRef = Arc::new(self.timestamp.unwrap_or_else(|| Int64Array::new_null(rows)));
            let valid = BooleanBuffer::collect_bool(rows, |row| own.is_valid(row));
            zip(&BooleanArray::new(valid, None), &own, &batch.column_named(MAX_TIME)?)?
        };
        let values: Float64Array = {
            let own = self.value.unwrap_or_else(|| Float64Array::new_null(rows));
            let sample = float_values(batch)?;
            Float64Array::from_iter_values((0..rows).map(|row| match (own.is_valid(row), sample.is_valid(row)) {
                (true, _) => own.value(row),
                (false, true) => sample.value(row),
                (false, false) => 0.0,
            }))
        };
        let columns: Vec<ArrayRef> = vec![
            times,
            Arc::new(values),
            Arc::new(self.trace_id.unwrap_or_else(|| BinaryArray::new_null(rows))),
            Arc::new(self.span_id.unwrap_or_else(|| BinaryArray::new_null(rows))),
            super::batch::zero_column(&label_map(), rows),
        ];
        let structs: ArrayRef = Arc::new(StructArray::try_new(exemplar_fields(), columns, None)?);
        let new = single(structs, Some(&NullBuffer::new(valid.clone())));
        let old = batch.column_named(EXEMPLARS)?;
        let lists = if old.null_count() == rows { new } else { zip(&BooleanArray::new(valid, None), &new, &old)? };
        batch.put_named(EXEMPLARS, lists)
    }
}
