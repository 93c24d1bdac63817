//! OTLP metrics from the wire into Prometheus series.
//!
//! A data point becomes one row, a classic histogram or summary one row per series it stands for.
//! Delta temporality is kept in its column. Source: Prometheus, storage/remote/otlptranslator;
//! opentelemetry-proto, metrics/v1/metrics.proto.

mod points;

use super::label_set::{LabelSet, Rank};
use super::{Context, no_room};
use crate::MetricsConfig;
use crate::attributes::{Value, key_value, write_text};
use crate::columns::metrics::{Family, Instant, MetricColumns, kind};
use crate::prometheus_names::{NameKind, metric_name, unit_name};
use crate::remote_write::Outcome;
use crate::wire::{Reader, Result};
use points::Points;

pub(crate) use points::{SPAN_ID, TRACE_ID, scale_fits};

/// At most this many samples of `target_info` per resource and message.
const MAX_TARGET_SAMPLES: i64 = 1000;

/// Attributes that make up job and instance.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

const DELTA: i32 = 1;

/// Why a metric is refused.
pub(crate) const NO_NAME: &str = "a metric has no name";
/// Why an exponential histogram is refused.
pub(crate) const COARSE_SCALE: &str = "the scale of an exponential histogram is below -4";

/// Reads `MetricsData`.
pub(crate) fn decode(
    body: &[u8],
    columns: &mut MetricColumns,
    context: &mut Context,
    config: &MetricsConfig,
) -> Result<Outcome> {
    let mut decoder =
        Metrics { config, labels: LabelSet::default(), points: Points::default(), outcome: Outcome::default() };
    let mut targets = Vec::new();
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => decoder.resource(reader.message(wire)?, columns, context, &mut targets)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(decoder.outcome)
}

/// Rows of `target_info` written for a message: which rows, so that equal ones are written once.
type Targets = Vec<usize>;

struct Metrics<'a, 'c> {
    config: &'c MetricsConfig,
    labels: LabelSet,
    points: Points<'a>,
    outcome: Outcome,
}

/// Earliest and latest time of a resource's points, ns; `None` while there is none.
type Span = Option<(i64, i64)>;

impl<'a> Metrics<'a, '_> {
    fn escapes(&self) -> bool {
        self.config.translation_strategy.escapes()
    }

    fn resource(
        &mut self,
        reader: Reader<'a>,
        columns: &mut MetricColumns,
        context: &mut Context,
        targets: &mut Targets,
    ) -> Result<()> {
        let mut attributes: Vec<(&str, Value<'_>)> = Vec::new();
        let mut fields = reader;
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => read_attributes(fields.message(wire)?, 1, &mut attributes)?,
                3 => drop(fields.text(wire)?),
                _ => fields.skip(number, wire)?,
            }
        }
        self.labels.cut_common(0);
        self.promote(&attributes, context)?;
        let promoted = self.labels.common_len();
        self.identify(&attributes, context)?;
        let common = self.labels.common_len();
        let mut times = None;
        let mut fields = reader;
        while let Some((number, wire)) = fields.field()? {
            match number {
                2 => {
                    self.scope(fields.message(wire)?, columns, context, &mut times)?;
                    self.labels.cut_common(common);
                }
                _ => fields.skip(number, wire)?,
            }
        }
        if let Some(times) = times {
            // target_info has job and instance, but no promoted labels.
            if promoted > 0 {
                self.labels.cut_common(0);
                self.identify(&attributes, context)?;
            }
            self.target_info(attributes, times, columns, context, targets, reader.at())?;
        }
        Ok(())
    }

    /// Resource attributes that become labels.
    fn promote(&mut self, attributes: &[(&str, Value<'_>)], context: &Context) -> Result<()> {
        let config = self.config;
        for &(key, value) in attributes {
            let listed = |names: &[String]| names.iter().any(|name| name == key);
            let promoted = if config.promote_all_resource_attributes {
                !listed(&config.ignore_resource_attributes)
            } else {
                listed(&config.promote_resource_attributes)
            };
            if promoted {
                self.labels.common_attribute(
                    "",
                    key,
                    value,
                    Rank::Promoted,
                    config.translation_strategy.escapes(),
                    context.limit,
                )?;
            }
        }
        Ok(())
    }

    /// The labels job and instance.
    fn identify(&mut self, attributes: &[(&str, Value<'_>)], context: &Context) -> Result<()> {
        let text = |key: &str| -> Result<Option<String>> {
            let Some((_, value)) = attributes.iter().rev().find(|(name, _)| *name == key) else { return Ok(None) };
            let mut out = Vec::new();
            write_text(&mut out, *value, context.limit)?;
            Ok(Some(String::from_utf8_lossy(&out).into_owned()))
        };
        if let Some(name) = text("service.name")? {
            let job = match text("service.namespace")? {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name,
            };
            self.labels.common("job", &job, Rank::Fixed);
        }
        if let Some(instance) = text("service.instance.id")? {
            self.labels.common("instance", &instance, Rank::Fixed);
        }
        Ok(())
    }

    fn scope(
        &mut self,
        reader: Reader<'a>,
        columns: &mut MetricColumns,
        context: &mut Context,
        times: &mut Span,
    ) -> Result<()> {
        let (mut name, mut version, mut schema_url) = ("", "", "");
        let mut attributes = Vec::new();
        let mut fields = reader;
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => {
                    let mut scope = fields.message(wire)?;
                    read_attributes(scope, 3, &mut attributes)?;
                    while let Some((number, wire)) = scope.field()? {
                        match number {
                            1 => name = scope.text(wire)?,
                            2 => version = scope.text(wire)?,
                            _ => scope.skip(number, wire)?,
                        }
                    }
                }
                3 => schema_url = fields.text(wire)?,
                _ => fields.skip(number, wire)?,
            }
        }
        if self.config.promote_scope_metadata && !name.is_empty() {
            for (key, value) in attributes {
                self.labels.common_attribute("otel_scope_", key, value, Rank::Fixed, self.escapes(), context.limit)?;
            }
            self.labels.common("otel_scope_name", name, Rank::Fixed);
            self.labels.common("otel_scope_version", version, Rank::Fixed);
            self.labels.common("otel_scope_schema_url", schema_url, Rank::Fixed);
        }
        let mut fields = reader;
        while let Some((number, wire)) = fields.field()? {
            match number {
                2 => self.metric(fields.message(wire)?, columns, context, times)?,
                _ => fields.skip(number, wire)?,
            }
        }
        Ok(())
    }

    fn metric(
        &mut self,
        reader: Reader<'a>,
        columns: &mut MetricColumns,
        context: &mut Context,
        times: &mut Span,
    ) -> Result<()> {
        let (mut name, mut help, mut unit) = ("", "", "");
        let mut data = None;
        let mut fields = reader;
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => name = fields.text(wire)?,
                2 => help = fields.text(wire)?,
                3 => unit = fields.text(wire)?,
                5 | 7 | 9 | 10 | 11 => data = Some((number, fields.message(wire)?)),
                _ => fields.skip(number, wire)?,
            }
        }
        let Some((shape, data)) = data else { return Ok(()) };
        let (mut temporality, mut monotonic, mut count) = (0, false, 0);
        let mut fields = data;
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => {
                    fields.bytes(wire)?;
                    count += 1;
                }
                2 if shape != 5 && shape != 11 => temporality = fields.int32(wire)?,
                3 if shape == 7 => monotonic = fields.varint(wire)? != 0,
                _ => fields.skip(number, wire)?,
            }
        }
        if name.is_empty() {
            for _ in 0..count {
                self.outcome.reject(|| NO_NAME.to_owned());
            }
            return Ok(());
        }
        let (kind, name_kind) = match shape {
            5 => (kind::GAUGE, NameKind::Gauge),
            7 if monotonic => (kind::COUNTER, NameKind::Counter),
            7 => (kind::GAUGE, NameKind::Other),
            11 => (kind::SUMMARY, NameKind::Other),
            _ => (kind::HISTOGRAM, NameKind::Other),
        };
        let name = metric_name(self.config.translation_strategy, name, unit, name_kind);
        let common = self.labels.common_len();
        if self.config.type_and_unit_labels {
            self.labels.common("__type__", type_name(kind), Rank::Fixed);
            self.labels.common("__unit__", &unit_name(unit, self.escapes()), Rank::Fixed);
        }
        let family = Family { kind, temporality, unit, help };
        let mut fields = data;
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => self.point(shape, fields.message(wire)?, &name, &family, columns, context, times)?,
                _ => fields.skip(number, wire)?,
            }
        }
        self.labels.cut_common(common);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a point belongs to a metric, a resource and a batch")]
    fn point(
        &mut self,
        shape: u32,
        reader: Reader<'a>,
        name: &str,
        family: &Family<'_>,
        columns: &mut MetricColumns,
        context: &mut Context,
        times: &mut Span,
    ) -> Result<()> {
        let point = points::read(shape, reader, &mut self.points)?;
        let (earliest, latest) = times.unwrap_or((i64::MAX, i64::MIN));
        let time = if point.time == 0 { context.now_ns } else { point.time };
        *times = Some((earliest.min(time), latest.max(time)));
        self.labels.begin();
        let escapes = self.escapes();
        let attributes = &mut self.points.attributes;
        if !attributes.is_sorted_by_key(|(key, _)| *key) {
            attributes.sort_by_key(|(key, _)| *key);
        }
        for &(key, value) in attributes.iter() {
            self.labels.attribute(key, value, escapes, context.limit)?;
        }
        self.labels.finish();
        let instant = Instant { time: time / 1_000_000, start: point.start / 1_000_000 };
        let label_bytes = self.labels.bytes();
        let at = reader.at();
        let points = &mut self.points;
        let mut writer = Writer { labels: &self.labels, name, family, instant, columns, context, at, label_bytes };
        let accepted = match shape {
            9 if self.config.convert_histograms_to_nhcb => writer.custom_histogram(&point, points)?,
            9 => writer.classic_histogram(&point, points)?,
            10 => writer.exponential_histogram(&point, points)?,
            11 => writer.summary(&point, points)?,
            _ => writer.number(&point, points)?,
        };
        if !accepted {
            self.outcome.reject(|| format!("{COARSE_SCALE}: {name}"));
        }
        Ok(())
    }

    /// The series that carries a resource's attributes.
    fn target_info(
        &mut self,
        mut attributes: Vec<(&str, Value<'_>)>,
        (earliest, latest): (i64, i64),
        columns: &mut MetricColumns,
        context: &mut Context,
        targets: &mut Targets,
        at: usize,
    ) -> Result<()> {
        if attributes.iter().all(|(key, _)| IDENTIFYING.contains(key)) {
            return Ok(());
        }
        attributes.sort_by_key(|(key, _)| *key);
        self.labels.begin();
        for (key, value) in attributes {
            if self.config.keep_identifying_resource_attributes || !IDENTIFYING.contains(&key) {
                self.labels.attribute(key, value, self.escapes(), context.limit)?;
            }
        }
        self.labels.finish();
        if !self.labels.contains("job") && !self.labels.contains("instance") {
            return Ok(());
        }
        let interval = self.config.target_info_interval_ms.clamp(1, i64::MAX / 1_000_000) * 1_000_000;
        let steps = (latest.saturating_sub(earliest) / interval).min(MAX_TARGET_SAMPLES);
        let first = if steps == MAX_TARGET_SAMPLES {
            latest.saturating_sub(steps.saturating_mul(interval)).max(0)
        } else {
            earliest
        };
        let mut instants = Vec::new();
        let mut time = first;
        while time < latest && (instants.len() as i64) < MAX_TARGET_SAMPLES {
            instants.push(Instant { time: time / 1_000_000, start: 0 });
            time = time.saturating_add(interval);
        }
        instants.push(Instant { time: latest / 1_000_000, start: 0 });
        instants.dedup();
        if !context.budget.charge(self.labels.bytes() + 16 * instants.len()) {
            return Err(no_room(at));
        }
        self.labels.write(&mut columns.labels, None);
        let row = columns.rows();
        let family = Family { kind: kind::GAUGE, temporality: 0, unit: "", help: "Target metadata" };
        columns.push_floats("target_info", &family, &instants, &vec![1.0; instants.len()]);
        // Several resources of one message may differ in what target_info doesn't show.
        if targets.iter().any(|&other| columns.rows_equal(other, row)) {
            columns.truncate(row);
        } else {
            targets.push(row);
        }
        Ok(())
    }
}

/// Collects the attributes in field `number` of a message.
pub(crate) fn read_attributes<'a>(
    mut reader: Reader<'a>,
    number: u32,
    out: &mut Vec<(&'a str, Value<'a>)>,
) -> Result<()> {
    while let Some((found, wire)) = reader.field()? {
        if found == number {
            out.push(key_value(reader.message(wire)?)?);
        } else {
            reader.skip(found, wire)?;
        }
    }
    Ok(())
}

fn type_name(kind: i32) -> &'static str {
    match kind {
        kind::GAUGE => "gauge",
        kind::COUNTER => "counter",
        kind::HISTOGRAM => "histogram",
        kind::SUMMARY => "summary",
        _ => "",
    }
}

/// Writes the rows of one point.
struct Writer<'w> {
    labels: &'w LabelSet,
    name: &'w str,
    family: &'w Family<'w>,
    instant: Instant,
    columns: &'w mut MetricColumns,
    context: &'w mut Context,
    at: usize,
    label_bytes: usize,
}

#[cfg(test)]
pub(crate) mod tests;
