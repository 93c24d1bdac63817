//! Rows of `spans` back to OTLP, as Tempo's trace endpoints answer: protobuf, or the JSON form of
//! protobuf with ids in base64 (not OTLP/JSON's hex) and enums by name.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, span};
use serde_json::{Map, Value, json};
use weft_model::{attributes, spans};

use crate::Error;

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    batch.column_by_name(name).ok_or_else(|| Error::Internal(format!("the spans have no column {name}")))
}

fn of_type<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, Error> {
    column(batch, name)?
        .as_any()
        .downcast_ref::<T>()
        .ok_or_else(|| Error::Internal(format!("the column {name} of spans has another type than its schema says")))
}

fn child<'a, T: 'static>(array: &'a StructArray, name: &str) -> Result<&'a T, Error> {
    array
        .column_by_name(name)
        .and_then(|child| child.as_any().downcast_ref::<T>())
        .ok_or_else(|| Error::Internal(format!("the field {name} has another type than its schema says")))
}

fn text(array: &StringArray, row: usize) -> String {
    if array.is_null(row) { String::new() } else { array.value(row).to_owned() }
}

fn bytes(array: &BinaryArray, row: usize) -> Vec<u8> {
    if array.is_null(row) { Vec::new() } else { array.value(row).to_vec() }
}

#[allow(clippy::cast_sign_loss, reason = "counts, flags and times are unsigned in OTLP; stored as the same bits")]
fn unsigned(value: i64) -> u64 {
    value as u64
}

#[allow(clippy::cast_sign_loss, reason = "as above")]
fn unsigned32(value: i32) -> u32 {
    value as u32
}

/// The attributes of one row.
fn key_values(map: &MapArray, row: usize) -> Result<Vec<KeyValue>, Error> {
    if map.is_null(row) {
        return Ok(Vec::new());
    }
    let offsets = map.value_offsets();
    let (from, to) = (index(offsets[row]), index(offsets[row + 1]));
    let wrong = || Error::Internal("attributes have another type than the schema says".to_owned());
    let keys = map.keys().as_string_opt::<i32>().ok_or_else(wrong)?;
    let values = map.values().as_struct_opt().ok_or_else(wrong)?;
    let strings: &StringArray = child(values, attributes::STRING)?;
    let ints: &Int64Array = child(values, attributes::INT)?;
    let doubles: &Float64Array = child(values, attributes::DOUBLE)?;
    let bools: &BooleanArray = child(values, attributes::BOOL)?;
    let blobs: &BinaryArray = child(values, attributes::BYTES)?;
    let jsons: &StringArray = child(values, attributes::JSON)?;
    let mut out = Vec::with_capacity(to - from);
    for at in from..to {
        let value = if strings.is_valid(at) {
            Some(any_value::Value::StringValue(strings.value(at).to_owned()))
        } else if ints.is_valid(at) {
            Some(any_value::Value::IntValue(ints.value(at)))
        } else if doubles.is_valid(at) {
            Some(any_value::Value::DoubleValue(doubles.value(at)))
        } else if bools.is_valid(at) {
            Some(any_value::Value::BoolValue(bools.value(at)))
        } else if blobs.is_valid(at) {
            Some(any_value::Value::BytesValue(blobs.value(at).to_vec()))
        } else if jsons.is_valid(at) {
            serde_json::from_str(jsons.value(at)).ok().and_then(from_json)
        } else {
            None
        };
        out.push(KeyValue { key: keys.value(at).to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() });
    }
    Ok(out)
}

fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

/// Arrays and key-value lists are stored as JSON text.
fn from_json(value: Value) -> Option<any_value::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => any_value::Value::BoolValue(value),
        Value::String(value) => any_value::Value::StringValue(value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => any_value::Value::IntValue(int),
            None => any_value::Value::DoubleValue(number.as_f64()?),
        },
        Value::Array(values) => any_value::Value::ArrayValue(ArrayValue {
            values: values.into_iter().map(|value| AnyValue { value: from_json(value) }).collect(),
        }),
        Value::Object(entries) => any_value::Value::KvlistValue(KeyValueList {
            values: entries
                .into_iter()
                .map(|(key, value)| KeyValue {
                    key,
                    value: Some(AnyValue { value: from_json(value) }),
                    ..KeyValue::default()
                })
                .collect(),
        }),
    })
}

/// The spans of `batch` (columns of [`weft_model::spans`]) as OTLP, grouped by resource and scope.
pub(crate) fn to_otlp(batch: &RecordBatch) -> Result<TracesData, Error> {
    let trace_id: &BinaryArray = of_type(batch, spans::TRACE_ID)?;
    let span_id: &BinaryArray = of_type(batch, spans::SPAN_ID)?;
    let parent: &BinaryArray = of_type(batch, spans::PARENT_SPAN_ID)?;
    let trace_state: &StringArray = of_type(batch, spans::TRACE_STATE)?;
    let flags: &Int32Array = of_type(batch, spans::FLAGS)?;
    let name: &StringArray = of_type(batch, spans::NAME)?;
    let kind: &Int32Array = of_type(batch, spans::KIND)?;
    let start: &Int64Array = of_type(batch, spans::START_TIME)?;
    let end: &Int64Array = of_type(batch, spans::END_TIME)?;
    let status_code: &Int32Array = of_type(batch, spans::STATUS_CODE)?;
    let status_message: &StringArray = of_type(batch, spans::STATUS_MESSAGE)?;
    let resource: &MapArray = of_type(batch, spans::RESOURCE)?;
    let resource_url: &StringArray = of_type(batch, spans::RESOURCE_SCHEMA_URL)?;
    let scope_name: &StringArray = of_type(batch, spans::SCOPE_NAME)?;
    let scope_version: &StringArray = of_type(batch, spans::SCOPE_VERSION)?;
    let scope: &MapArray = of_type(batch, spans::SCOPE)?;
    let scope_url: &StringArray = of_type(batch, spans::SCOPE_SCHEMA_URL)?;
    let span_attributes: &MapArray = of_type(batch, spans::ATTRIBUTES)?;
    let dropped: &Int32Array = of_type(batch, spans::DROPPED_ATTRIBUTES)?;
    let events: &ListArray = of_type(batch, spans::EVENTS)?;
    let dropped_events: &Int32Array = of_type(batch, spans::DROPPED_EVENTS)?;
    let links: &ListArray = of_type(batch, spans::LINKS)?;
    let dropped_links: &Int32Array = of_type(batch, spans::DROPPED_LINKS)?;

    let mut data = TracesData::default();
    for row in 0..batch.num_rows() {
        let status = (status_code.value(row) != 0 || status_message.is_valid(row))
            .then(|| Status { code: status_code.value(row), message: text(status_message, row) });
        let span = Span {
            trace_id: bytes(trace_id, row),
            span_id: bytes(span_id, row),
            parent_span_id: bytes(parent, row),
            trace_state: text(trace_state, row),
            flags: unsigned32(flags.value(row)),
            name: text(name, row),
            kind: kind.value(row),
            start_time_unix_nano: unsigned(start.value(row)),
            end_time_unix_nano: unsigned(end.value(row)),
            attributes: key_values(span_attributes, row)?,
            dropped_attributes_count: unsigned32(dropped.value(row)),
            events: span_events(&events.value(row))?,
            dropped_events_count: unsigned32(dropped_events.value(row)),
            links: span_links(&links.value(row))?,
            dropped_links_count: unsigned32(dropped_links.value(row)),
            status,
        };
        let resource = Resource { attributes: key_values(resource, row)?, ..Resource::default() };
        let scope = InstrumentationScope {
            name: text(scope_name, row),
            version: text(scope_version, row),
            attributes: key_values(scope, row)?,
            ..InstrumentationScope::default()
        };
        let (resource_url, scope_url) = (text(resource_url, row), text(scope_url, row));
        let same_resource =
            |group: &&mut ResourceSpans| group.resource.as_ref() == Some(&resource) && group.schema_url == resource_url;
        let groups = match data.resource_spans.iter_mut().find(same_resource) {
            Some(group) => group,
            None => {
                let at = data.resource_spans.len();
                data.resource_spans.push(ResourceSpans {
                    resource: Some(resource),
                    schema_url: resource_url,
                    ..ResourceSpans::default()
                });
                &mut data.resource_spans[at]
            }
        };
        let same_scope =
            |group: &&mut ScopeSpans| group.scope.as_ref() == Some(&scope) && group.schema_url == scope_url;
        match groups.scope_spans.iter_mut().find(same_scope) {
            Some(group) => group.spans.push(span),
            None => {
                groups.scope_spans.push(ScopeSpans { scope: Some(scope), spans: vec![span], schema_url: scope_url });
            }
        }
    }
    Ok(data)
}

fn entries(list: &ArrayRef) -> Result<&StructArray, Error> {
    list.as_struct_opt().ok_or_else(|| Error::Internal("events or links are no structs".to_owned()))
}

fn span_events(list: &ArrayRef) -> Result<Vec<span::Event>, Error> {
    let list = entries(list)?;
    let time: &Int64Array = child(list, "time_unix_nano")?;
    let name: &StringArray = child(list, "name")?;
    let attributes: &MapArray = child(list, "attributes")?;
    let dropped: &Int32Array = child(list, "dropped_attributes_count")?;
    (0..list.len())
        .map(|row| {
            Ok(span::Event {
                time_unix_nano: unsigned(time.value(row)),
                name: text(name, row),
                attributes: key_values(attributes, row)?,
                dropped_attributes_count: unsigned32(dropped.value(row)),
            })
        })
        .collect()
}

fn span_links(list: &ArrayRef) -> Result<Vec<span::Link>, Error> {
    let list = entries(list)?;
    let trace_id: &BinaryArray = child(list, "trace_id")?;
    let span_id: &BinaryArray = child(list, "span_id")?;
    let trace_state: &StringArray = child(list, "trace_state")?;
    let attributes: &MapArray = child(list, "attributes")?;
    let dropped: &Int32Array = child(list, "dropped_attributes_count")?;
    let flags: &Int32Array = child(list, "flags")?;
    (0..list.len())
        .map(|row| {
            Ok(span::Link {
                trace_id: bytes(trace_id, row),
                span_id: bytes(span_id, row),
                trace_state: text(trace_state, row),
                attributes: key_values(attributes, row)?,
                dropped_attributes_count: unsigned32(dropped.value(row)),
                flags: unsigned32(flags.value(row)),
            })
        })
        .collect()
}

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

fn enum_name(names: &[&str], value: i32) -> Value {
    match usize::try_from(value).ok().and_then(|value| names.get(value)) {
        Some(name) => Value::from(*name),
        None => Value::from(value),
    }
}

/// A JSON object that leaves out what protobuf's JSON form leaves out: zero and empty values.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(mut self, name: &str, value: Value) -> Self {
        let absent = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            _ => false,
        };
        if !absent {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// 64-bit integers are strings.
    fn long(self, name: &str, value: u64) -> Self {
        if value == 0 { self } else { self.put(name, Value::from(value.to_string())) }
    }

    fn bytes(self, name: &str, value: &[u8]) -> Self {
        self.put(name, Value::from(STANDARD.encode(value)))
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn any_json(value: &AnyValue) -> Value {
    match &value.value {
        None => json!({}),
        Some(any_value::Value::StringValue(text)) => json!({"stringValue": text}),
        Some(any_value::Value::BoolValue(value)) => json!({"boolValue": value}),
        Some(any_value::Value::IntValue(value)) => json!({"intValue": value.to_string()}),
        Some(any_value::Value::DoubleValue(value)) => json!({"doubleValue": double(*value)}),
        Some(any_value::Value::BytesValue(value)) => json!({"bytesValue": STANDARD.encode(value)}),
        Some(any_value::Value::ArrayValue(array)) => {
            json!({"arrayValue": {"values": array.values.iter().map(any_json).collect::<Vec<_>>()}})
        }
        Some(any_value::Value::KvlistValue(list)) => json!({"kvlistValue": {"values": attributes_json(&list.values)}}),
        // References into a string table belong to profiles; spans never carry them.
        Some(_) => json!({}),
    }
}

/// JSON has no NaN and infinities: protobuf's JSON form writes them as text.
fn double(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(
        || {
            Value::from(if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })
        },
        Value::Number,
    )
}

fn attributes_json(attributes: &[KeyValue]) -> Value {
    attributes
        .iter()
        .map(|entry| json!({"key": entry.key, "value": entry.value.as_ref().map_or_else(|| json!({}), any_json)}))
        .collect()
}

fn span_json(span: &Span) -> Value {
    let events = span.events.iter().map(|event| {
        Object::default()
            .long("timeUnixNano", event.time_unix_nano)
            .put("name", Value::from(event.name.as_str()))
            .put("attributes", attributes_json(&event.attributes))
            .put("droppedAttributesCount", event.dropped_attributes_count.into())
            .done()
    });
    let links = span.links.iter().map(|link| {
        Object::default()
            .bytes("traceId", &link.trace_id)
            .bytes("spanId", &link.span_id)
            .put("traceState", Value::from(link.trace_state.as_str()))
            .put("attributes", attributes_json(&link.attributes))
            .put("droppedAttributesCount", link.dropped_attributes_count.into())
            .put("flags", link.flags.into())
            .done()
    });
    let status = span.status.as_ref().map_or_else(
        || json!({}),
        |status| {
            let code = if status.code == 0 { Value::Null } else { enum_name(&CODES, status.code) };
            Object::default().put("code", code).put("message", Value::from(status.message.as_str())).done()
        },
    );
    let kind = if span.kind == 0 { Value::Null } else { enum_name(&KINDS, span.kind) };
    Object::default()
        .bytes("traceId", &span.trace_id)
        .bytes("spanId", &span.span_id)
        .put("traceState", Value::from(span.trace_state.as_str()))
        .bytes("parentSpanId", &span.parent_span_id)
        .put("flags", span.flags.into())
        .put("name", Value::from(span.name.as_str()))
        .put("kind", kind)
        .long("startTimeUnixNano", span.start_time_unix_nano)
        .long("endTimeUnixNano", span.end_time_unix_nano)
        .put("attributes", attributes_json(&span.attributes))
        .put("droppedAttributesCount", span.dropped_attributes_count.into())
        .put("events", events.collect())
        .put("droppedEventsCount", span.dropped_events_count.into())
        .put("links", links.collect())
        .put("droppedLinksCount", span.dropped_links_count.into())
        .put("status", status)
        .done()
}

/// The `ResourceSpans` as Tempo's JSON has them.
pub(crate) fn resource_spans_json(data: &TracesData) -> Value {
    data.resource_spans
        .iter()
        .map(|group| {
            let resource = group.resource.as_ref().map_or_else(
                || json!({}),
                |resource| Object::default().put("attributes", attributes_json(&resource.attributes)).done(),
            );
            let scopes = group.scope_spans.iter().map(|scope_spans| {
                let scope = scope_spans.scope.as_ref().map_or_else(
                    || json!({}),
                    |scope| {
                        Object::default()
                            .put("name", Value::from(scope.name.as_str()))
                            .put("version", Value::from(scope.version.as_str()))
                            .put("attributes", attributes_json(&scope.attributes))
                            .done()
                    },
                );
                Object::default()
                    .put("scope", scope)
                    .put("spans", scope_spans.spans.iter().map(span_json).collect())
                    .put("schemaUrl", Value::from(scope_spans.schema_url.as_str()))
                    .done()
            });
            Object::default()
                .put("resource", resource)
                .put("scopeSpans", scopes.collect())
                .put("schemaUrl", Value::from(group.schema_url.as_str()))
                .done()
        })
        .collect()
}
