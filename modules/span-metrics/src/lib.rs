//! `span-metrics`: calls and latency of every service and span name, with Tempo's names, labels and
//! buckets.
//!
//! * `traces_spanmetrics_calls_total`, `traces_spanmetrics_latency_{bucket,sum,count}` (seconds);
//! * labels `service`, `span_name`, `span_kind`, `status_code`, the dimensions asked for, and
//!   `__metrics_gen_instance` = `<topic>-<partition>`, which keeps partitions' counters apart.
//!
//! Spans pass unchanged: put it before any sampler. All of them count, however late they are (Tempo
//! ignores spans that ended more than 30 s ago). Counters are part of the epoch's snapshot, so they go
//! on exactly after a crash. `traces_spanmetrics_size_total` is not derived: the size of a span's
//! protobuf isn't known once it is decoded.
//!
//! Source: grafana/tempo, modules/generator/processor/spanmetrics.

use serde::Deserialize;
use weft_guest::registry::{Instrument, Options, Registry, hash_labels};
use weft_guest::sampling::Sampler;
use weft_guest::snapshot::{Reader, Writer};
use weft_guest::{Batch, Description, Error, LabelColumn, Level, Module, Signal, Source};

const FORMAT: u8 = 1;
const CALLS: usize = 0;
const LATENCY: usize = 1;

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUSES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const STATUS_ERROR: i64 = 2;

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    dimensions: Vec<String>,
    status_message: bool,
    span_name: bool,
    latency: bool,
    latency_buckets: Vec<f64>,
    interval_ms: i64,
    repeat_ms: i64,
    stale_ms: i64,
    max_active_series: usize,
    exemplars: ExemplarConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dimensions: Vec::new(),
            status_message: false,
            span_name: true,
            latency: true,
            latency_buckets: (0..14).map(|power| 0.002 * f64::from(1 << power)).collect(),
            interval_ms: 1000,
            repeat_ms: 60_000,
            stale_ms: 15 * 60_000,
            max_active_series: 200_000,
            exemplars: ExemplarConfig::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExemplarConfig {
    enabled: bool,
    percentage: f64,
    hash_seed: u32,
    errors_or_slower_than_ms: Option<i64>,
}

impl Default for ExemplarConfig {
    fn default() -> Self {
        Self { enabled: true, percentage: 100.0, hash_seed: 0, errors_or_slower_than_ms: None }
    }
}

/// See the crate.
#[derive(Debug)]
pub struct SpanMetrics {
    registry: Registry,
    /// Paths of each dimension, resource first.
    dimensions: Vec<[String; 2]>,
    status_message: bool,
    span_name: bool,
    latency: bool,
    exemplars: bool,
    sampler: Sampler,
    errors_or_slower_than_ns: Option<i64>,
}

/// A label's name from an attribute's: Prometheus's characters, and apart from the default labels.
fn label_name(attribute: &str, reserved: &[String]) -> String {
    let mut name: String =
        attribute.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    if reserved.contains(&name) { format!("__{name}") } else { name }
}

impl SpanMetrics {
    fn columns(&self, batch: &Batch) -> Result<Vec<LabelColumn>, Error> {
        let mut columns = vec![LabelColumn::from_dictionary(&batch.dictionary("resource.service.name")?)];
        if self.span_name {
            columns.push(LabelColumn::from_dictionary(&batch.dictionary("name")?));
        }
        columns.push(LabelColumn::from_names(&batch.ints("kind")?, &KINDS));
        columns.push(LabelColumn::from_names(&batch.ints("status_code")?, &STATUSES));
        if self.status_message {
            columns.push(LabelColumn::from_dictionary(&batch.dictionary("status_message")?));
        }
        if !self.dimensions.is_empty() {
            // A key that no row has costs nothing more.
            let (resource, span) = (batch.keys("resource")?, batch.keys("attributes")?);
            for [in_resource, in_span] in &self.dimensions {
                let known = |keys: &[String], path: &str, map: &str| {
                    path.strip_prefix(map).is_some_and(|key| keys.iter().any(|known| known == key))
                };
                let mut paths = Vec::with_capacity(2);
                if known(&resource, in_resource, "resource.") {
                    paths.push(in_resource.as_str());
                }
                if known(&span, in_span, "span.") {
                    paths.push(in_span.as_str());
                }
                columns.push(LabelColumn::from_attribute(batch, &paths)?);
            }
        }
        Ok(columns)
    }

    fn is_exemplar(&self, trace_id: &[u8; 16], duration: i64, status: i64) -> bool {
        let sure = |limit: i64| status == STATUS_ERROR || duration > limit;
        self.exemplars && self.errors_or_slower_than_ns.is_none_or(sure) && self.sampler.keeps(trace_id)
    }
}

impl Module for SpanMetrics {
    type Config = Config;

    fn describe() -> Description {
        Description::new("span-metrics", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans])
            .emits([Signal::Metrics])
            .reads(["name", "kind", "status_code", "status_message", "duration", "trace_id", "resource.*", "span.*"])
            .schema(include_str!("../schema.json"))
            .stateful()
    }

    fn configure(config: Config, source: Source) -> Result<Self, Error> {
        let positive = [
            ("interval_ms", config.interval_ms),
            ("repeat_ms", config.repeat_ms),
            ("stale_ms", config.stale_ms),
            ("max_active_series", config.max_active_series as i64),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value < 1) {
            return Err(Error::config(field, "must be at least 1"));
        }
        let buckets = &config.latency_buckets;
        if buckets.iter().any(|bound| !bound.is_finite()) || !buckets.is_sorted_by(|a, b| a < b) {
            return Err(Error::config("latency_buckets", "must be finite and ascend"));
        }
        let mut labels: Vec<String> = vec!["service".into()];
        if config.span_name {
            labels.push("span_name".into());
        }
        labels.extend(["span_kind".into(), "status_code".into()]);
        if config.status_message {
            labels.push("status_message".into());
        }
        let mut dimensions = Vec::new();
        let reserved = [labels.as_slice(), &["le".into(), "metric_overflow".into()]].concat();
        for (index, attribute) in config.dimensions.iter().enumerate() {
            if attribute.is_empty() {
                return Err(Error::config(format!("dimensions.{index}"), "an attribute needs a name"));
            }
            let label = label_name(attribute, &reserved);
            if labels.contains(&label) {
                return Err(Error::config(format!("dimensions.{index}"), format!("the label {label} is there twice")));
            }
            labels.push(label);
            dimensions.push([format!("resource.{attribute}"), format!("span.{attribute}")]);
        }
        let mut instruments = vec![Instrument::counter("traces_spanmetrics_calls_total", "Total count of the spans")];
        if config.latency {
            let help = "Latency of the spans in seconds";
            instruments.push(Instrument::histogram("traces_spanmetrics_latency", help, buckets));
        }
        let options = Options {
            interval_ms: config.interval_ms,
            repeat_ms: config.repeat_ms,
            stale_ms: config.stale_ms,
            max_series: config.max_active_series,
            constant_labels: vec![("__metrics_gen_instance".into(), format!("{}-{}", source.topic, source.partition))],
        };
        Ok(Self {
            registry: Registry::new(options, labels, instruments),
            dimensions,
            status_message: config.status_message,
            span_name: config.span_name,
            latency: config.latency,
            exemplars: config.exemplars.enabled,
            sampler: Sampler::new(config.exemplars.percentage, config.exemplars.hash_seed),
            errors_or_slower_than_ns: config.exemplars.errors_or_slower_than_ms.map(|ms| ms.saturating_mul(1_000_000)),
        })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        // Everything is read before anything is counted: a batch counts whole or, when it goes to the
        // dead letters, not at all.
        let now_ms = (now / 1_000_000) as i64;
        let columns = self.columns(batch)?;
        let durations = batch.ints("duration")?;
        let statuses = batch.ints("status_code")?;
        let trace_ids = batch.blobs("trace_id")?;
        let mut over_limit = 0;
        let mut values: Vec<&[u8]> = vec![&[]; columns.len()];
        for row in 0..batch.rows() {
            for (value, column) in values.iter_mut().zip(&columns) {
                *value = column.value(row);
            }
            let hash = hash_labels(columns.iter().map(|column| column.hash(row)));
            let (entry, within) = self.registry.entry(hash, &values);
            over_limit += u64::from(!within);
            self.registry.add(entry, CALLS, 1, now_ms);
            if self.latency {
                let duration = durations.get(row).unwrap_or_default();
                let trace_id = trace_ids
                    .id(row)
                    .filter(|id| self.is_exemplar(id, duration, statuses.get(row).unwrap_or_default()));
                self.registry.observe(entry, LATENCY, duration as f64 / 1e9, trace_id, now_ms);
            }
        }
        weft_guest::count("spans", batch.rows() as u64);
        if over_limit > 0 {
            weft_guest::count("spans_over_series_limit", over_limit);
        }
        Ok(())
    }

    fn tick(&mut self, now: u64) -> Result<(), Error> {
        self.registry.emit((now / 1_000_000) as i64)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new(FORMAT);
        self.registry.snapshot(&mut out);
        out.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut from = Reader::new(state, FORMAT)?;
        if self.registry.restore(&mut from)? {
            return from.end();
        }
        weft_guest::log(Level::Warn, "labels or buckets have changed: span metrics begin anew");
        Ok(())
    }
}

weft_guest::export!(SpanMetrics);

#[cfg(test)]
mod tests;
