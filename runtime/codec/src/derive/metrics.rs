//! Derived columns of metrics.

use super::{LabelView, column, hash_label, with_columns};
use crate::Error;
use crate::columns::{LabelMap, Text, longs};
use arrow::array::{Array as _, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use weft_model::{Signal, metrics};
use xxhash_rust::xxh3::xxh3_128;

const NAME: &str = "__name__";

pub(super) fn derive(batch: RecordBatch) -> Result<RecordBatch, Error> {
    let rows = batch.num_rows();
    let labels = LabelView::new(Signal::Metrics, &batch, metrics::LABELS)?;
    let sound = (0..rows).all(|row| is_normal(&labels, row));
    let rebuilt = if sound { None } else { Some(normalised(&labels, rows)?) };
    let batch = match rebuilt {
        Some(labels) => with_columns(&batch, [(metrics::LABELS, labels)])?,
        None => batch,
    };
    let labels = LabelView::new(Signal::Metrics, &batch, metrics::LABELS)?;
    let name: &StringArray = column(Signal::Metrics, &batch, metrics::NAME)?;
    let mut ids = Text::default();
    let mut input = Vec::new();
    for row in 0..rows {
        input.clear();
        let mut named = false;
        for (key, value) in labels.row(row) {
            if !named && key > NAME {
                hash_label(&mut input, NAME, name.value(row));
                named = true;
            }
            hash_label(&mut input, key, value);
        }
        if !named {
            hash_label(&mut input, NAME, name.value(row));
        }
        ids.push(&xxh3_128(&input).to_be_bytes());
    }
    let (min, max) = times(&batch)?;
    let replaced = [(metrics::SERIES_ID, ids.finish_binary(None)?), (metrics::MIN_TIME, min), (metrics::MAX_TIME, max)];
    with_columns(&batch, replaced)
}

/// Whether a row's labels ascend strictly, none is empty and none is the name.
fn is_normal(labels: &LabelView<'_>, row: usize) -> bool {
    let mut last = "";
    for (key, value) in labels.row(row) {
        if key <= last || value.is_empty() || key == NAME {
            return false;
        }
        last = key;
    }
    true
}

/// Labels sorted; of several of one name the last holds; empty ones and the name dropped.
fn normalised(labels: &LabelView<'_>, rows: usize) -> Result<ArrayRef, Error> {
    let mut column = LabelMap::default();
    let mut sorted: Vec<(&str, &str)> = Vec::new();
    for row in 0..rows {
        sorted.clear();
        sorted.extend(labels.row(row).rev());
        sorted.sort_by_key(|(key, _)| *key);
        sorted.dedup_by_key(|(key, _)| *key);
        for &(key, value) in &sorted {
            if !value.is_empty() && !key.is_empty() && key != NAME {
                column.label(key, value);
            }
        }
        column.end_row();
    }
    column.finish()
}

/// Earliest and latest time of each row; rows without samples keep what they had.
fn times(batch: &RecordBatch) -> Result<(ArrayRef, ArrayRef), Error> {
    let lists: &ListArray = column(Signal::Metrics, batch, metrics::TIMESTAMPS)?;
    let times = lists.values().as_any().downcast_ref::<Int64Array>().ok_or_else(|| Error::Shape {
        signal: Signal::Metrics,
        reason: "'timestamps' is not a list of integers".to_owned(),
    })?;
    let min: &Int64Array = column(Signal::Metrics, batch, metrics::MIN_TIME)?;
    let max: &Int64Array = column(Signal::Metrics, batch, metrics::MAX_TIME)?;
    let (mut min, mut max) = (min.values().to_vec(), max.values().to_vec());
    for (row, ends) in lists.value_offsets().windows(2).enumerate() {
        let times = &times.values()[ends[0] as usize..ends[1] as usize];
        if let (Some(&earliest), Some(&latest)) = (times.iter().min(), times.iter().max()) {
            min[row] = earliest;
            max[row] = latest;
        }
    }
    Ok((longs(min), longs(max)))
}
