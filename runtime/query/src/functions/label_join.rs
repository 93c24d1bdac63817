//! `label_join(labels, dst, separator, src, …)`: `dst` becomes the values of the others, joined.

use super::maps::{Labels, write_with};
use super::{Columnar, column, text, texts};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{LabelMapBuilder, label_map};

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "label_join",
        |_| Ok(label_map()),
        |arguments| {
            let array = column(arguments, 0)?;
            let labels = Labels::of(&array)?;
            let (target, separator) = (text(arguments, 1)?, text(arguments, 2)?);
            let sources = texts(arguments, 3)?;
            let mut out = LabelMapBuilder::new();
            let mut value = String::new();
            for row in 0..labels.len() {
                value.clear();
                for (at, source) in sources.iter().enumerate() {
                    if at > 0 {
                        value.push_str(separator);
                    }
                    value.push_str(labels.get(row, source));
                }
                write_with(&mut out, labels.row(row).filter(|(name, _)| *name != target), target, &value);
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

/// The function.
pub fn label_join() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}
