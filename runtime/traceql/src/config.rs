//! Limits of TraceQL queries.

use serde::{Deserialize, Serialize};

/// Settings of the TraceQL engine.
#[derive(Debug, Clone, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Longest query text, in bytes.
    pub max_query_length: usize,
    /// Most traces that one search returns.
    pub max_limit: usize,
    /// Most spans that a search returns for one trace.
    pub max_spans_per_spanset: usize,
    /// How far a trace's spans may lie outside the searched time range and still be seen by
    /// structural operators, `traceDuration`, root names …, in seconds.
    pub trace_margin_seconds: u64,
    /// Candidate traces that are fetched and evaluated at a time.
    pub traces_per_fetch: usize,
    /// Most values that a tag-values call returns.
    pub max_tag_values: usize,
    /// Most intervals of a metrics query.
    pub max_intervals: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_query_length: 128 * 1024,
            max_limit: 262_144,
            max_spans_per_spanset: 100,
            trace_margin_seconds: 3_600,
            traces_per_fetch: 128,
            max_tag_values: 10_000,
            max_intervals: 10_000,
        }
    }
}
