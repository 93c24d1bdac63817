//! The `host` interface: a module's log and counters.

use super::State;
use crate::bindings::weft::telemetry::host::{Host, Level};

/// Messages of one call that are logged; the rest is counted only.
const LINES: usize = 100;
/// Bytes of a message that are logged.
const LINE_BYTES: usize = 4096;
/// Counters of an instance. More names are a module's mistake (a name made of data).
const COUNTERS: usize = 256;
/// Bytes of a counter's name.
const NAME_BYTES: usize = 128;

/// The first bytes of a text, at most `bytes`, to the end of a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

impl Host for State {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.call.log_lines += 1;
        if self.call.log_lines > LINES {
            if self.call.log_lines == LINES + 1 {
                tracing::warn!(module = %self.module, "more than {LINES} messages in one call: the rest is left out");
            }
            return Ok(());
        }
        let message = cut(&message, LINE_BYTES);
        let module = &self.module;
        match level {
            Level::Trace => tracing::trace!(target: "weft::module", %module, "{message}"),
            Level::Debug => tracing::debug!(target: "weft::module", %module, "{message}"),
            Level::Info => tracing::info!(target: "weft::module", %module, "{message}"),
            Level::Warn => tracing::warn!(target: "weft::module", %module, "{message}"),
            Level::Error => tracing::error!(target: "weft::module", %module, "{message}"),
        }
        Ok(())
    }

    fn count(&mut self, name: String, delta: u64) -> wasmtime::Result<()> {
        if let Some(counter) = self.counters.get_mut(&name) {
            *counter = counter.wrapping_add(delta);
        } else if self.counters.len() < COUNTERS && name.len() <= NAME_BYTES {
            self.counters.insert(name, delta);
        } else if self.call.log_lines == 0 {
            self.call.log_lines += 1;
            tracing::warn!(module = %self.module, "counter not kept: at most {COUNTERS} of up to {NAME_BYTES} bytes");
        }
        Ok(())
    }
}
