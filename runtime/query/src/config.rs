//! Settings of the query engine.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Limits and tuning of queries. Every field has a default; unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Memory one query may hold in operators that buffer rows. Above it the query fails.
    pub memory_bytes: usize,
    /// Time one query may take, planning included.
    pub timeout_ms: u64,
    /// Partitions a plan is spread over; 0 takes the machine's core count.
    pub partitions: usize,
    /// Rows of a batch between operators.
    pub batch_rows: usize,
    /// Memory for Parquet footers and page indexes, shared by all queries.
    pub footer_cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            timeout_ms: 120_000,
            partitions: 0,
            batch_rows: 8192,
            footer_cache_bytes: 256 << 20,
        }
    }
}

impl Config {
    /// The time limit of one query.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn partition_count(&self) -> usize {
        match self.partitions {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}
