//! `text_matches(text, op, 'value')` with op one of `=`, `!=`, `=~`, `!~`: a matcher on a string
//! column; null counts as empty.

use super::regexes::anchored;
use super::{Columnar, column, text};
use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;
use std::sync::{Arc, LazyLock};

/// One matcher, ready to run.
#[derive(Debug)]
pub enum Test<'a> {
    /// `=`, or `!=` when false.
    Equal(&'a str, bool),
    /// `=~`, or `!~` when false.
    Regex(Regex, bool),
}

impl<'a> Test<'a> {
    /// The matcher of operator `op`.
    ///
    /// # Errors
    /// On an unknown operator or an invalid expression.
    pub fn new(op: &str, value: &'a str) -> Result<Self> {
        Ok(match op {
            "=" => Self::Equal(value, true),
            "!=" => Self::Equal(value, false),
            "=~" => Self::Regex(anchored(value)?, true),
            "!~" => Self::Regex(anchored(value)?, false),
            other => return exec_err!("unknown matcher '{other}'"),
        })
    }

    /// Whether a value passes.
    pub fn passes(&self, value: &str) -> bool {
        match self {
            Self::Equal(expected, positive) => (value == *expected) == *positive,
            Self::Regex(regex, positive) => regex.is_match(value) == *positive,
        }
    }
}

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "text_matches",
        |_| Ok(DataType::Boolean),
        |arguments| {
            let array = column(arguments, 0)?;
            let Some(values) = array.as_string_opt::<i32>() else {
                return exec_err!("text_matches: a string expected, not {}", array.data_type());
            };
            let test = Test::new(text(arguments, 1)?, text(arguments, 2)?)?;
            let passes: BooleanArray = values.iter().map(|value| Some(test.passes(value.unwrap_or("")))).collect();
            Ok(Arc::new(passes))
        },
    )
});

/// The function.
pub fn text_matches() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}
