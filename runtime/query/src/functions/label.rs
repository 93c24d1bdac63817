//! `label(labels, 'name')`: a label's value, null when the label is absent.

use super::maps::Labels;
use super::{Columnar, column, text};
use datafusion::arrow::array::StringBuilder;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "label",
        |_| Ok(DataType::Utf8),
        |arguments| {
            let array = column(arguments, 0)?;
            let name = text(arguments, 1)?;
            let labels = Labels::of(&array)?;
            let mut out = StringBuilder::with_capacity(labels.len(), labels.len() * 8);
            for row in 0..labels.len() {
                match labels.get(row, name) {
                    "" => out.append_null(),
                    value => out.append_value(value),
                }
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

/// The function.
pub fn label() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}
