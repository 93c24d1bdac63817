//! Clients in Python: the official OpenTelemetry SDK, confluent-kafka, DuckDB, Polars, deltalake.
//! Scripts are in `tests/python`; their last line of output is JSON.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

fn interpreter() -> PathBuf {
    let python = crate::target_dir().join("venv/bin/python");
    assert!(python.exists(), "{} is missing: `make test` sets it up, or run `.ci/setup test`", python.display());
    python
}

/// Runs a script and gives what it printed last.
pub fn run(script: &str, arguments: &[&str]) -> Value {
    let path = crate::root().join("tests/python").join(script);
    let output = Command::new(interpreter()).arg(&path).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?} failed:\n{out}\n{err}");
    let last = out.lines().last().unwrap_or_else(|| panic!("{script} printed nothing:\n{err}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{script}: {error}: {last}"))
}
