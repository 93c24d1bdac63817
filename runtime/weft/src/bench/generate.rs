//! Telemetry to measure with: the same bytes on every run, in the shapes real senders have.
//!
//! - samples: Prometheus remote write 1.0 as a scraper of node exporters sends it: 10,000 series of
//!   8 to 10 labels, one sample each every 15 s, 2,000 series a request; three in four are counters
//!   that grow by whole numbers.
//! - logs: OTLP, 1,000 records a request; JSON access lines of about 300 bytes of a few services.
//! - spans: OTLP, traces of 8 spans, 128 traces a request; attributes of HTTP and database calls.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// 2026-01-01, ms. Fixed, so that every run stores the same bytes.
pub(super) const START_MS: i64 = 1_767_225_600_000;
/// Time between two samples of a series, ms.
pub(super) const SCRAPE_MS: i64 = 15_000;
const SERIES: usize = 10_000;
const SERIES_PER_REQUEST: usize = 2_000;

/// One encoded message and what it holds.
pub(super) struct Encoded {
    pub(super) body: Vec<u8>,
    pub(super) rows: u64,
}

/// prometheus.WriteRequest, as much as is sent here.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Remote-write requests of `scrapes` scrapes of all series.
#[allow(clippy::cast_precision_loss, reason = "values are made up")]
pub(super) fn samples(scrapes: usize) -> impl Iterator<Item = Encoded> {
    let mut random = StdRng::seed_from_u64(1);
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let mut series: Vec<TimeSeries> = (0..SERIES)
        .map(|number| {
            let (host, metric) = (number / 100, number % 100);
            let mut labels = vec![
                label("__name__", format!("node_metric_{metric:02}_total")),
                label("cloud_provider", ["aws", "azure", "gcp"][host % 3].to_owned()),
                label("cluster", format!("prod-{}", host % 4)),
                label("cpu", (number % 16).to_string()),
                label("instance", format!("10.0.{}.{}:9100", host / 256, host % 256)),
                label("job", "node".to_owned()),
                label("mode", ["idle", "user", "system", "iowait"][number % 4].to_owned()),
                label("region", ["eu-west-1", "us-east-1"][host % 2].to_owned()),
            ];
            if number % 5 == 0 {
                labels.push(label("rack", format!("r{}", host % 20)));
            }
            TimeSeries { labels, samples: vec![Sample { value: 0.0, timestamp: 0 }] }
        })
        .collect();
    (0..scrapes).flat_map(move |scrape| {
        for (number, one) in series.iter_mut().enumerate() {
            let sample = &mut one.samples[0];
            // A scraper is never quite on time.
            sample.timestamp = START_MS + scrape as i64 * SCRAPE_MS + random.random_range(0..200);
            sample.value = if number % 4 == 0 {
                random.random_range(0.0..100.0)
            } else {
                sample.value + f64::from(random.random_range(0..200u32))
            };
        }
        series
            .chunks(SERIES_PER_REQUEST)
            .map(|chunk| {
                let request = WriteRequest { timeseries: chunk.to_vec() };
                Encoded { body: request.encode_to_vec(), rows: chunk.len() as u64 }
            })
            .collect::<Vec<_>>()
    })
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    any(key, any_value::Value::StringValue(value.into()))
}

fn any(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn resource(service: &str, pod: u32) -> Option<Resource> {
    let attributes = vec![
        text("service.name", service),
        text("service.instance.id", format!("{service}-{pod}")),
        text("service.version", "2.3.1"),
        text("deployment.environment.name", "production"),
        text("k8s.namespace.name", "shop"),
        text("k8s.pod.name", format!("{service}-7d9f8b6c5-{pod:05}")),
        text("host.name", format!("node-{:02}", pod % 16)),
        text("cloud.provider", "aws"),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

const SERVICES: [&str; 6] = ["frontend", "cart", "checkout", "payment", "shipping", "catalog"];
const ROUTES: [&str; 6] =
    ["/api/products", "/api/cart", "/api/checkout", "/api/recommendations", "/api/currency", "/api/ads"];

fn time_ns(number: u64) -> u64 {
    u64::try_from(START_MS).unwrap_or(0) * 1_000_000 + number * 50_000
}

/// OTLP log requests holding `records` records.
pub(super) fn logs(records: usize) -> impl Iterator<Item = Encoded> {
    const PER_REQUEST: usize = 1_000;
    let mut random = StdRng::seed_from_u64(2);
    (0..records.div_ceil(PER_REQUEST)).map(move |request| {
        let service = SERVICES[request % SERVICES.len()];
        let log_records: Vec<LogRecord> = (0..PER_REQUEST)
            .map(|record| {
                let number = (request * PER_REQUEST + record) as u64;
                let status = if random.random_bool(0.02) { 500 } else { 200 };
                let trace_id: u128 = random.random();
                let body = format!(
                    "{{\"ts\":\"2026-01-01T00:{:02}:{:02}.{:03}Z\",\"level\":\"{}\",\"msg\":\"request completed\",\"method\":\"GET\",\"path\":\"{}/{}\",\"status\":{status},\"duration_ms\":{},\"bytes\":{},\"client\":\"10.{}.{}.{}\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"}}",
                    number / 60_000 % 60,
                    number / 1_000 % 60,
                    number % 1_000,
                    if status == 500 { "error" } else { "info" },
                    ROUTES[random.random_range(0..ROUTES.len())],
                    random.random_range(0..100_000),
                    random.random_range(1..2_000),
                    random.random_range(100..50_000),
                    random.random_range(0..4),
                    random.random_range(0..256),
                    random.random_range(0..256),
                );
                LogRecord {
                    time_unix_nano: time_ns(number),
                    observed_time_unix_nano: time_ns(number) + 1_000,
                    severity_number: if status == 500 { 17 } else { 9 },
                    severity_text: if status == 500 { "ERROR" } else { "INFO" }.to_owned(),
                    body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
                    attributes: vec![text("log.iostream", "stdout"), text("logtag", "F")],
                    trace_id: trace_id.to_be_bytes().to_vec(),
                    span_id: random.random::<u64>().to_be_bytes().to_vec(),
                    flags: 1,
                    ..LogRecord::default()
                }
            })
            .collect();
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource(service, random.random_range(0..40)),
                scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            }],
        };
        Encoded { body: request.encode_to_vec(), rows: PER_REQUEST as u64 }
    })
}

/// OTLP trace requests holding about `spans` spans.
pub(super) fn spans(spans: usize) -> impl Iterator<Item = Encoded> {
    const TRACES: usize = 128;
    const PER_TRACE: usize = 8;
    let mut random = StdRng::seed_from_u64(3);
    (0..spans.div_ceil(TRACES * PER_TRACE)).map(move |request| {
        let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
        for trace in 0..TRACES {
            let trace_id: u128 = random.random();
            let start = time_ns(((request * TRACES + trace) * 20) as u64);
            let mut parent: Option<u64> = None;
            for depth in 0..PER_TRACE {
                let span_id: u64 = random.random_range(1..u64::MAX);
                let at = depth / 2 % SERVICES.len();
                let client = depth % 2 == 1;
                let route = ROUTES[random.random_range(0..ROUTES.len())];
                let failed = random.random_bool(0.01);
                let status: i64 = if failed { 500 } else { 200 };
                let mut attributes = vec![
                    text("http.request.method", "GET"),
                    text("http.route", route),
                    any("http.response.status_code", any_value::Value::IntValue(status)),
                    text("url.scheme", "http"),
                    text("network.protocol.version", "1.1"),
                ];
                if client {
                    attributes.push(text("server.address", SERVICES[(at + 1) % SERVICES.len()]));
                    attributes.push(any("server.port", any_value::Value::IntValue(8080)));
                } else {
                    attributes.push(text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"));
                    attributes.push(text("client.address", format!("10.0.0.{}", random.random_range(0..256))));
                }
                by_service[at].push(Span {
                    trace_id: trace_id.to_be_bytes().to_vec(),
                    span_id: span_id.to_be_bytes().to_vec(),
                    parent_span_id: parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
                    name: format!("GET {route}"),
                    kind: if client { 3 } else { 2 },
                    start_time_unix_nano: start + depth as u64 * 200_000,
                    end_time_unix_nano: start + depth as u64 * 200_000 + random.random_range(100_000..50_000_000),
                    attributes,
                    status: failed.then(|| Status { code: 2, message: "internal error".to_owned() }),
                    flags: 1,
                    ..Span::default()
                });
                parent = Some(span_id);
            }
        }
        let scope = || {
            Some(InstrumentationScope {
                name: "io.opentelemetry.http".to_owned(),
                version: "2.1.0".to_owned(),
                ..InstrumentationScope::default()
            })
        };
        let resource_spans = by_service
            .into_iter()
            .enumerate()
            .filter(|(_, spans)| !spans.is_empty())
            .map(|(at, spans)| ResourceSpans {
                resource: resource(SERVICES[at], random.random_range(0..40)),
                scope_spans: vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            })
            .collect();
        Encoded {
            body: ExportTraceServiceRequest { resource_spans }.encode_to_vec(),
            rows: (TRACES * PER_TRACE) as u64,
        }
    })
}
