//! OTLP traces from the wire into columns.
//!
//! Source: opentelemetry-proto, trace/v1/trace.proto.

use super::{Context, is_zero, walk_resource};
use crate::columns::spans::{Span, SpanColumns};
use crate::wire::{Fault, Reader, Result};

pub(crate) const TRACE_ID: &str = "a trace id must be 16 bytes, not all zero";
pub(crate) const SPAN_ID: &str = "a span id must be 8 bytes, not all zero";
pub(crate) const PARENT_SPAN_ID: &str = "a parent span id must be 8 bytes or absent";
pub(crate) const LINK_TRACE_ID: &str = "a link's trace id must be 16 bytes or absent";
pub(crate) const LINK_SPAN_ID: &str = "a link's span id must be 8 bytes or absent";

/// Reads `TracesData`.
pub(crate) fn decode(body: &[u8], columns: &mut SpanColumns, context: &mut Context) -> Result<()> {
    let mut reader = Reader::new(body);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => walk_resource(reader.message(wire)?, columns, context, |columns| &mut columns.origin, span)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

fn span(mut reader: Reader<'_>, columns: &mut SpanColumns, context: &mut Context) -> Result<()> {
    let start = reader.at();
    let mut span = Span::default();
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => span.trace_id = reader.bytes(wire)?,
            2 => span.span_id = reader.bytes(wire)?,
            3 => span.trace_state = reader.text(wire)?,
            4 => span.parent_span_id = super::optional_id(&mut reader, wire, 8, PARENT_SPAN_ID)?,
            5 => span.name = reader.text(wire)?,
            6 => span.kind = reader.int32(wire)?,
            7 => span.start = reader.time(wire)?,
            8 => span.end = reader.time(wire)?,
            9 => columns.attributes.key_value(reader.message(wire)?, context.limit)?,
            10 => span.dropped_attributes = reader.count(wire)?,
            11 => event(reader.message(wire)?, columns, context)?,
            12 => span.dropped_events = reader.count(wire)?,
            13 => link(reader.message(wire)?, columns, context)?,
            14 => span.dropped_links = reader.count(wire)?,
            15 => status(reader.message(wire)?, &mut span)?,
            16 => span.flags = reader.fixed32(wire)? as i32,
            _ => reader.skip(number, wire)?,
        }
    }
    if span.trace_id.len() != 16 || is_zero(span.trace_id) {
        return Err(Fault::new(start, TRACE_ID));
    }
    if span.span_id.len() != 8 || is_zero(span.span_id) {
        return Err(Fault::new(start, SPAN_ID));
    }
    columns.push(&span);
    Ok(())
}

fn status<'a>(mut reader: Reader<'a>, span: &mut Span<'a>) -> Result<()> {
    while let Some((number, wire)) = reader.field()? {
        match number {
            2 => span.status_message = reader.text(wire)?,
            3 => span.status_code = reader.int32(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(())
}

fn event(mut reader: Reader<'_>, columns: &mut SpanColumns, context: &mut Context) -> Result<()> {
    let (mut time, mut name, mut dropped) = (0, "", 0);
    let events = &mut columns.events;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => time = reader.time(wire)?,
            2 => name = reader.text(wire)?,
            3 => events.attributes.key_value(reader.message(wire)?, context.limit)?,
            4 => dropped = reader.count(wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    events.time.push(time);
    events.name.push(name.as_bytes());
    events.attributes.end_row();
    events.dropped.push(dropped);
    Ok(())
}

fn link(mut reader: Reader<'_>, columns: &mut SpanColumns, context: &mut Context) -> Result<()> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut trace_state, mut dropped, mut flags) = ("", 0, 0);
    let links = &mut columns.links;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => trace_id = reader.id(wire, 16, LINK_TRACE_ID)?,
            2 => span_id = reader.id(wire, 8, LINK_SPAN_ID)?,
            3 => trace_state = reader.text(wire)?,
            4 => links.attributes.key_value(reader.message(wire)?, context.limit)?,
            5 => dropped = reader.count(wire)?,
            6 => flags = reader.fixed32(wire)? as i32,
            _ => reader.skip(number, wire)?,
        }
    }
    links.trace_id.push(trace_id);
    links.span_id.push(span_id);
    links.trace_state.push(trace_state.as_bytes());
    links.attributes.end_row();
    links.dropped.push(dropped);
    links.flags.push(flags);
    Ok(())
}

#[cfg(test)]
mod tests;
