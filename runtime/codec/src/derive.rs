//! Columns computed after the last module has edited a batch: what a module changed must show in
//! them, so they are made from the other columns alone.

mod level;
mod logs;
mod metrics;
mod spans;

use crate::{Config, Error};
use arrow::array::{Array, ArrayRef, MapArray, RecordBatch, StringArray};
use weft_model::Signal;

/// Fills the derived columns of a batch of `signal`.
///
/// Metrics: labels sorted and without empty ones, `series_id`, `min_time`, `max_time`. Logs: stream
/// labels (those there are, and those of the resource), `service_name`, `stream_id`, the attribute
/// `detected_level`. Spans: `service_name`, `duration_nano`. Raw batches come back as they are.
/// Deriving twice changes nothing.
pub fn derive(signal: Signal, batch: RecordBatch, config: &Config) -> Result<RecordBatch, Error> {
    match signal {
        Signal::Raw => Ok(batch),
        Signal::Metrics => metrics::derive(batch),
        Signal::Logs => logs::derive(batch, &config.logs),
        Signal::Spans => spans::derive(batch),
    }
}

/// A column by name and type.
fn column<'a, T: 'static>(signal: Signal, batch: &'a RecordBatch, name: &str) -> Result<&'a T, Error> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::Shape { signal, reason: format!("the column '{name}' is missing or of another type") })
}

/// The batch with some columns replaced.
fn with_columns<const N: usize>(batch: &RecordBatch, replaced: [(&str, ArrayRef); N]) -> Result<RecordBatch, Error> {
    let mut columns = batch.columns().to_vec();
    for (name, column) in replaced {
        if let Ok(index) = batch.schema().index_of(name) {
            columns[index] = column;
        }
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// A label-map column taken apart.
struct LabelView<'a> {
    offsets: &'a [i32],
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> LabelView<'a> {
    fn new(signal: Signal, batch: &'a RecordBatch, name: &str) -> Result<Self, Error> {
        let map: &MapArray = column(signal, batch, name)?;
        let text = |array: &'a ArrayRef| {
            array
                .as_any()
                .downcast_ref::<StringArray>()
                .ok_or_else(|| Error::Shape { signal, reason: format!("the column '{name}' is not a map of strings") })
        };
        Ok(Self { offsets: map.value_offsets(), keys: text(map.keys())?, values: text(map.values())? })
    }

    /// The labels of a row, in the order they stand in; a null value is empty.
    fn row(&self, row: usize) -> impl DoubleEndedIterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        let (keys, values) = (self.keys, self.values);
        (self.offsets[row] as usize..self.offsets[row + 1] as usize)
            .map(move |entry| (keys.value(entry), if values.is_null(entry) { "" } else { values.value(entry) }))
    }
}

/// Feeds labels to the hash that [`weft_model::series::id`] is, at once rather than piece by piece.
fn hash_label(input: &mut Vec<u8>, name: &str, value: &str) {
    input.extend_from_slice(name.as_bytes());
    input.push(0xff);
    input.extend_from_slice(value.as_bytes());
    input.push(0xff);
}

#[cfg(test)]
mod tests;
