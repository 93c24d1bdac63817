//! The `logs` signal and table: one row a record, sorted by (stream, time) in a file.
//!
//! The column docs below are the published ones. Sources: opentelemetry-proto, logs/v1/logs.proto;
//! Loki's push API for stream labels and structured metadata.

use crate::attributes::{label_map, typed_map};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// When it happened, ns since the Unix epoch; the observed time where the sender gave none.
pub const TIME: &str = "time_unix_nano";
/// When it was observed, ns since the Unix epoch; null when absent.
pub const OBSERVED_TIME: &str = "observed_time_unix_nano";
/// OTLP SeverityNumber, 0 to 24; 0 unspecified.
pub const SEVERITY_NUMBER: &str = "severity_number";
/// Severity text; null when absent.
pub const SEVERITY_TEXT: &str = "severity_text";
/// The line: a string body as it is, any other body as JSON text; null when absent.
pub const BODY: &str = "body";
/// OTLP AnyValue's field number of the body: 0 none, 1 string, 2 bool, 3 int, 4 double, 5 array,
/// 6 key-value list, 7 bytes (base64 text).
pub const BODY_TYPE: &str = "body_type";
/// 16 bytes; null when absent. Binary.
pub const TRACE_ID: &str = "trace_id";
/// 8 bytes; null when absent. Binary.
pub const SPAN_ID: &str = "span_id";
/// W3C flags as OTLP carries them.
pub const FLAGS: &str = "flags";
/// Event name; null when absent.
pub const EVENT_NAME: &str = "event_name";
/// `service_name` of the stream labels.
pub const SERVICE_NAME: &str = "service_name";
/// Loki's stream labels, sorted by name. `Map<Utf8, Utf8>`. Empty in flight for OTLP: derived from
/// the resource after the last module.
pub const STREAM_LABELS: &str = "stream_labels";
/// 16 bytes: hash of the sorted stream labels ([`crate::series::id`]). Null in flight until derived.
pub const STREAM_ID: &str = "stream_id";
/// Resource attributes. Typed map.
pub const RESOURCE: &str = "resource";
/// Resource schema URL; null when absent.
pub const RESOURCE_SCHEMA_URL: &str = "resource_schema_url";
/// Instrumentation scope name; null when absent.
pub const SCOPE_NAME: &str = "scope_name";
/// Instrumentation scope version; null when absent.
pub const SCOPE_VERSION: &str = "scope_version";
/// Scope attributes. Typed map.
pub const SCOPE: &str = "scope";
/// Scope schema URL; null when absent.
pub const SCOPE_SCHEMA_URL: &str = "scope_schema_url";
/// Record attributes; Loki's structured metadata. Typed map.
pub const ATTRIBUTES: &str = "attributes";
/// Attributes the sender dropped.
pub const DROPPED_ATTRIBUTES: &str = "dropped_attributes_count";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TIME, DataType::Int64, false),
        Field::new(OBSERVED_TIME, DataType::Int64, true),
        Field::new(SEVERITY_NUMBER, DataType::Int32, false),
        Field::new(SEVERITY_TEXT, DataType::Utf8, true),
        Field::new(BODY, DataType::Utf8, true),
        Field::new(BODY_TYPE, DataType::Int32, false),
        Field::new(TRACE_ID, DataType::Binary, true),
        Field::new(SPAN_ID, DataType::Binary, true),
        Field::new(FLAGS, DataType::Int32, false),
        Field::new(EVENT_NAME, DataType::Utf8, true),
        Field::new(SERVICE_NAME, DataType::Utf8, true),
        Field::new(STREAM_LABELS, label_map(), false),
        Field::new(STREAM_ID, DataType::Binary, true),
        Field::new(RESOURCE, typed_map(), false),
        Field::new(RESOURCE_SCHEMA_URL, DataType::Utf8, true),
        Field::new(SCOPE_NAME, DataType::Utf8, true),
        Field::new(SCOPE_VERSION, DataType::Utf8, true),
        Field::new(SCOPE, typed_map(), false),
        Field::new(SCOPE_SCHEMA_URL, DataType::Utf8, true),
        Field::new(ATTRIBUTES, typed_map(), false),
        Field::new(DROPPED_ATTRIBUTES, DataType::Int32, false),
    ]))
});

/// The schema, columns in the order above.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
