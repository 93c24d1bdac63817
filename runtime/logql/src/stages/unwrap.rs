//! `| unwrap`: turns a label into the line's sample value.

use super::row::Row;
use super::units::{parse_bytes, parse_duration, parse_number};
use crate::ast::{Conversion, Unwrap};

/// Value of `__error__` when the label's value doesn't convert.
const SAMPLE_ERROR: &str = "SampleExtractionErr";

/// The value of the unwrapped label, which is taken off the line; `None` drops the line.
/// A value that doesn't convert marks the line and counts as 0.
pub(crate) fn unwrap(row: &mut Row<'_>, stage: &Unwrap) -> Option<f64> {
    let text = row.get(&stage.label).filter(|text| !text.is_empty())?;
    #[allow(clippy::cast_precision_loss, reason = "seconds are a float by definition")]
    let value = match stage.conversion {
        Conversion::Number => parse_number(text),
        Conversion::Duration => parse_duration(text).map(|nanos| nanos as f64 / 1e9),
        Conversion::Bytes => parse_bytes(text),
    };
    match value {
        Ok(value) => Some(value),
        Err(details) => {
            row.fail(SAMPLE_ERROR, &details);
            Some(0.0)
        }
    }
}
