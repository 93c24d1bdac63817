//! Native histograms of remote write: both protocols have the same message.
//!
//! Counts become absolute; schemas above 8 are reduced to 8; the checks are those of Prometheus's
//! `Histogram.Validate` and `FloatHistogram.Validate`.

use super::DOUBLE;
use crate::columns::metrics::{Buckets, Histogram, Instant};
use crate::wire::{Reader, Result, VARINT};

const CUSTOM_SCHEMA: i32 = -53;
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;
/// Schemas up to this are reserved for finer exponential buckets, and reduced.
const MAX_RESERVED_SCHEMA: i32 = 52;

/// Reads histograms and keeps those of the series at hand.
#[derive(Debug, Default)]
pub(crate) struct HistogramReader {
    current: Histogram,
    /// Integer counts, before conversion: they are checked exactly.
    count: u64,
    zero_count: u64,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
    /// A span so long that it doesn't fit, or a count given as a float beside one as an integer.
    broken: Option<&'static str>,
    kept: Vec<Histogram>,
}

impl HistogramReader {
    /// Drops the histograms kept.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Keeps the histogram just read.
    pub(crate) fn keep(&mut self) {
        self.kept.push(self.current.clone());
    }

    /// Hands over the histograms kept.
    pub(crate) fn take(&mut self, mut each: impl FnMut(&Histogram)) {
        for histogram in self.kept.drain(..) {
            each(&histogram);
        }
    }

    /// Reads a `Histogram` message.
    pub(crate) fn read(&mut self, mut reader: Reader<'_>) -> Result<Instant> {
        let Self { current, count, zero_count, positive_deltas, negative_deltas, broken, .. } = self;
        *current = Histogram::default();
        (*count, *zero_count, *broken) = (0, 0, None);
        positive_deltas.clear();
        negative_deltas.clear();
        let mut instant = Instant::default();
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => {
                    *count = reader.varint(wire)?;
                    current.is_float = false;
                }
                2 => {
                    current.count = reader.double(wire)?;
                    current.is_float = true;
                }
                3 => current.sum = reader.double(wire)?,
                4 => current.schema = reader.sint32(wire)?,
                5 => current.zero_threshold = reader.double(wire)?,
                6 => *zero_count = reader.varint(wire)?,
                7 => current.zero_count = reader.double(wire)?,
                8 => span(reader.message(wire)?, &mut current.negative, broken)?,
                9 => reader.repeated(wire, VARINT, |reader, wire| {
                    negative_deltas.push(reader.sint64(wire)?);
                    Ok(())
                })?,
                10 => reader.repeated(wire, DOUBLE, |reader, wire| {
                    current.negative.counts.push(reader.double(wire)?);
                    Ok(())
                })?,
                11 => span(reader.message(wire)?, &mut current.positive, broken)?,
                12 => reader.repeated(wire, VARINT, |reader, wire| {
                    positive_deltas.push(reader.sint64(wire)?);
                    Ok(())
                })?,
                13 => reader.repeated(wire, DOUBLE, |reader, wire| {
                    current.positive.counts.push(reader.double(wire)?);
                    Ok(())
                })?,
                14 => current.reset_hint = reader.int32(wire)?,
                15 => instant.time = reader.int64(wire)?,
                16 => reader.repeated(wire, DOUBLE, |reader, wire| {
                    current.custom_values.push(reader.double(wire)?);
                    Ok(())
                })?,
                17 => instant.start = reader.int64(wire)?,
                _ => reader.skip(number, wire)?,
            }
        }
        Ok(instant)
    }

    /// Checks the histogram just read and makes its counts absolute; a reason when it is invalid.
    pub(crate) fn check(&mut self) -> std::result::Result<(), String> {
        if let Some(broken) = self.broken {
            return Err(broken.to_owned());
        }
        if !(0..=3).contains(&self.current.reset_hint) {
            self.current.reset_hint = 0;
        }
        if !self.current.is_float {
            self.absolute_counts()?;
        }
        let histogram = &mut self.current;
        match histogram.schema {
            CUSTOM_SCHEMA => check_custom(histogram)?,
            MIN_SCHEMA..=MAX_RESERVED_SCHEMA => {
                if !histogram.custom_values.is_empty() {
                    return Err("custom bounds with an exponential schema".to_owned());
                }
                check_spans(&histogram.positive)?;
                check_spans(&histogram.negative)?;
            }
            other => return Err(format!("schema {other} is neither -53 nor from -4 to 52")),
        }
        if histogram.is_float {
            let mut counts = histogram.positive.counts.iter().chain(&histogram.negative.counts);
            let negative = counts.any(|&count| count < 0.0);
            if negative || histogram.count < 0.0 || histogram.zero_count < 0.0 {
                return Err("a count is negative".to_owned());
            }
        }
        if histogram.schema > MAX_SCHEMA {
            let by = (histogram.schema - MAX_SCHEMA) as u32;
            reduce(&mut histogram.positive, by)?;
            reduce(&mut histogram.negative, by)?;
            histogram.schema = MAX_SCHEMA;
        }
        Ok(())
    }

    /// Sums the deltas of an integer histogram, and checks the total.
    fn absolute_counts(&mut self) -> std::result::Result<(), String> {
        let histogram = &mut self.current;
        let positive = absolute(&self.positive_deltas, &mut histogram.positive.counts)?;
        let negative = absolute(&self.negative_deltas, &mut histogram.negative.counts)?;
        let in_buckets = u128::from(positive) + u128::from(negative) + u128::from(self.zero_count);
        let count = u128::from(self.count);
        // A stale histogram's count says nothing; NaN observations are counted in no bucket.
        let good = if histogram.sum.is_nan() { in_buckets <= count } else { in_buckets == count };
        if !good && histogram.sum.to_bits() != crate::columns::metrics::STALE.to_bits() {
            return Err(format!("{in_buckets} observations in buckets, but the count is {count}"));
        }
        histogram.count = self.count as f64;
        histogram.zero_count = self.zero_count as f64;
        Ok(())
    }
}

fn span(mut reader: Reader<'_>, buckets: &mut Buckets, broken: &mut Option<&'static str>) -> Result<()> {
    let (mut offset, mut length) = (0, 0);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => offset = reader.sint32(wire)?,
            2 => length = reader.varint(wire)? as u32,
            _ => reader.skip(number, wire)?,
        }
    }
    match i32::try_from(length) {
        Ok(length) => buckets.span(offset, length),
        Err(_) => *broken = Some("a span is too long"),
    }
    Ok(())
}

fn absolute(deltas: &[i64], counts: &mut Vec<f64>) -> std::result::Result<u64, String> {
    counts.clear();
    let (mut count, mut total) = (0_i64, 0_u64);
    for &delta in deltas {
        let next = count.checked_add(delta).filter(|&next| next >= 0);
        let sum = next.and_then(|next| total.checked_add(next as u64));
        let (Some(next), Some(sum)) = (next, sum) else { return Err("a bucket's count is negative".to_owned()) };
        (count, total) = (next, sum);
        counts.push(count as f64);
    }
    Ok(total)
}

fn check_spans(buckets: &Buckets) -> std::result::Result<(), String> {
    if buckets.offsets.iter().skip(1).any(|&offset| offset < 0) {
        return Err("a span other than the first has a negative offset".to_owned());
    }
    check_lengths(buckets)?;
    let mut last = 0_i64;
    for (&offset, &length) in buckets.offsets.iter().zip(&buckets.lengths) {
        last += i64::from(offset) + i64::from(length);
    }
    if i32::try_from(last).is_err() {
        return Err("a bucket's index is too large".to_owned());
    }
    Ok(())
}

fn check_lengths(buckets: &Buckets) -> std::result::Result<(), String> {
    let needed: i64 = buckets.lengths.iter().map(|&length| i64::from(length)).sum();
    if needed != buckets.counts.len() as i64 {
        return Err(format!("spans need {needed} buckets, but there are {}", buckets.counts.len()));
    }
    Ok(())
}

fn check_custom(histogram: &Histogram) -> std::result::Result<(), String> {
    let bounds = &histogram.custom_values;
    if !bounds.is_sorted_by(|left, right| left < right) || bounds.first().is_some_and(|bound| bound.is_nan()) {
        return Err("custom bounds don't ascend".to_owned());
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err("the last custom bound is +Inf, which is implied".to_owned());
    }
    if histogram.positive.offsets.iter().any(|&offset| offset < 0) {
        return Err("a span of custom buckets has a negative offset".to_owned());
    }
    check_lengths(&histogram.positive)?;
    let spans = histogram.positive.offsets.iter().zip(&histogram.positive.lengths);
    let covered: i64 = spans.map(|(&offset, &length)| i64::from(offset) + i64::from(length)).sum();
    if covered > bounds.len() as i64 + 1 {
        return Err(format!("spans cover {covered} buckets, but {} bounds make fewer", bounds.len()));
    }
    let no_negative = histogram.negative.offsets.is_empty() && histogram.negative.counts.is_empty();
    if histogram.zero_count != 0.0 || histogram.zero_threshold != 0.0 || !no_negative {
        return Err("custom buckets have neither a zero bucket nor negative ones".to_owned());
    }
    Ok(())
}

/// Merges `2^by` neighbouring buckets into one. Bucket `i` covers `(base^(i-1), base^i]`.
fn reduce(buckets: &mut Buckets, by: u32) -> std::result::Result<(), String> {
    let mut reduced = Buckets::default();
    let mut counts = buckets.counts.iter();
    let mut index = 0_i64;
    let mut last: Option<i64> = None;
    for (&offset, &length) in buckets.offsets.iter().zip(&buckets.lengths) {
        index += i64::from(offset);
        for _ in 0..length {
            let Some(&count) = counts.next() else { return Err("spans need more buckets than there are".to_owned()) };
            let target = ((index - 1) >> by) + 1;
            match (last, reduced.lengths.last_mut(), reduced.counts.last_mut()) {
                (Some(last), _, Some(merged)) if last == target => *merged += count,
                (Some(last), Some(length), _) if last + 1 == target => {
                    *length += 1;
                    reduced.counts.push(count);
                }
                _ => {
                    let gap = last.map_or(target, |last| target - last - 1);
                    reduced.span(gap as i32, 1);
                    reduced.counts.push(count);
                }
            }
            last = Some(target);
            index += 1;
        }
    }
    *buckets = reduced;
    Ok(())
}
