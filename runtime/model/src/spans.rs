//! The `spans` signal and table: one row a span, sorted by trace id in a file.
//!
//! The column docs below are the published ones. Source: opentelemetry-proto, trace/v1/trace.proto.

use crate::attributes::{list_of, typed_map};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// 16 bytes. Binary.
pub const TRACE_ID: &str = "trace_id";
/// 8 bytes. Binary.
pub const SPAN_ID: &str = "span_id";
/// 8 bytes; null for a root span. Binary.
pub const PARENT_SPAN_ID: &str = "parent_span_id";
/// W3C tracestate; null when absent.
pub const TRACE_STATE: &str = "trace_state";
/// W3C flags as OTLP carries them.
pub const FLAGS: &str = "flags";
/// Span name.
pub const NAME: &str = "name";
/// OTLP SpanKind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
pub const KIND: &str = "kind";
/// Start, ns since the Unix epoch.
pub const START_TIME: &str = "start_time_unix_nano";
/// End, ns since the Unix epoch.
pub const END_TIME: &str = "end_time_unix_nano";
/// End minus start, ns; 0 when the end lies before the start.
pub const DURATION: &str = "duration_nano";
/// OTLP StatusCode: 0 unset, 1 ok, 2 error.
pub const STATUS_CODE: &str = "status_code";
/// Status message; null when absent.
pub const STATUS_MESSAGE: &str = "status_message";
/// `service.name` of the resource; null when absent.
pub const SERVICE_NAME: &str = "service_name";
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
/// Span attributes. Typed map.
pub const ATTRIBUTES: &str = "attributes";
/// Attributes the sender dropped.
pub const DROPPED_ATTRIBUTES: &str = "dropped_attributes_count";
/// Events: `List<Struct{time_unix_nano: Int64, name: Utf8, attributes: typed map, dropped_attributes_count: Int32}>`.
pub const EVENTS: &str = "events";
/// Events the sender dropped.
pub const DROPPED_EVENTS: &str = "dropped_events_count";
/// Links: `List<Struct{trace_id, span_id: Binary, trace_state: Utf8, attributes: typed map,
/// dropped_attributes_count: Int32, flags: Int32}>`.
pub const LINKS: &str = "links";
/// Links the sender dropped.
pub const DROPPED_LINKS: &str = "dropped_links_count";

/// Fields of an event.
pub fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time_unix_nano", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", typed_map(), false),
        Field::new("dropped_attributes_count", DataType::Int32, false),
    ])
}

/// Fields of a link.
pub fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Binary, false),
        Field::new("span_id", DataType::Binary, false),
        Field::new("trace_state", DataType::Utf8, true),
        Field::new("attributes", typed_map(), false),
        Field::new("dropped_attributes_count", DataType::Int32, false),
        Field::new("flags", DataType::Int32, false),
    ])
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TRACE_ID, DataType::Binary, false),
        Field::new(SPAN_ID, DataType::Binary, false),
        Field::new(PARENT_SPAN_ID, DataType::Binary, true),
        Field::new(TRACE_STATE, DataType::Utf8, true),
        Field::new(FLAGS, DataType::Int32, false),
        Field::new(NAME, DataType::Utf8, false),
        Field::new(KIND, DataType::Int32, false),
        Field::new(START_TIME, DataType::Int64, false),
        Field::new(END_TIME, DataType::Int64, false),
        Field::new(DURATION, DataType::Int64, false),
        Field::new(STATUS_CODE, DataType::Int32, false),
        Field::new(STATUS_MESSAGE, DataType::Utf8, true),
        Field::new(SERVICE_NAME, DataType::Utf8, true),
        Field::new(RESOURCE, typed_map(), false),
        Field::new(RESOURCE_SCHEMA_URL, DataType::Utf8, true),
        Field::new(SCOPE_NAME, DataType::Utf8, true),
        Field::new(SCOPE_VERSION, DataType::Utf8, true),
        Field::new(SCOPE, typed_map(), false),
        Field::new(SCOPE_SCHEMA_URL, DataType::Utf8, true),
        Field::new(ATTRIBUTES, typed_map(), false),
        Field::new(DROPPED_ATTRIBUTES, DataType::Int32, false),
        Field::new(EVENTS, list_of(DataType::Struct(event_fields())), false),
        Field::new(DROPPED_EVENTS, DataType::Int32, false),
        Field::new(LINKS, list_of(DataType::Struct(link_fields())), false),
        Field::new(DROPPED_LINKS, DataType::Int32, false),
    ]))
});

/// The schema, columns in the order above.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
