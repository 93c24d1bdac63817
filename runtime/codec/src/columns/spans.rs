//! Columns of the spans signal.

use super::{Ends, OptionalText, Text, ints, list, longs};
use crate::Error;
use crate::attributes::TypedMap;
use arrow::array::{Array as _, RecordBatch, StructArray};
use arrow::datatypes::DataType;
use std::sync::Arc;
use weft_model::spans::{event_fields, link_fields, schema};

/// One span's scalars; attributes, events and links are appended to their columns as they are read.
#[derive(Debug, Default)]
pub(crate) struct Span<'a> {
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) parent_span_id: &'a [u8],
    pub(crate) trace_state: &'a str,
    pub(crate) flags: i32,
    pub(crate) name: &'a str,
    pub(crate) kind: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) status_code: i32,
    pub(crate) status_message: &'a str,
    pub(crate) dropped_attributes: i32,
    pub(crate) dropped_events: i32,
    pub(crate) dropped_links: i32,
}

/// Events of all rows.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) ends: Ends,
    pub(crate) time: Vec<i64>,
    pub(crate) name: Text,
    pub(crate) attributes: TypedMap,
    pub(crate) dropped: Vec<i32>,
}

impl Events {
    fn roll_back(&mut self, rows: usize) {
        let events = self.ends.truncate(rows);
        self.time.truncate(events);
        self.name.truncate(events);
        self.attributes.roll_back(events);
        self.dropped.truncate(events);
    }
}

/// Links of all rows.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) ends: Ends,
    pub(crate) trace_id: Text,
    pub(crate) span_id: Text,
    pub(crate) trace_state: OptionalText,
    pub(crate) attributes: TypedMap,
    pub(crate) dropped: Vec<i32>,
    pub(crate) flags: Vec<i32>,
}

impl Links {
    fn roll_back(&mut self, rows: usize) {
        let links = self.ends.truncate(rows);
        self.trace_id.truncate(links);
        self.span_id.truncate(links);
        self.trace_state.truncate(links);
        self.attributes.roll_back(links);
        self.dropped.truncate(links);
        self.flags.truncate(links);
    }
}

/// What rows of a resource and scope share besides attributes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin<'a> {
    pub(crate) resource_schema_url: &'a str,
    pub(crate) scope_name: &'a str,
    pub(crate) scope_version: &'a str,
    pub(crate) scope_schema_url: &'a str,
}

impl Origin<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.resource_schema_url.len() + self.scope_name.len() + self.scope_version.len() + self.scope_schema_url.len()
    }
}

/// The columns that hold an [`Origin`] per row, and the resource and scope attributes.
#[derive(Debug, Default)]
pub(crate) struct OriginColumns {
    pub(crate) service_name: OptionalText,
    pub(crate) resource: TypedMap,
    resource_schema_url: OptionalText,
    scope_name: OptionalText,
    scope_version: OptionalText,
    pub(crate) scope: TypedMap,
    scope_schema_url: OptionalText,
}

impl OriginColumns {
    #[inline]
    pub(crate) fn push(&mut self, origin: &Origin<'_>, service_name: &[u8]) {
        self.service_name.push(service_name);
        self.resource_schema_url.push(origin.resource_schema_url.as_bytes());
        self.scope_name.push(origin.scope_name.as_bytes());
        self.scope_version.push(origin.scope_version.as_bytes());
        self.scope_schema_url.push(origin.scope_schema_url.as_bytes());
    }

    pub(crate) fn begin(&mut self) {
        self.resource.begin();
        self.scope.begin();
    }

    pub(crate) fn roll_back(&mut self, rows: usize) {
        self.service_name.truncate(rows);
        self.resource.roll_back(rows);
        self.resource_schema_url.truncate(rows);
        self.scope_name.truncate(rows);
        self.scope_version.truncate(rows);
        self.scope.roll_back(rows);
        self.scope_schema_url.truncate(rows);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.service_name.bytes()
            + self.resource.bytes()
            + self.resource_schema_url.bytes()
            + self.scope_name.bytes()
            + self.scope_version.bytes()
            + self.scope.bytes()
            + self.scope_schema_url.bytes()
    }

    /// Service name, then the six columns from the resource to the scope's schema URL.
    pub(crate) fn finish(self) -> Result<(arrow::array::ArrayRef, [arrow::array::ArrayRef; 6]), Error> {
        Ok((
            self.service_name.finish_utf8()?,
            [
                self.resource.finish()?,
                self.resource_schema_url.finish_utf8()?,
                self.scope_name.finish_utf8()?,
                self.scope_version.finish_utf8()?,
                self.scope.finish()?,
                self.scope_schema_url.finish_utf8()?,
            ],
        ))
    }
}

/// All columns.
#[derive(Debug, Default)]
pub(crate) struct SpanColumns {
    trace_id: Text,
    span_id: Text,
    parent_span_id: OptionalText,
    trace_state: OptionalText,
    flags: Vec<i32>,
    name: Text,
    kind: Vec<i32>,
    start: Vec<i64>,
    end: Vec<i64>,
    status_code: Vec<i32>,
    status_message: OptionalText,
    pub(crate) origin: OriginColumns,
    pub(crate) attributes: TypedMap,
    dropped_attributes: Vec<i32>,
    pub(crate) events: Events,
    dropped_events: Vec<i32>,
    pub(crate) links: Links,
    dropped_links: Vec<i32>,
}

impl SpanColumns {
    pub(crate) fn rows(&self) -> usize {
        self.start.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows() * 96
            + self.trace_state.bytes()
            + self.name.bytes()
            + self.status_message.bytes()
            + self.origin.bytes()
            + self.attributes.bytes()
            + self.events.name.bytes()
            + self.events.attributes.bytes()
            + self.events.time.len() * 16
            + self.links.attributes.bytes()
            + self.links.trace_state.bytes()
            + self.links.flags.len() * 48
    }

    /// Appends a row: the scalars here, and closes the span's own attributes, events and links.
    pub(crate) fn push(&mut self, span: &Span<'_>) {
        self.trace_id.push(span.trace_id);
        self.span_id.push(span.span_id);
        self.parent_span_id.push(span.parent_span_id);
        self.trace_state.push(span.trace_state.as_bytes());
        self.flags.push(span.flags);
        self.name.push(span.name.as_bytes());
        self.kind.push(span.kind);
        self.start.push(span.start);
        self.end.push(span.end);
        self.status_code.push(span.status_code);
        self.status_message.push(span.status_message.as_bytes());
        self.attributes.end_row();
        self.dropped_attributes.push(span.dropped_attributes);
        self.events.ends.push(self.events.time.len());
        self.dropped_events.push(span.dropped_events);
        self.links.ends.push(self.links.flags.len());
        self.dropped_links.push(span.dropped_links);
    }

    /// Notes that a message begins.
    pub(crate) fn begin(&mut self) {
        self.origin.begin();
        self.attributes.begin();
        self.events.attributes.begin();
        self.links.attributes.begin();
    }

    /// Undoes what was appended since [`Self::begin`], when there were `rows` rows.
    pub(crate) fn roll_back(&mut self, rows: usize) {
        self.trace_id.truncate(rows);
        self.span_id.truncate(rows);
        self.parent_span_id.truncate(rows);
        self.trace_state.truncate(rows);
        self.flags.truncate(rows);
        self.name.truncate(rows);
        self.kind.truncate(rows);
        self.start.truncate(rows);
        self.end.truncate(rows);
        self.status_code.truncate(rows);
        self.status_message.truncate(rows);
        self.origin.roll_back(rows);
        self.attributes.roll_back(rows);
        self.dropped_attributes.truncate(rows);
        self.events.roll_back(rows);
        self.dropped_events.truncate(rows);
        self.links.roll_back(rows);
        self.dropped_links.truncate(rows);
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, Error> {
        let duration = self.start.iter().zip(&self.end).map(|(start, end)| end.saturating_sub(*start).max(0)).collect();
        let (service_name, origin) = self.origin.finish()?;
        let [resource, resource_schema_url, scope_name, scope_version, scope, scope_schema_url] = origin;
        let events = StructArray::try_new(
            event_fields(),
            vec![
                longs(self.events.time),
                self.events.name.finish_utf8(None)?,
                self.events.attributes.finish()?,
                ints(self.events.dropped),
            ],
            None,
        )?;
        let links = StructArray::try_new(
            link_fields(),
            vec![
                self.links.trace_id.finish_binary(None)?,
                self.links.span_id.finish_binary(None)?,
                self.links.trace_state.finish_utf8()?,
                self.links.attributes.finish()?,
                ints(self.links.dropped),
                ints(self.links.flags),
            ],
            None,
        )?;
        let element = |array: &StructArray| -> DataType { array.data_type().clone() };
        let columns = vec![
            self.trace_id.finish_binary(None)?,
            self.span_id.finish_binary(None)?,
            self.parent_span_id.finish_binary()?,
            self.trace_state.finish_utf8()?,
            ints(self.flags),
            self.name.finish_utf8(None)?,
            ints(self.kind),
            longs(self.start),
            longs(self.end),
            longs(duration),
            ints(self.status_code),
            self.status_message.finish_utf8()?,
            service_name,
            resource,
            resource_schema_url,
            scope_name,
            scope_version,
            scope,
            scope_schema_url,
            self.attributes.finish()?,
            ints(self.dropped_attributes),
            list(element(&events), self.events.ends, Arc::new(events), None)?,
            ints(self.dropped_events),
            list(element(&links), self.links.ends, Arc::new(links), None)?,
            ints(self.dropped_links),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
