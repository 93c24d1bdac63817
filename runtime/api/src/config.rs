//! Limits of the receivers and the query APIs.

use serde::{Deserialize, Serialize};

/// Settings of the sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest request body as sent, bytes. More is answered with 413.
    pub max_body_bytes: usize,
    /// Largest request body once decompressed, bytes. More is answered with 413 (remote write: 400).
    pub max_decoded_bytes: usize,
    /// Bytes of bodies held at once over all receivers. A request that finds no room for
    /// `admission_wait_ms` is answered with the protocol's retryable error.
    pub in_flight_bytes: usize,
    /// How long a request waits for room, ms.
    pub admission_wait_ms: u64,
    /// Longest a query may ask to run, ms.
    pub query_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_decoded_bytes: 64 << 20,
            in_flight_bytes: 256 << 20,
            admission_wait_ms: 2_000,
            query_timeout_ms: 120_000,
        }
    }
}
