//! Label sets as bytes, to group and join by: `label_key(labels)`, `label_key(labels, 'by', 'a', …)`,
//! `label_key(labels, 'without', 'a', …)`, and `labels_of_key(key)` back.
//!
//! The key is `name 0xff value 0xff` of each label in ascending order of names, the input of
//! [`weft_model::series::id`]: equal sets have equal keys, and 0xff occurs in no UTF-8 text.

use super::maps::Labels;
use super::{Columnar, column, texts};
use datafusion::arrow::array::{Array, AsArray, BinaryBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{LabelMapBuilder, label_map};

const SEPARATOR: u8 = 0xff;

static LABEL_KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "label_key",
        |_| Ok(DataType::Binary),
        |arguments| {
            let array = column(arguments, 0)?;
            let labels = Labels::of(&array)?;
            let modifier = texts(arguments, 1)?;
            let (keep_listed, names) = match modifier.split_first() {
                None => (false, &[][..]),
                Some((&"by", names)) => (true, names),
                Some((&"without", names)) => (false, names),
                Some((other, _)) => return exec_err!("label_key: 'by' or 'without' expected, not '{other}'"),
            };
            let mut out = BinaryBuilder::with_capacity(labels.len(), labels.len() * 32);
            let mut key = Vec::with_capacity(256);
            for row in 0..labels.len() {
                key.clear();
                write(&mut key, labels.row(row).filter(|(name, _)| names.contains(name) == keep_listed));
                out.append_value(&key);
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

static LABELS_OF_KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "labels_of_key",
        |_| Ok(label_map()),
        |arguments| {
            let array = column(arguments, 0)?;
            let Some(keys) = array.as_binary_opt::<i32>() else {
                return exec_err!("labels_of_key: a binary key expected, not {}", array.data_type());
            };
            let mut out = LabelMapBuilder::new();
            for row in 0..keys.len() {
                for (name, value) in read(keys.value(row))? {
                    out.label(name, value);
                }
                out.finish_row();
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

/// Appends labels, sorted by name, to a key.
pub fn write<'a>(key: &mut Vec<u8>, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in labels {
        key.extend_from_slice(name.as_bytes());
        key.push(SEPARATOR);
        key.extend_from_slice(value.as_bytes());
        key.push(SEPARATOR);
    }
}

/// The labels of a key.
///
/// # Errors
/// When the bytes are none of [`write`]'s.
pub fn read(key: &[u8]) -> Result<impl Iterator<Item = (&str, &str)>> {
    let mut parts = key.split(|byte| *byte == SEPARATOR);
    // What follows the last separator is empty.
    let tail = parts.next_back();
    if tail.is_some_and(|tail| !tail.is_empty()) || parts.clone().any(|part| std::str::from_utf8(part).is_err()) {
        return exec_err!("not a label key");
    }
    let mut texts = parts.filter_map(|part| std::str::from_utf8(part).ok());
    Ok(std::iter::from_fn(move || Some((texts.next()?, texts.next()?))))
}

/// `label_key`.
pub fn label_key() -> Arc<ScalarUDF> {
    Arc::clone(&LABEL_KEY)
}

/// `labels_of_key`.
pub fn labels_of_key() -> Arc<ScalarUDF> {
    Arc::clone(&LABELS_OF_KEY)
}
