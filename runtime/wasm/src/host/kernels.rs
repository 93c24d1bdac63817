//! Kernels: what most modules do, natively on the columns.

use super::Budget;
use super::batch::Batch;
use super::columns::{Error, Nulls, Rows, Scalar};
use super::edits::{BOOL, BYTES, DOUBLE, INT, Index, JSON, SLOTS, STRING, Source};
use super::paths::{self, Target};
use super::write::{Mode, Writer, put, remove};
use super::{json, read};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int64Array, Int64Builder,
    StringArray, StringBuilder,
};
use arrow::buffer::BooleanBuffer;
use hashbrown::HashMap;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Most expressions an instance keeps; a module that makes them up as it goes starts over there.
const KEPT: usize = 256;

/// Compiled expressions of an instance.
#[derive(Debug, Default)]
pub(crate) struct Regexes(HashMap<String, Regex>);

impl Regexes {
    fn get(&mut self, expression: &str) -> Result<&Regex, Error> {
        if !self.0.contains_key(expression) {
            let regex = Regex::new(expression).map_err(|error| Error::Argument(format!("regex: {error}")))?;
            if self.0.len() >= KEPT {
                self.0.clear();
            }
            self.0.insert(expression.to_owned(), regex);
        }
        self.0.get(expression).ok_or_else(|| Error::Argument("regex: not kept".into()))
    }
}

/// Writes one value to the chosen rows.
pub(super) fn set_constant(
    batch: &mut Batch,
    budget: &mut Budget,
    path: &str,
    value: Scalar,
    rows: Rows,
) -> Result<(), Error> {
    let (slot, values): (usize, ArrayRef) = match value {
        Scalar::Text(text) => {
            budget.charge(text.len())?;
            (STRING, Arc::new(StringArray::from_iter_values([text])))
        }
        Scalar::Int(value) => (INT, Arc::new(Int64Array::from_value(value, 1))),
        Scalar::Float(value) => (DOUBLE, Arc::new(Float64Array::from_value(value, 1))),
        Scalar::Boolean(value) => (BOOL, Arc::new(BooleanArray::from(vec![value]))),
    };
    let mode = Mode { rows, nulls: Nulls::Leave, writer: Writer::Guest };
    put(batch, budget, path, Source::of(slot, values, Index::Constant), mode)
}

/// Copies values with their types; rows without one are left alone.
pub(super) fn copy(
    batch: &mut Batch,
    budget: &mut Budget,
    source: &str,
    target: &str,
    rows: Rows,
) -> Result<(), Error> {
    let values = read::values(batch, budget, source)?;
    budget.charge(size(&values))?;
    put(batch, budget, target, values, Mode::kernel(rows))
}

/// Moves values with their types.
pub(super) fn rename(batch: &mut Batch, budget: &mut Budget, source: &str, target: &str) -> Result<(), Error> {
    let (from, to) =
        (paths::resolve(batch.signal, &batch.schema, source)?, paths::resolve(batch.signal, &batch.schema, target)?);
    if from == to {
        return Ok(());
    }
    copy(batch, budget, source, target, Rows::All)?;
    remove(batch, source)
}

fn size(source: &Source) -> usize {
    source.slots.iter().flatten().map(|values| values.get_array_memory_size()).fold(0, usize::saturating_add)
}

/// The rows whose text matches.
pub(super) fn matches(
    batch: &mut Batch,
    budget: &mut Budget,
    regexes: &mut Regexes,
    path: &str,
    expression: &str,
) -> Result<Vec<u8>, Error> {
    let text = read::text(batch, budget, path)?;
    let regex = regexes.get(expression)?;
    let mut last: Option<(&str, bool)> = None;
    let hits = BooleanBuffer::collect_bool(text.len(), |row| {
        if text.is_null(row) {
            return false;
        }
        let value = text.value(row);
        match last {
            Some((earlier, hit)) if earlier == value => hit,
            _ => {
                let hit = regex.is_match(value);
                last = Some((value, hit));
                hit
            }
        }
    });
    Ok(hits.sliced().to_vec())
}

/// Replaces all matches; rows without one are left alone.
pub(super) fn replace(
    batch: &mut Batch,
    budget: &mut Budget,
    regexes: &mut Regexes,
    path: &str,
    expression: &str,
    replacement: &str,
) -> Result<(), Error> {
    let text = read::text(batch, budget, path)?;
    let regex = regexes.get(expression)?;
    let mut builder = StringBuilder::with_capacity(text.len(), text.value_data().len());
    let mut changed = false;
    for row in 0..text.len() {
        let replaced = text.is_valid(row).then(|| regex.replace_all(text.value(row), replacement));
        match replaced {
            Some(std::borrow::Cow::Owned(value)) => {
                changed = true;
                budget.charge(value.len())?;
                builder.append_value(value);
            }
            _ => builder.append_null(),
        }
    }
    if !changed {
        return check_writable(batch, path);
    }
    put(batch, budget, path, Source::of(STRING, Arc::new(builder.finish()), Index::Rows), Mode::kernel(Rows::All))
}

/// The error that a write would give, for kernels that found nothing to write.
fn check_writable(batch: &Batch, path: &str) -> Result<(), Error> {
    if let Target::Column(column) = paths::resolve(batch.signal, &batch.schema, path)? {
        let name = batch.name(column);
        if let Some(how) = paths::computed(batch.signal, name) {
            return Err(Error::Path(format!("'{name}' can't be written: {how}")));
        }
    }
    Ok(())
}

/// Writes named groups as attributes of the map at `target`.
pub(super) fn extract(
    batch: &mut Batch,
    budget: &mut Budget,
    regexes: &mut Regexes,
    path: &str,
    expression: &str,
    target: &str,
) -> Result<(), Error> {
    let (column, kind) = paths::map(batch.signal, &batch.schema, target)?;
    let text = read::text(batch, budget, path)?;
    let regex = regexes.get(expression)?;
    let groups: Vec<(usize, &str)> =
        regex.capture_names().enumerate().filter_map(|(at, name)| name.map(|name| (at, name))).collect();
    if groups.is_empty() {
        return Err(Error::Argument("regex: extract needs named groups, as in (?P<name>…)".into()));
    }
    let mut builders: Vec<StringBuilder> = groups.iter().map(|_| StringBuilder::new()).collect();
    let mut locations = regex.capture_locations();
    for row in 0..text.len() {
        let value = if text.is_valid(row) { text.value(row) } else { "" };
        let hit = text.is_valid(row) && regex.captures_read(&mut locations, value).is_some();
        for (builder, (group, _)) in builders.iter_mut().zip(&groups) {
            match locations.get(*group).filter(|_| hit) {
                Some((from, to)) => {
                    budget.charge(to - from)?;
                    builder.append_value(&value[from..to]);
                }
                None => builder.append_null(),
            }
        }
    }
    for (mut builder, (_, name)) in builders.into_iter().zip(groups) {
        let source = Source::of(STRING, Arc::new(builder.finish()), Index::Rows);
        batch.edits(column, kind).put(kind, name, source, Rows::All, Nulls::Leave)?;
    }
    Ok(())
}

/// SHA-256 of text or bytes, as hex.
pub(super) fn hash(batch: &mut Batch, budget: &mut Budget, path: &str, target: &str) -> Result<(), Error> {
    let values = read::values(batch, budget, path)?;
    let id = match paths::resolve(batch.signal, &batch.schema, path)? {
        // An id's hash is that of its bytes, not of their hex text.
        Target::Column(column) if paths::id_bytes(batch.name(column)).is_some() => Some(batch.column(column)),
        _ => None,
    };
    let (text, bytes) = match &id {
        Some(ids) => (None, Some(ids.as_binary::<i32>())),
        None => (
            values.slots[STRING].as_ref().map(|text| text.as_string::<i32>()),
            values.slots[BYTES].as_ref().map(|bytes| bytes.as_binary::<i32>()),
        ),
    };
    let value = |row: usize| -> Option<&[u8]> {
        let text = text.filter(|text| text.is_valid(row)).map(|text| text.value(row).as_bytes());
        text.or_else(|| bytes.filter(|bytes| bytes.is_valid(row)).map(|bytes| bytes.value(row)))
    };
    budget.charge(batch.rows.saturating_mul(64))?;
    let mut builder = StringBuilder::with_capacity(batch.rows, batch.rows * 64);
    let mut last: Option<(&[u8], [u8; 64])> = None;
    for row in 0..batch.rows {
        let Some(bytes) = value(row) else {
            builder.append_null();
            continue;
        };
        let digest = match last {
            Some((earlier, digest)) if earlier == bytes => digest,
            _ => sha256_hex(bytes),
        };
        last = Some((bytes, digest));
        // Hex digits are ASCII.
        builder.append_value(std::str::from_utf8(&digest).unwrap_or_default());
    }
    put(batch, budget, target, Source::of(STRING, Arc::new(builder.finish()), Index::Rows), Mode::kernel(Rows::All))
}

fn sha256_hex(bytes: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(Sha256::digest(bytes)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// The value at a JSON pointer of each row's text, with its type; rows without one are left alone.
pub(super) fn json_extract(
    batch: &mut Batch,
    budget: &mut Budget,
    path: &str,
    pointer: &str,
    target: &str,
) -> Result<(), Error> {
    let pointer = json::Pointer::parse(pointer)?;
    let text = read::json_text(batch, budget, path)?;
    let rows = batch.rows;
    let mut strings = StringBuilder::new();
    let mut ints = Int64Builder::with_capacity(rows);
    let mut doubles = Float64Builder::with_capacity(rows);
    let mut bools = BooleanBuilder::with_capacity(rows);
    let mut jsons = StringBuilder::new();
    let mut present = Vec::with_capacity(rows);
    for row in 0..rows {
        let found = text.is_valid(row).then(|| pointer.find(text.value(row))).flatten();
        let (mut string, mut int, mut double, mut boolean, mut json) = (None, None, None, None, None);
        present.push(found.is_some());
        match found {
            Some(json::Found::String(value)) => string = Some(value),
            Some(json::Found::Int(value)) => int = Some(value),
            Some(json::Found::Double(value)) => double = Some(value),
            Some(json::Found::Bool(value)) => boolean = Some(value),
            Some(json::Found::Json(value)) => json = Some(value),
            None => {}
        }
        budget.charge(string.as_ref().or(json.as_ref()).map_or(0, String::len))?;
        strings.append_option(string);
        ints.append_option(int);
        doubles.append_option(double);
        bools.append_option(boolean);
        jsons.append_option(json);
    }
    let all: [ArrayRef; 5] = [
        Arc::new(strings.finish()),
        Arc::new(ints.finish()),
        Arc::new(doubles.finish()),
        Arc::new(bools.finish()),
        Arc::new(jsons.finish()),
    ];
    let mut slots = [const { None }; SLOTS];
    for (slot, array) in [STRING, INT, DOUBLE, BOOL, JSON].into_iter().zip(all) {
        if array.null_count() < array.len() {
            slots[slot] = Some(array);
        }
    }
    let present = arrow::buffer::NullBuffer::from(present);
    let source = Source { slots, present: Some(present), index: Index::Rows, len: rows };
    put(batch, budget, target, source, Mode::kernel(Rows::All))
}
