//! Rows of a batch as [`Row`]s: the line, the stream's labels, and structured metadata.
//!
//! Structured metadata is the record's attributes and, for OTLP records, what Loki's OTLP endpoint
//! makes metadata of: other resource attributes, the scope, severity, ids.

use crate::stages::json::{Reader, Value, unescape};
use crate::stages::row::{Row, sanitize};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, MapArray, StringArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, col};
use std::fmt::Write;
use weft_model::{attributes, logs};
use weft_query::functions::attr::Typed;

/// Columns that every query reads, in the order of the function's arguments.
const BASE: [&str; 3] = [logs::TIME, logs::BODY, logs::STREAM_LABELS];
/// Columns that structured metadata is made of.
const METADATA: [&str; 13] = [
    logs::ATTRIBUTES,
    logs::RESOURCE,
    logs::SCOPE,
    logs::SCOPE_NAME,
    logs::SCOPE_VERSION,
    logs::SEVERITY_TEXT,
    logs::EVENT_NAME,
    logs::TRACE_ID,
    logs::SPAN_ID,
    logs::SEVERITY_NUMBER,
    logs::FLAGS,
    logs::DROPPED_ATTRIBUTES,
    logs::OBSERVED_TIME,
];

/// The arguments of a pipeline function, with or without metadata.
pub(crate) fn columns(metadata: bool) -> Vec<Expr> {
    let more: &[&str] = if metadata { &METADATA } else { &[] };
    BASE.iter().chain(more).map(|name| col(*name)).collect()
}

/// The columns of one batch.
pub(crate) struct Lines<'a> {
    time: &'a Int64Array,
    body: &'a StringArray,
    stream: &'a MapArray,
    stream_names: &'a StringArray,
    stream_values: &'a StringArray,
    metadata: Option<Metadata<'a>>,
}

/// A typed map, and its strings to borrow from.
struct Attributes<'a> {
    typed: Typed<'a>,
    strings: &'a StringArray,
}

impl<'a> Attributes<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let values = array.as_map_opt()?.values().as_struct_opt()?;
        Some(Self { typed: Typed::of(array)?, strings: values.column_by_name(attributes::STRING)?.as_string_opt()? })
    }
}

/// Buffers that [`Lines::fill`] uses for what isn't stored as it is needed.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    name: String,
    value: String,
}

struct Metadata<'a> {
    attributes: Attributes<'a>,
    resource: Attributes<'a>,
    scope: Attributes<'a>,
    texts: [(&'static str, &'a StringArray); 4],
    ids: [(&'static str, &'a BinaryArray); 2],
    numbers: [(&'static str, &'a Int32Array); 3],
    observed: &'a Int64Array,
}

impl<'a> Lines<'a> {
    /// Looks into the arguments of a call.
    pub(crate) fn of(arrays: &'a [ArrayRef]) -> Result<Self> {
        match Self::downcast(arrays) {
            Some(lines) => Ok(lines),
            None => exec_err!("the columns of the logs table have unexpected types"),
        }
    }

    fn downcast(arrays: &'a [ArrayRef]) -> Option<Self> {
        let stream = arrays.get(2)?.as_map_opt()?;
        let metadata = match arrays.get(BASE.len()..)? {
            [] => None,
            [
                attributes,
                resource,
                scope,
                scope_name,
                scope_version,
                severity,
                event,
                trace,
                span,
                number,
                flags,
                dropped,
                observed,
            ] => Some(Metadata {
                attributes: Attributes::of(attributes)?,
                resource: Attributes::of(resource)?,
                scope: Attributes::of(scope)?,
                texts: [
                    (logs::SCOPE_NAME, scope_name.as_string_opt()?),
                    (logs::SCOPE_VERSION, scope_version.as_string_opt()?),
                    (logs::SEVERITY_TEXT, severity.as_string_opt()?),
                    (logs::EVENT_NAME, event.as_string_opt()?),
                ],
                ids: [(logs::TRACE_ID, trace.as_binary_opt()?), (logs::SPAN_ID, span.as_binary_opt()?)],
                numbers: [
                    (logs::SEVERITY_NUMBER, number.as_primitive_opt::<Int32Type>()?),
                    (logs::FLAGS, flags.as_primitive_opt::<Int32Type>()?),
                    (logs::DROPPED_ATTRIBUTES, dropped.as_primitive_opt::<Int32Type>()?),
                ],
                observed: observed.as_primitive_opt::<Int64Type>()?,
            }),
            _ => return None,
        };
        Some(Self {
            time: arrays.first()?.as_primitive_opt::<Int64Type>()?,
            body: arrays.get(1)?.as_string_opt()?,
            stream,
            stream_names: stream.keys().as_string_opt()?,
            stream_values: stream.values().as_string_opt()?,
            metadata,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn time(&self, at: usize) -> i64 {
        self.time.value(at)
    }

    pub(crate) fn body(&self, at: usize) -> &'a str {
        if self.body.is_null(at) { "" } else { self.body.value(at) }
    }

    /// Fills `row` with line `at`.
    pub(crate) fn fill(&self, at: usize, row: &mut Row<'a>, scratch: &mut Scratch) {
        row.reset(self.body(at), self.time(at));
        let offsets = self.stream.value_offsets();
        #[allow(clippy::cast_sign_loss, reason = "offsets of an array are not negative")]
        for entry in offsets[at] as usize..offsets[at + 1] as usize {
            row.stream_label(self.stream_names.value(entry), self.stream_values.value(entry));
        }
        if let Some(metadata) = &self.metadata {
            metadata.fill(at, self.time(at), row, scratch);
        }
    }
}

impl<'a> Metadata<'a> {
    fn fill(&self, at: usize, time: i64, row: &mut Row<'a>, scratch: &mut Scratch) {
        typed(&self.attributes, at, row, false, scratch);
        typed(&self.resource, at, row, true, scratch);
        typed(&self.scope, at, row, false, scratch);
        for (name, column) in &self.texts {
            if column.is_valid(at) && !column.value(at).is_empty() {
                row.metadata(name, column.value(at));
            }
        }
        for (name, column) in &self.ids {
            if column.is_valid(at) && !column.value(at).is_empty() {
                row.made_metadata(name, |out| {
                    for byte in column.value(at) {
                        let _ = write!(out, "{byte:02x}");
                    }
                });
            }
        }
        for (name, column) in &self.numbers {
            if column.is_valid(at) && column.value(at) != 0 {
                row.made_metadata(name, |out| {
                    let _ = write!(out, "{}", column.value(at));
                });
            }
        }
        if self.observed.is_valid(at) && self.observed.value(at) != time {
            row.made_metadata("observed_timestamp", |out| {
                let _ = write!(out, "{}", self.observed.value(at));
            });
        }
    }
}

/// A map's entries as metadata, key-value lists flattened. `promoted`: what is a stream label already
/// is left out.
fn typed<'a>(map: &Attributes<'a>, at: usize, row: &mut Row<'a>, promoted: bool, scratch: &mut Scratch) {
    for entry in map.typed.entries(at) {
        let key = map.typed.key(entry);
        let valid = !key.starts_with(|c: char| c.is_ascii_digit())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid && map.strings.is_valid(entry) {
            if !(promoted && row.has_stream_label(key)) {
                row.metadata(key, map.strings.value(entry));
            }
            continue;
        }
        scratch.name.clear();
        scratch.value.clear();
        sanitize(key, &mut scratch.name);
        if promoted && row.has_stream_label(&scratch.name) {
            continue;
        }
        if !map.typed.write(entry, &mut scratch.value) {
            continue;
        }
        if map.typed.is_json(entry) && scratch.value.starts_with('{') {
            flatten(&scratch.name, &scratch.value, row, 0);
        } else {
            row.made_metadata(&scratch.name, |out| out.push_str(&scratch.value));
        }
    }
}

fn flatten(prefix: &str, object: &str, row: &mut Row<'_>, depth: usize) {
    let _ = Reader::new(object).members(depth, |key, value| {
        let mut name = String::with_capacity(prefix.len() + key.len() + 1);
        name.push_str(prefix);
        name.push('_');
        name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        match value {
            Value::Object(inner) => flatten(&name, inner, row, depth + 1),
            Value::String(text) => row.made_metadata(&name, |out| unescape(text, out)),
            Value::Scalar(text) | Value::Array(text) => row.made_metadata(&name, |out| out.push_str(text)),
            Value::Null => {}
        }
        Ok(true)
    });
}
