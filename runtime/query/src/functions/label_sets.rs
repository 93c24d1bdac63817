//! Parts of label sets: `labels_by(labels, 'a', …)`, `labels_without(labels, 'a', …)`,
//! `with_label(labels, 'name', value)`.

use super::maps::{Labels, write_with};
use super::{Columnar, column, text, texts};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{LabelMapBuilder, label_map};

static BY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("labels_by", |_| Ok(label_map()), |arguments| part(arguments, true)));
static WITHOUT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("labels_without", |_| Ok(label_map()), |arguments| part(arguments, false)));

static WITH: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "with_label",
        |_| Ok(label_map()),
        |arguments| {
            let array = column(arguments, 0)?;
            let labels = Labels::of(&array)?;
            let name = text(arguments, 1)?;
            let values = column(arguments, 2)?;
            let Some(values) = values.as_string_opt::<i32>() else {
                return exec_err!("with_label: a string expected, not {}", values.data_type());
            };
            let mut out = LabelMapBuilder::new();
            for row in 0..labels.len() {
                let value = if values.is_null(row) { "" } else { values.value(row) };
                write_with(&mut out, labels.row(row).filter(|(key, _)| *key != name), name, value);
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

fn part(arguments: &ScalarFunctionArgs, keep_listed: bool) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let labels = Labels::of(&array)?;
    let names = texts(arguments, 1)?;
    let mut out = LabelMapBuilder::new();
    for row in 0..labels.len() {
        for (name, value) in labels.row(row).filter(|(name, _)| names.contains(name) == keep_listed) {
            out.label(name, value);
        }
        out.finish_row();
    }
    Ok(Arc::new(out.finish()))
}

/// Only the listed labels.
pub fn labels_by() -> Arc<ScalarUDF> {
    Arc::clone(&BY)
}

/// All but the listed labels.
pub fn labels_without() -> Arc<ScalarUDF> {
    Arc::clone(&WITHOUT)
}

/// A label set, or replaced; removed where the value is null or empty.
pub fn with_label() -> Arc<ScalarUDF> {
    Arc::clone(&WITH)
}
