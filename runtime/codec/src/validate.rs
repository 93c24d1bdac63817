//! What a receiver asks before a body goes to the log.
//!
//! OTLP is walked by its schema, which costs a fraction of decoding; remote write and Loki push are
//! decoded into columns that are emptied again, because what is refused of them depends on labels.
//! A thread keeps those columns: fresh memory for each body costs more than decoding it.

use crate::columns::Budget;
use crate::columns::logs::LogColumns;
use crate::columns::metrics::MetricColumns;
use crate::decoder::{fault_error, refusal_error};
use crate::error::shortened;
use crate::loki_push::Encoding;
use crate::otlp::schema::{self, Item, Kind, Shape};
use crate::otlp::{Context, is_zero, json};
use crate::remote_write::{MetadataMemory, Version};
use crate::wire::{FIXED32, FIXED64, Fault, MAX_VALUE_DEPTH, Reader, Result, VARINT};
use crate::{Codec, Config, Error, loki_push, remote_write};
use std::borrow::Cow;
use std::cell::RefCell;

/// What a body holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Spans, log records, float samples; for OTLP metrics all data points.
    pub items: usize,
    /// Native histogram samples; for OTLP metrics the exponential ones among `items`.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
    /// What the protocol says is refused while the rest is kept, which the decoder skips: series
    /// and histograms of remote write, data points of OTLP metrics. Not counted above.
    pub rejected: usize,
    /// Why the first of those was refused.
    pub rejected_reason: Option<String>,
}

/// Checks a body in full: wire format, UTF-8, id lengths, times.
///
/// What passes decodes without error, unless labels or attributes repeated per row take it over
/// [`Config::max_batch_bytes`]. `content_type` is that of the HTTP request; without it the format is
/// told from the bytes. Raw bodies are always good.
pub fn validate(codec: Codec, content_type: Option<&str>, body: &[u8]) -> std::result::Result<Counts, Error> {
    match codec {
        Codec::OtlpTraces => otlp(codec, &schema::TRACES, content_type, body),
        Codec::OtlpMetrics => otlp(codec, &schema::METRICS, content_type, body),
        Codec::OtlpLogs => otlp(codec, &schema::LOGS, content_type, body),
        Codec::RemoteWrite => remote_write_counts(content_type, body),
        Codec::LokiPush => loki_counts(content_type, body),
        Codec::Raw => Ok(Counts { items: 1, ..Counts::default() }),
    }
}

/// The protobuf of an OTLP body, whichever encoding it has.
pub(crate) fn otlp_protobuf<'a>(
    codec: Codec,
    shape: &'static Shape,
    content_type: Option<&str>,
    body: &'a [u8],
) -> std::result::Result<Cow<'a, [u8]>, Error> {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = match media_type.to_ascii_lowercase().as_str() {
        "application/json" => true,
        "application/x-protobuf" | "application/protobuf" | "application/grpc" | "application/grpc+proto" => false,
        // The Collector's Kafka exporter and unknown producers: by the bytes.
        _ => json::looks_like_json(body),
    };
    if !is_json {
        return Ok(Cow::Borrowed(body));
    }
    let protobuf =
        json::to_protobuf(body, shape).map_err(|error| Error::Text { codec, reason: shortened(error.to_string()) })?;
    Ok(Cow::Owned(protobuf))
}

fn otlp(
    codec: Codec,
    shape: &'static Shape,
    content_type: Option<&str>,
    body: &[u8],
) -> std::result::Result<Counts, Error> {
    let body = otlp_protobuf(codec, shape, content_type, body)?;
    let mut tally = Tally::default();
    walk(Reader::new(&body), shape, 0, &mut tally).map_err(|fault| fault_error(codec, &fault))?;
    Ok(Counts {
        items: tally.items,
        histograms: tally.histograms,
        exemplars: tally.exemplars,
        rejected: tally.rejected,
        rejected_reason: tally.reason.map(str::to_owned),
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    items: usize,
    histograms: usize,
    exemplars: usize,
    rejected: usize,
    reason: Option<&'static str>,
}

fn walk(reader: Reader<'_>, shape: &'static Shape, mut lists: u32, tally: &mut Tally) -> Result<()> {
    if shape.list {
        lists += 1;
        if lists >= MAX_VALUE_DEPTH {
            return Err(Fault::new(reader.at(), "values nest too deep"));
        }
    }
    let before = *tally;
    match shape.item {
        Item::None => {}
        Item::One => tally.items += 1,
        Item::Histogram => {
            tally.items += 1;
            tally.histograms += 1;
        }
        Item::Exemplar => tally.exemplars += 1,
    }
    let mut ids = 0_u32;
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        let Some(field) = schema::find(shape, number) else {
            fields.skip(number, wire)?;
            continue;
        };
        match field.kind {
            Kind::Message(shape) => walk(fields.message(wire)?, shape, lists, tally)?,
            Kind::Text => drop(fields.text(wire)?),
            Kind::Bytes => drop(fields.bytes(wire)?),
            Kind::Id(length, reason) => drop(fields.id(wire, length, reason)?),
            Kind::RequiredId(length, reason) => {
                let at = fields.at();
                let id = fields.bytes(wire)?;
                if id.len() != length || is_zero(id) {
                    return Err(Fault::new(at, reason));
                }
                ids |= 1 << number;
            }
            Kind::Time => drop(fields.time(wire)?),
            kind => number_field(&mut fields, kind, field.repeated, wire)?,
        }
    }
    if shape.required {
        for field in shape.fields {
            match field.kind {
                Kind::RequiredId(_, reason) if ids & 1 << field.number == 0 => {
                    return Err(Fault::new(reader.at(), reason));
                }
                _ => {}
            }
        }
    }
    if let Some(refusal) = shape.refusal
        && let Some(reason) = refusal(reader)?
    {
        let rejected = tally.items - before.items;
        *tally = Tally {
            rejected: tally.rejected + rejected,
            reason: tally.reason.or((rejected > 0).then_some(reason)),
            ..before
        };
    }
    Ok(())
}

fn number_field(fields: &mut Reader<'_>, kind: Kind, repeated: bool, wire: u32) -> Result<()> {
    let read = |reader: &mut Reader<'_>, wire: u32| match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => reader.fixed64(wire).map(drop),
        Kind::Fixed32 => reader.fixed32(wire).map(drop),
        _ => reader.varint(wire).map(drop),
    };
    if !repeated {
        return read(fields, wire);
    }
    let element = match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
        Kind::Fixed32 => FIXED32,
        _ => VARINT,
    };
    fields.repeated(wire, element, read)
}

fn context() -> Context {
    let limit = Config::default().max_batch_bytes;
    Context { budget: Budget::new(limit), limit, now_ns: 0 }
}

/// Columns a thread keeps may be so big, bytes; bigger ones are given back.
const MAX_KEPT: usize = 16 << 20;

thread_local! {
    static METRICS: RefCell<MetricColumns> = RefCell::default();
    static LOGS: RefCell<LogColumns> = RefCell::default();
}

fn remote_write_counts(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Counts, Error> {
    let codec = Codec::RemoteWrite;
    let version = remote_write_version(content_type, body)?;
    let outcome = METRICS.with_borrow_mut(|columns| {
        columns.begin();
        let outcome = match version {
            Version::One => remote_write::decode_v1(body, columns, &mut context(), &mut MetadataMemory::default()),
            Version::Two => remote_write::decode_v2(body, columns, &mut context()),
        };
        if columns.bytes() > MAX_KEPT {
            *columns = MetricColumns::default();
        }
        columns.truncate(0);
        outcome
    });
    let outcome = outcome.map_err(|fault| fault_error(codec, &fault))?;
    Ok(Counts {
        items: outcome.samples,
        histograms: outcome.histograms,
        exemplars: outcome.exemplars,
        rejected: outcome.rejected,
        rejected_reason: outcome.reason,
    })
}

pub(crate) fn remote_write_version(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Version, Error> {
    Version::of(content_type, body).map_err(|content_type| Error::ContentType {
        codec: Codec::RemoteWrite,
        content_type,
        supported: "application/x-protobuf;proto=prometheus.WriteRequest or \
                    application/x-protobuf;proto=io.prometheus.write.v2.Request",
    })
}

fn loki_counts(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Counts, Error> {
    let encoding = loki_encoding(content_type, body)?;
    LOGS.with_borrow_mut(|columns| {
        columns.begin();
        let decoded = loki_push::decode(body, encoding, columns, &mut context());
        let items = columns.rows();
        if columns.bytes() > MAX_KEPT {
            *columns = LogColumns::default();
        }
        columns.roll_back(0);
        decoded.map_err(refusal_error)?;
        Ok(Counts { items, ..Counts::default() })
    })
}

pub(crate) fn loki_encoding(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Encoding, Error> {
    Encoding::of(content_type, body).map_err(|content_type| Error::ContentType {
        codec: Codec::LokiPush,
        content_type,
        supported: "application/json or application/x-protobuf",
    })
}

#[cfg(test)]
mod tests;
