//! Step vectors: what PromQL and LogQL metric queries compute with, as ordinary DataFusion plans.
//!
//! A vector is a relation of two columns: `labels` (`Map<Utf8, Utf8>`, sorted by name, `__name__` among
//! them) and `values` (`List<Float64>`: one element for each step of a [`Grid`], null where the series
//! has no value). Samples before they are put on a grid are a relation of `labels`, `timestamps`
//! (`List<Int64>`, ascending) and `values` (`List<Float64>`, as long).
//!
//! The path of a range query: rows of a table → [`gather`] (one row a series, samples in order) →
//! [`range`] (a function over each step's window) → [`aggregate`], [`binary`], [`matching`], [`select`],
//! [`pointwise`] → rows out. Each is a plan of standard nodes (projection, filter, aggregate, join,
//! unnest) on functions that take their parameters as literals.

pub mod aggregate;
pub mod binary;
pub mod collect;
pub mod columns;
pub mod compensated;
pub mod gather;
pub mod grid;
pub mod grouped;
pub mod histogram;
pub mod matching;
pub mod plan;
pub mod pointwise;
pub mod range;
pub mod select;
pub mod steps;

pub use grid::{Grid, Window};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::sync::Arc;

/// Name of the label column of a vector.
pub const LABELS: &str = "labels";
/// Name of the value column of a vector and of samples.
pub const VALUES: &str = "values";
/// Name of the time column of samples.
pub const TIMESTAMPS: &str = "timestamps";

/// The scalar functions, for registering in a session.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = range::functions();
    all.extend(binary::functions());
    all.extend(pointwise::functions());
    all.extend(select::functions());
    all.extend(histogram::functions());
    all.extend(matching::functions());
    all.extend(steps::functions());
    all
}

/// The aggregate functions, for registering in a session.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut all = aggregate::functions();
    all.extend(gather::functions());
    all.push(collect::collect());
    all
}
