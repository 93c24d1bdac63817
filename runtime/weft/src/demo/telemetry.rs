//! Instrumentation of one demo service: spans, counters, histograms with exemplars, gauges, logs;
//! exported every half second, retried as OTLP asks (503) until delivered.
//!
//! Services whose lines a Promtail would tail push their logs to Loki's path instead of OTLP.

use super::Target;
use anyhow::{Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weft_env::{Clock, Shutdown, SystemClock};

const EXPORT_EVERY: Duration = Duration::from_millis(500);
/// Bounds of OpenTelemetry's HTTP duration histograms, seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// OTLP AggregationTemporality.
const CUMULATIVE: i32 = 2;

/// A label set: name, value.
pub(super) type Labels = Vec<(&'static str, String)>;
type Key = (&'static str, &'static str, Labels);

/// Ids that a request carries from service to service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
}

impl Context {
    /// W3C traceparent.
    pub(super) fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-01", u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id))
    }

    /// Reads one; `None` when it is none.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-').skip(1);
        let trace_id = u128::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let span_id = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        Some(Self { trace_id, span_id })
    }
}

#[derive(Debug, Default, Clone)]
struct Distribution {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
    exemplars: BTreeMap<usize, (f64, u64, Context)>,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    counters: BTreeMap<Key, f64>,
    gauges: BTreeMap<Key, f64>,
    histograms: BTreeMap<Key, Distribution>,
}

/// One service's instrumentation. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Telemetry {
    resource: Arc<Vec<(&'static str, String)>>,
    /// Stream labels when its lines go to Loki's push path.
    promtail: Option<Arc<Vec<(&'static str, String)>>>,
    started: u64,
    state: Arc<Mutex<State>>,
}

pub(super) fn now() -> u64 {
    u64::try_from(SystemClock.now_nanos()).unwrap_or(0)
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A string attribute.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

/// An integer attribute.
pub(super) fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

impl Telemetry {
    /// Instrumentation with these resource attributes.
    pub(super) fn new(resource: Vec<(&'static str, String)>) -> Self {
        Self { resource: Arc::new(resource), promtail: None, started: now(), state: Arc::default() }
    }

    /// Its lines are pushed to Loki's path under these stream labels.
    pub(super) fn with_promtail(mut self, labels: Vec<(&'static str, String)>) -> Self {
        self.promtail = Some(Arc::new(labels));
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves counters as they were: still worth sending.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn span(&self, span: Span) {
        self.state().spans.push(span);
    }

    pub(super) fn count(&self, name: &'static str, unit: &'static str, labels: Labels, delta: f64) {
        *self.state().counters.entry((name, unit, labels)).or_default() += delta;
    }

    pub(super) fn gauge(&self, name: &'static str, unit: &'static str, labels: Labels, value: f64) {
        self.state().gauges.insert((name, unit, labels), value);
    }

    /// Records a duration with the trace it belongs to as exemplar.
    pub(super) fn record(&self, name: &'static str, labels: Labels, seconds: f64, context: Context) {
        let mut state = self.state();
        let distribution = state.histograms.entry((name, "s", labels)).or_default();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        distribution.counts[bucket] += 1;
        distribution.sum += seconds;
        distribution.exemplars.insert(bucket, (seconds, now(), context));
    }

    /// A log record that belongs to a span. Severity is OTLP's number: 9 info, 17 error.
    pub(super) fn log(&self, severity: i32, body: String, context: Context) {
        let time = now();
        self.state().logs.push(LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: time,
            severity_number: severity,
            severity_text: if severity >= 17 { "ERROR" } else { "INFO" }.to_owned(),
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
            trace_id: context.trace_id.to_vec(),
            span_id: context.span_id.to_vec(),
            flags: 1,
            ..LogRecord::default()
        });
    }

    fn resource(&self) -> Resource {
        Resource {
            attributes: self.resource.iter().map(|(key, value)| text(key, value.clone())).collect(),
            ..Resource::default()
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let (time, start) = (now(), self.started);
        let state = self.state();
        let attributes =
            |labels: &Labels| labels.iter().map(|(key, value)| text(key, value.clone())).collect::<Vec<_>>();
        let point = |labels: &Labels, value: f64| NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let metric = |name: &str, unit: &str, data| Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        let mut metrics = Vec::new();
        for ((name, unit, labels), value) in &state.counters {
            let sum = Sum {
                data_points: vec![point(labels, *value)],
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            };
            metrics.push(metric(name, unit, metric::Data::Sum(sum)));
        }
        for ((name, unit, labels), value) in &state.gauges {
            metrics.push(metric(name, unit, metric::Data::Gauge(Gauge { data_points: vec![point(labels, *value)] })));
        }
        for ((name, unit, labels), distribution) in &state.histograms {
            let exemplars = distribution.exemplars.values().map(|(value, time, context)| Exemplar {
                time_unix_nano: *time,
                span_id: context.span_id.to_vec(),
                trace_id: context.trace_id.to_vec(),
                value: Some(exemplar::Value::AsDouble(*value)),
                ..Exemplar::default()
            });
            let data_point = HistogramDataPoint {
                attributes: attributes(labels),
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: distribution.counts.iter().sum(),
                sum: Some(distribution.sum),
                bucket_counts: distribution.counts.to_vec(),
                explicit_bounds: BOUNDS.to_vec(),
                exemplars: exemplars.collect(),
                ..HistogramDataPoint::default()
            };
            let histogram = Histogram { data_points: vec![data_point], aggregation_temporality: CUMULATIVE };
            metrics.push(metric(name, unit, metric::Data::Histogram(histogram)));
        }
        metrics
    }

    /// Sends what gathers until shutdown begins, then once more.
    pub(super) async fn export(self, client: reqwest::Client, target: Target, shutdown: Shutdown) -> Result<()> {
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(EXPORT_EVERY) => false,
                () = shutdown.wait() => true,
            };
            self.export_once(&client, &target).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn export_once(&self, client: &reqwest::Client, target: &Target) -> Result<()> {
        let scope = Some(InstrumentationScope { name: "weft-demo".to_owned(), ..InstrumentationScope::default() });
        let (spans, logs) = {
            let mut state = self.state();
            (std::mem::take(&mut state.spans), std::mem::take(&mut state.logs))
        };
        let metrics = self.metrics();
        let otlp = |path: &str| format!("http://{}/v1/{path}", target.otlp_http);
        const PROTOBUF: &str = "application/x-protobuf";
        if !spans.is_empty() {
            let request = ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource: Some(self.resource()),
                    scope_spans: vec![ScopeSpans { scope: scope.clone(), spans, ..ScopeSpans::default() }],
                    ..ResourceSpans::default()
                }],
            };
            deliver(client, &otlp("traces"), PROTOBUF, request.encode_to_vec()).await?;
        }
        if !metrics.is_empty() {
            let request = ExportMetricsServiceRequest {
                resource_metrics: vec![ResourceMetrics {
                    resource: Some(self.resource()),
                    scope_metrics: vec![ScopeMetrics { scope: scope.clone(), metrics, ..ScopeMetrics::default() }],
                    ..ResourceMetrics::default()
                }],
            };
            deliver(client, &otlp("metrics"), PROTOBUF, request.encode_to_vec()).await?;
        }
        match &self.promtail {
            _ if logs.is_empty() => {}
            Some(labels) => {
                let url = format!("http://{}/loki/api/v1/push", target.http);
                deliver(client, &url, "application/json", push_body(labels, &logs).into_bytes()).await?;
            }
            None => {
                let request = ExportLogsServiceRequest {
                    resource_logs: vec![ResourceLogs {
                        resource: Some(self.resource()),
                        scope_logs: vec![ScopeLogs { scope, log_records: logs, ..ScopeLogs::default() }],
                        ..ResourceLogs::default()
                    }],
                };
                deliver(client, &otlp("logs"), PROTOBUF, request.encode_to_vec()).await?;
            }
        }
        Ok(())
    }
}

/// What Promtail would send of these lines, trace ids as structured metadata.
fn push_body(labels: &[(&'static str, String)], logs: &[LogRecord]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values: Vec<_> = logs
        .iter()
        .map(|log| {
            let line = match log.body.as_ref().and_then(|body| body.value.as_ref()) {
                Some(any_value::Value::StringValue(line)) => line.as_str(),
                _ => "",
            };
            json!([log.time_unix_nano.to_string(), line, {"trace_id": hex(&log.trace_id), "span_id": hex(&log.span_id)}])
        })
        .collect();
    let stream: serde_json::Map<_, _> = labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({"streams": [{"stream": stream, "values": values}]}).to_string()
}

/// Posts until the receiver has taken it. Only what the protocol calls retryable is tried again.
async fn deliver(client: &reqwest::Client, url: &str, content_type: &str, body: Vec<u8>) -> Result<()> {
    let mut wait = Duration::from_millis(100);
    for _ in 0..10 {
        let sent = client.post(url).header("content-type", content_type).body(body.clone()).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if !matches!(answer.status().as_u16(), 429 | 502 | 503 | 504) => {
                let status = answer.status();
                bail!("{url} answered {status}: {}", answer.text().await.unwrap_or_default());
            }
            Ok(answer) => tracing::warn!(url, status = %answer.status(), "not taken, trying again"),
            Err(error) => tracing::warn!(url, %error, "not delivered, trying again"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
    bail!("{url} took nothing for a quarter of a minute: is weft still running there?")
}
