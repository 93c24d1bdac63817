//! weft's own log lines: to standard error, levels by `WEFT_LOG` (default `info`), as JSON with
//! `WEFT_LOG_FORMAT=json`.

use std::io::{self, Write};
use tracing_subscriber::EnvFilter;

/// Standard error, where a line that can't be written is lost and nothing more: it may be a file on
/// the very disk that is full, and the subscriber would panic on the failure.
struct Lossy(io::Stderr);

impl Write for Lossy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Starts logging for the process.
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| EnvFilter::new("info,fjall=warn,lsm_tree=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Lossy(io::stderr()));
    if std::env::var("WEFT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
