//! Pulling: columns and keys of maps as arrays of the type asked for.
//!
//! An attribute is found by one pass over the map's keys, trying first the position where the row
//! before had it: batches mostly repeat one order of keys.

use super::Budget;
use super::batch::{Batch, map_of};
use super::columns::{Dictionary, Error, NULL_KEY, Text};
use super::edits::{BOOL, BYTES, DOUBLE, INT, Index, JSON, SLOTS, STRING, Source};
use super::paths::{self, MapKind, Target};
use super::samples;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, MapArray,
    StringArray, UInt32Array,
    types::{Int32Type, Int64Type},
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// No entry of the row has the key.
const NONE: u32 = u32::MAX;

/// Finds ids of a map's keys, remembering by position what the rows before had there.
pub(super) struct Hints<'a, F> {
    offsets: &'a [i32],
    bytes: &'a [u8],
    lookup: F,
    /// By position in a row: the entry last looked up there, and its id.
    seen: Vec<(usize, Option<u32>)>,
}

impl<'a, F: Fn(&str) -> Option<u32>> Hints<'a, F> {
    pub(super) fn new(map: &'a MapArray, lookup: F) -> Self {
        let keys = map.keys().as_string::<i32>();
        Self { offsets: keys.value_offsets(), bytes: keys.value_data(), lookup, seen: Vec::new() }
    }

    fn key(&self, entry: usize) -> &'a [u8] {
        &self.bytes[self.offsets[entry] as usize..self.offsets[entry + 1] as usize]
    }

    /// The id of the entry's key, which is at `position` in its row.
    pub(super) fn find(&mut self, entry: usize, position: usize) -> Option<u32> {
        let key = self.key(entry);
        if let Some((earlier, id)) = self.seen.get(position)
            && self.key(*earlier) == key
        {
            return *id;
        }
        let id = std::str::from_utf8(key).ok().and_then(|key| (self.lookup)(key));
        match self.seen.get_mut(position) {
            Some(seen) => *seen = (entry, id),
            None => self.seen.push((entry, id)),
        }
        id
    }
}

/// The entry of each row that has the key, [`NONE`] where there is none.
fn locate(map: &MapArray, key: &str) -> Vec<u32> {
    let keys = map.keys().as_string::<i32>();
    let (key_offsets, bytes) = (keys.value_offsets(), keys.value_data());
    let key = key.as_bytes();
    let is = |entry: usize| {
        let (from, to) = (key_offsets[entry] as usize, key_offsets[entry + 1] as usize);
        to - from == key.len() && &bytes[from..to] == key
    };
    let offsets = map.value_offsets();
    let mut found = Vec::with_capacity(map.len());
    let mut hint = 0;
    for row in 0..map.len() {
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        let entry = if from + hint < to && is(from + hint) {
            (from + hint) as u32
        } else {
            match (from..to).find(|&entry| is(entry)) {
                Some(entry) => {
                    hint = entry - from;
                    entry as u32
                }
                None => NONE,
            }
        };
        found.push(entry);
    }
    found
}

fn nulls_of(valid: BooleanBufferBuilder) -> Option<NullBuffer> {
    let mut valid = valid;
    let nulls = NullBuffer::new(valid.finish());
    (nulls.null_count() > 0).then_some(nulls)
}

/// Picks values of variable size by entry.
fn pick_bytes(
    entries: &[u32],
    offsets: &[i32],
    data: &[u8],
    nulls: Option<&NullBuffer>,
) -> Result<(OffsetBuffer<i32>, Buffer, Option<NullBuffer>), Error> {
    let mut out = Vec::with_capacity(entries.len() + 1);
    out.push(0_i32);
    let mut bytes = Vec::with_capacity(entries.len() * 16);
    let mut valid = BooleanBufferBuilder::new(entries.len());
    for &entry in entries {
        let here = entry != NONE && nulls.is_none_or(|nulls| nulls.is_valid(entry as usize));
        if here {
            let entry = entry as usize;
            bytes.extend_from_slice(&data[offsets[entry] as usize..offsets[entry + 1] as usize]);
        }
        valid.append(here);
        // Repeated keys in a row are picked once: no more bytes than the map has.
        out.push(i32::try_from(bytes.len()).map_err(|_| Error::Limit("the column passes 2147483647 bytes".into()))?);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(out)), Buffer::from_vec(bytes), nulls_of(valid)))
}

fn pick<T: Copy + Default>(
    entries: &[u32],
    nulls: Option<&NullBuffer>,
    value: impl Fn(usize) -> T,
) -> (Vec<T>, Option<NullBuffer>) {
    let mut valid = BooleanBufferBuilder::new(entries.len());
    let values = entries
        .iter()
        .map(|&entry| {
            let here = entry != NONE && nulls.is_none_or(|nulls| nulls.is_valid(entry as usize));
            valid.append(here);
            if here { value(entry as usize) } else { T::default() }
        })
        .collect();
    (values, nulls_of(valid))
}

/// One child of the values of a key, or `None` when no row has any of that type.
struct Picked {
    child: ArrayRef,
    entries: Vec<u32>,
}

fn picked(
    batch: &mut Batch,
    budget: &mut Budget,
    column: usize,
    kind: MapKind,
    key: &str,
    slot: usize,
) -> Result<Option<Picked>, Error> {
    let array = settled_map(batch, budget, column, key)?;
    let map = map_of(&array)?;
    let child = match (kind, slot) {
        (MapKind::Typed, slot) => Arc::clone(map.values().as_struct().column(slot)),
        (MapKind::Labels, STRING) | (MapKind::Headers, BYTES) => Arc::clone(map.values()),
        _ => return Ok(None),
    };
    if child.null_count() == child.len() {
        return Ok(None);
    }
    let entries = locate(map, key);
    Ok(entries.iter().any(|&entry| entry != NONE).then_some(Picked { child, entries }))
}

/// The map, with its edits applied if they touch the key.
fn settled_map(batch: &mut Batch, budget: &mut Budget, column: usize, key: &str) -> Result<ArrayRef, Error> {
    if batch.edited(column, key) { batch.map(column, budget) } else { Ok(batch.column(column)) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hex_column(ids: &BinaryArray) -> Result<StringArray, Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut data = Vec::with_capacity(ids.value_data().len() * 2);
    let mut offsets = Vec::with_capacity(ids.len() + 1);
    offsets.push(0_i32);
    for row in 0..ids.len() {
        if ids.is_valid(row) {
            for byte in ids.value(row) {
                data.push(DIGITS[usize::from(byte >> 4)]);
                data.push(DIGITS[usize::from(byte & 15)]);
            }
        }
        offsets.push(i32::try_from(data.len()).map_err(|_| Error::Limit("ids of more than 2 GiB".into()))?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(StringArray::try_new(offsets, Buffer::from_vec(data), ids.nulls().cloned())?)
}

/// Bytes as text: null where they are not UTF-8.
pub(super) fn utf8_column(bytes: &BinaryArray) -> Result<StringArray, Error> {
    if let Ok(text) = StringArray::try_new(bytes.offsets().clone(), bytes.values().clone(), bytes.nulls().cloned()) {
        return Ok(text);
    }
    let valid = BooleanBuffer::collect_bool(bytes.len(), |row| {
        bytes.is_valid(row) && std::str::from_utf8(bytes.value(row)).is_ok()
    });
    let mut builder = arrow::array::StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    for row in 0..bytes.len() {
        builder.append_option(valid.value(row).then(|| std::str::from_utf8(bytes.value(row)).unwrap_or_default()));
    }
    Ok(builder.finish())
}

/// The text at a path.
pub(super) fn text(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<StringArray, Error> {
    let rows = batch.rows;
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Column(column) => {
            let array = batch.column(column);
            match array.data_type() {
                DataType::Utf8 => Ok(array.as_string::<i32>().clone()),
                DataType::Binary if paths::id_bytes(batch.name(column)).is_some() => hex_column(array.as_binary()),
                DataType::Binary if batch.signal == weft_model::Signal::Raw => utf8_column(array.as_binary()),
                _ => Ok(StringArray::new_null(rows)),
            }
        }
        Target::Entry { column, kind: MapKind::Headers, key } => {
            let Some(picked) = picked(batch, budget, column, MapKind::Headers, &key, BYTES)? else {
                return Ok(StringArray::new_null(rows));
            };
            utf8_column(&pick_blobs(&picked)?)
        }
        Target::Entry { column, kind, key } => {
            let Some(picked) = picked(batch, budget, column, kind, &key, STRING)? else {
                return Ok(StringArray::new_null(rows));
            };
            let child = picked.child.as_string::<i32>();
            let (offsets, data, nulls) =
                pick_bytes(&picked.entries, child.value_offsets(), child.value_data(), child.nulls())?;
            Ok(StringArray::try_new(offsets, data, nulls)?)
        }
        Target::Timestamp | Target::Start | Target::Value => Ok(StringArray::new_null(rows)),
        Target::Exemplar(_) => Err(written_only(path)),
    }
}

fn written_only(path: &str) -> Error {
    Error::Path(format!("'{path}' can be written only"))
}

fn pick_blobs(picked: &Picked) -> Result<BinaryArray, Error> {
    let child = picked.child.as_binary::<i32>();
    let (offsets, data, nulls) = pick_bytes(&picked.entries, child.value_offsets(), child.value_data(), child.nulls())?;
    Ok(BinaryArray::try_new(offsets, data, nulls)?)
}

/// The bytes at a path.
pub(super) fn blobs(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<BinaryArray, Error> {
    let rows = batch.rows;
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Column(column) => {
            let array = batch.column(column);
            Ok(array.as_binary_opt::<i32>().cloned().unwrap_or_else(|| BinaryArray::new_null(rows)))
        }
        Target::Entry { column, kind, key } => match picked(batch, budget, column, kind, &key, BYTES)? {
            Some(picked) => pick_blobs(&picked),
            None => Ok(BinaryArray::new_null(rows)),
        },
        Target::Timestamp | Target::Start | Target::Value => Ok(BinaryArray::new_null(rows)),
        Target::Exemplar(_) => Err(written_only(path)),
    }
}

/// The integers at a path.
pub(super) fn ints(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<Int64Array, Error> {
    let rows = batch.rows;
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Column(column) => {
            let array = batch.column(column);
            match array.data_type() {
                DataType::Int64 => Ok(array.as_primitive::<Int64Type>().clone()),
                DataType::Int32 => Ok(array.as_primitive::<Int32Type>().unary(i64::from)),
                _ => Ok(Int64Array::new_null(rows)),
            }
        }
        Target::Entry { column, kind, key } => match picked(batch, budget, column, kind, &key, INT)? {
            Some(Picked { child, entries }) => {
                let child = child.as_primitive::<Int64Type>();
                let (values, nulls) = pick(&entries, child.nulls(), |entry| child.value(entry));
                Ok(Int64Array::new(ScalarBuffer::from(values), nulls))
            }
            None => Ok(Int64Array::new_null(rows)),
        },
        Target::Timestamp => samples::timestamps(batch),
        Target::Start => samples::starts(batch),
        Target::Value => samples::int_values(batch),
        Target::Exemplar(_) => Err(written_only(path)),
    }
}

/// The doubles at a path.
pub(super) fn floats(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<Float64Array, Error> {
    let rows = batch.rows;
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Entry { column, kind, key } => match picked(batch, budget, column, kind, &key, DOUBLE)? {
            Some(Picked { child, entries }) => {
                let child = child.as_primitive::<arrow::datatypes::Float64Type>();
                let (values, nulls) = pick(&entries, child.nulls(), |entry| child.value(entry));
                Ok(Float64Array::new(ScalarBuffer::from(values), nulls))
            }
            None => Ok(Float64Array::new_null(rows)),
        },
        Target::Value => samples::float_values(batch),
        Target::Column(_) | Target::Timestamp | Target::Start => Ok(Float64Array::new_null(rows)),
        Target::Exemplar(_) => Err(written_only(path)),
    }
}

/// The booleans at a path.
pub(super) fn bools(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<BooleanArray, Error> {
    let rows = batch.rows;
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Entry { column, kind, key } => match picked(batch, budget, column, kind, &key, BOOL)? {
            Some(Picked { child, entries }) => {
                let child = child.as_boolean();
                let (values, nulls) = pick(&entries, child.nulls(), |entry| child.value(entry));
                Ok(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            None => Ok(BooleanArray::new_null(rows)),
        },
        Target::Exemplar(_) => Err(written_only(path)),
        _ => Ok(BooleanArray::new_null(rows)),
    }
}

/// Numbers the distinct values of a column in the order they come.
fn distinct<'a>(rows: usize, value: impl Fn(usize) -> Option<&'a [u8]>) -> Result<Dictionary, Error> {
    let mut keys = Vec::with_capacity(rows);
    let mut offsets = vec![0_u32];
    let mut data: Vec<u8> = Vec::new();
    let mut table: HashTable<(u64, u32)> = HashTable::new();
    let mut last: Option<(&[u8], u32)> = None;
    for row in 0..rows {
        let Some(bytes) = value(row) else {
            keys.push(NULL_KEY);
            continue;
        };
        if let Some((earlier, key)) = last
            && earlier == bytes
        {
            keys.push(key);
            continue;
        }
        let hash = xxh3_64(bytes);
        let at = |key: u32| &data[offsets[key as usize] as usize..offsets[key as usize + 1] as usize];
        let found = table.find(hash, |&(other, key)| other == hash && at(key) == bytes).map(|&(_, key)| key);
        let key = match found {
            Some(key) => key,
            None => {
                let key = (offsets.len() - 1) as u32;
                data.extend_from_slice(bytes);
                let end = u32::try_from(data.len())
                    .map_err(|_| Error::Limit("the dictionary passes 4294967295 bytes".into()))?;
                offsets.push(end);
                table.insert_unique(hash, (hash, key), |&(hash, _)| hash);
                key
            }
        };
        last = Some((bytes, key));
        keys.push(key);
    }
    Ok(Dictionary { keys, values: Text { offsets, data: data.into(), validity: bytes::Bytes::new() } })
}

/// The text at a path, repeated values once.
pub(super) fn dictionary(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<Dictionary, Error> {
    let rows = batch.rows;
    if let Target::Entry { column, kind: kind @ (MapKind::Typed | MapKind::Labels), key } =
        paths::resolve(batch.signal, &batch.schema, path)?
    {
        let Some(Picked { child, entries }) = picked(batch, budget, column, kind, &key, STRING)? else {
            return distinct(rows, |_| None);
        };
        let child = child.as_string::<i32>();
        let (offsets, data) = (child.value_offsets(), child.value_data());
        return distinct(rows, |row| {
            let entry = entries[row];
            (entry != NONE && child.is_valid(entry as usize))
                .then(|| &data[offsets[entry as usize] as usize..offsets[entry as usize + 1] as usize])
        });
    }
    let array = text(batch, budget, path)?;
    distinct(rows, |row| array.is_valid(row).then(|| array.value(row).as_bytes()))
}

/// The keys that occur in a map, in the order they first do.
pub(super) fn keys(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<Vec<String>, Error> {
    let (column, _) = paths::map(batch.signal, &batch.schema, path)?;
    let array = batch.map(column, budget)?;
    let map = map_of(&array)?;
    let keys = map.keys().as_string::<i32>();
    let offsets = map.value_offsets();
    let mut found: Vec<&str> = Vec::new();
    let mut table: HashTable<u32> = HashTable::new();
    let mut seen: Vec<&str> = Vec::new();
    for row in 0..map.len() {
        for (position, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            let key = keys.value(entry);
            match seen.get_mut(position) {
                Some(earlier) if *earlier == key => continue,
                Some(earlier) => *earlier = key,
                None => seen.push(key),
            }
            let hash = xxh3_64(key.as_bytes());
            if table.find(hash, |&at| found[at as usize] == key).is_none() {
                found.push(key);
                let at = (found.len() - 1) as u32;
                table.insert_unique(hash, at, |&at| xxh3_64(found[at as usize].as_bytes()));
            }
        }
    }
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// The values at a path with whatever type they have, for kernels that move them.
pub(super) fn values(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<Source, Error> {
    match paths::resolve(batch.signal, &batch.schema, path)? {
        Target::Entry { column, kind, key } => {
            let array = settled_map(batch, budget, column, &key)?;
            let map = map_of(&array)?;
            let entries = locate(map, &key);
            let present = NullBuffer::new(BooleanBuffer::collect_bool(entries.len(), |row| entries[row] != NONE));
            let indices = UInt32Array::new(
                // take() reads no value where the index is null, but wants it in bounds of u32 only.
                ScalarBuffer::from(
                    entries.iter().map(|&entry| if entry == NONE { 0 } else { entry }).collect::<Vec<_>>(),
                ),
                Some(present.clone()),
            );
            let mut slots = [const { None }; SLOTS];
            match kind {
                MapKind::Labels => slots[STRING] = Some(take(map.values(), &indices, None)?),
                MapKind::Headers => slots[BYTES] = Some(take(map.values(), &indices, None)?),
                MapKind::Typed => {
                    for (slot, child) in slots.iter_mut().zip(map.values().as_struct().columns()) {
                        if child.null_count() < child.len() {
                            *slot = Some(take(child, &indices, None)?);
                        }
                    }
                }
            }
            Ok(Source { slots, present: Some(present), index: Index::Rows, len: batch.rows })
        }
        Target::Column(column) => {
            let array = batch.column(column);
            match array.data_type() {
                DataType::Utf8 => Ok(Source::of(STRING, array, Index::Rows)),
                DataType::Int64 => Ok(Source::of(INT, array, Index::Rows)),
                DataType::Int32 => Ok(Source::of(INT, cast(&array, &DataType::Int64)?, Index::Rows)),
                _ if paths::id_bytes(batch.name(column)).is_some() => {
                    Ok(Source::of(STRING, Arc::new(hex_column(array.as_binary())?), Index::Rows))
                }
                _ => Ok(Source::of(BYTES, array, Index::Rows)),
            }
        }
        Target::Timestamp => Ok(Source::of(INT, Arc::new(samples::timestamps(batch)?), Index::Rows)),
        Target::Start => Ok(Source::of(INT, Arc::new(samples::starts(batch)?), Index::Rows)),
        Target::Value => Ok(Source::of(DOUBLE, Arc::new(samples::float_values(batch)?), Index::Rows)),
        Target::Exemplar(_) => Err(written_only(path)),
    }
}

/// The JSON child's text, or the string child's, of a path: what a JSON kernel reads.
pub(super) fn json_text(batch: &mut Batch, budget: &mut Budget, path: &str) -> Result<StringArray, Error> {
    let values = values(batch, budget, path)?;
    match (&values.slots[STRING], &values.slots[JSON], &values.slots[BYTES]) {
        (Some(text), None, _) | (None, Some(text), _) => Ok(text.as_string::<i32>().clone()),
        (None, None, Some(bytes)) => utf8_column(bytes.as_binary()),
        (None, None, None) => Ok(StringArray::new_null(batch.rows)),
        (Some(_), Some(_), _) => values.to_text(),
    }
}
