#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{
    a_span, any_value, attributes, attributes_of, decode, expected_attributes, get, key_values, message, pairs,
    some_traces, string,
};
use crate::{Codec, Config, Decoder, validate};
use arrow::array::{Array, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, span};
use proptest::prelude::*;
use prost::Message as _;
use weft_model::spans;

fn text(batch: &RecordBatch, name: &str, row: usize) -> String {
    let column: &StringArray = get(batch, name);
    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
}

fn bytes(batch: &RecordBatch, name: &str, row: usize) -> Vec<u8> {
    let column: &BinaryArray = get(batch, name);
    if column.is_null(row) { Vec::new() } else { column.value(row).to_vec() }
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> i32 {
    get::<Int32Array>(batch, name).value(row)
}

fn long(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    get::<Int64Array>(batch, name).value(row)
}

fn lists(batch: &RecordBatch, name: &str, row: usize) -> StructArray {
    get::<ListArray>(batch, name).value(row).as_any().downcast_ref::<StructArray>().unwrap().clone()
}

/// Every row of `batch` is the span it was made of, read by prost.
fn assert_same(batch: &RecordBatch, traces: &TracesData) {
    let mut row = 0;
    for resource in &traces.resource_spans {
        let resource_attributes: &[KeyValue] = resource.resource.as_ref().map_or(&[], |r| &r.attributes);
        for scope in &resource.scope_spans {
            let no_scope = InstrumentationScope::default();
            let origin = scope.scope.as_ref().unwrap_or(&no_scope);
            for span in &scope.spans {
                assert_eq!(attributes(batch, spans::RESOURCE, row), expected_attributes(resource_attributes));
                assert_eq!(attributes(batch, spans::SCOPE, row), expected_attributes(&origin.attributes));
                assert_eq!(text(batch, spans::RESOURCE_SCHEMA_URL, row), resource.schema_url);
                assert_eq!(text(batch, spans::SCOPE_SCHEMA_URL, row), scope.schema_url);
                assert_eq!(text(batch, spans::SCOPE_NAME, row), origin.name);
                assert_eq!(text(batch, spans::SCOPE_VERSION, row), origin.version);
                assert_span(batch, row, span);
                row += 1;
            }
        }
    }
    assert_eq!(batch.num_rows(), row);
}

fn assert_span(batch: &RecordBatch, row: usize, span: &Span) {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    assert_eq!(bytes(batch, spans::TRACE_ID, row), span.trace_id);
    assert_eq!(bytes(batch, spans::SPAN_ID, row), span.span_id);
    assert_eq!(bytes(batch, spans::PARENT_SPAN_ID, row), span.parent_span_id);
    assert_eq!(text(batch, spans::TRACE_STATE, row), span.trace_state);
    assert_eq!(text(batch, spans::NAME, row), span.name);
    assert_eq!(int(batch, spans::KIND, row), span.kind);
    assert_eq!(int(batch, spans::FLAGS, row), span.flags as i32);
    let (start, end) = (span.start_time_unix_nano as i64, span.end_time_unix_nano as i64);
    assert_eq!((long(batch, spans::START_TIME, row), long(batch, spans::END_TIME, row)), (start, end));
    assert_eq!(long(batch, spans::DURATION, row), (end - start).max(0));
    let status = span.status.clone().unwrap_or_default();
    assert_eq!(int(batch, spans::STATUS_CODE, row), status.code);
    assert_eq!(text(batch, spans::STATUS_MESSAGE, row), status.message);
    assert_eq!(attributes(batch, spans::ATTRIBUTES, row), expected_attributes(&span.attributes));
    assert_eq!(int(batch, spans::DROPPED_ATTRIBUTES, row), count(span.dropped_attributes_count));
    assert_eq!(int(batch, spans::DROPPED_EVENTS, row), count(span.dropped_events_count));
    assert_eq!(int(batch, spans::DROPPED_LINKS, row), count(span.dropped_links_count));
    let events = lists(batch, spans::EVENTS, row);
    assert_eq!(events.len(), span.events.len());
    for (index, event) in span.events.iter().enumerate() {
        let times = events.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let names = events.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(times.value(index), event.time_unix_nano as i64);
        assert_eq!(names.value(index), event.name);
        assert_eq!(attributes_of(events.column(2), index), expected_attributes(&event.attributes));
    }
    let links = lists(batch, spans::LINKS, row);
    assert_eq!(links.len(), span.links.len());
    for (index, link) in span.links.iter().enumerate() {
        let traces = links.column(0).as_any().downcast_ref::<BinaryArray>().unwrap();
        assert_eq!(traces.value(index), link.trace_id);
        assert_eq!(attributes_of(links.column(3), index), expected_attributes(&link.attributes));
    }
}

#[test]
fn spans_are_decoded_with_all_their_parts() {
    let traces = some_traces();
    let batch = decode(Codec::OtlpTraces, &traces.encode_to_vec());
    assert_same(&batch, &traces);
    assert_eq!(text(&batch, spans::SERVICE_NAME, 0), "api");
    assert!(get::<StringArray>(&batch, spans::SERVICE_NAME).is_null(3));
    let some = attributes(&batch, spans::ATTRIBUTES, 0);
    assert_eq!(some[5..], pairs(&[("list", r#"json:[1,"a\"b\n"]"#), ("map", r#"json:{"k":1.5}"#), ("empty", "none:")]));
    assert_eq!(validate(Codec::OtlpTraces, None, &traces.encode_to_vec()).unwrap().items, 5);
}

#[test]
fn fields_may_stand_in_any_order() {
    let mut resource = Vec::new();
    let scope = ScopeSpans { spans: vec![a_span(1, 1)], ..ScopeSpans::default() };
    let attributes_message = Resource { attributes: vec![string("service.name", "late")], ..Resource::default() };
    crate::wire::write::bytes(&mut resource, 2, &scope.encode_to_vec());
    crate::wire::write::bytes(&mut resource, 1, &attributes_message.encode_to_vec());
    let mut body = Vec::new();
    crate::wire::write::bytes(&mut body, 1, &resource);
    let batch = decode(Codec::OtlpTraces, &body);
    assert_eq!(text(&batch, spans::SERVICE_NAME, 0), "late");
    assert_eq!(attributes(&batch, spans::RESOURCE, 0), pairs(&[("service.name", "string:late")]));
}

fn refused(change: impl FnOnce(&mut Span)) -> String {
    let mut span = a_span(1, 1);
    change(&mut span);
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let body = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    let body = body.encode_to_vec();
    let decoded = Decoder::new(Codec::OtlpTraces, &Config::default()).push(&message(&body)).unwrap_err().to_string();
    assert_eq!(
        validate(Codec::OtlpTraces, None, &body).unwrap_err().to_string().split(" (at").next(),
        decoded.split(" (at").next()
    );
    decoded
}

#[test]
fn bad_ids_and_times_are_refused_and_named() {
    assert!(refused(|span| span.trace_id = vec![1; 15]).contains("a trace id must be 16 bytes"));
    assert!(refused(|span| span.trace_id.clear()).contains("a trace id must be 16 bytes"));
    assert!(refused(|span| span.trace_id = vec![0; 16]).contains("a trace id must be 16 bytes"));
    assert!(refused(|span| span.span_id = vec![0; 8]).contains("a span id must be 8 bytes"));
    assert!(refused(|span| span.parent_span_id = vec![1; 3]).contains("a parent span id"));
    assert!(refused(|span| span.links[0].trace_id = vec![1; 3]).contains("a link's trace id"));
    assert!(refused(|span| span.end_time_unix_nano = u64::MAX).contains("year 2262"));
    assert!(refused(|span| span.events[0].time_unix_nano = 1 << 63).contains("year 2262"));
}

#[test]
fn values_nested_too_deep_are_refused() {
    use crate::testing::{any_of, key_value};
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, any_value::Value};
    let nested = |depth: usize| {
        let mut value = Value::ArrayValue(ArrayValue::default());
        for _ in 1..depth {
            value = Value::ArrayValue(ArrayValue { values: vec![any_of(value)] });
        }
        let span = Span { attributes: vec![key_value("deep", value)], ..a_span(1, 1) };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }.encode_to_vec()
    };
    let push = |body: &[u8]| Decoder::new(Codec::OtlpTraces, &Config::default()).push(&message(body));
    assert!(push(&nested(63)).is_ok() && validate(Codec::OtlpTraces, None, &nested(63)).is_ok());
    assert!(push(&nested(64)).is_err() && validate(Codec::OtlpTraces, None, &nested(64)).is_err());
}

fn a_time() -> impl Strategy<Value = u64> {
    0..=i64::MAX as u64
}

fn spans_strategy() -> impl Strategy<Value = Span> {
    let event = (a_time(), ".{0,8}", key_values()).prop_map(|(time_unix_nano, name, attributes)| span::Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: 1,
    });
    let link = (any::<[u8; 16]>(), key_values()).prop_map(|(id, attributes)| span::Link {
        trace_id: id.to_vec(),
        span_id: vec![1; 8],
        attributes,
        ..span::Link::default()
    });
    let ids = (any::<[u8; 15]>(), any::<[u8; 7]>(), any::<bool>());
    let scalars = (".{0,10}", ".{0,5}", 0..6_i32, a_time(), a_time(), any::<u32>(), any::<[u32; 3]>());
    let lists = (key_values(), prop::collection::vec(event, 0..3), prop::collection::vec(link, 0..3));
    (ids, scalars, lists, prop::option::of((".{0,6}", 0..3_i32))).prop_map(|(ids, scalars, lists, status)| {
        let (name, trace_state, kind, start, end, flags, dropped) = scalars;
        Span {
            trace_id: [ids.0.as_slice(), &[1]].concat(),
            span_id: [ids.1.as_slice(), &[1]].concat(),
            parent_span_id: if ids.2 { vec![3; 8] } else { Vec::new() },
            name,
            trace_state,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            flags,
            dropped_attributes_count: dropped[0],
            dropped_events_count: dropped[1],
            dropped_links_count: dropped[2],
            attributes: lists.0,
            events: lists.1,
            links: lists.2,
            status: status.map(|(message, code)| Status { message, code }),
        }
    })
}

fn traces_strategy() -> impl Strategy<Value = TracesData> {
    let scope = (key_values(), ".{0,5}", prop::collection::vec(spans_strategy(), 0..4), any::<bool>());
    let scope = scope.prop_map(|(attributes, name, spans, present)| ScopeSpans {
        scope: present.then(|| InstrumentationScope { name, attributes, ..InstrumentationScope::default() }),
        spans,
        schema_url: "u".to_owned(),
    });
    let resource = (prop::option::of(key_values()), prop::collection::vec(scope, 0..3));
    let resource = resource.prop_map(|(attributes, scope_spans)| ResourceSpans {
        resource: attributes.map(|attributes| Resource { attributes, ..Resource::default() }),
        scope_spans,
        schema_url: String::new(),
    });
    prop::collection::vec(resource, 0..3).prop_map(|resource_spans| TracesData { resource_spans })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn our_reader_and_prost_agree(traces in traces_strategy()) {
        let body = traces.encode_to_vec();
        let counts = validate(Codec::OtlpTraces, None, &body).unwrap();
        let batch = decode(Codec::OtlpTraces, &body);
        prop_assert_eq!(counts.items, batch.num_rows());
        assert_same(&batch, &traces);
    }

    #[test]
    fn json_and_protobuf_decode_alike(value in any_value()) {
        // Floats JSON has no number for are written as null by the encoder we test with.
        let text = format!("{value:?}");
        prop_assume!(!text.contains("NaN") && !text.contains("inf"));
        let span = Span { attributes: vec![KeyValue { key: "k".to_owned(), value, ..KeyValue::default() }], ..a_span(1, 1) };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let traces = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
        let json = serde_json::to_vec(&traces).unwrap();
        prop_assert_eq!(decode(Codec::OtlpTraces, &json), decode(Codec::OtlpTraces, &traces.encode_to_vec()));
    }
}
