//! Limits of LogQL queries.

use serde::{Deserialize, Serialize};

/// Settings of the LogQL engine; the defaults are Loki's.
#[derive(Debug, Clone, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most entries that one log query returns; a larger `limit` is an error.
    pub max_entries: usize,
    /// Most series that one metric query returns.
    pub max_series: usize,
    /// Most points a series may have.
    pub max_points: usize,
    /// Longest query text, in bytes.
    pub max_query_length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_entries: 5_000, max_series: 500, max_points: 11_000, max_query_length: 128 * 1024 }
    }
}
