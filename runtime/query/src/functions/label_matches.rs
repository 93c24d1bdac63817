//! `label_matches(labels, 'name', op, 'value')` with op one of `=`, `!=`, `=~`, `!~`: an absent label
//! counts as empty.

use super::maps::Labels;
use super::text_matches::Test;
use super::{Columnar, column, text};
use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "label_matches",
        |_| Ok(DataType::Boolean),
        |arguments| {
            let array = column(arguments, 0)?;
            let labels = Labels::of(&array)?;
            let name = text(arguments, 1)?;
            let test = Test::new(text(arguments, 2)?, text(arguments, 3)?)?;
            // Neighbouring rows mostly share the value: an expression is run once for a run of equal ones.
            let mut last: Option<(&str, bool)> = None;
            let passes: BooleanArray = (0..labels.len())
                .map(|row| {
                    let value = labels.get(row, name);
                    let pass = match last {
                        Some((seen, pass)) if seen == value => pass,
                        _ => test.passes(value),
                    };
                    last = Some((value, pass));
                    Some(pass)
                })
                .collect();
            Ok(Arc::new(passes))
        },
    )
});

/// The function.
pub fn label_matches() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}
