//! Loki's push, JSON and protobuf, into columns.
//!
//! A stream's labels go to `stream_labels`, structured metadata to `attributes`, as strings.
//! A body with anything wrong is refused whole, as Loki does for what doesn't parse.
//! Sources: Loki's pkg/push/push.proto, pkg/loghttp/push, "Ingest logs" of its HTTP API reference.

mod json;
pub(crate) mod labels;

use crate::columns::logs::{LogColumns, Record};
use crate::columns::spans::Origin;
use crate::otlp::{Context, no_room};
use crate::wire::{Fault, Reader, Result};
use labels::Labels;

const BAD_TIME: &str = "a timestamp is negative or after the year 2262";

/// The two encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// By the HTTP content type, or by the first bytes where there is none.
    pub(crate) fn of(content_type: Option<&str>, body: &[u8]) -> std::result::Result<Self, String> {
        let content_type = content_type.unwrap_or_default();
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-protobuf" => Ok(Self::Protobuf),
            "" | "application/octet-stream" => {
                Ok(if crate::otlp::json::looks_like_json(body) { Self::Json } else { Self::Protobuf })
            }
            _ => Err(content_type.to_owned()),
        }
    }
}

/// Why a body was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Wire(Box<Fault>),
    Text(String),
}

impl From<Box<Fault>> for Refusal {
    fn from(fault: Box<Fault>) -> Self {
        Self::Wire(fault)
    }
}

/// Reads a push body.
pub(crate) fn decode(
    body: &[u8],
    encoding: Encoding,
    columns: &mut LogColumns,
    context: &mut Context,
) -> std::result::Result<(), Refusal> {
    match encoding {
        Encoding::Json => json::decode(body, columns, context),
        Encoding::Protobuf => protobuf(body, columns, context),
    }
}

fn protobuf(body: &[u8], columns: &mut LogColumns, context: &mut Context) -> std::result::Result<(), Refusal> {
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => stream(reader.message(wire)?, columns, context)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

fn stream(reader: Reader<'_>, columns: &mut LogColumns, context: &mut Context) -> std::result::Result<(), Refusal> {
    let mut text = "";
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => text = fields.text(wire)?,
            _ => fields.skip(number, wire)?,
        }
    }
    let labels = labels::parse(text).map_err(Refusal::Text)?;
    let mut rows = StreamRows::new(labels);
    let mut fields = reader;
    while let Some((number, wire)) = fields.field()? {
        match number {
            2 => entry(fields.message(wire)?, &mut rows, columns, context)?,
            _ => fields.skip(number, wire)?,
        }
    }
    Ok(())
}

fn entry(mut reader: Reader<'_>, rows: &mut StreamRows, columns: &mut LogColumns, context: &mut Context) -> Result<()> {
    let (mut time, mut line) = (0, "");
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => time = timestamp(reader.message(wire)?)?,
            2 => line = reader.text(wire)?,
            3 => {
                let (name, value) = pair(reader.message(wire)?)?;
                columns.attributes.string(name, value);
            }
            _ => reader.skip(number, wire)?,
        }
    }
    rows.end_row(time, line, columns, context).map_err(|()| no_room(reader.at()))
}

fn pair<'a>(mut reader: Reader<'a>) -> Result<(&'a str, &'a str)> {
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

/// Reads a `google.protobuf.Timestamp` as ns since the Unix epoch.
fn timestamp(mut reader: Reader<'_>) -> Result<i64> {
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => seconds = reader.int64(wire)?,
            2 => nanos = reader.int32(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    let time = seconds.checked_mul(1_000_000_000).and_then(|time| time.checked_add(i64::from(nanos)));
    time.filter(|&time| time >= 0).ok_or_else(|| Fault::new(reader.at(), BAD_TIME))
}

/// Appends the rows of one stream: its labels once, then copies of them.
pub(crate) struct StreamRows {
    labels: Labels,
    /// The first row of the stream, once there is one.
    first: Option<usize>,
}

impl StreamRows {
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels, first: None }
    }

    /// Closes a row whose attributes have been appended; an error when there is no room.
    pub(crate) fn end_row(
        &mut self,
        time: i64,
        line: &str,
        columns: &mut LogColumns,
        context: &mut Context,
    ) -> std::result::Result<(), ()> {
        match self.first {
            None => {
                self.first = Some(columns.rows());
                for (name, value) in &self.labels {
                    columns.stream_labels.label(name, value);
                }
                columns.stream_labels.end_row();
            }
            Some(first) => {
                if !context.budget.charge(columns.stream_labels.row_bytes(first)) {
                    return Err(());
                }
                columns.stream_labels.repeat_row(first);
            }
        }
        columns.body.push(line.as_bytes());
        columns.origin.push(&Origin::default(), &[]);
        columns.origin.resource.end_row();
        columns.origin.scope.end_row();
        columns.push(&Record { time, body_type: 1, ..Record::default() });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
