//! The calls of the contract's `batches` interface on [`Rows`].

use super::host;
use super::rows::{Column, Rows, Value, canonical, in_map};
use crate::bindings::weft::telemetry::types::{
    Attributes, Blobs, Bools, Dictionary, Error, Floats, Ints, Nulls, Rows as Which, Scalar, Signal, Text,
};
use std::cell::RefCell;

#[derive(Debug)]
pub(crate) struct Batch(RefCell<Rows>);

fn bits(values: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut out = Vec::new();
    for (row, set) in values.enumerate() {
        if row % 8 == 0 {
            out.push(0);
        }
        out[row / 8] |= u8::from(set) << (row % 8);
    }
    out
}

fn bit(bits: &[u8], row: usize) -> bool {
    bits.is_empty() || bits[row / 8] & (1 << (row % 8)) != 0
}

fn validity<T>(column: &[Option<T>]) -> Vec<u8> {
    if column.iter().all(Option::is_some) { Vec::new() } else { bits(column.iter().map(Option::is_some)) }
}

fn concat(column: &[Option<Vec<u8>>]) -> (Vec<u32>, Vec<u8>, Vec<u8>) {
    let (mut offsets, mut data) = (vec![0], Vec::new());
    for value in column {
        data.extend_from_slice(value.as_deref().unwrap_or_default());
        offsets.push(data.len() as u32);
    }
    (offsets, data, validity(column))
}

fn texts(column: Column) -> Vec<Option<String>> {
    let text = |value| match value {
        Value::Text(text) | Value::Json(text) => Some(text),
        _ => None,
    };
    column.into_iter().map(|value| value.and_then(text)).collect()
}

fn text_of(raw: &Text, row: usize) -> Result<Option<String>, Error> {
    if !bit(&raw.validity, row) {
        return Ok(None);
    }
    let bytes = &raw.data[raw.offsets[row] as usize..raw.offsets[row + 1] as usize];
    let text = std::str::from_utf8(bytes).map_err(|_| Error::Column(format!("row {row} isn't UTF-8")))?;
    Ok(Some(text.into()))
}

impl Batch {
    pub(crate) fn new(rows: Rows) -> Self {
        Self(RefCell::new(rows))
    }

    pub(crate) fn into_rows(self) -> Rows {
        self.0.into_inner()
    }

    pub(crate) fn signal(&self) -> Signal {
        self.0.borrow().signal
    }

    pub(crate) fn rows(&self) -> u32 {
        self.0.borrow().rows as u32
    }

    fn column(&self, path: &str) -> Result<Column, Error> {
        self.0.borrow().column(path)
    }

    pub(crate) fn text(&self, path: &str) -> Result<Text, Error> {
        let column: Vec<_> = texts(self.column(path)?).into_iter().map(|text| text.map(String::into_bytes)).collect();
        let (offsets, data, validity) = concat(&column);
        Ok(Text { offsets, data, validity })
    }

    pub(crate) fn dictionary(&self, path: &str) -> Result<Dictionary, Error> {
        let mut distinct: Vec<Option<Vec<u8>>> = Vec::new();
        let keys = texts(self.column(path)?)
            .into_iter()
            .map(|text| {
                let Some(text) = text.map(String::into_bytes) else { return u32::MAX };
                let known = distinct.iter().position(|value| value.as_ref() == Some(&text));
                known.unwrap_or_else(|| {
                    distinct.push(Some(text));
                    distinct.len() - 1
                }) as u32
            })
            .collect();
        let (offsets, data, validity) = concat(&distinct);
        Ok(Dictionary { keys, values: Text { offsets, data, validity } })
    }

    pub(crate) fn ints(&self, path: &str) -> Result<Ints, Error> {
        let column: Vec<_> =
            self.column(path)?.into_iter().map(|v| if let Some(Value::Int(v)) = v { Some(v) } else { None }).collect();
        Ok(Ints { validity: validity(&column), values: column.into_iter().map(Option::unwrap_or_default).collect() })
    }

    pub(crate) fn floats(&self, path: &str) -> Result<Floats, Error> {
        let column: Vec<_> = self
            .column(path)?
            .into_iter()
            .map(|v| if let Some(Value::Float(v)) = v { Some(v) } else { None })
            .collect();
        Ok(Floats {
            validity: validity(&column),
            bits: column.into_iter().map(|v| v.unwrap_or_default().to_bits()).collect(),
        })
    }

    pub(crate) fn bools(&self, path: &str) -> Result<Bools, Error> {
        let column: Vec<_> =
            self.column(path)?.into_iter().map(|v| if let Some(Value::Bool(v)) = v { Some(v) } else { None }).collect();
        Ok(Bools { validity: validity(&column), values: bits(column.into_iter().map(Option::unwrap_or_default)) })
    }

    pub(crate) fn blobs(&self, path: &str) -> Result<Blobs, Error> {
        let column: Vec<_> = self
            .column(path)?
            .into_iter()
            .map(|v| if let Some(Value::Bytes(v)) = v { Some(v) } else { None })
            .collect();
        let (offsets, data, validity) = concat(&column);
        Ok(Blobs { offsets, data, validity })
    }

    pub(crate) fn keys(&self, path: &str) -> Result<Vec<String>, Error> {
        if !["resource", "scope", "attributes", "label", "raw.header"].contains(&path) {
            return Err(Error::Path(format!("'{path}' is no map")));
        }
        let prefix = format!("{path}.");
        let rows = self.0.borrow();
        let used = rows.columns.iter().filter(|(_, column)| column.iter().any(Option::is_some));
        Ok(used.filter_map(|(name, _)| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn push(&self, path: &str, values: Column, nulls: Nulls) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        if values.len() != rows.rows {
            return Err(Error::Column(format!("{path}: {} values for {} rows", values.len(), rows.rows)));
        }
        for (cell, value) in rows.column_mut(path)?.iter_mut().zip(values) {
            if value.is_some() || nulls == Nulls::Clear {
                *cell = value;
            }
        }
        Ok(())
    }

    pub(crate) fn set_text(&self, path: &str, column: &Text, nulls: Nulls) -> Result<(), Error> {
        let rows = column.offsets.len().saturating_sub(1);
        let values = (0..rows).map(|row| Ok(text_of(column, row)?.map(Value::Text))).collect::<Result<_, Error>>()?;
        self.push(path, values, nulls)
    }

    pub(crate) fn set_dictionary(&self, path: &str, column: &Dictionary, nulls: Nulls) -> Result<(), Error> {
        let value = |key: u32| match key {
            u32::MAX => Ok(None),
            key => Ok(text_of(&column.values, key as usize)?.map(Value::Text)),
        };
        let values = column.keys.iter().map(|key| value(*key)).collect::<Result<_, Error>>()?;
        self.push(path, values, nulls)
    }

    pub(crate) fn set_ints(&self, path: &str, column: &Ints, nulls: Nulls) -> Result<(), Error> {
        let cell = |(row, value): (usize, &i64)| bit(&column.validity, row).then_some(Value::Int(*value));
        self.push(path, column.values.iter().enumerate().map(cell).collect(), nulls)
    }

    pub(crate) fn set_floats(&self, path: &str, column: &Floats, nulls: Nulls) -> Result<(), Error> {
        let cell =
            |(row, bits): (usize, &u64)| bit(&column.validity, row).then_some(Value::Float(f64::from_bits(*bits)));
        self.push(path, column.bits.iter().enumerate().map(cell).collect(), nulls)
    }

    pub(crate) fn set_bools(&self, path: &str, column: &Bools, nulls: Nulls) -> Result<(), Error> {
        let rows = self.0.borrow().rows;
        let cell =
            |row| bit(&column.validity, row).then(|| Value::Bool(column.values[row / 8] & (1 << (row % 8)) != 0));
        self.push(path, (0..rows).map(cell).collect(), nulls)
    }

    pub(crate) fn set_blobs(&self, path: &str, column: &Blobs, nulls: Nulls) -> Result<(), Error> {
        let rows = column.offsets.len().saturating_sub(1);
        let bytes = |row: usize| column.data[column.offsets[row] as usize..column.offsets[row + 1] as usize].to_vec();
        let cell = |row| bit(&column.validity, row).then(|| Value::Bytes(bytes(row)));
        self.push(path, (0..rows).map(cell).collect(), nulls)
    }

    pub(crate) fn set_attributes(&self, path: &str, entries: &Attributes) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        if entries.offsets.len() != rows.rows + 1 {
            return Err(Error::Column(format!(
                "{} rows of attributes for {} rows",
                entries.offsets.len() - 1,
                rows.rows
            )));
        }
        for row in 0..rows.rows {
            for entry in entries.offsets[row] as usize..entries.offsets[row + 1] as usize {
                let key = text_of(&entries.keys.values, entries.keys.keys[entry] as usize)?.unwrap_or_default();
                let text = text_of(&entries.values, entry)?.unwrap_or_default();
                let bad = || Error::Column(format!("'{text}' isn't of kind {}", entries.kinds[entry]));
                let value = match entries.kinds[entry] {
                    0 => Value::Text(text),
                    1 => Value::Int(text.parse().map_err(|_| bad())?),
                    2 => Value::Float(text.parse().map_err(|_| bad())?),
                    3 => Value::Bool(text.parse().map_err(|_| bad())?),
                    4 => Value::Json(text),
                    _ => return Err(bad()),
                };
                rows.column_mut(&format!("{path}.{key}"))?[row] = Some(value);
            }
        }
        Ok(())
    }

    pub(crate) fn retain(&self, mask: &[u8]) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        if mask.len() != rows.rows.div_ceil(8) {
            return Err(Error::Column(format!("a mask of {} bytes for {} rows", mask.len(), rows.rows)));
        }
        *rows = rows.select(|row| mask[row / 8] & (1 << (row % 8)) != 0);
        Ok(())
    }

    fn write(&self, target: &str, which: Which, value: impl Fn(usize) -> Option<Value>) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        for (row, cell) in rows.column_mut(target)?.iter_mut().enumerate() {
            let chosen = match which {
                Which::All => true,
                Which::Missing => cell.is_none(),
                Which::Present => cell.is_some(),
            };
            if let (true, Some(value)) = (chosen, value(row)) {
                *cell = Some(value);
            }
        }
        Ok(())
    }

    pub(crate) fn set_constant(&self, path: &str, value: &Scalar, rows: Which) -> Result<(), Error> {
        let value = match value {
            Scalar::Text(v) => Value::Text(v.clone()),
            Scalar::Int(v) => Value::Int(*v),
            Scalar::Float(v) => Value::Float(*v),
            Scalar::Boolean(v) => Value::Bool(*v),
        };
        self.write(path, rows, |_| Some(value.clone()))
    }

    pub(crate) fn copy(&self, source: &str, target: &str, rows: Which) -> Result<(), Error> {
        let column = self.column(source)?;
        self.write(target, rows, |row| column[row].clone())
    }

    pub(crate) fn rename(&self, source: &str, target: &str) -> Result<(), Error> {
        self.copy(source, target, Which::All)?;
        self.remove(source)
    }

    pub(crate) fn remove(&self, path: &str) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        let name = canonical(rows.signal, path)?;
        if !in_map(&name) {
            return Err(Error::Path(format!("'{path}' can't be removed")));
        }
        rows.columns.remove(&name);
        Ok(())
    }

    fn regex(regex: &str) -> Result<regex::Regex, Error> {
        regex::Regex::new(regex).map_err(|e| Error::Argument(e.to_string()))
    }

    pub(crate) fn matches(&self, path: &str, regex: &str) -> Result<Vec<u8>, Error> {
        let regex = Self::regex(regex)?;
        Ok(bits(texts(self.column(path)?).iter().map(|text| text.as_ref().is_some_and(|text| regex.is_match(text)))))
    }

    pub(crate) fn replace(&self, path: &str, regex: &str, replacement: &str) -> Result<(), Error> {
        let regex = Self::regex(regex)?;
        let column = texts(self.column(path)?);
        self.write(path, Which::Present, |row| {
            Some(Value::Text(regex.replace_all(column[row].as_ref()?, replacement).into_owned()))
        })
    }

    pub(crate) fn extract(&self, path: &str, regex: &str, target: &str) -> Result<(), Error> {
        let regex = Self::regex(regex)?;
        let column = texts(self.column(path)?);
        for name in regex.capture_names().flatten() {
            self.write(&format!("{target}.{name}"), Which::All, |row| {
                let captures = regex.captures(column[row].as_ref()?)?;
                Some(Value::Text(captures.name(name)?.as_str().into()))
            })?;
        }
        Ok(())
    }

    pub(crate) fn hash(&self, path: &str, target: &str) -> Result<(), Error> {
        use sha2::Digest as _;
        let column = self.column(path)?;
        self.write(target, Which::All, |row| {
            let digest = match column[row].as_ref()? {
                Value::Text(text) | Value::Json(text) => sha2::Sha256::digest(text),
                Value::Bytes(bytes) => sha2::Sha256::digest(bytes),
                _ => return None,
            };
            Some(Value::Text(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
        })
    }

    pub(crate) fn json_extract(&self, path: &str, pointer: &str, target: &str) -> Result<(), Error> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(Error::Argument(format!("'{pointer}' is no JSON pointer")));
        }
        let column = texts(self.column(path)?);
        self.write(target, Which::All, |row| {
            let json: serde_json::Value = serde_json::from_str(column[row].as_ref()?).ok()?;
            Some(match json.pointer(pointer)? {
                serde_json::Value::Null => return None,
                serde_json::Value::Bool(v) => Value::Bool(*v),
                serde_json::Value::Number(n) => n.as_i64().map(Value::Int).or_else(|| n.as_f64().map(Value::Float))?,
                serde_json::Value::String(text) => Value::Text(text.clone()),
                other => Value::Json(other.to_string()),
            })
        })
    }

    pub(crate) fn defer(&self, keys: &[u8], mask: &[u8]) -> Result<(), Error> {
        let mut rows = self.0.borrow_mut();
        if keys.len() != rows.rows * 16 || mask.len() != rows.rows.div_ceil(8) {
            return Err(Error::Column("keys or mask have another length than the batch".into()));
        }
        for (row, key) in host::keys(keys).enumerate().filter(|(row, _)| bit(mask, *row)) {
            let parked = rows.select(|other| other == row);
            host::with(|state| state.parked.push((key, parked)));
        }
        *rows = rows.select(|row| !bit(mask, row));
        Ok(())
    }
}

/// See the contract's `emit`.
pub(crate) fn emit(signal: Signal, rows: u32) -> Result<Batch, Error> {
    Ok(Batch::new(Rows::new(signal, rows as usize)))
}

/// See the contract's `send`.
pub(crate) fn send(batch: Batch) -> Result<(), Error> {
    host::with(|state| state.emitted.push(batch.into_rows()));
    Ok(())
}

/// See the contract's `resolve`.
pub(crate) fn resolve(keys: &[u8], keep: &[u8]) -> Result<(), Error> {
    host::with(|state| {
        for (index, key) in host::keys(keys).enumerate() {
            let parked = std::mem::take(&mut state.parked);
            let (chosen, rest): (Vec<_>, Vec<_>) = parked.into_iter().partition(|(other, _)| *other == key);
            state.parked = rest;
            if keep.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0) {
                state.released.extend(chosen.into_iter().map(|(_, rows)| rows));
            }
        }
    });
    Ok(())
}
