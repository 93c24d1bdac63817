//! Derived columns of logs: stream labels as Loki makes them, and the level.
//!
//! Neighbouring rows mostly share their resource, so a row's labels are compared with those of the
//! row before and copied. Source: Loki, pkg/loghttp/push (push.go, otlplabels/labels.go).

use super::level::{LevelFields, normalise};
use super::spans::typed_map;
use super::{LabelView, column, hash_label, with_columns};
use crate::attributes::{TypedMap, TypedMapView};
use crate::columns::{LabelMap, OptionalText, Text};
use crate::prometheus_names::push_stream_label_name;
use crate::{Error, LogsConfig};
use arrow::array::{Array as _, ArrayRef, Int32Array, RecordBatch, StringArray};
use weft_model::{Signal, logs};
use xxhash_rust::xxh3::xxh3_128;

const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";
const DETECTED_LEVEL: &str = "detected_level";

/// Labels of Loki's own streams, which get no service name.
const INTERNAL: [&str; 2] = ["__aggregated_metric__", "__pattern__"];

pub(super) fn derive(batch: RecordBatch, config: &LogsConfig) -> Result<RecordBatch, Error> {
    let (labels, ids, service_names) = streams(&batch, config)?;
    let batch = with_columns(
        &batch,
        [(logs::STREAM_LABELS, labels), (logs::STREAM_ID, ids), (logs::SERVICE_NAME, service_names)],
    )?;
    if !config.discover_log_levels {
        return Ok(batch);
    }
    let attributes = levels(&batch, config)?;
    with_columns(&batch, [(logs::ATTRIBUTES, attributes)])
}

/// Stream labels, stream id, service name.
fn streams(batch: &RecordBatch, config: &LogsConfig) -> Result<(ArrayRef, ArrayRef, ArrayRef), Error> {
    let resource = typed_map(Signal::Logs, batch, logs::RESOURCE)?;
    let given = LabelView::new(Signal::Logs, batch, logs::STREAM_LABELS)?;
    let mut labels = LabelMap::default();
    let mut ids = Text::default();
    let mut service_names = OptionalText::default();
    let mut row_labels: Vec<(String, String)> = Vec::new();
    let mut input = Vec::new();
    let mut id = [0; 16];
    for row in 0..batch.num_rows() {
        let same = row > 0 && resource.rows_equal(row - 1, row) && given.row(row - 1).eq(given.row(row));
        if same {
            labels.repeat_row(row - 1);
        } else {
            stream_labels(&resource, &given, row, config, &mut row_labels);
            input.clear();
            for (name, value) in &row_labels {
                labels.label(name, value);
                hash_label(&mut input, name, value);
            }
            labels.end_row();
            id = xxh3_128(&input).to_be_bytes();
        }
        ids.push(&id);
        let service_name = row_labels.iter().find(|(name, _)| name == SERVICE_NAME);
        service_names.push(service_name.map_or("", |(_, value)| value).as_bytes());
    }
    Ok((labels.finish()?, ids.finish_binary(None)?, service_names.finish_utf8()?))
}

/// A row's labels: those given, then those of the resource that are not among them.
fn stream_labels(
    resource: &TypedMapView<'_>,
    given: &LabelView<'_>,
    row: usize,
    config: &LogsConfig,
    out: &mut Vec<(String, String)>,
) {
    out.clear();
    out.extend(given.row(row).rev().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let given_labels = out.len();
    for entry in resource.entries(row) {
        let key = resource.key(entry);
        if !config.index_labels.iter().any(|label| label == key) {
            continue;
        }
        let (mut name, mut value) = (Vec::new(), Vec::new());
        push_stream_label_name(&mut name, key);
        resource.write_text(entry, &mut value);
        let name = String::from_utf8_lossy(&name).into_owned();
        let value = String::from_utf8_lossy(&value).into_owned();
        let is_given = out[..given_labels].iter().any(|(given, _)| *given == name);
        match out[given_labels..].iter_mut().find(|(added, _)| *added == name) {
            Some(added) => added.1 = value,
            None if !is_given => out.push((name, value)),
            None => {}
        }
    }
    let find = |name: &str| out.iter().find(|(label, value)| label == name && !value.is_empty());
    let internal = INTERNAL.iter().any(|name| find(name).is_some());
    if !config.discover_service_name.is_empty() && !internal && find(SERVICE_NAME).is_none() {
        let found = config.discover_service_name.iter().find_map(|name| find(name));
        let name = found.map_or_else(|| UNKNOWN_SERVICE.to_owned(), |(_, value)| value.clone());
        out.push((SERVICE_NAME.to_owned(), name));
    }
    out.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    // Stable, and the last given comes first: of several labels of one name it is kept.
    out.sort_by(|left, right| left.0.cmp(&right.0));
    out.dedup_by(|left, right| left.0 == right.0);
}

/// Attributes with `detected_level`.
fn levels(batch: &RecordBatch, config: &LogsConfig) -> Result<ArrayRef, Error> {
    let fields = LevelFields::new(&config.level_fields);
    let attributes = typed_map(Signal::Logs, batch, logs::ATTRIBUTES)?;
    let labels = LabelView::new(Signal::Logs, batch, logs::STREAM_LABELS)?;
    let severity_text: &StringArray = column(Signal::Logs, batch, logs::SEVERITY_TEXT)?;
    let severity_number: &Int32Array = column(Signal::Logs, batch, logs::SEVERITY_NUMBER)?;
    let body: &StringArray = column(Signal::Logs, batch, logs::BODY)?;
    let severity_text_rank = fields.rank("severity_text");
    let mut out = TypedMap::default();
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        let entries = attributes.entries(row);
        let present = entries.clone().find(|&entry| attributes.key(entry) == DETECTED_LEVEL);
        if let Some(present) = present {
            text.clear();
            attributes.write_text(present, &mut text);
            let level = String::from_utf8_lossy(&text);
            out.append_entries(&attributes, entries.start..present);
            out.string(DETECTED_LEVEL, normalise(&level));
            out.append_entries(&attributes, present + 1..entries.end);
            out.end_row();
            continue;
        }
        out.append_row(&attributes, row);
        let from_labels = fields.first(labels.row(row));
        if let Some((_, level)) = from_labels {
            out.string(DETECTED_LEVEL, normalise(level));
            out.end_row();
            continue;
        }
        // The severity text is structured metadata under the name `severity_text`.
        let mut best = severity_text_rank.filter(|_| severity_text.is_valid(row)).map(|rank| (rank, None));
        for entry in entries {
            if let Some(rank) = fields.rank(attributes.key(entry))
                && best.is_none_or(|(found, _)| rank < found)
            {
                best = Some((rank, Some(entry)));
            }
        }
        let level = match best {
            Some((_, None)) => normalise(severity_text.value(row)),
            Some((_, Some(entry))) => {
                text.clear();
                attributes.write_text(entry, &mut text);
                normalise(std::str::from_utf8(&text).unwrap_or_default())
            }
            None => match severity_number.value(row) {
                0 => fields.of_line(if body.is_valid(row) { body.value(row) } else { "" }),
                number => of_number(number),
            },
        };
        if !level.is_empty() {
            out.string(DETECTED_LEVEL, level);
        }
        out.end_row();
    }
    out.finish()
}

/// The level of an OTLP severity number.
fn of_number(number: i32) -> &'static str {
    match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "unknown",
    }
}
