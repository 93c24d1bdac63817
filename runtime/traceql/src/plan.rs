//! Queries → DataFusion plans over the `spans` table, and their rows back.
//!
//! A search is two scans. The first finds candidate traces: each spanset filter becomes a predicate
//! on spans ([`predicate`]) that a matching trace must satisfy somewhere ([`candidates`]), with native
//! conditions that files, row groups and pages prune by. The second fetches whole candidate traces
//! ([`fetch`]), newest first and a few at a time, for exact evaluation.

pub(crate) mod candidates;
pub(crate) mod fetch;
pub(crate) mod metrics;
pub(crate) mod predicate;
pub(crate) mod tags;

use crate::error::Error;
use datafusion::error::DataFusionError;

pub(crate) fn plan_error(error: DataFusionError) -> Error {
    Error::Query(weft_query::Error::from(error))
}

pub(crate) fn unexpected_types() -> Error {
    Error::Query(weft_query::Error::Engine("columns of spans have unexpected types".to_owned()))
}
