//! The order of rows in a file, as indices into the batches: rows move once, when they are encoded.

use crate::Error;
use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::Int64Type;
use weft_model::{Table, dead_letters, logs, spans};

/// `(batch, row)` of each row of a file, in file order. Rows that compare equal keep their order.
pub(crate) type Order = Vec<(usize, usize)>;

/// Columns a file of the table is sorted by, ascending, nulls first.
pub(crate) fn columns(table: Table) -> &'static [&'static str] {
    use weft_model::metrics;
    match table {
        Table::Metrics => &[metrics::NAME, metrics::SERIES_ID],
        Table::Logs => &[logs::STREAM_ID, logs::TIME],
        Table::Spans => &[spans::TRACE_ID, spans::START_TIME],
        Table::DeadLetters => &[dead_letters::TIME],
    }
}

/// Order of rows by id, then time. Metrics have their own ([`crate::join`]): their rows are joined.
pub(crate) fn order(table: Table, batches: &[RecordBatch]) -> Result<Order, Error> {
    let (id, time) = match table {
        Table::Logs => (Some(logs::STREAM_ID), logs::TIME),
        Table::Spans => (Some(spans::TRACE_ID), spans::START_TIME),
        Table::DeadLetters => (None, dead_letters::TIME),
        Table::Metrics => return Err(Error::Bug("rows of metrics are joined, not sorted".into())),
    };
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut keys: Vec<(Option<&[u8]>, i64, u32, u32)> = Vec::with_capacity(rows);
    for (number, batch) in batches.iter().enumerate() {
        let times = int64(batch, time)?;
        let number = index(number)?;
        match id {
            Some(id) => {
                let ids = column(batch, id)?.as_binary_opt::<i32>().ok_or_else(|| wrong_type(id))?;
                for (row, time) in times.values().iter().enumerate() {
                    keys.push((ids.is_valid(row).then(|| ids.value(row)), *time, number, index(row)?));
                }
            }
            None => {
                for (row, time) in times.values().iter().enumerate() {
                    keys.push((None, *time, number, index(row)?));
                }
            }
        }
    }
    // Unstable is stable here: batch and row are part of the key, and no two keys are equal.
    keys.sort_unstable();
    Ok(keys.into_iter().map(|(_, _, batch, row)| (batch as usize, row as usize)).collect())
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, Error> {
    batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| Error::Bug(format!("a batch has no column {name}")))
}

pub(crate) fn int64<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a PrimitiveArray<Int64Type>, Error> {
    column(batch, name)?.as_primitive_opt().ok_or_else(|| wrong_type(name))
}

pub(crate) fn wrong_type(name: &str) -> Error {
    Error::Bug(format!("column {name} has another type than its schema says"))
}

pub(crate) fn index(at: usize) -> Result<u32, Error> {
    u32::try_from(at).map_err(|_| Error::Bug("an epoch has over 4 billion rows".into()))
}
