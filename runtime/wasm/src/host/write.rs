//! Pushing: columns of the guest, or of a kernel, into the batch.
//!
//! All writes end in [`put`]: a [`Source`] of values goes to what the path names. A flat column is
//! replaced at once; entries of maps and exemplars wait in the batch until they are needed.

use super::Budget;
use super::batch::{Batch, zero_column};
use super::columns::{Attributes, Error, NULL_KEY, Nulls, Rows, offsets_in};
use super::edits::{BOOL, BYTES, DOUBLE, INT, Index, JSON, STRING, Source};
use super::paths::{self, Target};
use super::samples;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Float64Builder, Int32Array,
    Int64Array, Int64Builder, StringArray, UInt32Array, types::Int64Type,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::{kernels::zip::zip, take};
use arrow::datatypes::DataType;
use std::sync::Arc;
use weft_model::{Signal, logs, spans};

/// Who writes: a guest's columns must be of the type a flat column has; kernels convert to text,
/// and pass over values that don't fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Guest,
    Kernel,
}

/// The choice of rows and what nulls mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) rows: Rows,
    pub(super) nulls: Nulls,
    pub(super) writer: Writer,
}

impl Mode {
    pub(super) fn guest(nulls: Nulls) -> Self {
        Self { rows: Rows::All, nulls, writer: Writer::Guest }
    }

    pub(super) fn kernel(rows: Rows) -> Self {
        Self { rows, nulls: Nulls::Leave, writer: Writer::Kernel }
    }
}

/// Writes values to a path.
pub(super) fn put(batch: &mut Batch, budget: &mut Budget, path: &str, source: Source, mode: Mode) -> Result<(), Error> {
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Column(column) => put_column(batch, budget, column, &source, mode),
        Target::Entry { column, kind, key } => batch.edits(column, kind).put(kind, &key, source, mode.rows, mode.nulls),
        Target::Timestamp => {
            let times = number_column(&source, INT, batch.rows, "'timestamp' takes ints")?;
            samples::put_timestamps(batch, times.as_primitive(), mode)
        }
        Target::Start => {
            let times = number_column(&source, INT, batch.rows, "'start' takes ints")?;
            samples::put_starts(batch, times.as_primitive(), mode)
        }
        Target::Value => {
            let slot = if source.slots[INT].is_some() { INT } else { DOUBLE };
            let values = number_column(&source, slot, batch.rows, "'value' takes ints or floats")?;
            samples::put_values(batch, &values, mode)
        }
        Target::Exemplar(field) => {
            let array = expand_first(&source, batch.rows, budget)?;
            samples::put_exemplar(batch, field, array, mode)
        }
    }
}

fn number_column(source: &Source, slot: usize, rows: usize, wanted: &str) -> Result<ArrayRef, Error> {
    let values = source.slots[slot].as_ref().ok_or_else(|| Error::column(wanted))?;
    expand(values, &source.index, rows)
}

/// The one array of a source of one type, a value for each row.
fn expand_first(source: &Source, rows: usize, budget: &mut Budget) -> Result<ArrayRef, Error> {
    let mut slots = source.slots.iter().flatten();
    match (slots.next(), slots.next()) {
        (Some(values), None) => expand_charged(values, &source.index, rows, budget),
        _ => Err(Error::column("values of several types don't fit one column")),
    }
}

/// A value for each row, of values found by the index.
fn expand(values: &ArrayRef, index: &Index, rows: usize) -> Result<ArrayRef, Error> {
    match index {
        Index::Rows => Ok(Arc::clone(values)),
        Index::Constant => {
            let zeros = UInt32Array::from_value(0, rows);
            Ok(take(values, &zeros, None)?)
        }
        Index::Keys(keys) => {
            let valid = NullBuffer::new(BooleanBuffer::collect_bool(rows, |row| keys[row] != NULL_KEY));
            let keys = keys.iter().map(|&key| if key == NULL_KEY { 0 } else { key }).collect::<Vec<_>>();
            Ok(take(values, &UInt32Array::new(ScalarBuffer::from(keys), Some(valid)), None)?)
        }
    }
}

/// The same for values of variable size, whose expansion is charged before it is made.
fn expand_charged(values: &ArrayRef, index: &Index, rows: usize, budget: &mut Budget) -> Result<ArrayRef, Error> {
    let length = |at: usize| match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value_length(at) as usize,
        DataType::Binary => values.as_binary::<i32>().value_length(at) as usize,
        _ => 0,
    };
    let bytes = match index {
        Index::Rows => 0,
        Index::Constant if values.is_empty() => 0,
        Index::Constant => length(0).saturating_mul(rows),
        Index::Keys(keys) => keys
            .iter()
            .filter(|&&key| key != NULL_KEY)
            .fold(0_usize, |sum, &key| sum.saturating_add(length(key as usize))),
    };
    budget.charge(bytes)?;
    expand(values, index, rows)
}

/// Chooses between new and old values by the mode.
pub(super) fn merge(new: ArrayRef, old: &ArrayRef, mode: Mode) -> Result<ArrayRef, Error> {
    if mode.rows == Rows::All && (mode.nulls == Nulls::Clear || new.null_count() == 0) {
        return Ok(new);
    }
    let takes = changed(&new, old, mode);
    Ok(zip(&BooleanArray::new(takes, None), &new, old)?)
}

/// The rows that a write changes.
fn changed(new: &ArrayRef, old: &ArrayRef, mode: Mode) -> BooleanBuffer {
    BooleanBuffer::collect_bool(new.len(), |row| {
        let chosen = match mode.rows {
            Rows::All => true,
            Rows::Missing => old.is_null(row),
            Rows::Present => old.is_valid(row),
        };
        chosen && (mode.nulls == Nulls::Clear || new.is_valid(row))
    })
}

fn put_column(batch: &mut Batch, budget: &mut Budget, column: usize, source: &Source, mode: Mode) -> Result<(), Error> {
    let name = batch.name(column).to_owned();
    let signal = batch.signal;
    if let Some(how) = paths::computed(signal, &name) {
        return Err(Error::Path(format!("'{name}' can't be written: {how}")));
    }
    let nullable = batch.schema.field(column).is_nullable();
    let new = fit(source, &name, batch.schema.field(column).data_type().clone(), batch.rows, budget, mode.writer)?;
    let old = batch.column(column);
    let touched = (signal == Signal::Logs && name == logs::BODY).then(|| changed(&new, &old, mode));
    let mut array = merge(new, &old, mode)?;
    if !nullable && array.null_count() > 0 {
        if paths::id_bytes(&name).is_some() {
            return Err(Error::Column(format!("'{name}' can't be null")));
        }
        let valid = BooleanBuffer::collect_bool(array.len(), |row| array.is_valid(row));
        array = zip(&BooleanArray::new(valid, None), &array, &zero_column(array.data_type(), array.len()))?;
    }
    batch.put(column, array);
    if let Some(touched) = touched {
        retype_bodies(batch, &touched)?;
    }
    if signal == Signal::Spans && (name == spans::START_TIME || name == spans::END_TIME) {
        let (start, end) = (batch.column_named(spans::START_TIME)?, batch.column_named(spans::END_TIME)?);
        let duration = arrow::compute::binary::<_, _, _, Int64Type>(
            start.as_primitive::<Int64Type>(),
            end.as_primitive::<Int64Type>(),
            |start, end| end.saturating_sub(start).max(0),
        )?;
        batch.put_named(spans::DURATION, Arc::new(duration))?;
    }
    Ok(())
}

/// A body written by a module is a string, or none.
fn retype_bodies(batch: &mut Batch, touched: &BooleanBuffer) -> Result<(), Error> {
    let body = batch.column_named(logs::BODY)?;
    let old = batch.column_named(logs::BODY_TYPE)?;
    let old = old.as_primitive::<arrow::datatypes::Int32Type>();
    let types =
        (0..batch.rows).map(|row| if touched.value(row) { i32::from(body.is_valid(row)) } else { old.value(row) });
    let types = Int32Array::from_iter_values(types);
    batch.put_named(logs::BODY_TYPE, Arc::new(types))
}

/// Values as an array of a flat column's type.
fn fit(
    source: &Source,
    name: &str,
    data_type: DataType,
    rows: usize,
    budget: &mut Budget,
    writer: Writer,
) -> Result<ArrayRef, Error> {
    let wrong = |holds: &str| Err(Error::Column(format!("'{name}' takes {holds}")));
    let only = |slot: usize| match &source.slots[slot] {
        Some(values) if source.slots.iter().flatten().count() == 1 => Some(values),
        _ => None,
    };
    match data_type {
        DataType::Utf8 => match (only(STRING), writer) {
            (Some(values), _) => expand_charged(values, &source.index, rows, budget),
            (None, Writer::Kernel) => {
                let text: ArrayRef = Arc::new(source.to_text()?);
                expand_charged(&text, &source.index, rows, budget)
            }
            (None, Writer::Guest) => wrong("text"),
        },
        DataType::Int64 | DataType::Int32 => {
            let values = match (&source.slots[INT], writer) {
                (Some(values), _) => expand(values, &source.index, rows)?,
                (None, Writer::Kernel) => Arc::new(Int64Array::new_null(rows)),
                (None, Writer::Guest) => return wrong("ints"),
            };
            if data_type == DataType::Int64 { Ok(values) } else { narrow(values.as_primitive(), name, writer) }
        }
        DataType::Binary => match paths::id_bytes(name) {
            Some(bytes) => ids(source, name, bytes, rows, budget, writer),
            None => match (only(BYTES), only(STRING)) {
                (Some(values), _) => expand_charged(values, &source.index, rows, budget),
                (None, Some(values)) => {
                    let bytes: ArrayRef = Arc::new(BinaryArray::from(values.as_string::<i32>().clone()));
                    expand_charged(&bytes, &source.index, rows, budget)
                }
                (None, None) => wrong("bytes or text"),
            },
        },
        other => Err(Error::Path(format!("'{name}' is a {other}, which can't be written"))),
    }
}

fn narrow(values: &Int64Array, name: &str, writer: Writer) -> Result<ArrayRef, Error> {
    let mut nulls = values.nulls().cloned();
    let fits = |value: i64| i32::try_from(value).is_ok();
    if let Some(bad) = values.iter().flatten().find(|&value| !fits(value)) {
        if writer == Writer::Guest {
            return Err(Error::Column(format!("{bad} doesn't fit '{name}', which has 32 bits")));
        }
        let fitting = BooleanBuffer::collect_bool(values.len(), |row| values.is_valid(row) && fits(values.value(row)));
        nulls = Some(NullBuffer::new(fitting));
    }
    let narrowed: Vec<i32> = values.values().iter().map(|&value| value as i32).collect();
    Ok(Arc::new(Int32Array::new(ScalarBuffer::from(narrowed), nulls)))
}

/// Ids: bytes of the right length, or their hex text.
fn ids(
    source: &Source,
    name: &str,
    bytes: usize,
    rows: usize,
    budget: &mut Budget,
    writer: Writer,
) -> Result<ArrayRef, Error> {
    let array = match expand_first(source, rows, budget) {
        Ok(array) => array,
        Err(_) if writer == Writer::Kernel => return Ok(Arc::new(BinaryArray::new_null(rows))),
        Err(error) => return Err(error),
    };
    match ids_of(&array, bytes, writer == Writer::Kernel) {
        Ok(ids) => Ok(Arc::new(ids)),
        Err(error) => Err(Error::Column(format!("'{name}': {error}"))),
    }
}

/// Ids of `bytes` bytes from bytes or hex text; what is neither is null if `lenient`, else an error.
pub(super) fn ids_of(array: &ArrayRef, bytes: usize, lenient: bool) -> Result<BinaryArray, Error> {
    if let Some(blobs) = array.as_binary_opt::<i32>() {
        if let Some(row) = (0..blobs.len()).find(|&row| blobs.is_valid(row) && blobs.value(row).len() != bytes) {
            if !lenient {
                return Err(Error::Column(format!("row {row} has {} bytes, not {bytes}", blobs.value(row).len())));
            }
        } else {
            return Ok(blobs.clone());
        }
        return Ok(blobs.iter().map(|id| id.filter(|id| id.len() == bytes)).collect());
    }
    let Some(text) = array.as_string_opt::<i32>() else {
        return if lenient {
            Ok(BinaryArray::new_null(array.len()))
        } else {
            Err(Error::column("an id is bytes, or text of hex digits"))
        };
    };
    let mut builder = BinaryBuilder::with_capacity(text.len(), text.len() * bytes);
    let mut id = Vec::with_capacity(bytes);
    for row in 0..text.len() {
        if text.is_null(row) {
            builder.append_null();
            continue;
        }
        id.clear();
        if unhex(text.value(row).as_bytes(), &mut id) && id.len() == bytes {
            builder.append_value(&id);
        } else if lenient || text.value(row).is_empty() {
            builder.append_null();
        } else {
            return Err(Error::Column(format!("row {row} is not {} hex digits", bytes * 2)));
        }
    }
    Ok(builder.finish())
}

fn unhex(text: &[u8], bytes: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    text.len().is_multiple_of(2)
        && text.chunks_exact(2).all(|pair| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                true
            }
            _ => false,
        })
}

/// Removes what a path names: the key, or a column's values.
pub(super) fn remove(batch: &mut Batch, path: &str) -> Result<(), Error> {
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Entry { column, kind, key } => {
            batch.edits(column, kind).remove(&key);
            Ok(())
        }
        Target::Column(column) => {
            let name = batch.name(column);
            if let Some(how) = paths::computed(batch.signal, name) {
                return Err(Error::Path(format!("'{name}' can't be removed: {how}")));
            }
            if paths::id_bytes(name).is_some() && !batch.schema.field(column).is_nullable() {
                return Err(Error::Path(format!("'{name}' can't be removed")));
            }
            let field = batch.schema.field(column);
            let empty = if field.is_nullable() {
                arrow::array::new_null_array(field.data_type(), batch.rows)
            } else {
                zero_column(field.data_type(), batch.rows)
            };
            let body = batch.signal == Signal::Logs && name == logs::BODY;
            batch.put(column, empty);
            if body { retype_bodies(batch, &BooleanBuffer::new_set(batch.rows)) } else { Ok(()) }
        }
        Target::Timestamp | Target::Start | Target::Value | Target::Exemplar(_) => {
            Err(Error::Path(format!("'{path}' can't be removed: use retain to drop rows")))
        }
    }
}

/// Writes entries of many keys into the map at a path.
pub(super) fn put_attributes(batch: &mut Batch, path: &str, entries: Attributes) -> Result<(), Error> {
    let (column, kind) = paths::map(batch.signal, &batch.schema, path)?;
    let Attributes { offsets, keys, kinds, values } = entries;
    let count = kinds.len();
    let offsets = offsets_in(offsets, batch.rows, count)?;
    let (keys, names) = keys.into_parts(count)?;
    if keys.contains(&NULL_KEY) || names.null_count() > 0 {
        return Err(Error::column("an attribute's key is null"));
    }
    let values = values.into_array(count)?;
    let source = typed_values(&kinds, values)?;
    batch.edits(column, kind).entries(kind, offsets, keys, &names, source)
}

/// Values from their kinds and texts. Texts keep their buffer: each kind of text is the same data
/// with the other rows null.
fn typed_values(kinds: &[u8], values: StringArray) -> Result<Source, Error> {
    let rows = values.len();
    let has = |kind: u8| kinds.contains(&kind);
    let of_kind = |kind: u8| -> Option<ArrayRef> {
        has(kind).then(|| {
            let valid = BooleanBuffer::collect_bool(rows, |row| kinds[row] == kind && values.is_valid(row));
            let (offsets, data, _) = values.clone().into_parts();
            Arc::new(StringArray::new(offsets, data, Some(NullBuffer::new(valid)))) as ArrayRef
        })
    };
    if let Some(bad) = kinds.iter().find(|&&kind| kind > 4) {
        return Err(Error::Column(format!("attribute kind {bad}: there are 0 to 4")));
    }
    let wrong = |row: usize, what: &str| {
        Error::Column(format!("attribute value '{}' is not {what}", shorten(values.value(row))))
    };
    let mut slots = [const { None }; super::edits::SLOTS];
    slots[STRING] = of_kind(0);
    let typed = |kind: u8, row: usize| kinds[row] == kind && values.is_valid(row);
    if has(1) {
        let mut builder = Int64Builder::with_capacity(rows);
        for row in 0..rows {
            match typed(1, row) {
                true => builder.append_value(values.value(row).parse().map_err(|_| wrong(row, "an integer"))?),
                false => builder.append_null(),
            }
        }
        slots[INT] = Some(Arc::new(builder.finish()));
    }
    if has(2) {
        let mut builder = Float64Builder::with_capacity(rows);
        for row in 0..rows {
            match typed(2, row) {
                true => builder.append_value(values.value(row).parse().map_err(|_| wrong(row, "a number"))?),
                false => builder.append_null(),
            }
        }
        slots[DOUBLE] = Some(Arc::new(builder.finish()));
    }
    if has(3) {
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            match typed(3, row) {
                true => builder.append_value(values.value(row).parse().map_err(|_| wrong(row, "'true' or 'false'"))?),
                false => builder.append_null(),
            }
        }
        slots[BOOL] = Some(Arc::new(builder.finish()));
    }
    if has(4) {
        for row in (0..rows).filter(|&row| typed(4, row)) {
            serde_json::from_str::<serde::de::IgnoredAny>(values.value(row)).map_err(|_| wrong(row, "JSON"))?;
        }
        slots[JSON] = of_kind(4);
    }
    Ok(Source { slots, present: values.nulls().cloned(), index: Index::Rows, len: rows })
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A source of a column of bytes.
pub(super) fn blobs(array: BinaryArray) -> Source {
    Source::of(BYTES, Arc::new(array), Index::Rows)
}
