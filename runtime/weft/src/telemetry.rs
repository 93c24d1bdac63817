//! weft's own log lines: to standard error, levels by `WEFT_LOG` (default `info`), as JSON with
//! `WEFT_LOG_FORMAT=json`.

use tracing_subscriber::EnvFilter;

/// Starts logging for the process.
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| EnvFilter::new("info,fjall=warn,lsm_tree=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("WEFT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
