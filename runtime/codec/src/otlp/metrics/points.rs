//! Data points of OTLP metrics: reading them, and writing the rows of each kind.

use super::super::{is_zero, no_room, optional_id};
use super::Writer;
use crate::attributes::{Value, key_value, write_text};
use crate::columns::metrics::{Buckets, Histogram, STALE};
use crate::wire::{FIXED64, Reader, Result, VARINT};

pub(crate) const TRACE_ID: &str = "an exemplar's trace id must be 16 bytes or absent";
pub(crate) const SPAN_ID: &str = "an exemplar's span id must be 8 bytes or absent";

/// The flag that says a point has no value: the series has ended.
const NO_RECORDED_VALUE: u64 = 1;

/// Labels of an exemplar may be this long together, in characters (OpenMetrics).
const MAX_EXEMPLAR_CHARACTERS: usize = 128;

/// Schemas of native histograms.
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;
const CUSTOM_SCHEMA: i32 = -53;

/// The width of the zero bucket where the sender gives none.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;

/// Empty buckets between two others that are cheaper written than skipped.
const MAX_FILLED_GAP: i64 = 2;

const RESET_UNKNOWN: i32 = 0;
const RESET_GAUGE: i32 = 3;

/// What a point of any shape has once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Point {
    /// ns since the Unix epoch.
    pub(crate) time: i64,
    /// ns since the Unix epoch, 0 unknown.
    pub(crate) start: i64,
    value: f64,
    count: u64,
    sum: Option<f64>,
    flags: u64,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive_offset: i32,
    negative_offset: i32,
}

impl Point {
    /// A value, or the stale marker where the point has none.
    fn or_stale(&self, value: f64) -> f64 {
        if self.flags & NO_RECORDED_VALUE != 0 { STALE } else { value }
    }
}

/// What a point has many of. Kept from point to point for its memory.
#[derive(Debug, Default)]
pub(crate) struct Points<'a> {
    pub(crate) attributes: Vec<(&'a str, Value<'a>)>,
    counts: Vec<u64>,
    negative_counts: Vec<u64>,
    bounds: Vec<f64>,
    quantiles: Vec<(f64, f64)>,
    exemplars: Vec<Exemplar<'a>>,
    histogram: Histogram,
    text: Vec<u8>,
}

impl Points<'_> {
    fn clear(&mut self) {
        self.attributes.clear();
        self.counts.clear();
        self.negative_counts.clear();
        self.bounds.clear();
        self.quantiles.clear();
        self.exemplars.clear();
    }
}

#[derive(Debug, Clone)]
struct Exemplar<'a> {
    time: i64,
    value: f64,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    /// Its message, for the attributes.
    message: Reader<'a>,
}

/// Reads a point. `shape` is the field number of the metric's data.
pub(crate) fn read<'a>(shape: u32, mut reader: Reader<'a>, points: &mut Points<'a>) -> Result<Point> {
    points.clear();
    let mut point = Point::default();
    while let Some((number, wire)) = reader.field()? {
        match (number, shape) {
            (2, _) => point.start = reader.time(wire)?,
            (3, _) => point.time = reader.time(wire)?,
            // Numbers of gauges and sums.
            (4, 5 | 7) => point.value = reader.double(wire)?,
            (6, 5 | 7) => point.value = reader.fixed64(wire)? as i64 as f64,
            (5, 5 | 7) | (8, 9) | (11, 10) => exemplar(reader.message(wire)?, points)?,
            (7, 5 | 7 | 11) | (9, 9) | (1, 10) => points.attributes.push(key_value(reader.message(wire)?)?),
            (8, 5 | 7 | 11) | (10, 9 | 10) => point.flags = reader.varint(wire)?,
            // Histograms and summaries.
            (4, _) => point.count = reader.fixed64(wire)?,
            (5, _) => point.sum = Some(reader.double(wire)?),
            (6, 9) => reader.repeated(wire, FIXED64, |reader, wire| {
                points.counts.push(reader.fixed64(wire)?);
                Ok(())
            })?,
            (7, 9) => reader.repeated(wire, FIXED64, |reader, wire| {
                points.bounds.push(reader.double(wire)?);
                Ok(())
            })?,
            (6, 10) => point.scale = reader.sint32(wire)?,
            (7, 10) => point.zero_count = reader.fixed64(wire)?,
            (8, 10) => point.positive_offset = buckets(reader.message(wire)?, &mut points.counts)?,
            (9, 10) => point.negative_offset = buckets(reader.message(wire)?, &mut points.negative_counts)?,
            (14, 10) => point.zero_threshold = reader.double(wire)?,
            (6, 11) => points.quantiles.push(quantile(reader.message(wire)?)?),
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(point)
}

fn buckets(mut reader: Reader<'_>, counts: &mut Vec<u64>) -> Result<i32> {
    let mut offset = 0;
    counts.clear();
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => offset = reader.sint32(wire)?,
            2 => reader.repeated(wire, VARINT, |reader, wire| {
                counts.push(reader.varint(wire)?);
                Ok(())
            })?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(offset)
}

fn quantile(mut reader: Reader<'_>) -> Result<(f64, f64)> {
    let (mut quantile, mut value) = (0.0, 0.0);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => quantile = reader.double(wire)?,
            2 => value = reader.double(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok((quantile, value))
}

/// Reads an exemplar; one without a value is none.
fn exemplar<'a>(message: Reader<'a>, points: &mut Points<'a>) -> Result<()> {
    let mut reader = message;
    let (mut time, mut value) = (0, None);
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    while let Some((number, wire)) = reader.field()? {
        match number {
            2 => time = reader.time(wire)?,
            3 => value = Some(reader.double(wire)?),
            4 => span_id = optional_id(&mut reader, wire, 8, SPAN_ID)?,
            5 => trace_id = optional_id(&mut reader, wire, 16, TRACE_ID)?,
            6 => value = Some(reader.fixed64(wire)? as i64 as f64),
            7 => drop(key_value(reader.message(wire)?)?),
            _ => reader.skip(number, wire)?,
        }
    }
    debug_assert!(trace_id.is_empty() || !is_zero(trace_id));
    if let Some(value) = value {
        points.exemplars.push(Exemplar { time, value, trace_id, span_id, message });
    }
    Ok(())
}

/// Appends an exemplar to the open row of the columns.
fn push_exemplar(exemplar: &Exemplar<'_>, text: &mut Vec<u8>, writer: &mut Writer<'_>) -> Result<()> {
    let mut attributes = Vec::new();
    super::read_attributes(exemplar.message, 7, &mut attributes)?;
    attributes.sort_by_key(|(key, _)| *key);
    let ids = (exemplar.trace_id.len() + exemplar.span_id.len()) * 2
        + if exemplar.trace_id.is_empty() { 0 } else { "trace_id".len() }
        + if exemplar.span_id.is_empty() { 0 } else { "span_id".len() };
    text.clear();
    let mut values = Vec::with_capacity(attributes.len());
    let mut characters = ids;
    for (key, value) in &attributes {
        let start = text.len();
        write_text(text, *value, start.saturating_add(writer.context.limit))?;
        let value = String::from_utf8_lossy(&text[start..]);
        characters += key.chars().count() + value.chars().count();
        values.push(start..text.len());
    }
    let exemplars = &mut writer.columns.exemplars;
    if characters <= MAX_EXEMPLAR_CHARACTERS {
        for ((key, _), value) in attributes.iter().zip(values) {
            exemplars.labels.label_bytes(key.as_bytes(), &text[value]);
        }
    }
    let time = if exemplar.time == 0 { writer.instant.time } else { exemplar.time / 1_000_000 };
    exemplars.end(time, exemplar.value, exemplar.trace_id, exemplar.span_id);
    Ok(())
}

impl Writer<'_> {
    fn charge(&mut self) -> Result<()> {
        let bytes = self.label_bytes + self.name.len() + self.family.help.len() + self.family.unit.len() + 96;
        if self.context.budget.charge(bytes) { Ok(()) } else { Err(no_room(self.at)) }
    }

    /// Closes a row of one sample, with one more label where given.
    fn row(&mut self, suffix: &str, extra: Option<(&str, &str)>, value: f64) -> Result<()> {
        self.charge()?;
        self.labels.write(&mut self.columns.labels, extra);
        if suffix.is_empty() {
            self.columns.push_floats(self.name, self.family, &[self.instant], &[value]);
        } else {
            let name = format!("{}{suffix}", self.name);
            self.columns.push_floats(&name, self.family, &[self.instant], &[value]);
        }
        Ok(())
    }

    /// A point of a gauge or sum.
    pub(crate) fn number(&mut self, point: &Point, points: &mut Points<'_>) -> Result<bool> {
        let Points { exemplars, text, .. } = points;
        for exemplar in exemplars.iter() {
            push_exemplar(exemplar, text, self)?;
        }
        self.row("", None, point.or_stale(point.value))?;
        Ok(true)
    }

    /// `_sum`, `_count` and cumulative `_bucket`s; exemplars lie with their buckets.
    pub(crate) fn classic_histogram(&mut self, point: &Point, points: &mut Points<'_>) -> Result<bool> {
        let Points { exemplars, text, bounds, counts, .. } = points;
        if let Some(sum) = point.sum {
            self.row("_sum", None, point.or_stale(sum))?;
        }
        let count = point.or_stale(point.count as f64);
        self.row("_count", None, count)?;
        exemplars.sort_by(|left, right| left.value.total_cmp(&right.value));
        let mut exemplars = exemplars.iter().peekable();
        let mut cumulative = 0_u64;
        for (&bound, &in_bucket) in bounds.iter().zip(counts.iter()) {
            cumulative = cumulative.saturating_add(in_bucket);
            while let Some(exemplar) = exemplars.next_if(|exemplar| exemplar.value <= bound) {
                push_exemplar(exemplar, text, self)?;
            }
            let le = bound_text(bound);
            self.row("_bucket", Some(("le", &le)), point.or_stale(cumulative as f64))?;
        }
        for exemplar in exemplars {
            push_exemplar(exemplar, text, self)?;
        }
        self.row("_bucket", Some(("le", "+Inf")), count)?;
        Ok(true)
    }

    /// A classic histogram as a native one with custom buckets.
    pub(crate) fn custom_histogram(&mut self, point: &Point, points: &mut Points<'_>) -> Result<bool> {
        let Points { histogram, bounds, counts, .. } = points;
        histogram.schema = CUSTOM_SCHEMA;
        histogram.zero_threshold = 0.0;
        histogram.zero_count = 0.0;
        histogram.negative.clear();
        histogram.custom_values.clone_from(bounds);
        sparse(counts, 0, 0, 0, &mut histogram.positive);
        self.native(point, points)
    }

    /// An exponential histogram as a native one; false when its buckets are coarser than those can be.
    pub(crate) fn exponential_histogram(&mut self, point: &Point, points: &mut Points<'_>) -> Result<bool> {
        if point.scale < MIN_SCHEMA {
            return Ok(false);
        }
        let Points { histogram, counts, negative_counts, .. } = points;
        let down = (point.scale - MAX_SCHEMA).clamp(0, 62) as u32;
        histogram.schema = point.scale.min(MAX_SCHEMA);
        histogram.zero_threshold =
            if point.zero_threshold > 0.0 { point.zero_threshold } else { DEFAULT_ZERO_THRESHOLD };
        histogram.zero_count = point.zero_count as f64;
        histogram.custom_values.clear();
        // OTLP's bucket i covers (base^i, base^(i+1)], Prometheus's (base^(i-1), base^i].
        sparse(counts, i64::from(point.positive_offset), down, 1, &mut histogram.positive);
        sparse(negative_counts, i64::from(point.negative_offset), down, 1, &mut histogram.negative);
        self.native(point, points)
    }

    fn native(&mut self, point: &Point, points: &mut Points<'_>) -> Result<bool> {
        let Points { histogram, exemplars, text, .. } = points;
        histogram.sum = point.or_stale(point.sum.unwrap_or_default());
        histogram.count = point.or_stale(point.count as f64);
        histogram.is_float = false;
        histogram.reset_hint = if self.family.temporality == super::DELTA { RESET_GAUGE } else { RESET_UNKNOWN };
        self.charge()?;
        for exemplar in exemplars.iter() {
            push_exemplar(exemplar, text, self)?;
        }
        self.labels.write(&mut self.columns.labels, None);
        self.columns.push_histogram(histogram);
        self.columns.end_histograms(self.name, self.family, &[self.instant]);
        Ok(true)
    }

    /// `_sum`, `_count` and one series per quantile.
    pub(crate) fn summary(&mut self, point: &Point, points: &Points<'_>) -> Result<bool> {
        self.row("_sum", None, point.or_stale(point.sum.unwrap_or_default()))?;
        self.row("_count", None, point.or_stale(point.count as f64))?;
        for &(quantile, value) in &points.quantiles {
            let quantile = bound_text(quantile);
            self.row("", Some(("quantile", &quantile)), point.or_stale(value))?;
        }
        Ok(true)
    }
}

/// A bound as Prometheus writes it: decimal, never with an exponent.
fn bound_text(bound: f64) -> String {
    if bound == f64::INFINITY {
        "+Inf".to_owned()
    } else if bound == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        format!("{bound}")
    }
}

/// Dense buckets, the first of index `offset`, as spans: `2^down` neighbours merged, indices then
/// moved by `shift`; empty buckets left out, except short gaps.
fn sparse(counts: &[u64], offset: i64, down: u32, shift: i64, out: &mut Buckets) {
    out.clear();
    let mut last: Option<i64> = None;
    for (position, &count) in counts.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let index = ((position as i64 + offset) >> down) + shift;
        match (last, out.lengths.last_mut(), out.counts.last_mut()) {
            (Some(last), _, Some(merged)) if last == index => *merged += count as f64,
            (Some(last), Some(length), _) if index - last - 1 <= MAX_FILLED_GAP => {
                let gap = index - last - 1;
                *length += gap as i32 + 1;
                out.counts.extend(std::iter::repeat_n(0.0, gap as usize));
                out.counts.push(count as f64);
            }
            _ => {
                let gap = last.map_or(index, |last| index - last - 1);
                out.span(i32::try_from(gap).unwrap_or(i32::MAX), 1);
                out.counts.push(count as f64);
            }
        }
        last = Some(index);
    }
}

/// Whether a native histogram's schema exists for an exponential histogram's point.
pub(crate) fn scale_fits(mut reader: Reader<'_>) -> Result<bool> {
    let mut scale = 0;
    while let Some((number, wire)) = reader.field()? {
        match number {
            6 => scale = reader.sint32(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(scale >= MIN_SCHEMA)
}
