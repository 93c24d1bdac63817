//! Statistics of files: computed from the columns as written, and as Delta's `stats` JSON.

use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use weft_ledger::{ColumnRange, FileStats, Value};
use weft_model::{Table, dead_letters, logs, metrics, spans};

/// Longer texts are cut to this many bytes (at a character).
const TEXT_BYTES: usize = 64;

/// Columns with statistics: what queries filter by. Ids have none: they are uniform, and Delta knows
/// no bounds of binary columns.
pub(crate) fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Metrics => &[metrics::NAME, metrics::KIND, metrics::MIN_TIME, metrics::MAX_TIME],
        Table::Logs => &[logs::TIME, logs::SEVERITY_NUMBER, logs::SERVICE_NAME],
        Table::Spans => &[
            spans::START_TIME,
            spans::END_TIME,
            spans::DURATION,
            spans::NAME,
            spans::KIND,
            spans::STATUS_CODE,
            spans::SERVICE_NAME,
        ],
        Table::DeadLetters => &[dead_letters::TIME, dead_letters::TOPIC, dead_letters::STAGE],
    }
}

/// The columns whose minimum and maximum bound a file in time, and nanoseconds per unit.
fn time_columns(table: Table) -> (&'static str, &'static str, i64) {
    match table {
        Table::Metrics => (metrics::MIN_TIME, metrics::MAX_TIME, 1_000_000),
        Table::Logs => (logs::TIME, logs::TIME, 1),
        Table::Spans => (spans::START_TIME, spans::END_TIME, 1),
        Table::DeadLetters => (dead_letters::TIME, dead_letters::TIME, 1),
    }
}

/// Collects a file's statistics batch by batch.
#[derive(Debug)]
pub(crate) struct Collector {
    table: Table,
    columns: BTreeMap<String, ColumnRange>,
}

impl Collector {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, columns: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        for name in columns(self.table) {
            let column = batch
                .column_by_name(name)
                .ok_or_else(|| Error::Bug(format!("a batch for {} has no column {name}", self.table)))?;
            let (low, high) = bounds(column);
            let range = self.columns.entry((*name).to_string()).or_default();
            range.nulls += column.null_count() as u64;
            if low.is_some() && range.min.as_ref().is_none_or(|min| low.as_ref() < Some(min)) {
                range.min = low;
            }
            if high.is_some() && range.max.as_ref().is_none_or(|max| high.as_ref() > Some(max)) {
                range.max = high;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> FileStats {
        let mut columns = self.columns;
        for range in columns.values_mut() {
            if let Some(Value::Text(text)) = &mut range.min {
                text.truncate(boundary(text));
            }
            range.max = range.max.take().and_then(|max| match max {
                Value::Text(text) => upper_bound(text).map(Value::Text),
                Value::Int(_) => Some(max),
            });
        }
        with_times(self.table, columns)
    }
}

fn with_times(table: Table, columns: BTreeMap<String, ColumnRange>) -> FileStats {
    let (low, high, unit) = time_columns(table);
    let int = |value: Option<&Value>| match value {
        Some(Value::Int(value)) => Some(value.saturating_mul(unit)),
        _ => None,
    };
    let min_time_ns = int(columns.get(low).and_then(|range| range.min.as_ref())).unwrap_or(i64::MIN);
    let max_time_ns = int(columns.get(high).and_then(|range| range.max.as_ref())).unwrap_or(i64::MAX);
    // A span may end before it starts; the range must hold both.
    let start_max = int(columns.get(low).and_then(|range| range.max.as_ref())).unwrap_or(max_time_ns);
    let end_min = int(columns.get(high).and_then(|range| range.min.as_ref())).unwrap_or(min_time_ns);
    FileStats { min_time_ns: min_time_ns.min(end_min), max_time_ns: max_time_ns.max(start_max), columns }
}

fn bounds(column: &ArrayRef) -> (Option<Value>, Option<Value>) {
    match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            (min(column).map(Value::Int), max(column).map(Value::Int))
        }
        DataType::Int32 => {
            let column = column.as_primitive::<Int32Type>();
            (min(column).map(|low| Value::Int(low.into())), max(column).map(|high| Value::Int(high.into())))
        }
        DataType::Utf8 => {
            let column = column.as_string::<i32>();
            let text = |text: &str| Value::Text(text.to_string());
            (arrow::compute::min_string(column).map(text), arrow::compute::max_string(column).map(text))
        }
        _ => (None, None),
    }
}

fn boundary(text: &str) -> usize {
    if text.len() <= TEXT_BYTES {
        return text.len();
    }
    (0..=TEXT_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A short text that is not less than `text`: itself, or cut with its last character raised.
fn upper_bound(mut text: String) -> Option<String> {
    if text.len() <= TEXT_BYTES {
        return Some(text);
    }
    text.truncate(boundary(&text));
    while let Some(last) = text.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Delta's `stats` of a file.
pub(crate) fn to_delta(rows: u64, stats: &FileStats) -> String {
    let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
    let json = |value: &Value| match value {
        Value::Int(value) => json!(value),
        Value::Text(text) => json!(text),
    };
    for (name, range) in &stats.columns {
        if let Some(min) = &range.min {
            low.insert(name.clone(), json(min));
        }
        if let Some(max) = &range.max {
            high.insert(name.clone(), json(max));
        }
        nulls.insert(name.clone(), json!(range.nulls));
    }
    json!({ "numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls }).to_string()
}

/// Rows and statistics of a file by Delta's `stats`, whoever wrote it; unknown times span everything.
pub(crate) fn from_delta(table: Table, stats: Option<&str>) -> (u64, FileStats) {
    let stats: Json = stats.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Json::Null);
    let value = |json: &Json| match json {
        Json::String(text) => Some(Value::Text(text.clone())),
        number => number.as_i64().map(Value::Int),
    };
    let mut found = BTreeMap::new();
    for name in columns(table) {
        let (min, max) = (value(&stats["minValues"][name]), value(&stats["maxValues"][name]));
        let nulls = stats["nullCount"][name].as_u64();
        if min.is_some() || max.is_some() || nulls.is_some() {
            found.insert((*name).to_string(), ColumnRange { min, max, nulls: nulls.unwrap_or(0) });
        }
    }
    (stats["numRecords"].as_u64().unwrap_or(0), with_times(table, found))
}

#[cfg(test)]
mod tests;
