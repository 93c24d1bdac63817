//! OTLP logs from the wire into columns.
//!
//! Source: opentelemetry-proto, logs/v1/logs.proto; Loki's OTLP endpoint for the line and the time.

use super::{Context, optional_id, walk_resource};
use crate::attributes::{Value, any_value, write_text};
use crate::columns::logs::{LogColumns, Record};
use crate::wire::{Reader, Result};

pub(crate) const TRACE_ID: &str = "a log record's trace id must be 16 bytes or absent";
pub(crate) const SPAN_ID: &str = "a log record's span id must be 8 bytes or absent";

/// Reads `LogsData`.
pub(crate) fn decode(body: &[u8], columns: &mut LogColumns, context: &mut Context) -> Result<()> {
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => walk_resource(reader.message(wire)?, columns, context, |columns| &mut columns.origin, record)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

fn record(mut reader: Reader<'_>, columns: &mut LogColumns, context: &mut Context) -> Result<()> {
    let mut record = Record::default();
    let mut body = Value::Empty;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => record.time = reader.time(wire)?,
            2 => record.severity_number = reader.int32(wire)?,
            3 => record.severity_text = reader.text(wire)?,
            5 => body = any_value(reader.message(wire)?)?,
            6 => columns.attributes.key_value(reader.message(wire)?, context.limit)?,
            7 => record.dropped_attributes = reader.count(wire)?,
            8 => record.flags = reader.fixed32(wire)? as i32,
            9 => record.trace_id = optional_id(&mut reader, wire, 16, TRACE_ID)?,
            10 => record.span_id = optional_id(&mut reader, wire, 8, SPAN_ID)?,
            11 => record.observed_time = reader.time(wire)?,
            12 => record.event_name = reader.text(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    if record.time == 0 {
        record.time = if record.observed_time == 0 { context.now_ns } else { record.observed_time };
    }
    if !(0..=24).contains(&record.severity_number) {
        record.severity_number = 0;
    }
    record.body_type = body.number();
    match body {
        Value::String(text) => columns.body.push(text.as_bytes()),
        other => columns.body.push_with(|out| write_text(out, other, out.len().saturating_add(context.limit)))?,
    }
    columns.push(&record);
    columns.stream_labels.end_row();
    Ok(())
}

#[cfg(test)]
mod tests;
