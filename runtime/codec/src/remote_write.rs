//! Prometheus remote write, 1.0 and 2.0, from the wire into columns.
//!
//! A row holds what one message says of one series. As in Prometheus a series with an invalid label
//! set is refused while the rest is kept; it is counted in [`Outcome`]. Exemplars that come as a
//! series of their own (Prometheus's queue sends them so) join the row of their series where that is
//! the one before; else they make a row without samples.
//! Sources: prompb/types.proto, prompb/io/prometheus/write/v2/types.proto, storage/remote/write_handler.go.

pub(crate) mod histogram;
mod metadata;

pub(crate) use metadata::MetadataMemory;

use crate::columns::metrics::{Family, Instant, MetricColumns, kind};
use crate::error::shortened;
use crate::otlp::{Context, no_room};
use crate::wire::{FIXED64, Fault, Reader, Result, VARINT};
use histogram::HistogramReader;

/// Largest magnitude of a time: ms that still fit 63 bits as ns.
pub(crate) const MAX_TIME_MS: i64 = i64::MAX / 1_000_000;

const BAD_TIME: &str = "a timestamp is negative or after the year 2262";

/// What a message held and what of it was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) samples: usize,
    pub(crate) histograms: usize,
    pub(crate) exemplars: usize,
    pub(crate) rejected: usize,
    pub(crate) reason: Option<String>,
}

impl Outcome {
    pub(crate) fn reject(&mut self, reason: impl FnOnce() -> String) {
        self.rejected += 1;
        if self.reason.is_none() {
            self.reason = Some(shortened(reason()));
        }
    }
}

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    /// By the HTTP content type, or by the fields the message has where there is none.
    pub(crate) fn of(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Self, String> {
        let Some(content_type) = content_type else { return Ok(Self::guess(body)) };
        let mut parts = content_type.split(';').map(str::trim);
        match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/vnd.google.protobuf" => {}
            "" | "application/octet-stream" => return Ok(Self::guess(body)),
            _ => return Err(content_type.to_owned()),
        }
        let proto = parts.find_map(|part| part.strip_prefix("proto="));
        match proto.map(|proto| proto.trim_matches('"')) {
            None | Some("prometheus.WriteRequest") => Ok(Self::One),
            Some("io.prometheus.write.v2.Request") => Ok(Self::Two),
            Some(_) => Err(content_type.to_owned()),
        }
    }

    /// Version 2 reserves the field numbers of version 1, so the first field tells.
    fn guess(body: &[u8]) -> Self {
        match Reader::new(body).field() {
            Ok(Some((4 | 5, _))) => Self::Two,
            _ => Self::One,
        }
    }
}

/// Buffers that outlive a series.
#[derive(Debug, Default)]
struct Scratch<'a> {
    labels: Vec<(&'a str, &'a str)>,
    exemplar_labels: Vec<(&'a str, &'a str)>,
    instants: Vec<Instant>,
    values: Vec<f64>,
    histogram_instants: Vec<Instant>,
    histogram: HistogramReader,
    /// Messages of the series' exemplars: read once its labels are known to be good.
    exemplars: Vec<Reader<'a>>,
    /// Why a histogram of the series was refused.
    refused: Vec<String>,
}

impl Scratch<'_> {
    fn clear(&mut self) {
        self.labels.clear();
        self.instants.clear();
        self.values.clear();
        self.histogram_instants.clear();
        self.exemplars.clear();
        self.refused.clear();
    }
}

/// Reads a `prometheus.WriteRequest`.
pub(crate) fn decode_v1(
    body: &[u8],
    columns: &mut MetricColumns,
    context: &mut Context,
    memory: &mut MetadataMemory,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            3 => memory.read(reader.message(wire)?)?,
            _ => reader.skip(number, wire)?,
        }
    }
    let mut scratch = Scratch::default();
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => {
                let series = reader.message(wire)?;
                series_v1(series, &mut scratch)?;
                let family = |name: &str| memory.find(name);
                end_series(series.at(), Version::One, &[], family, &mut scratch, columns, context, &mut outcome)?;
            }
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(outcome)
}

fn series_v1<'a>(mut reader: Reader<'a>, scratch: &mut Scratch<'a>) -> Result<()> {
    scratch.clear();
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => scratch.labels.push(label(reader.message(wire)?)?),
            2 => sample(reader.message(wire)?, scratch)?,
            3 => scratch.exemplars.push(reader.message(wire)?),
            4 => scratch.histogram_message(reader.message(wire)?)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

#[inline]
fn label<'a>(mut reader: Reader<'a>) -> Result<(&'a str, &'a str)> {
    let (mut name, mut value) = ("", "");
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => name = reader.text(wire)?,
            2 => value = reader.text(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok((name, value))
}

/// Both versions' samples: version 1 has no start.
#[inline]
fn sample(mut reader: Reader<'_>, scratch: &mut Scratch<'_>) -> Result<()> {
    let mut value = 0.0;
    let mut instant = Instant::default();
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => value = reader.double(wire)?,
            2 => instant.time = reader.int64(wire)?,
            3 => instant.start = reader.int64(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    check_time(instant.time, reader.at())?;
    check_time(instant.start, reader.at())?;
    scratch.values.push(value);
    scratch.instants.push(instant);
    Ok(())
}

#[inline]
fn check_time(time: i64, at: usize) -> Result<()> {
    if (0..=MAX_TIME_MS).contains(&time) { Ok(()) } else { Err(Fault::new(at, BAD_TIME)) }
}

impl<'a> Scratch<'a> {
    /// Reads a histogram's message; an invalid one is noted, not an error.
    fn histogram_message(&mut self, reader: Reader<'a>) -> Result<()> {
        let instant = self.histogram.read(reader)?;
        check_time(instant.time, reader.at())?;
        check_time(instant.start, reader.at())?;
        match self.histogram.check() {
            Ok(()) => {
                self.histogram_instants.push(instant);
                self.histogram.keep();
            }
            Err(reason) => self.refused.push(reason),
        }
        Ok(())
    }
}

/// Reads an `io.prometheus.write.v2.Request`.
pub(crate) fn decode_v2(body: &[u8], columns: &mut MetricColumns, context: &mut Context) -> Result<Outcome> {
    let mut symbols: Vec<&str> = Vec::new();
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            4 => symbols.push(reader.text(wire)?),
            _ => reader.skip(number, wire)?,
        }
    }
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(Fault::new(0, "the first symbol must be the empty string"));
    }
    let mut outcome = Outcome::default();
    let mut scratch = Scratch::default();
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            5 => {
                let series = reader.message(wire)?;
                match series_v2(series, &symbols, &mut scratch)? {
                    Ok(family) => {
                        let family = |_: &str| family;
                        end_series(
                            series.at(),
                            Version::Two,
                            &symbols,
                            family,
                            &mut scratch,
                            columns,
                            context,
                            &mut outcome,
                        )?;
                    }
                    Err(reason) => outcome.reject(|| reason.to_owned()),
                }
                scratch.histogram.clear();
            }
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(outcome)
}

/// Reads a series of version 2; the inner error refuses the series alone.
fn series_v2<'a>(
    mut reader: Reader<'a>,
    symbols: &[&'a str],
    scratch: &mut Scratch<'a>,
) -> Result<std::result::Result<Family<'a>, &'static str>> {
    scratch.clear();
    let mut family = Family::default();
    let mut good = true;
    let mut name = None;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => reader.repeated(wire, VARINT, |reader, wire| {
                good &= push_reference(&mut scratch.labels, &mut name, symbols, reader.varint(wire)?);
                Ok(())
            })?,
            2 => sample(reader.message(wire)?, scratch)?,
            3 => scratch.histogram_message(reader.message(wire)?)?,
            4 => scratch.exemplars.push(reader.message(wire)?),
            5 => match family_v2(reader.message(wire)?, symbols)? {
                Some(read) => family = read,
                None => good = false,
            },
            _ => reader.skip(number, wire)?,
        }
    }
    if !good || name.is_some() {
        return Ok(Err("a label or metadata refers to a symbol that isn't there, or a label has no value"));
    }
    Ok(Ok(family))
}

/// Takes one reference to a symbol: names and values alternate. False when there is no such symbol.
#[inline]
fn push_reference<'a>(
    labels: &mut Vec<(&'a str, &'a str)>,
    name: &mut Option<&'a str>,
    symbols: &[&'a str],
    reference: u64,
) -> bool {
    let Some(&symbol) = usize::try_from(reference).ok().and_then(|reference| symbols.get(reference)) else {
        return false;
    };
    match name.take() {
        None => *name = Some(symbol),
        Some(name) => labels.push((name, symbol)),
    }
    true
}

fn family_v2<'a>(mut reader: Reader<'a>, symbols: &[&'a str]) -> Result<Option<Family<'a>>> {
    let mut family = Family::default();
    let symbol = |reference: u64| usize::try_from(reference).ok().and_then(|reference| symbols.get(reference)).copied();
    let mut good = true;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => family.kind = kind::from_prometheus(reader.int32(wire)?),
            3 => match symbol(reader.varint(wire)?) {
                Some(help) => family.help = help,
                None => good = false,
            },
            4 => match symbol(reader.varint(wire)?) {
                Some(unit) => family.unit = unit,
                None => good = false,
            },
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(good.then_some(family))
}

/// Sorts labels and takes the name out of them; a reason when the label set is invalid.
fn take_name<'a>(labels: &mut Vec<(&'a str, &'a str)>) -> std::result::Result<&'a str, &'static str> {
    if !labels.is_sorted_by(|left, right| left.0 < right.0) {
        labels.sort_unstable_by(|left, right| left.0.cmp(right.0));
        if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a label name occurs twice");
        }
    }
    if labels.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err("a label name is empty");
    }
    let name = match labels.iter().position(|(name, _)| *name == "__name__") {
        Some(index) => labels.remove(index).1,
        None => "",
    };
    if name.is_empty() {
        return Err("there is no metric name");
    }
    labels.retain(|(_, value)| !value.is_empty());
    Ok(name)
}

#[expect(clippy::too_many_arguments, reason = "what both versions share at the end of a series")]
fn end_series<'a, 'f>(
    at: usize,
    version: Version,
    symbols: &[&'a str],
    family: impl FnOnce(&str) -> Family<'f>,
    scratch: &mut Scratch<'a>,
    columns: &mut MetricColumns,
    context: &mut Context,
    outcome: &mut Outcome,
) -> Result<()> {
    let name = match take_name(&mut scratch.labels) {
        Ok(name) => name,
        Err(reason) => {
            scratch.histogram.clear();
            outcome.reject(|| format!("{reason}: {:?}", scratch.labels));
            return Ok(());
        }
    };
    for reason in scratch.refused.drain(..) {
        outcome.reject(|| format!("histogram of {name}: {reason}"));
    }
    let (samples, histograms) = (scratch.instants.len(), scratch.histogram_instants.len());
    if version == Version::Two && samples == 0 && histograms == 0 {
        outcome.reject(|| format!("series {name} has neither samples nor histograms"));
        return Ok(());
    }
    for index in 0..scratch.exemplars.len() {
        let exemplar = scratch.exemplars[index];
        if read_exemplar(exemplar, version, symbols, scratch, columns, context)? {
            outcome.exemplars += 1;
        } else {
            outcome.reject(|| format!("an exemplar of {name} refers to a symbol that isn't there"));
        }
    }
    outcome.samples += samples;
    outcome.histograms += histograms;
    let label_bytes: usize = scratch.labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let family = family(name);
    let row_bytes = label_bytes + name.len() + family.help.len() + family.unit.len();
    let label_row = |columns: &mut MetricColumns| {
        for (name, value) in &scratch.labels {
            columns.labels.label(name, value);
        }
    };
    if samples > 0 {
        if !context.budget.charge(row_bytes) {
            return Err(no_room(at));
        }
        label_row(columns);
        columns.push_floats(name, &family, &scratch.instants, &scratch.values);
    }
    if histograms > 0 {
        if !context.budget.charge(row_bytes) {
            return Err(no_room(at));
        }
        label_row(columns);
        scratch.histogram.take(|histogram| columns.push_histogram(histogram));
        columns.end_histograms(name, &family, &scratch.histogram_instants);
    }
    if samples == 0 && histograms == 0 && columns.exemplars.open_times().is_some() {
        if columns.last_is(name, &scratch.labels) {
            columns.extend_last_exemplars();
            return Ok(());
        }
        if !context.budget.charge(row_bytes) {
            return Err(no_room(at));
        }
        label_row(columns);
        columns.push_floats(name, &family, &[], &[]);
    }
    Ok(())
}

/// Reads an exemplar into the open row; false when its labels refer to no symbol.
fn read_exemplar<'a>(
    mut reader: Reader<'a>,
    version: Version,
    symbols: &[&'a str],
    scratch: &mut Scratch<'a>,
    columns: &mut MetricColumns,
    context: &mut Context,
) -> Result<bool> {
    let labels = &mut scratch.exemplar_labels;
    labels.clear();
    let (mut value, mut time) = (0.0, 0);
    let (mut name, mut good) = (None, true);
    while let Some((number, wire)) = reader.field()? {
        match (number, version) {
            (1, Version::One) => labels.push(label(reader.message(wire)?)?),
            (1, Version::Two) => reader.repeated(wire, VARINT, |reader, wire| {
                good &= push_reference(labels, &mut name, symbols, reader.varint(wire)?);
                Ok(())
            })?,
            (2, _) => value = reader.double(wire)?,
            (3, _) => time = reader.int64(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    check_time(time, reader.at())?;
    if !good || name.is_some() {
        return Ok(false);
    }
    context.charge(reader.at(), labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum())?;
    labels.sort_unstable_by(|left, right| left.0.cmp(right.0));
    let (mut trace_id, mut span_id) = ([0_u8; 16], [0_u8; 8]);
    let (mut has_trace, mut has_span) = (false, false);
    for (name, value) in labels.iter() {
        match *name {
            "trace_id" if read_hex(value, &mut trace_id) => has_trace = true,
            "span_id" if read_hex(value, &mut span_id) => has_span = true,
            _ => columns.exemplars.labels.label(name, value),
        }
    }
    let trace_id: &[u8] = if has_trace { &trace_id } else { &[] };
    let span_id: &[u8] = if has_span { &span_id } else { &[] };
    columns.exemplars.end(time, value, trace_id, span_id);
    Ok(true)
}

/// Reads lower-case hex of exactly the right length: what writing the id as hex gives back.
fn read_hex(text: &str, id: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != id.len() * 2 {
        return false;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return false,
        }
    }
    true
}

/// Wire type of packed doubles, for the histogram reader.
pub(crate) const DOUBLE: u32 = FIXED64;

#[cfg(test)]
pub(crate) mod tests;
