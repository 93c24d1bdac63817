//! The embedded log (being filled in).
use serde::{Deserialize, Serialize};

/// Settings of the embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Largest record taken (key, value and headers), in bytes.
    pub record_bytes: usize,
    /// How many bytes may wait for the disk before `append` answers that it can't take more.
    pub queue_bytes: usize,
    /// About how much is kept in memory before it goes from the journal into sorted files, in
    /// bytes, over all partitions. Records read before that never touch the disk.
    pub memory_bytes: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { record_bytes: 64 << 20, queue_bytes: 256 << 20, memory_bytes: 128 << 20 }
    }
}
