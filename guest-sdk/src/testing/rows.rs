//! Rows of one signal, a cell per value, columns by their canonical path.

use crate::Signal;
use crate::bindings::weft::telemetry::types::Error;
use std::collections::BTreeMap;
use std::fmt;

/// A cell's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An array or object as JSON text.
    Json(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(v) => write!(f, "{v:?}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Bytes(v) => v.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Json(v) => f.write_str(v),
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.into())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.into())
    }
}

pub(crate) type Column = Vec<Option<Value>>;

/// A batch in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub(crate) signal: Signal,
    pub(crate) rows: usize,
    pub(crate) columns: BTreeMap<String, Column>,
}

const SPANS: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "trace_state",
    "flags",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "duration_nano",
    "status_code",
    "status_message",
    "service_name",
    "resource_schema_url",
    "scope_name",
    "scope_version",
    "scope_schema_url",
];
const LOGS: &[&str] = &[
    "time_unix_nano",
    "observed_time_unix_nano",
    "severity_number",
    "severity_text",
    "body",
    "body_type",
    "trace_id",
    "span_id",
    "flags",
    "event_name",
    "service_name",
    "resource_schema_url",
    "scope_name",
    "scope_version",
    "scope_schema_url",
];
const METRICS: &[&str] = &[
    "name",
    "kind",
    "temporality",
    "unit",
    "help",
    "timestamp",
    "value",
    "start",
    "exemplar.trace_id",
    "exemplar.span_id",
    "exemplar.value",
    "exemplar.timestamp",
];
const RAW: &[&str] = &["raw.value", "raw.key", "raw.topic", "raw.partition", "raw.offset", "raw.timestamp"];

/// The one name of what a path means in a batch of `signal`; an error when it means nothing.
pub(crate) fn canonical(signal: Signal, path: &str) -> Result<String, Error> {
    let own = |prefix: &str| path.strip_prefix(prefix).map(|key| format!("attributes.{key}"));
    let known: &[&str] = match signal {
        Signal::Spans => SPANS,
        Signal::Logs => LOGS,
        Signal::Metrics => METRICS,
        Signal::Raw => RAW,
    };
    if known.contains(&path) || path.starts_with("raw.header.") && signal == Signal::Raw {
        return Ok(path.into());
    }
    let name = match (signal, path) {
        (Signal::Spans, "duration") => Some("duration_nano".into()),
        (Signal::Spans, "start") => Some("start_time_unix_nano".into()),
        (Signal::Spans, "end") => Some("end_time_unix_nano".into()),
        (Signal::Spans, "status") => Some("status_code".into()),
        (Signal::Logs, "log.body") => Some("body".into()),
        (Signal::Logs, "log.time") => Some("time_unix_nano".into()),
        (Signal::Spans | Signal::Logs, "scope.name") => Some("scope_name".into()),
        (Signal::Spans | Signal::Logs, "scope.version") => Some("scope_version".into()),
        (Signal::Spans, _) if path.starts_with("span.") => own("span."),
        (Signal::Logs, _) if path.starts_with("log.") => own("log."),
        (Signal::Spans | Signal::Logs, _)
            if ["resource.", "scope.", "attributes."].iter().any(|map| path.starts_with(map)) =>
        {
            Some(path.into())
        }
        (Signal::Metrics | Signal::Logs, _) if path.starts_with("label.") => Some(path.into()),
        _ => None,
    };
    name.ok_or_else(|| Error::Path(format!("'{path}' names nothing in a batch of {signal:?}")))
}

/// Whether a path names an entry of a map, and not a column of the table.
pub(crate) fn in_map(path: &str) -> bool {
    ["resource.", "scope.", "attributes.", "label."].iter().any(|map| path.starts_with(map))
}

impl Rows {
    /// Rows without values.
    pub fn new(signal: Signal, rows: usize) -> Self {
        Self { signal, rows, columns: BTreeMap::new() }
    }

    /// Gives a column its values; `None` is null.
    ///
    /// # Panics
    /// On an unknown path or a wrong number of values: a mistake in the test.
    pub fn with<V: Into<Value>>(mut self, path: &str, values: impl IntoIterator<Item = Option<V>>) -> Self {
        let values: Column = values.into_iter().map(|value| value.map(Into::into)).collect();
        assert_eq!(values.len(), self.rows, "values for {path}");
        match canonical(self.signal, path) {
            Ok(name) => self.columns.insert(name, values),
            Err(error) => unreachable!("{error:?}"),
        };
        self
    }

    /// Gives every row the same value.
    pub fn all<V: Into<Value>>(self, path: &str, value: V) -> Self {
        let value = value.into();
        let name = canonical(self.signal, path).unwrap_or_else(|error| unreachable!("{error:?}"));
        let column = vec![Some(value); self.rows];
        let mut rows = self;
        rows.columns.insert(name, column);
        rows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Their signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// A cell; `None` is null.
    pub fn get(&self, path: &str, row: usize) -> Option<&Value> {
        let name = canonical(self.signal, path).ok()?;
        self.columns.get(&name)?.get(row)?.as_ref()
    }

    /// A text cell.
    pub fn text(&self, path: &str, row: usize) -> Option<&str> {
        match self.get(path, row) {
            Some(Value::Text(text) | Value::Json(text)) => Some(text),
            _ => None,
        }
    }

    /// One line a row, `path=value` in the order of the paths, nulls left out.
    pub fn lines(&self) -> Vec<String> {
        (0..self.rows)
            .map(|row| {
                let cells = self.columns.iter().filter_map(|(path, column)| Some((path, column[row].as_ref()?)));
                cells.map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// Metrics as one line a row: `name{labels} value @timestamp # exemplar`.
    pub fn samples(&self) -> Vec<String> {
        (0..self.rows).map(|row| self.sample(row)).collect()
    }

    fn sample(&self, row: usize) -> String {
        let labels: Vec<String> = self
            .columns
            .iter()
            .filter_map(|(path, column)| Some((path.strip_prefix("label.")?, column[row].as_ref()?)))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let number = |path: &str| match self.get(path, row) {
            Some(Value::Float(v)) => v.to_string(),
            Some(value) => value.to_string(),
            None => "-".into(),
        };
        let mut line = format!(
            "{}{{{}}} {} @{}",
            self.text("name", row).unwrap_or("-"),
            labels.join(","),
            number("value"),
            number("timestamp")
        );
        if let Some(id) = self.get("exemplar.trace_id", row) {
            line.push_str(&format!(" # {id} {} @{}", number("exemplar.value"), number("exemplar.timestamp")));
        }
        line
    }

    pub(crate) fn select(&self, keep: impl Fn(usize) -> bool) -> Self {
        let chosen: Vec<usize> = (0..self.rows).filter(|row| keep(*row)).collect();
        let columns = self
            .columns
            .iter()
            .map(|(path, column)| (path.clone(), chosen.iter().map(|row| column[*row].clone()).collect()))
            .collect();
        Self { signal: self.signal, rows: chosen.len(), columns }
    }

    pub(crate) fn column(&self, path: &str) -> Result<Column, Error> {
        let name = canonical(self.signal, path)?;
        Ok(self.columns.get(&name).cloned().unwrap_or_else(|| vec![None; self.rows]))
    }

    pub(crate) fn column_mut(&mut self, path: &str) -> Result<&mut Column, Error> {
        let name = canonical(self.signal, path)?;
        let rows = self.rows;
        Ok(self.columns.entry(name).or_insert_with(|| vec![None; rows]))
    }
}
