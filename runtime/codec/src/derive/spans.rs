//! Derived columns of spans.

use super::{column, with_columns};
use crate::Error;
use crate::attributes::TypedMapView;
use crate::columns::{OptionalText, longs};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use weft_model::{Signal, spans};

pub(super) fn derive(batch: RecordBatch) -> Result<RecordBatch, Error> {
    let start: &Int64Array = column(Signal::Spans, &batch, spans::START_TIME)?;
    let end: &Int64Array = column(Signal::Spans, &batch, spans::END_TIME)?;
    let duration = start.values().iter().zip(end.values()).map(|(start, end)| end.saturating_sub(*start).max(0));
    let duration = longs(duration.collect());
    let service_name = service_names(Signal::Spans, &batch, spans::RESOURCE)?;
    with_columns(&batch, [(spans::DURATION, duration), (spans::SERVICE_NAME, service_name)])
}

/// `service.name` of each row's resource, null where it is absent or no string.
fn service_names(signal: Signal, batch: &RecordBatch, resource: &str) -> Result<ArrayRef, Error> {
    let view = typed_map(signal, batch, resource)?;
    let mut names = OptionalText::default();
    for row in 0..batch.num_rows() {
        names.push(view.find_string(row, "service.name").unwrap_or_default().as_bytes());
    }
    names.finish_utf8()
}

/// A typed-map column taken apart.
pub(super) fn typed_map<'a>(signal: Signal, batch: &'a RecordBatch, name: &str) -> Result<TypedMapView<'a>, Error> {
    batch.column_by_name(name).and_then(TypedMapView::new).ok_or_else(|| Error::Shape {
        signal,
        reason: format!("the column '{name}' is missing or not a map of typed values"),
    })
}
