//! Checked queries → DataFusion plans over the `logs` table, and their rows back.
//!
//! The path of a line: [`source`] filters rows natively (time, stream labels, line filters) →
//! [`pipeline`], one scalar function over the batch, runs the query's stages on what is left →
//! [`streams`] collects entries, or [`window`], an aggregate function, turns lines into one value a
//! step for each label set → [`metric`] computes with the resulting vectors.

pub(crate) mod labels;
pub(crate) mod lines;
pub(crate) mod metric;
pub(crate) mod pipeline;
pub(crate) mod source;
pub(crate) mod streams;
pub(crate) mod window;

use crate::error::Error;
use weft_query::Error as QueryError;

/// Finds the pipeline's own error inside an error of the engine.
pub(crate) fn engine_error(error: QueryError) -> Error {
    if let QueryError::Rejected(message) = &error
        && let Some((error, series)) =
            message.strip_prefix(pipeline::PIPELINE_ERROR).and_then(|rest| rest.split_once('\n'))
    {
        return Error::Pipeline { error: error.to_owned(), series: series.to_owned() };
    }
    Error::Query(error)
}

/// Unnesting that leaves out rows whose list is empty: lines that a stage dropped.
pub(crate) fn kept_only() -> datafusion::common::UnnestOptions {
    datafusion::common::UnnestOptions::new().with_preserve_nulls(false)
}

pub(crate) fn plan_error(error: datafusion::error::DataFusionError) -> Error {
    engine_error(QueryError::from(error))
}
