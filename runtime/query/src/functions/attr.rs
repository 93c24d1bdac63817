//! Typed attributes from SQL: `attr(map, 'key')` as text, `attr_int`, `attr_double`, and
//! `typed_to_labels(map)`, all of a map's values as text.
//!
//! As text, strings are themselves, numbers and booleans their JSON form, bytes lower-case hex, arrays
//! and key-value lists their JSON. On a map of strings, the text is the value itself.

use super::maps::Labels;
use super::{Columnar, column, text};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Float64Builder, Int64Array, Int64Builder,
    MapArray, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{self, LabelMapBuilder, label_map};

/// A typed-map column taken apart.
#[derive(Debug)]
pub struct Typed<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    string: &'a StringArray,
    int: &'a Int64Array,
    double: &'a Float64Array,
    bool: &'a BooleanArray,
    bytes: &'a BinaryArray,
    json: &'a StringArray,
}

impl<'a> Typed<'a> {
    /// Looks into `array`; `None` when it is no typed map.
    pub fn of(array: &'a ArrayRef) -> Option<Self> {
        let map = array.as_map_opt()?;
        let value = map.values().as_struct_opt()?;
        Some(Self {
            map,
            keys: map.keys().as_string_opt()?,
            string: value.column_by_name(attributes::STRING)?.as_string_opt()?,
            int: value.column_by_name(attributes::INT)?.as_primitive_opt::<Int64Type>()?,
            double: value.column_by_name(attributes::DOUBLE)?.as_primitive_opt::<Float64Type>()?,
            bool: value.column_by_name(attributes::BOOL)?.as_boolean_opt()?,
            bytes: value.column_by_name(attributes::BYTES)?.as_binary_opt()?,
            json: value.column_by_name(attributes::JSON)?.as_string_opt()?,
        })
    }

    /// The entries of a row, as indexes for the other methods.
    pub fn entries(&self, row: usize) -> std::ops::Range<usize> {
        if self.map.is_null(row) {
            return 0..0;
        }
        let offsets = self.map.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    /// The entry of a row with this key.
    pub fn find(&self, row: usize, key: &str) -> Option<usize> {
        self.entries(row).find(|at| self.keys.value(*at) == key)
    }

    /// An entry's key.
    pub fn key(&self, entry: usize) -> &'a str {
        self.keys.value(entry)
    }

    /// Writes an entry's value as text; false when it is the empty value.
    pub fn write(&self, entry: usize, out: &mut String) -> bool {
        // Writing into a String can't fail.
        let _ = if self.string.is_valid(entry) {
            out.push_str(self.string.value(entry));
            Ok(())
        } else if self.int.is_valid(entry) {
            write!(out, "{}", self.int.value(entry))
        } else if self.double.is_valid(entry) {
            write!(out, "{}", self.double.value(entry))
        } else if self.bool.is_valid(entry) {
            write!(out, "{}", self.bool.value(entry))
        } else if self.json.is_valid(entry) {
            out.push_str(self.json.value(entry));
            Ok(())
        } else if self.bytes.is_valid(entry) {
            self.bytes.value(entry).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        } else {
            return false;
        };
        true
    }

    /// Whether an entry is an array or a key-value list.
    pub fn is_json(&self, entry: usize) -> bool {
        self.json.is_valid(entry)
    }

    fn int(&self, entry: usize) -> Option<i64> {
        self.int.is_valid(entry).then(|| self.int.value(entry))
    }

    fn double(&self, entry: usize) -> Option<f64> {
        if self.double.is_valid(entry) {
            return Some(self.double.value(entry));
        }
        self.int(entry).map(|int| int as f64)
    }
}

fn typed<'a>(array: &'a ArrayRef, function: &str) -> Result<Typed<'a>> {
    match Typed::of(array) {
        Some(typed) => Ok(typed),
        None => exec_err!("{function}: a map of attributes expected, not {}", array.data_type()),
    }
}

static ATTR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "attr",
        |_| Ok(DataType::Utf8),
        |arguments| {
            let array = column(arguments, 0)?;
            let key = text(arguments, 1)?;
            let mut out = StringBuilder::new();
            if let Ok(labels) = Labels::of(&array) {
                for row in 0..labels.len() {
                    match labels.get(row, key) {
                        "" => out.append_null(),
                        value => out.append_value(value),
                    }
                }
                return Ok(Arc::new(out.finish()));
            }
            let map = typed(&array, "attr")?;
            let mut value = String::new();
            for row in 0..array.len() {
                value.clear();
                match map.find(row, key) {
                    Some(entry) if map.write(entry, &mut value) => out.append_value(&value),
                    _ => out.append_null(),
                }
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

static INT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "attr_int",
        |_| Ok(DataType::Int64),
        |arguments| {
            let array = column(arguments, 0)?;
            let key = text(arguments, 1)?;
            let map = typed(&array, "attr_int")?;
            let mut out = Int64Builder::with_capacity(array.len());
            (0..array.len()).for_each(|row| out.append_option(map.find(row, key).and_then(|entry| map.int(entry))));
            Ok(Arc::new(out.finish()))
        },
    )
});

static DOUBLE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "attr_double",
        |_| Ok(DataType::Float64),
        |arguments| {
            let array = column(arguments, 0)?;
            let key = text(arguments, 1)?;
            let map = typed(&array, "attr_double")?;
            let mut out = Float64Builder::with_capacity(array.len());
            (0..array.len()).for_each(|row| out.append_option(map.find(row, key).and_then(|entry| map.double(entry))));
            Ok(Arc::new(out.finish()))
        },
    )
});

static LABELS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "typed_to_labels",
        |_| Ok(label_map()),
        |arguments| {
            let array = column(arguments, 0)?;
            let map = typed(&array, "typed_to_labels")?;
            let mut out = LabelMapBuilder::new();
            let mut entries: Vec<usize> = Vec::new();
            let mut value = String::new();
            for row in 0..array.len() {
                entries.clear();
                entries.extend(map.entries(row));
                entries.sort_by_key(|entry| map.key(*entry));
                for entry in &entries {
                    value.clear();
                    if map.write(*entry, &mut value) {
                        out.label(map.key(*entry), &value);
                    }
                }
                out.finish_row();
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

/// An attribute as text; null when absent.
pub fn attr() -> Arc<ScalarUDF> {
    Arc::clone(&ATTR)
}

/// An integer attribute; null when absent or of another type.
pub fn attr_int() -> Arc<ScalarUDF> {
    Arc::clone(&INT)
}

/// A float or integer attribute as a float; null when absent or of another type.
pub fn attr_double() -> Arc<ScalarUDF> {
    Arc::clone(&DOUBLE)
}

/// A typed map as labels, sorted by name.
pub fn typed_to_labels() -> Arc<ScalarUDF> {
    Arc::clone(&LABELS)
}
