//! `label_replace(labels, dst, replacement, src, regex)`: PromQL's and LogQL's, on the label set.
//! Where the anchored `regex` matches `src`, `dst` becomes the expanded replacement; empty removes it.

use super::maps::{Labels, write_with};
use super::regexes::anchored;
use super::{Columnar, column, text};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{LabelMapBuilder, label_map};

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "label_replace",
        |_| Ok(label_map()),
        |arguments| {
            let array = column(arguments, 0)?;
            let labels = Labels::of(&array)?;
            let (target, replacement) = (text(arguments, 1)?, text(arguments, 2)?);
            let (source, regex) = (text(arguments, 3)?, anchored(text(arguments, 4)?)?);
            let mut out = LabelMapBuilder::new();
            let mut value = String::new();
            for row in 0..labels.len() {
                match regex.captures(labels.get(row, source)) {
                    Some(captures) => {
                        value.clear();
                        captures.expand(replacement, &mut value);
                        write_with(&mut out, labels.row(row).filter(|(name, _)| *name != target), target, &value);
                    }
                    None => write_with(&mut out, labels.row(row), "", ""),
                }
            }
            Ok(Arc::new(out.finish()))
        },
    )
});

/// The function.
pub fn label_replace() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}
