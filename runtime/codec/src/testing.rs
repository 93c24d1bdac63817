//! What tests of several codecs share: messages to decode, and ways to look at a batch.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::attributes::TypedMapView;
use crate::wire::write;
use crate::{Codec, Config, Decoder, Message};
use arrow::array::{Array, ArrayRef, MapArray, RecordBatch, StringArray};
use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, span};
use proptest::prelude::*;
use prost::Message as _;
use std::sync::Arc;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A record with this value and no headers.
pub(crate) fn message(value: &[u8]) -> Message<'_> {
    Message { topic: "topic", partition: 0, offset: 7, timestamp_ms: 1_700_000_000_000, key: None, value, headers: &[] }
}

/// Headers that name a content type.
pub(crate) fn content_type(value: &str) -> Vec<(Arc<str>, Bytes)> {
    vec![(Arc::from("Content-Type"), Bytes::copy_from_slice(value.as_bytes()))]
}

/// Decodes one message into a batch.
pub(crate) fn decode(codec: Codec, value: &[u8]) -> RecordBatch {
    decode_with(codec, value, &Config::default())
}

pub(crate) fn decode_with(codec: Codec, value: &[u8], config: &Config) -> RecordBatch {
    let mut decoder = Decoder::new(codec, config);
    decoder.push(&message(value)).unwrap();
    decoder.finish().unwrap()
}

pub(crate) fn get<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> &'a T {
    batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
}

/// A typed map's row: keys, and values as the column prints them, with their type in front.
pub(crate) fn attributes(batch: &RecordBatch, name: &str, row: usize) -> Vec<(String, String)> {
    attributes_of(batch.column_by_name(name).unwrap(), row)
}

pub(crate) fn attributes_of(column: &ArrayRef, row: usize) -> Vec<(String, String)> {
    let view = TypedMapView::new(column).unwrap();
    let values = column.as_any().downcast_ref::<MapArray>().unwrap().values().clone();
    let values = values.as_any().downcast_ref::<arrow::array::StructArray>().unwrap().clone();
    view.entries(row)
        .map(|entry| {
            let mut text = Vec::new();
            view.write_text(entry, &mut text);
            let kinds = ["string", "int", "double", "bool", "bytes", "json"];
            let valid: Vec<&str> =
                (0..6).filter(|&child| values.column(child).is_valid(entry)).map(|child| kinds[child]).collect();
            assert!(valid.len() <= 1, "a value has one type");
            let kind = valid.first().copied().unwrap_or("none");
            (view.key(entry).to_owned(), format!("{kind}:{}", String::from_utf8(text).unwrap()))
        })
        .collect()
}

/// A label map's row.
pub(crate) fn labels(batch: &RecordBatch, name: &str, row: usize) -> Vec<(String, String)> {
    let map: &MapArray = get(batch, name);
    labels_of(map, row)
}

pub(crate) fn labels_of(map: &MapArray, row: usize) -> Vec<(String, String)> {
    let keys = map.keys().as_any().downcast_ref::<StringArray>().unwrap();
    let values = map.values().as_any().downcast_ref::<StringArray>().unwrap();
    let offsets = map.value_offsets();
    (offsets[row] as usize..offsets[row + 1] as usize)
        .map(|entry| (keys.value(entry).to_owned(), values.value(entry).to_owned()))
        .collect()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn any_of(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub(crate) fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any_of(value)), ..KeyValue::default() }
}

pub(crate) fn string(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.to_owned()))
}

/// A value as the columns print it, type in front: what [`attributes`] must answer.
pub(crate) fn expected(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => "none:".to_owned(),
        Some(Value::StringValue(text)) => format!("string:{text}"),
        Some(Value::BoolValue(value)) => format!("bool:{value}"),
        Some(Value::IntValue(value)) => format!("int:{value}"),
        Some(Value::DoubleValue(value)) => {
            let mut text = Vec::new();
            crate::attributes::write_double(&mut text, *value);
            format!("double:{}", String::from_utf8(text).unwrap())
        }
        Some(Value::BytesValue(bytes)) => format!("bytes:{}", base64_of(bytes)),
        Some(list) => format!("json:{}", plain_json(Some(list))),
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A value in plain JSON, written independently of the crate.
pub(crate) fn plain_json(value: Option<&Value>) -> String {
    let of = |value: &Option<AnyValue>| plain_json(value.as_ref().and_then(|value| value.value.as_ref()));
    match value {
        Some(Value::ArrayValue(array)) => {
            let values: Vec<String> = array.values.iter().map(|value| plain_json(value.value.as_ref())).collect();
            format!("[{}]", values.join(","))
        }
        Some(Value::KvlistValue(list)) => {
            let values: Vec<String> = list
                .values
                .iter()
                .map(|pair| format!("{}:{}", serde_json::to_string(&pair.key).unwrap(), of(&pair.value)))
                .collect();
            format!("{{{}}}", values.join(","))
        }
        Some(Value::StringValue(text)) => serde_json::to_string(text).unwrap(),
        Some(Value::BytesValue(bytes)) => format!("\"{}\"", base64_of(bytes)),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => {
            let text = expected(Some(&any_of(Value::DoubleValue(*value)))).split_off("double:".len());
            if value.is_finite() { text } else { format!("\"{text}\"") }
        }
        _ => "null".to_owned(),
    }
}

pub(crate) fn a_span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: vec![1; 8],
        trace_state: "k=v".to_owned(),
        flags: 0x101,
        name: "GET /users".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000 * SECOND,
        end_time_unix_nano: 1_700_000_001 * SECOND + 5,
        attributes: vec![
            string("http.method", "GET"),
            key_value("http.status_code", Value::IntValue(500)),
            key_value("ratio", Value::DoubleValue(0.25)),
            key_value("ok", Value::BoolValue(false)),
            key_value("raw", Value::BytesValue(vec![0, 255])),
            key_value(
                "list",
                Value::ArrayValue(ArrayValue {
                    values: vec![any_of(Value::IntValue(1)), any_of(Value::StringValue("a\"b\n".into()))],
                }),
            ),
            key_value(
                "map",
                Value::KvlistValue(KeyValueList { values: vec![key_value("k", Value::DoubleValue(1.5))] }),
            ),
            KeyValue { key: "empty".to_owned(), value: None, ..KeyValue::default() },
        ],
        dropped_attributes_count: 3,
        events: vec![span::Event {
            time_unix_nano: 1_700_000_000 * SECOND + 1,
            name: "exception".to_owned(),
            attributes: vec![string("exception.type", "E")],
            dropped_attributes_count: 1,
        }],
        dropped_events_count: 4,
        links: vec![span::Link {
            trace_id: vec![9; 16],
            span_id: vec![8; 8],
            trace_state: String::new(),
            attributes: vec![key_value("n", Value::IntValue(-1))],
            dropped_attributes_count: 0,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status { message: "boom".to_owned(), code: 2 }),
    }
}

pub(crate) fn a_resource(service: &str) -> Resource {
    Resource {
        attributes: vec![string("service.name", service), key_value("host.cpus", Value::IntValue(8))],
        ..Resource::default()
    }
}

pub(crate) fn a_scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![string("scope.key", "v")],
        ..InstrumentationScope::default()
    }
}

/// Two resources, three scopes, five spans of three traces.
pub(crate) fn some_traces() -> TracesData {
    let scope = |spans: Vec<Span>| ScopeSpans { scope: Some(a_scope()), spans, schema_url: "s".to_owned() };
    TracesData {
        resource_spans: vec![
            ResourceSpans {
                resource: Some(a_resource("api")),
                scope_spans: vec![scope(vec![a_span(1, 1), a_span(2, 2)]), scope(vec![a_span(1, 3)])],
                schema_url: "r".to_owned(),
            },
            ResourceSpans {
                resource: None,
                scope_spans: vec![ScopeSpans {
                    scope: None,
                    spans: vec![a_span(3, 4), a_span(2, 5)],
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            },
        ],
    }
}

pub(crate) fn a_record(body: Option<AnyValue>) -> LogRecord {
    LogRecord {
        time_unix_nano: 1_700_000_000 * SECOND,
        observed_time_unix_nano: 1_700_000_001 * SECOND,
        severity_number: 17,
        severity_text: "Error".to_owned(),
        body,
        attributes: vec![string("k", "v"), key_value("n", Value::IntValue(1))],
        dropped_attributes_count: 2,
        flags: 1,
        trace_id: vec![7; 16],
        span_id: vec![6; 8],
        event_name: "e".to_owned(),
    }
}

pub(crate) fn some_logs() -> LogsData {
    let records = vec![a_record(Some(any_of(Value::StringValue("hello".to_owned())))), LogRecord::default()];
    LogsData {
        resource_logs: vec![ResourceLogs {
            resource: Some(a_resource("api")),
            scope_logs: vec![ScopeLogs { scope: Some(a_scope()), log_records: records, schema_url: String::new() }],
            schema_url: "r".to_owned(),
        }],
    }
}

/// Remote write 1.0 by hand: labels, samples.
pub(crate) fn series_v1(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels {
        write::bytes(&mut series, 1, &pair(name, value));
    }
    for (value, time) in samples {
        write::bytes(&mut series, 2, &sample(*value, *time, 0));
    }
    series
}

pub(crate) fn pair(name: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    write::bytes(&mut pair, 1, name.as_bytes());
    write::bytes(&mut pair, 2, value.as_bytes());
    pair
}

pub(crate) fn sample(value: f64, time: i64, start: i64) -> Vec<u8> {
    let mut sample = Vec::new();
    double(&mut sample, 1, value);
    varint(&mut sample, 2, time as u64);
    if start != 0 {
        varint(&mut sample, 3, start as u64);
    }
    sample
}

pub(crate) fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    write::tag(out, number, crate::wire::FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    write::tag(out, number, crate::wire::VARINT);
    write::varint(out, value);
}

pub(crate) fn wrap(number: u32, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        write::bytes(&mut out, number, message);
    }
    out
}

/// One good body of every codec.
pub(crate) fn good_bodies() -> Vec<(Codec, Vec<u8>)> {
    let write_request = wrap(1, &[series_v1(&[("__name__", "up"), ("job", "a")], &[(1.0, 1_000), (0.5, 2_000)])]);
    let loki_entry = {
        let mut entry = wrap(
            1,
            &[{
                let mut time = Vec::new();
                varint(&mut time, 1, 1_700_000_000);
                varint(&mut time, 2, 5);
                time
            }],
        );
        write::bytes(&mut entry, 2, b"line");
        write::bytes(&mut entry, 3, &pair("k", "v"));
        entry
    };
    let mut stream = Vec::new();
    write::bytes(&mut stream, 1, br#"{app="api", env="x"}"#);
    write::bytes(&mut stream, 2, &loki_entry);
    let json = br#"{"streams":[{"stream":{"app":"api"},"values":[["1700000000000000000","a line",{"k":"v"}]]}]}"#;
    vec![
        (Codec::OtlpTraces, some_traces().encode_to_vec()),
        (Codec::OtlpTraces, serde_json::to_vec(&some_traces()).unwrap()),
        (Codec::OtlpLogs, some_logs().encode_to_vec()),
        (Codec::OtlpMetrics, crate::otlp::metrics::tests::some_metrics().encode_to_vec()),
        (Codec::RemoteWrite, write_request),
        (Codec::RemoteWrite, crate::remote_write::tests::request_v2()),
        (Codec::RemoteWrite, crate::remote_write::tests::request_with_histograms()),
        (Codec::LokiPush, wrap(1, &[stream])),
        (Codec::LokiPush, json.to_vec()),
        (Codec::Raw, b"anything".to_vec()),
    ]
}

/// Values of all types, lists nested a little.
pub(crate) fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,12}".prop_map(|text| Some(any_of(Value::StringValue(text)))),
        any::<i64>().prop_map(|value| Some(any_of(Value::IntValue(value)))),
        any::<f64>().prop_map(|value| Some(any_of(Value::DoubleValue(value)))),
        any::<bool>().prop_map(|value| Some(any_of(Value::BoolValue(value)))),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(|value| Some(any_of(Value::BytesValue(value)))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|values| {
                let values = values.into_iter().map(Option::unwrap_or_default).collect();
                Some(any_of(Value::ArrayValue(ArrayValue { values })))
            }),
            proptest::collection::vec((".{0,6}", inner), 0..4).prop_map(|values| {
                let pair = |(key, value)| KeyValue { key, value, ..KeyValue::default() };
                Some(any_of(Value::KvlistValue(KeyValueList { values: values.into_iter().map(pair).collect() })))
            }),
        ]
    })
}

pub(crate) fn key_values() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (".{0,8}", any_value()).prop_map(|(key, value)| KeyValue { key, value, ..KeyValue::default() });
    proptest::collection::vec(pair, 0..5)
}

pub(crate) fn expected_attributes(attributes: &[KeyValue]) -> Vec<(String, String)> {
    attributes.iter().map(|pair| (pair.key.clone(), expected(pair.value.as_ref()))).collect()
}
