//! `label_replace`.

use super::Vector;
use crate::ast::LabelReplace;
use crate::error::Error;
use crate::stages::line_filter::anchored;
use std::collections::HashSet;

pub(crate) fn label_replace(mut vector: Vector, replace: &LabelReplace) -> Result<Vector, Error> {
    let regex = anchored(&replace.regex).map_err(Error::Invalid)?;
    let mut value = String::new();
    for series in &mut vector.series {
        if let Some(captures) = regex.captures(series.labels.get(&replace.source).unwrap_or("")) {
            value.clear();
            captures.expand(&replace.replacement, &mut value);
            series.labels.set(&replace.destination, &value);
        }
    }
    let distinct: HashSet<_> = vector.series.iter().map(|series| &series.labels).collect();
    if distinct.len() < vector.series.len() {
        return Err(Error::Execution("label_replace gives two series the same labels".to_owned()));
    }
    Ok(vector)
}
