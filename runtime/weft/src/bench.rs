//! `weft bench`: work per CPU-second on this machine, from the same bytes on every run.
//!
//! CPU time is the process's own (getrusage), so the figures hold on a machine that does other things
//! too. `generate.rs` makes the bytes, outside of what is measured.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people to read"
)]

mod generate;
mod ingest;
mod query;
mod usage;
mod wasm;

use crate::cli::BenchArgs;
use anyhow::{Result, bail};
use serde_json::json;

/// One line of a report.
#[derive(Debug)]
struct Row {
    what: String,
    figures: Vec<(&'static str, f64)>,
}

/// What was measured.
#[derive(Debug)]
struct Report {
    bench: &'static str,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    fn new(bench: &'static str) -> Self {
        Self { bench, rows: Vec::new(), notes: Vec::new() }
    }

    fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    #[allow(clippy::print_stdout, reason = "the command's output")]
    fn print(&self, as_json: bool) {
        if as_json {
            let rows: Vec<_> = self
                .rows
                .iter()
                .map(|row| {
                    let figures: serde_json::Map<_, _> =
                        row.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                    json!({"what": row.what, "figures": figures})
                })
                .collect();
            println!("{}", json!({"bench": self.bench, "rows": rows, "notes": self.notes}));
            return;
        }
        for row in &self.rows {
            println!("{}", row.what);
            for (name, value) in &row.figures {
                println!("  {:>16}  {name}", figure(*value));
            }
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}

/// 1234567.8 as `1,234,568`; small values with decimals.
fn figure(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Runs what was asked for and prints it.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        tracing::warn!("this is a debug build: its figures say nothing of a release");
    }
    if !(args.scale.is_finite() && args.scale > 0.0) {
        bail!("--scale must be above 0");
    }
    let report = match args.what.as_str() {
        "ingest" => ingest::run(args)?,
        "query" => query::run(args)?,
        _ => wasm::run(args.modules.as_deref(), args.scale)?,
    };
    report.print(args.json);
    Ok(())
}
