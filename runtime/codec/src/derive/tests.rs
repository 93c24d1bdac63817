#![allow(clippy::unwrap_used, reason = "tests")]

use super::{derive, with_columns};
use crate::columns::LabelMap;
use crate::otlp::metrics::tests::some_metrics;
use crate::testing::{
    a_record, any_of, attributes, decode, get, key_value, labels, pairs, series_v1, some_traces, string, wrap,
};
use crate::{Codec, Config, Error, LogsConfig};
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::sync::Arc;
use weft_model::{Signal, logs, metrics, series, spans};

fn derived(signal: Signal, batch: RecordBatch) -> RecordBatch {
    derive(signal, batch, &Config::default()).unwrap()
}

fn otlp_logs(resources: Vec<(Vec<KeyValue>, Vec<LogRecord>)>) -> RecordBatch {
    let resource_logs = resources
        .into_iter()
        .map(|(attributes, log_records)| ResourceLogs {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            schema_url: String::new(),
        })
        .collect();
    derived(Signal::Logs, decode(Codec::OtlpLogs, &LogsData { resource_logs }.encode_to_vec()))
}

fn loki(body: &str) -> RecordBatch {
    derived(Signal::Logs, decode(Codec::LokiPush, body.as_bytes()))
}

fn stream(batch: &RecordBatch, row: usize) -> Vec<(String, String)> {
    let found = labels(batch, logs::STREAM_LABELS, row);
    let id = series::id(found.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    assert_eq!(get::<BinaryArray>(batch, logs::STREAM_ID).value(row), id);
    found
}

#[test]
fn stream_labels_of_otlp_come_from_the_resource() {
    let record = || a_record(None);
    let batch = otlp_logs(vec![
        (
            vec![string("service.name", "api"), string("k8s.pod.name", "p"), string("other", "x")],
            vec![record(), record()],
        ),
        (vec![key_value("container.name", Value::IntValue(5))], vec![record()]),
        (vec![string("service.name", "api")], vec![record()]),
        (vec![], vec![record()]),
    ]);
    let first = pairs(&[("k8s_pod_name", "p"), ("service_name", "api")]);
    assert_eq!((stream(&batch, 0), stream(&batch, 1)), (first.clone(), first));
    assert_eq!(stream(&batch, 2), pairs(&[("container_name", "5"), ("service_name", "5")]));
    assert_eq!(stream(&batch, 3), pairs(&[("service_name", "api")]));
    assert_eq!(stream(&batch, 4), pairs(&[("service_name", "unknown_service")]));
    let names: Vec<&str> = get::<StringArray>(&batch, logs::SERVICE_NAME).iter().flatten().collect();
    assert_eq!(names, ["api", "api", "5", "api", "unknown_service"]);
}

#[test]
fn streams_of_loki_get_a_service_name_once() {
    let batch = loki(
        r#"{"streams":[
        {"stream":{"job":"j","app":"a"},"values":[["1","x"],["2","y"]]},
        {"stream":{"service_name":"s","app":"a"},"values":[["1","x"]]},
        {"stream":{"__pattern__":"p"},"values":[["1","x"]]}]}"#,
    );
    assert_eq!(stream(&batch, 0), pairs(&[("app", "a"), ("job", "j"), ("service_name", "a")]));
    assert_eq!(stream(&batch, 1), stream(&batch, 0));
    assert_eq!(stream(&batch, 2), pairs(&[("app", "a"), ("service_name", "s")]));
    assert_eq!(stream(&batch, 3), pairs(&[("__pattern__", "p")]));
}

/// `detected_level` of each row.
fn levels(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| {
            let all = attributes(batch, logs::ATTRIBUTES, row);
            let found: Vec<_> = all.iter().filter(|(key, _)| key == "detected_level").collect();
            assert!(found.len() <= 1);
            found.first().map_or("none", |(_, value)| value.strip_prefix("string:").unwrap()).to_owned()
        })
        .collect()
}

#[test]
fn the_level_comes_from_labels_then_attributes_then_severity_then_the_line() {
    let line = |text: &str| Some(any_of(Value::StringValue(text.to_owned())));
    let record = |number: i32, text: &str, attributes: Vec<KeyValue>| LogRecord {
        severity_number: number,
        severity_text: text.to_owned(),
        attributes,
        body: line("level=debug"),
        ..LogRecord::default()
    };
    let batch = otlp_logs(vec![(
        vec![],
        vec![
            record(17, "", vec![]),
            record(9, "Warning", vec![]),
            record(9, "Warning", vec![string("level", "TRC")]),
            record(9, "Warning", vec![string("SEVERITY_TEXT", "TRC")]),
            record(0, "", vec![]),
            record(0, "", vec![string("x", "1"), string("detected_level", "ERR"), key_value("n", Value::IntValue(1))]),
            record(0, "", vec![string("level", "")]),
            LogRecord::default(),
        ],
    )]);
    assert_eq!(levels(&batch), ["error", "warn", "trace", "warn", "debug", "error", "none", "unknown"]);
    assert_eq!(
        attributes(&batch, logs::ATTRIBUTES, 5),
        pairs(&[("x", "string:1"), ("detected_level", "string:error"), ("n", "int:1")])
    );

    let batch = loki(
        r#"{"streams":[
        {"stream":{"level":"Info"},"values":[["1","error",{"level":"debug"}]]},
        {"stream":{"app":"a"},"values":[["1","an error: x",{"lvl":"debug"}],["2","an error: x"],["3","{\"level\":\"fatal\"}"]]}]}"#,
    );
    assert_eq!(levels(&batch), ["info", "debug", "error", "fatal"]);
}

#[test]
fn levels_and_service_names_can_be_switched_off() {
    let logs = LogsConfig { discover_log_levels: false, discover_service_name: Vec::new(), ..LogsConfig::default() };
    let config = Config { logs, ..Config::default() };
    let body = br#"{"streams":[{"stream":{"app":"a"},"values":[["1","error"]]}]}"#;
    let batch = derive(Signal::Logs, decode(Codec::LokiPush, body), &config).unwrap();
    assert_eq!(levels(&batch), ["none"]);
    assert_eq!(stream(&batch, 0), pairs(&[("app", "a")]));
}

#[test]
fn series_ids_hash_all_labels_in_order() {
    let series = |labels: &[(&str, &str)]| series_v1(labels, &[(1.0, 5), (1.0, 3)]);
    let body = wrap(
        1,
        &[
            series(&[("__name__", "up"), ("job", "j")]),
            series(&[("A", "1"), ("__name__", "up")]),
            series(&[("__name__", "up")]),
        ],
    );
    let batch = derived(Signal::Metrics, decode(Codec::RemoteWrite, &body));
    let ids: &BinaryArray = get(&batch, metrics::SERIES_ID);
    assert_eq!(ids.value(0), series::id([("__name__", "up"), ("job", "j")]));
    assert_eq!(ids.value(1), series::id([("A", "1"), ("__name__", "up")]));
    assert_eq!(ids.value(2), series::id([("__name__", "up")]));
    assert_eq!(get::<Int64Array>(&batch, metrics::MIN_TIME).value(0), 3);
    assert_eq!(get::<Int64Array>(&batch, metrics::MAX_TIME).value(0), 5);
}

#[test]
fn labels_a_module_left_in_disorder_are_put_in_order() {
    let body = wrap(
        1,
        &[series_v1(&[("__name__", "up"), ("x", "y")], &[(1.0, 1)]), series_v1(&[("__name__", "b")], &[(1.0, 1)])],
    );
    let batch = decode(Codec::RemoteWrite, &body);
    let mut edited = LabelMap::default();
    for (key, value) in [("z", "1"), ("a", "old"), ("empty", ""), ("__name__", "no"), ("a", "new")] {
        edited.label(key, value);
    }
    edited.end_row();
    edited.end_row();
    let batch = with_columns(&batch, [(metrics::LABELS, edited.finish().unwrap())]).unwrap();
    let batch = derived(Signal::Metrics, batch);
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("a", "new"), ("z", "1")]));
    assert_eq!(labels(&batch, metrics::LABELS, 1), pairs(&[]));
    let ids: &BinaryArray = get(&batch, metrics::SERIES_ID);
    assert_eq!(ids.value(0), series::id([("__name__", "up"), ("a", "new"), ("z", "1")]));
}

#[test]
fn spans_show_what_a_module_changed() {
    let batch = decode(Codec::OtlpTraces, &some_traces().encode_to_vec());
    assert_eq!(derived(Signal::Spans, batch.clone()), batch);
    let earlier: ArrayRef = Arc::new(Int64Array::from(vec![1_700_000_000_000_000_000; 5]));
    let batch = with_columns(&batch, [(spans::END_TIME, earlier)]).unwrap();
    let batch = derived(Signal::Spans, batch);
    assert_eq!(get::<Int64Array>(&batch, spans::DURATION).values(), &[0; 5]);
}

#[test]
fn deriving_twice_changes_nothing() {
    let metrics = derived(Signal::Metrics, decode(Codec::OtlpMetrics, &some_metrics().encode_to_vec()));
    assert_eq!(derived(Signal::Metrics, metrics.clone()), metrics);
    let logs = otlp_logs(vec![(vec![string("service.name", "api")], vec![a_record(None)])]);
    assert_eq!(derived(Signal::Logs, logs.clone()), logs);
}

#[test]
fn a_batch_of_another_signal_is_refused() {
    let spans = decode(Codec::OtlpTraces, &some_traces().encode_to_vec());
    for signal in [Signal::Metrics, Signal::Logs] {
        assert!(matches!(derive(signal, spans.clone(), &Config::default()), Err(Error::Shape { .. })));
    }
    let metrics = decode(Codec::OtlpMetrics, &some_metrics().encode_to_vec());
    assert!(derive(Signal::Spans, metrics, &Config::default()).is_err());
}
