//! OTLP requests with ids that tests can count.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::time::{SystemTime, UNIX_EPOCH};

/// The content type of what is made here.
pub const PROTOBUF: &str = "application/x-protobuf";

/// ns since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "tests send real times")]
pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// A string attribute.
pub fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn int(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::IntValue(value)) }),
        ..KeyValue::default()
    }
}

/// A resource with a service name.
pub fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", service)], ..Resource::default() })
}

/// A request of `spans` spans in one trace; span `i` has the id `first + i` and, as attribute
/// `number`, the same. The first is the root. Ids start from 1: zero is no id.
pub fn spans(service: &str, first: u64, spans: u64) -> Vec<u8> {
    let end = now();
    let spans = (first..first + spans).map(|id| Span {
        trace_id: (u128::from(first) << 64 | 0x77).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if id == first { Vec::new() } else { first.to_be_bytes().to_vec() },
        name: "work".to_owned(),
        kind: if id == first { 2 } else { 1 },
        start_time_unix_nano: end - 1_000_000 * (1 + id % 50),
        end_time_unix_nano: end,
        attributes: vec![int("number", i64::try_from(id).unwrap())],
        status: (id % 10 == 0).then(|| Status { code: 2, message: "failed".to_owned() }),
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(service),
            scope_spans: vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}

/// A request of `records` log records, `line <id>` each.
pub fn logs(service: &str, first: u64, records: u64) -> Vec<u8> {
    let time = now();
    let records = (first..first + records).map(|id| LogRecord {
        time_unix_nano: time,
        severity_number: 9,
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(format!("line {id}"))) }),
        attributes: vec![int("number", i64::try_from(id).unwrap())],
        ..LogRecord::default()
    });
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(service),
            scope_logs: vec![ScopeLogs { log_records: records.collect(), ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

/// A request of `samples` samples of the gauge `number`, each a series of its own by the label
/// `id`, with the id as value.
#[allow(clippy::cast_precision_loss, reason = "ids are small")]
pub fn samples(service: &str, first: u64, samples: u64) -> Vec<u8> {
    let time = now();
    let data_points = (first..first + samples).map(|id| NumberDataPoint {
        attributes: vec![text("id", &id.to_string())],
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(id as f64)),
        ..NumberDataPoint::default()
    });
    let metric = Metric {
        name: "number".to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points: data_points.collect() })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(service),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}
