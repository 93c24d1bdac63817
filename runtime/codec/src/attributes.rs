//! Typed attributes: OTLP's `KeyValue` and `AnyValue`, read from the wire into a typed-map column.
//!
//! The column keeps one byte of type and eight bytes of number per entry and makes the six children
//! of Arrow's struct at the end, so that a row's attributes can be repeated for the next row (one
//! resource, many rows) with a few copies of memory. Arrays and key-value lists become JSON text.
//! Source: opentelemetry-proto, common/v1/common.proto.

use crate::Error;
use crate::columns::{Budget, Ends, Text};
use crate::wire::{Fault, MAX_VALUE_DEPTH, Reader, Result};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, MapArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use weft_model::attributes::{map_array, typed_map, value_fields};

/// What a row's attributes cost when repeated, per entry and beyond the text: offsets, type, number,
/// and the six children Arrow wants.
const ENTRY_BYTES: usize = 48;

/// The message when a batch has no room left; the decoder turns it into its own error.
pub(crate) const NO_ROOM: &str = "no room";

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Empty,
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Reader<'a>),
    KeyValues(Reader<'a>),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// OTLP AnyValue's field number, 0 for none.
    pub(crate) fn number(&self) -> i32 {
        match self {
            Value::Empty => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Int(_) => 3,
            Value::Double(_) => 4,
            Value::Array(_) => 5,
            Value::KeyValues(_) => 6,
            Value::Bytes(_) => 7,
        }
    }
}

/// Reads an `AnyValue`; the last of several values holds.
#[inline]
pub(crate) fn any_value<'a>(mut reader: Reader<'a>) -> Result<Value<'a>> {
    let mut value = Value::Empty;
    while let Some((number, wire)) = reader.field()? {
        value = match number {
            1 => Value::String(reader.text(wire)?),
            2 => Value::Bool(reader.varint(wire)? != 0),
            3 => Value::Int(reader.int64(wire)?),
            4 => Value::Double(reader.double(wire)?),
            5 => Value::Array(reader.message(wire)?),
            6 => Value::KeyValues(reader.message(wire)?),
            7 => Value::Bytes(reader.bytes(wire)?),
            _ => {
                reader.skip(number, wire)?;
                value
            }
        };
    }
    Ok(value)
}

/// Reads a `KeyValue`.
#[inline]
pub(crate) fn key_value<'a>(mut reader: Reader<'a>) -> Result<(&'a str, Value<'a>)> {
    let mut key = "";
    let mut value = Value::Empty;
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = reader.text(wire)?,
            2 => value = any_value(reader.message(wire)?)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok((key, value))
}

/// Writes a value as text: a string as it is, bytes as base64, the rest as JSON.
pub(crate) fn write_text(out: &mut Vec<u8>, value: Value<'_>, limit: usize) -> Result<()> {
    match value {
        Value::Empty => Ok(()),
        Value::String(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Value::Bytes(bytes) => {
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            Ok(())
        }
        Value::Double(number) => {
            write_double(out, number);
            Ok(())
        }
        value => write_json(out, value, 0, limit),
    }
}

/// Writes a value as JSON, at most a little over `limit` bytes of it.
pub(crate) fn write_json(out: &mut Vec<u8>, value: Value<'_>, depth: u32, limit: usize) -> Result<()> {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::String(text) => write_json_string(out, text),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int(value) => write_int(out, value),
        Value::Double(value) if value.is_finite() => write_double(out, value),
        Value::Double(value) => {
            out.push(b'"');
            write_double(out, value);
            out.push(b'"');
        }
        Value::Bytes(bytes) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        Value::Array(reader) => write_elements(out, reader, depth, limit, false)?,
        Value::KeyValues(reader) => write_elements(out, reader, depth, limit, true)?,
    }
    Ok(())
}

fn write_elements(out: &mut Vec<u8>, mut reader: Reader<'_>, depth: u32, limit: usize, keyed: bool) -> Result<()> {
    // The value this list lies in was nested `depth` deep, its elements are one deeper.
    if depth + 1 >= MAX_VALUE_DEPTH {
        return Err(Fault::new(reader.at(), "values nest too deep"));
    }
    out.push(if keyed { b'{' } else { b'[' });
    let mut first = true;
    while let Some((number, wire)) = reader.field()? {
        if number != 1 {
            reader.skip(number, wire)?;
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        let element = reader.message(wire)?;
        let value = if keyed {
            let (key, value) = key_value(element)?;
            write_json_string(out, key);
            out.push(b':');
            value
        } else {
            any_value(element)?
        };
        write_json(out, value, depth + 1, limit)?;
        if out.len() > limit {
            return Err(Fault::new(reader.at(), NO_ROOM));
        }
    }
    out.push(if keyed { b'}' } else { b']' });
    Ok(())
}

/// Writes a decimal integer.
pub(crate) fn write_int(out: &mut Vec<u8>, value: i64) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{value}");
}

/// Writes a float as Go's encoding/json does: decimal between 1e-6 and 1e21, else with an exponent.
/// What JSON has no number for is NaN, Infinity, -Infinity.
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" })
    } else if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
}

fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..index]);
        plain = index + 1;
        let _ = match byte {
            b'"' => out.write_all(b"\\\""),
            b'\\' => out.write_all(b"\\\\"),
            b'\n' => out.write_all(b"\\n"),
            b'\r' => out.write_all(b"\\r"),
            b'\t' => out.write_all(b"\\t"),
            8 => out.write_all(b"\\b"),
            12 => out.write_all(b"\\f"),
            _ => write!(out, "\\u{byte:04x}"),
        };
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

const STRING: u8 = 1;
const BOOL: u8 = 2;
const INT: u8 = 3;
const DOUBLE: u8 = 4;
const JSON: u8 = 5;
const BYTES: u8 = 7;

/// A typed-map column.
#[derive(Debug, Default)]
pub(crate) struct TypedMap {
    ends: Ends,
    keys: Text,
    /// Type of each entry, one of the constants above, 0 for the empty value.
    kinds: Vec<u8>,
    /// The number of an entry; for bytes and JSON, where they lie in `rare`: start and length.
    numbers: Vec<u64>,
    strings: Text,
    /// Bytes and JSON texts. Repeated entries share theirs, so it isn't cut when rows are.
    rare: Vec<u8>,
    /// Bytes of `rare` once every entry has its own, as Arrow wants it.
    rare_expanded: usize,
    /// Length of `rare` when the message now being read began.
    rare_mark: usize,
}

/// Attributes that several rows share: decoded once, behind the last closed row, which the first row
/// takes as its own and later ones copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    entries: Range<usize>,
    bytes: usize,
    rare: usize,
    taken: bool,
}

impl TypedMap {
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.strings.bytes() + self.rare_expanded + self.kinds.len() * 9 + self.ends.rows() * 4
    }

    /// Notes that a message begins, so that [`Self::roll_back`] can undo it.
    pub(crate) fn begin(&mut self) {
        self.rare_mark = self.rare.len();
    }

    /// Undoes what was appended since [`Self::begin`], when there were `rows` rows.
    pub(crate) fn roll_back(&mut self, rows: usize) {
        self.truncate(rows);
        self.rare.truncate(self.rare_mark);
    }

    fn push(&mut self, key: &[u8], kind: u8, number: u64, text: &[u8]) {
        self.keys.push(key);
        self.kinds.push(kind);
        self.numbers.push(number);
        self.strings.push(text);
    }

    /// Adds a string to the open row.
    pub(crate) fn string(&mut self, key: &str, value: &str) {
        self.push(key.as_bytes(), STRING, 0, value.as_bytes());
    }

    /// Adds a value to the open row. `limit` bounds the text of a list.
    #[inline]
    pub(crate) fn value(&mut self, key: &str, value: Value<'_>, limit: usize) -> Result<()> {
        let key = key.as_bytes();
        match value {
            Value::String(text) => self.push(key, STRING, 0, text.as_bytes()),
            Value::Int(number) => self.push(key, INT, number as u64, &[]),
            Value::Double(number) => self.push(key, DOUBLE, number.to_bits(), &[]),
            Value::Bool(value) => self.push(key, BOOL, u64::from(value), &[]),
            Value::Empty => self.push(key, 0, 0, &[]),
            Value::Bytes(bytes) => {
                let start = self.rare.len();
                self.rare.extend_from_slice(bytes);
                self.push_rare(key, BYTES, start);
            }
            Value::Array(_) | Value::KeyValues(_) => {
                let start = self.rare.len();
                write_json(&mut self.rare, value, 0, start.saturating_add(limit))?;
                self.push_rare(key, JSON, start);
            }
        }
        Ok(())
    }

    fn push_rare(&mut self, key: &[u8], kind: u8, start: usize) {
        let length = self.rare.len() - start;
        self.rare_expanded += length;
        self.push(key, kind, (start as u64) << 32 | length as u64, &[]);
    }

    /// Reads one `KeyValue` into the open row.
    #[inline]
    pub(crate) fn key_value(&mut self, reader: Reader<'_>, limit: usize) -> Result<()> {
        let (key, value) = key_value(reader)?;
        self.value(key, value, limit)
    }

    /// Closes the row.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.kinds.len());
    }

    /// The entries after the last closed row, to be shared by the rows to come.
    pub(crate) fn share(&self) -> Shared {
        let entries = self.ends.last()..self.kinds.len();
        let rare = self.rare_bytes(entries.clone());
        let text = self.keys.range_bytes(&entries) + self.strings.range_bytes(&entries);
        Shared { bytes: text + rare + entries.len() * ENTRY_BYTES, rare, entries, taken: false }
    }

    fn rare_bytes(&self, entries: Range<usize>) -> usize {
        let rare = self.kinds[entries.clone()].iter().zip(&self.numbers[entries]);
        rare.filter(|&(&kind, _)| kind == BYTES || kind == JSON).map(|(_, &number)| number as u32 as usize).sum()
    }

    /// The last string among shared entries that has this key.
    pub(crate) fn shared_string(&self, shared: &Shared, key: &str) -> &[u8] {
        let found = shared.entries.clone().rev().find(|&entry| self.keys.get(entry) == key.as_bytes());
        found.map_or(&[], |entry| self.strings.get(entry))
    }

    /// Closes a row with shared entries; false when the budget doesn't allow another copy.
    #[inline]
    pub(crate) fn end_shared_row(&mut self, shared: &mut Shared, budget: &mut Budget) -> bool {
        if shared.taken {
            if !budget.charge(shared.bytes) {
                return false;
            }
            if !shared.entries.is_empty() {
                self.repeat(shared.entries.clone());
                self.rare_expanded += shared.rare;
            }
        }
        shared.taken = true;
        self.end_row();
        true
    }

    fn repeat(&mut self, entries: Range<usize>) {
        self.keys.repeat(entries.clone());
        self.strings.repeat(entries.clone());
        self.kinds.extend_from_within(entries.clone());
        self.numbers.extend_from_within(entries);
    }

    /// Cuts back to `rows` closed rows, which also drops entries of an open row.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let entries = self.ends.truncate(rows);
        if entries < self.kinds.len() {
            self.rare_expanded -= self.rare_bytes(entries..self.kinds.len());
        }
        self.keys.truncate(entries);
        self.strings.truncate(entries);
        self.kinds.truncate(entries);
        self.numbers.truncate(entries);
    }

    /// Drops entries of the open row.
    pub(crate) fn abandon_row(&mut self) {
        self.truncate(self.ends.rows());
    }

    /// Appends a row of another typed map, leaving the row open.
    pub(crate) fn append_row(&mut self, source: &TypedMapView<'_>, row: usize) {
        let entries = source.entries(row);
        self.append_entries(source, entries);
    }

    /// Appends entries of another typed map to the open row.
    pub(crate) fn append_entries(&mut self, source: &TypedMapView<'_>, entries: Range<usize>) {
        self.keys.append(&source.keys.value_offsets()[entries.start..=entries.end], source.keys.value_data());
        if source.all_strings {
            self.strings
                .append(&source.strings.value_offsets()[entries.start..=entries.end], source.strings.value_data());
            self.kinds.resize(self.kinds.len() + entries.len(), STRING);
            self.numbers.resize(self.numbers.len() + entries.len(), 0);
            return;
        }
        for entry in entries {
            let (kind, number, text) = source.parts(entry, &mut self.rare);
            if kind == BYTES || kind == JSON {
                self.rare_expanded += number as u32 as usize;
            }
            self.kinds.push(kind);
            self.numbers.push(number);
            self.strings.push(text);
        }
    }

    /// The column.
    pub(crate) fn finish(self) -> std::result::Result<ArrayRef, Error> {
        let Self { ends, keys, kinds, numbers, strings, rare, rare_expanded: _, rare_mark: _ } = self;
        let mut counts = [0_usize; 8];
        for &kind in &kinds {
            counts[usize::from(kind & 7)] += 1;
        }
        let length = kinds.len();
        let present = |kind: u8| counts[usize::from(kind)] > 0;
        let nulls = |kind: u8| {
            (counts[usize::from(kind)] < length)
                .then(|| NullBuffer::new(BooleanBuffer::collect_bool(length, |entry| kinds[entry] == kind)))
        };
        let number = |kind: u8| kinds.iter().zip(&numbers).map(move |(&k, &n)| if k == kind { n } else { 0 });
        let rare_values = |kind: u8| {
            let mut values = Text::default();
            for number in number(kind) {
                let (start, len) = ((number >> 32) as usize, (number & 0xffff_ffff) as usize);
                values.push(rare.get(start..start + len).unwrap_or_default());
            }
            values
        };
        let string =
            if present(STRING) { strings.finish_utf8(nulls(STRING))? } else { Arc::new(StringArray::new_null(length)) };
        let int: ArrayRef = if present(INT) {
            let values: Vec<i64> = number(INT).map(|n| n as i64).collect();
            Arc::new(Int64Array::new(ScalarBuffer::from(values), nulls(INT)))
        } else {
            Arc::new(Int64Array::new_null(length))
        };
        let double: ArrayRef = if present(DOUBLE) {
            let values: Vec<f64> = number(DOUBLE).map(f64::from_bits).collect();
            Arc::new(Float64Array::new(ScalarBuffer::from(values), nulls(DOUBLE)))
        } else {
            Arc::new(Float64Array::new_null(length))
        };
        let bool: ArrayRef = if present(BOOL) {
            let values = BooleanBuffer::collect_bool(length, |entry| kinds[entry] == BOOL && numbers[entry] != 0);
            Arc::new(BooleanArray::new(values, nulls(BOOL)))
        } else {
            Arc::new(BooleanArray::new_null(length))
        };
        let bytes: ArrayRef = if present(BYTES) {
            rare_values(BYTES).finish_binary(nulls(BYTES))?
        } else {
            Arc::new(BinaryArray::new_null(length))
        };
        let json: ArrayRef = if present(JSON) {
            rare_values(JSON).finish_utf8(nulls(JSON))?
        } else {
            Arc::new(StringArray::new_null(length))
        };
        let values = StructArray::try_new(value_fields(), vec![string, int, double, bool, bytes, json], None)?;
        Ok(Arc::new(map_array(typed_map(), ends.into_vec(), keys.finish_utf8(None)?, Arc::new(values), None)))
    }
}

/// A typed-map column of a batch, taken apart for reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypedMapView<'a> {
    offsets: &'a [i32],
    keys: &'a StringArray,
    strings: &'a StringArray,
    ints: &'a Int64Array,
    doubles: &'a Float64Array,
    bools: &'a BooleanArray,
    bytes: &'a BinaryArray,
    json: &'a StringArray,
    /// Every entry is a string.
    all_strings: bool,
}

impl<'a> TypedMapView<'a> {
    /// `None` when the column is not a typed map.
    pub(crate) fn new(column: &'a ArrayRef) -> Option<Self> {
        let map = column.as_any().downcast_ref::<MapArray>()?;
        let values = map.values().as_any().downcast_ref::<StructArray>()?;
        if values.num_columns() != 6 {
            return None;
        }
        let strings = values.column(0).as_any().downcast_ref::<StringArray>()?;
        Some(Self {
            offsets: map.value_offsets(),
            keys: map.keys().as_any().downcast_ref()?,
            strings,
            ints: values.column(1).as_any().downcast_ref()?,
            doubles: values.column(2).as_any().downcast_ref()?,
            bools: values.column(3).as_any().downcast_ref()?,
            bytes: values.column(4).as_any().downcast_ref()?,
            json: values.column(5).as_any().downcast_ref()?,
            all_strings: strings.null_count() == 0 && values.null_count() == 0,
        })
    }

    /// The entries of a row.
    #[inline]
    pub(crate) fn entries(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    pub(crate) fn key(&self, entry: usize) -> &'a str {
        self.keys.value(entry)
    }

    /// The value's text where it is a string.
    pub(crate) fn string(&self, entry: usize) -> Option<&'a str> {
        self.strings.is_valid(entry).then(|| self.strings.value(entry))
    }

    /// The last value of a row with this key, where it is a string.
    pub(crate) fn find_string(&self, row: usize, key: &str) -> Option<&'a str> {
        self.entries(row).rev().find(|&entry| self.keys.value(entry) == key).and_then(|entry| self.string(entry))
    }

    /// Writes the value as a label would show it; nothing for the empty value.
    pub(crate) fn write_text(&self, entry: usize, out: &mut Vec<u8>) {
        if self.strings.is_valid(entry) {
            out.extend_from_slice(self.strings.value(entry).as_bytes());
        } else if self.ints.is_valid(entry) {
            write_int(out, self.ints.value(entry));
        } else if self.doubles.is_valid(entry) {
            write_double(out, self.doubles.value(entry));
        } else if self.bools.is_valid(entry) {
            out.extend_from_slice(if self.bools.value(entry) { b"true" } else { b"false" });
        } else if self.bytes.is_valid(entry) {
            out.extend_from_slice(STANDARD.encode(self.bytes.value(entry)).as_bytes());
        } else if self.json.is_valid(entry) {
            out.extend_from_slice(self.json.value(entry).as_bytes());
        }
    }

    /// Whether two rows hold the same keys, and the same strings under them; rows with other values
    /// than strings never count as equal.
    pub(crate) fn rows_equal(&self, left: usize, right: usize) -> bool {
        let (left, right) = (self.entries(left), self.entries(right));
        left.len() == right.len()
            && left.zip(right).all(|(l, r)| {
                self.keys.value(l) == self.keys.value(r)
                    && match (self.string(l), self.string(r)) {
                        (Some(l), Some(r)) => l == r,
                        (None, None) => self.other_equal(l, r),
                        _ => false,
                    }
            })
    }

    fn other_equal(&self, l: usize, r: usize) -> bool {
        let int = |e: usize| self.ints.is_valid(e).then(|| self.ints.value(e));
        let double = |e: usize| self.doubles.is_valid(e).then(|| self.doubles.value(e).to_bits());
        let bool = |e: usize| self.bools.is_valid(e).then(|| self.bools.value(e));
        let bytes = |e: usize| self.bytes.is_valid(e).then(|| self.bytes.value(e));
        let json = |e: usize| self.json.is_valid(e).then(|| self.json.value(e));
        int(l) == int(r) && double(l) == double(r) && bool(l) == bool(r) && bytes(l) == bytes(r) && json(l) == json(r)
    }

    fn parts(&self, entry: usize, rare: &mut Vec<u8>) -> (u8, u64, &'a [u8]) {
        let mut keep = |bytes: &[u8]| {
            let start = rare.len();
            rare.extend_from_slice(bytes);
            (start as u64) << 32 | bytes.len() as u64
        };
        if self.strings.is_valid(entry) {
            (STRING, 0, self.strings.value(entry).as_bytes())
        } else if self.ints.is_valid(entry) {
            (INT, self.ints.value(entry) as u64, &[])
        } else if self.doubles.is_valid(entry) {
            (DOUBLE, self.doubles.value(entry).to_bits(), &[])
        } else if self.bools.is_valid(entry) {
            (BOOL, u64::from(self.bools.value(entry)), &[])
        } else if self.bytes.is_valid(entry) {
            (BYTES, keep(self.bytes.value(entry)), &[])
        } else if self.json.is_valid(entry) {
            (JSON, keep(self.json.value(entry).as_bytes()), &[])
        } else {
            (0, 0, &[])
        }
    }
}
