//! Columns of the logs signal.

use super::spans::OriginColumns;
use super::{LabelMap, OptionalText, Text, ints, longs, optional_longs, validity};
use crate::Error;
use crate::attributes::TypedMap;
use arrow::array::{BinaryArray, RecordBatch};
use std::sync::Arc;
use weft_model::logs::schema;

/// One record's scalars. The body is appended before, with [`LogColumns::body`]; attributes as they are read.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    pub(crate) time: i64,
    pub(crate) observed_time: i64,
    pub(crate) severity_number: i32,
    pub(crate) severity_text: &'a str,
    pub(crate) body_type: i32,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) flags: i32,
    pub(crate) event_name: &'a str,
    pub(crate) dropped_attributes: i32,
}

/// All columns.
#[derive(Debug, Default)]
pub(crate) struct LogColumns {
    time: Vec<i64>,
    observed_time: Vec<i64>,
    severity_number: Vec<i32>,
    severity_text: OptionalText,
    pub(crate) body: Text,
    body_type: Vec<i32>,
    trace_id: OptionalText,
    span_id: OptionalText,
    flags: Vec<i32>,
    event_name: OptionalText,
    pub(crate) stream_labels: LabelMap,
    pub(crate) origin: OriginColumns,
    pub(crate) attributes: TypedMap,
    dropped_attributes: Vec<i32>,
}

impl LogColumns {
    pub(crate) fn rows(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows() * 80
            + self.severity_text.bytes()
            + self.body.bytes()
            + self.event_name.bytes()
            + self.stream_labels.bytes()
            + self.origin.bytes()
            + self.attributes.bytes()
    }

    /// Appends a row: the scalars here, and closes the record's attributes. Body, stream labels,
    /// resource and scope are the caller's, one each.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        self.time.push(record.time);
        self.observed_time.push(record.observed_time);
        self.severity_number.push(record.severity_number);
        self.severity_text.push(record.severity_text.as_bytes());
        self.body_type.push(record.body_type);
        self.trace_id.push(record.trace_id);
        self.span_id.push(record.span_id);
        self.flags.push(record.flags);
        self.event_name.push(record.event_name.as_bytes());
        self.attributes.end_row();
        self.dropped_attributes.push(record.dropped_attributes);
    }

    /// Notes that a message begins.
    pub(crate) fn begin(&mut self) {
        self.origin.begin();
        self.attributes.begin();
    }

    /// Undoes what was appended since [`Self::begin`], when there were `rows` rows.
    pub(crate) fn roll_back(&mut self, rows: usize) {
        self.time.truncate(rows);
        self.observed_time.truncate(rows);
        self.severity_number.truncate(rows);
        self.severity_text.truncate(rows);
        self.body.truncate(rows);
        self.body_type.truncate(rows);
        self.trace_id.truncate(rows);
        self.span_id.truncate(rows);
        self.flags.truncate(rows);
        self.event_name.truncate(rows);
        self.stream_labels.truncate(rows);
        self.origin.roll_back(rows);
        self.attributes.roll_back(rows);
        self.dropped_attributes.truncate(rows);
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, Error> {
        let rows = self.rows();
        let (service_name, origin) = self.origin.finish()?;
        let [resource, resource_schema_url, scope_name, scope_version, scope, scope_schema_url] = origin;
        let has_body: Vec<bool> = self.body_type.iter().map(|&kind| kind != 0).collect();
        let columns = vec![
            longs(self.time),
            optional_longs(self.observed_time),
            ints(self.severity_number),
            self.severity_text.finish_utf8()?,
            self.body.finish_utf8(validity(&has_body))?,
            ints(self.body_type),
            self.trace_id.finish_binary()?,
            self.span_id.finish_binary()?,
            ints(self.flags),
            self.event_name.finish_utf8()?,
            service_name,
            self.stream_labels.finish()?,
            Arc::new(BinaryArray::new_null(rows)) as _,
            resource,
            resource_schema_url,
            scope_name,
            scope_version,
            scope,
            scope_schema_url,
            self.attributes.finish()?,
            ints(self.dropped_attributes),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
