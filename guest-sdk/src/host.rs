//! The host's services: the log and the module's counters.

pub use crate::bindings::weft::telemetry::host::Level;

#[cfg(not(all(feature = "testing", not(target_arch = "wasm32"))))]
use crate::bindings::weft::telemetry::host as imports;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
use crate::testing::host as imports;

/// Writes to weft's log, under this module's name.
pub fn log(level: Level, message: &str) {
    imports::log(level, message);
}

/// Adds to a counter of this module, shown on `/metrics`.
pub fn count(name: &str, delta: u64) {
    imports::count(name, delta);
}
