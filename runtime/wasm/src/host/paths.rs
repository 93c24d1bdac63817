//! What a path names in a batch of a signal. The rules are those of the WIT file.

use super::columns::Error;
use arrow::datatypes::{DataType, SchemaRef};
use weft_model::{Signal, logs, metrics, raw, spans};

/// What kind of map a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// Attributes with their types.
    Typed,
    /// Labels: text.
    Labels,
    /// Headers: bytes.
    Headers,
}

/// A field of an exemplar, which can be written only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExemplarField {
    TraceId,
    SpanId,
    Value,
    Timestamp,
}

/// What a path names. Columns are indices into the signal's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Column(usize),
    Entry {
        column: usize,
        kind: MapKind,
        key: String,
    },
    /// A metric's sample time.
    Timestamp,
    /// When a metric's sample began to count.
    Start,
    /// A metric's sample value.
    Value,
    Exemplar(ExemplarField),
}

fn index(schema: &SchemaRef, name: &str) -> Option<usize> {
    schema.fields().iter().position(|field| field.name() == name)
}

fn unknown(signal: Signal, path: &str) -> Error {
    Error::Path(format!("'{path}' names nothing in a batch of {signal}"))
}

/// The map at a path of a whole map.
pub(crate) fn map(signal: Signal, schema: &SchemaRef, path: &str) -> Result<(usize, MapKind), Error> {
    let (name, kind) = match (signal, path) {
        (Signal::Spans, "resource") => (spans::RESOURCE, MapKind::Typed),
        (Signal::Spans, "scope") => (spans::SCOPE, MapKind::Typed),
        (Signal::Spans, "attributes" | "span") => (spans::ATTRIBUTES, MapKind::Typed),
        (Signal::Logs, "resource") => (logs::RESOURCE, MapKind::Typed),
        (Signal::Logs, "scope") => (logs::SCOPE, MapKind::Typed),
        (Signal::Logs, "attributes" | "log") => (logs::ATTRIBUTES, MapKind::Typed),
        (Signal::Logs, "label") => (logs::STREAM_LABELS, MapKind::Labels),
        (Signal::Metrics, "label") => (metrics::LABELS, MapKind::Labels),
        (Signal::Raw, "raw.header") => (raw::HEADERS, MapKind::Headers),
        _ => return Err(Error::Path(format!("'{path}' is not a map of {signal}"))),
    };
    index(schema, name).map(|column| (column, kind)).ok_or_else(|| unknown(signal, path))
}

/// What `path` names in a batch of `signal`.
pub(crate) fn resolve(signal: Signal, schema: &SchemaRef, path: &str) -> Result<Target, Error> {
    let column = |name: &str| index(schema, name).map(Target::Column).ok_or_else(|| unknown(signal, path));
    match (signal, path) {
        (Signal::Spans, "duration") => return column(spans::DURATION),
        (Signal::Spans, "start") => return column(spans::START_TIME),
        (Signal::Spans, "end") => return column(spans::END_TIME),
        (Signal::Spans, "status") => return column(spans::STATUS_CODE),
        (Signal::Logs, "log.body") => return column(logs::BODY),
        (Signal::Logs, "log.time") => return column(logs::TIME),
        (Signal::Spans | Signal::Logs, "scope.name") => return column(spans::SCOPE_NAME),
        (Signal::Spans | Signal::Logs, "scope.version") => return column(spans::SCOPE_VERSION),
        (Signal::Metrics, "timestamp") => return Ok(Target::Timestamp),
        (Signal::Metrics, "start") => return Ok(Target::Start),
        (Signal::Metrics, "value") => return Ok(Target::Value),
        (Signal::Metrics, "label.__name__") => return column(metrics::NAME),
        (Signal::Metrics, "exemplar.trace_id") => return Ok(Target::Exemplar(ExemplarField::TraceId)),
        (Signal::Metrics, "exemplar.span_id") => return Ok(Target::Exemplar(ExemplarField::SpanId)),
        (Signal::Metrics, "exemplar.value") => return Ok(Target::Exemplar(ExemplarField::Value)),
        (Signal::Metrics, "exemplar.timestamp") => return Ok(Target::Exemplar(ExemplarField::Timestamp)),
        _ => {}
    }
    let Some((head, rest)) = path.split_once('.') else { return flat(signal, schema, path) };
    let (whole, key) = match (signal, head) {
        (Signal::Raw, "raw") => match rest.strip_prefix("header.") {
            Some(name) => ("raw.header", name),
            None => return flat(signal, schema, rest).map_err(|_| unknown(signal, path)),
        },
        _ => (head, rest),
    };
    let (column, kind) = map(signal, schema, whole).map_err(|_| unknown(signal, path))?;
    if key.is_empty() {
        return Err(Error::Path(format!("'{path}' lacks the key after the dot")));
    }
    Ok(Target::Entry { column, kind, key: key.to_owned() })
}

fn flat(signal: Signal, schema: &SchemaRef, name: &str) -> Result<Target, Error> {
    let column = index(schema, name).ok_or_else(|| unknown(signal, name))?;
    match schema.field(column).data_type() {
        DataType::Utf8 | DataType::Binary | DataType::Int32 | DataType::Int64 => Ok(Target::Column(column)),
        DataType::Map(..) => Err(Error::Path(format!("'{name}' is a map: name one of its keys"))),
        _ => Err(Error::Path(format!("'{name}' holds lists, which modules can't reach yet"))),
    }
}

/// Whether a column is written by weft itself, and the way to change it.
pub(crate) fn computed(signal: Signal, name: &str) -> Option<&'static str> {
    match (signal, name) {
        (Signal::Spans, spans::DURATION) => Some("it is end minus start: write those"),
        (Signal::Metrics, metrics::SERIES_ID) => Some("it is computed from the name and labels"),
        (Signal::Metrics, metrics::MIN_TIME | metrics::MAX_TIME) => Some("write 'timestamp'"),
        (Signal::Logs, logs::STREAM_ID) => Some("it is computed from the stream labels"),
        _ => None,
    }
}

/// The length of the ids in a column, which read and write as lower-case hex text, too.
pub(crate) fn id_bytes(name: &str) -> Option<usize> {
    match name {
        spans::TRACE_ID => Some(16),
        spans::SPAN_ID | spans::PARENT_SPAN_ID => Some(8),
        _ => None,
    }
}
