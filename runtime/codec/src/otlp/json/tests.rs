#![allow(clippy::unwrap_used, reason = "tests")]

use super::looks_like_json;
use crate::testing::{attributes, decode, get, message, pairs, some_logs, some_traces};
use crate::{Codec, Config, Decoder, validate};
use arrow::array::{Array, AsArray, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use prost::Message as _;
use weft_model::{logs, metrics, spans};

/// As browsers and the Collector write it.
const SPANS: &str = r#"
{ "resourceSpans": [ { "resource": { "attributes": [ {"key":"service.name","value":{"stringValue":"web"}} ] },
  "unknown": {"deep":[1,{"x":null}]},
  "scopeSpans": [ { "scope": {"name":"n"}, "spans": [ {
    "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "parent_span_id": "",
    "name": "I'm a server span", "kind": "SPAN_KIND_SERVER", "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": 1544712661000000000, "droppedAttributesCount": null, "flags": 257,
    "attributes": [
      {"key":"i","value":{"intValue":"-42"}}, {"key":"j","value":{"intValue":42}}, {"key":"d","value":{"doubleValue":2}},
      {"key":"n","value":{"doubleValue":"NaN"}}, {"key":"b","value":{"bytesValue":"-_8"}}, {"key":"t","value":{"boolValue":true}},
      {"key":"e","value":{}}, {"key":"a","value":{"arrayValue":{"values":[{"stringValue":"x"},{}]}}},
      {"key":"k","value":{"kvlistValue":{"values":[{"key":"y","value":{"boolValue":false}}]}}}
    ],
    "status": {"code": 2, "message":"no"}, "links": [], "events": [{"timeUnixNano":"5","name":"ev"}]
  } ] } ] } ] }"#;

#[test]
fn json_as_others_write_it_is_read() {
    let batch = decode(Codec::OtlpTraces, SPANS.as_bytes());
    assert_eq!(batch.num_rows(), 1);
    let id = get::<BinaryArray>(&batch, spans::TRACE_ID).value(0);
    assert_eq!((id[0], id[15]), (0x5b, 0x0c));
    assert!(get::<BinaryArray>(&batch, spans::PARENT_SPAN_ID).is_null(0));
    assert_eq!(get::<Int64Array>(&batch, spans::DURATION).value(0), 1_000_000_000);
    assert_eq!(get::<Int32Array>(&batch, spans::KIND).value(0), 2);
    assert_eq!(get::<Int32Array>(&batch, spans::FLAGS).value(0), 257);
    assert_eq!(get::<Int32Array>(&batch, spans::STATUS_CODE).value(0), 2);
    assert_eq!(get::<StringArray>(&batch, spans::SERVICE_NAME).value(0), "web");
    assert_eq!(
        attributes(&batch, spans::ATTRIBUTES, 0),
        pairs(&[
            ("i", "int:-42"),
            ("j", "int:42"),
            ("d", "double:2"),
            ("n", "double:NaN"),
            ("b", "bytes:+/8="),
            ("t", "bool:true"),
            ("e", "none:"),
            ("a", r#"json:["x",null]"#),
            ("k", r#"json:{"y":false}"#),
        ])
    );
    assert_eq!(get::<ListArray>(&batch, spans::EVENTS).value(0).len(), 1);
    assert_eq!(validate(Codec::OtlpTraces, Some("application/json"), SPANS.as_bytes()).unwrap().items, 1);
}

#[test]
fn metrics_and_logs_are_read_from_json() {
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"m","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,
         "dataPoints":[{"asInt":"3","timeUnixNano":"5000000000"}]}},
        {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"5000000000","count":"3","sum":1.5,
         "bucketCounts":["1","2"],"explicitBounds":[0.5]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"timeUnixNano":"5000000000","count":2,"scale":-1,
         "positive":{"offset":-3,"bucketCounts":["2"]}}]}}]}]}]}"#;
    let batch = decode(Codec::OtlpMetrics, body.as_bytes());
    let names: Vec<&str> = get::<StringArray>(&batch, metrics::NAME).iter().flatten().collect();
    assert_eq!(names, ["m_total", "h_sum", "h_count", "h_bucket", "h_bucket", "e"]);
    assert_eq!(get::<ListArray>(&batch, metrics::INT_VALUES).value(0).as_primitive::<Int64Type>().values(), &[3]);
    assert_eq!(get::<ListArray>(&batch, metrics::VALUES).value(1).as_primitive::<Float64Type>().values(), &[1.5]);
    let native = get::<ListArray>(&batch, metrics::HISTOGRAMS).value(5);
    assert_eq!(native.as_struct().column(0).as_any().downcast_ref::<Float64Array>().unwrap().value(0), 2.0);

    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"7","severityNumber":"SEVERITY_NUMBER_WARN","body":{"stringValue":"x"},"eventName":"e"}]}]}]}"#;
    let batch = decode(Codec::OtlpLogs, body.as_bytes());
    assert_eq!(get::<Int32Array>(&batch, logs::SEVERITY_NUMBER).value(0), 13);
    assert_eq!(get::<StringArray>(&batch, logs::EVENT_NAME).value(0), "e");
}

#[test]
fn json_of_the_reference_library_decodes_as_its_protobuf() {
    let json = serde_json::to_vec(&some_logs()).unwrap();
    assert_eq!(decode(Codec::OtlpLogs, &json), decode(Codec::OtlpLogs, &some_logs().encode_to_vec()));
    let some = crate::otlp::metrics::tests::some_metrics();
    let json = serde_json::to_vec(&some).unwrap();
    assert_eq!(decode(Codec::OtlpMetrics, &json), decode(Codec::OtlpMetrics, &some.encode_to_vec()));
}

#[test]
fn wrong_json_is_refused_and_the_field_named() {
    let with = |text: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{text}}}]}}]}}]}}"#);
    for (text, reason) in [
        (r#""traceId":"xyz""#, "traceId: 'xyz' is not hex"),
        (r#""traceId":"abc""#, "not hex"),
        (r#""traceId":5"#, "traceId"),
        (r#""startTimeUnixNano":"-1""#, "startTimeUnixNano"),
        (r#""startTimeUnixNano":1.5"#, "startTimeUnixNano"),
        (r#""name":5"#, "name: 5"),
        (r#""name":["x"]"#, "name: an array"),
        (r#""kind":"SPAN_KIND_NONE""#, "kind"),
        (r#""attributes":[[]]"#, "attributes"),
        (r#""status":5"#, "status"),
        (r#""droppedLinksCount":4294967296"#, "droppedLinksCount"),
        (r#""attributes":[{"key":"k","value":{"bytesValue":"*"}}]"#, "bytesValue"),
        (r#""name":"x""#, "a trace id must be 16 bytes"),
        (r#""name":"x"#, "EOF"),
    ] {
        let body = with(text);
        let error = Decoder::new(Codec::OtlpTraces, &Config::default()).push(&message(body.as_bytes())).unwrap_err();
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert!(validate(Codec::OtlpTraces, None, body.as_bytes()).is_err());
    }
    assert!(validate(Codec::OtlpTraces, None, b"{} x").is_err());
    assert!(validate(Codec::OtlpTraces, None, "[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn protobuf_that_begins_like_json_is_not_taken_for_it() {
    // Field 1 is a newline; a first message of 123 bytes has `{` for its length.
    let mut message = some_traces().resource_spans[0].clone();
    message.scope_spans.truncate(0);
    message.schema_url.clear();
    message.resource = None;
    message.schema_url = "x".repeat(121);
    let body = opentelemetry_proto::tonic::trace::v1::TracesData { resource_spans: vec![message] }.encode_to_vec();
    assert_eq!(&body[..2], b"\n{");
    assert!(!looks_like_json(&body));
    assert!(looks_like_json(b"\n{\"resourceSpans\":[]}"));
    assert!(looks_like_json(b"  {}") && looks_like_json(b"{") && !looks_like_json(b"") && !looks_like_json(b"[]"));
}
