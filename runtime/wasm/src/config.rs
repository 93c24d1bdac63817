//! Limits and places of the Wasm host.

use crate::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;

/// How often the epoch moves on: call timeouts are exact to about this much.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Settings of an [`crate::Engine`]. Limits hold for each instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Linear memory of an instance, bytes (all its memories together).
    pub memory_bytes: usize,
    /// Longest single call into a module. Wall clock, in steps of about 10 ms.
    #[serde(with = "duration_ms", rename = "call_timeout_ms")]
    pub call_timeout: Duration,
    /// Most rows that one call may emit.
    pub output_rows: usize,
    /// Most bytes that one call may push (columns, attributes, emitted batches). At most `i32::MAX`.
    pub output_bytes: usize,
    /// Most distinct paths that one call may write in a batch.
    pub columns: usize,
    /// Most rows parked by an instance.
    pub deferred_rows: usize,
    /// Most bytes parked by an instance.
    pub deferred_bytes: usize,
    /// Most bytes that cross from the guest to the host in one host call.
    pub hostcall_bytes: usize,
    /// Wasm stack of a call, bytes.
    pub stack_bytes: usize,
    /// Instances that may live at once in an engine; address space is reserved for as many.
    pub instances: u32,
    /// Folder of compiled code; `None` compiles at every start. Whoever may write there can run
    /// code as weft: keep it as private as the binary.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            call_timeout: Duration::from_secs(5),
            output_rows: 1 << 20,
            output_bytes: 512 << 20,
            columns: 4096,
            deferred_rows: 4 << 20,
            deferred_bytes: 2 << 30,
            hostcall_bytes: 512 << 20,
            stack_bytes: 512 << 10,
            instances: 512,
            cache_dir: None,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |why: &str| Err(Error::Config(why.to_owned()));
        if self.memory_bytes < 1 << 16 || self.memory_bytes as u64 > 1 << 32 {
            return bad("memory_bytes must be from 65536 (one Wasm page) to 4294967296");
        }
        if self.call_timeout < EPOCH_TICK {
            return bad("call_timeout_ms must be at least 10");
        }
        if self.output_bytes > i32::MAX as usize {
            return bad("output_bytes must be at most 2147483647: Arrow's offsets end there");
        }
        if self.instances == 0 || self.instances > 8192 {
            return bad("instances must be from 1 to 8192");
        }
        if self.stack_bytes < 64 << 10 || self.stack_bytes > 1 << 20 {
            return bad("stack_bytes must be from 65536 to 1048576: the native stack of a thread holds it too");
        }
        Ok(())
    }
}

mod duration_ms {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
