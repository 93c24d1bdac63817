//! `parse-json`: JSON lines become attributes of the log record, with their types.
//!
//! Takes logs, and raw records, of which it makes logs. Nested keys are joined by `separator`
//! (`_`, as Loki's `json` stage does), arrays stay JSON. Time, severity, ids and service go to their
//! columns ([`weft_guest::logs::LiftConfig`]). The line itself stays the body, so that queries can
//! parse it again, unless a `lift.message` key is given. A line that isn't one JSON object passes
//! unchanged.

mod scan;

use scan::Scanner;
use serde::Deserialize;
use weft_guest::logs::{Lift, LiftConfig, Settings, parse_batch};
use weft_guest::{Batch, Description, Error, Module, Signal, Source};

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    source: String,
    attributes: bool,
    prefix: String,
    keep_lifted: bool,
    lift: LiftConfig,
    service: Option<String>,
    separator: String,
    max_depth: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "body".into(),
            attributes: true,
            prefix: String::new(),
            keep_lifted: false,
            lift: LiftConfig::default(),
            service: None,
            separator: "_".into(),
            max_depth: 10,
        }
    }
}

/// See the crate.
#[derive(Debug)]
pub struct ParseJson {
    settings: Settings,
    scanner: Scanner,
}

impl Module for ParseJson {
    type Config = Config;

    fn describe() -> Description {
        Description::new("parse-json", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Raw, Signal::Logs])
            .emits([Signal::Logs])
            .reads(["body", "log.*", "severity_number", "trace_id", "span_id", "resource.service.name", "raw.*"])
            .writes([
                "log.*",
                "body",
                "body_type",
                "time_unix_nano",
                "observed_time_unix_nano",
                "severity_number",
                "severity_text",
                "trace_id",
                "span_id",
                "resource.service.name",
            ])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        if !(1..=64).contains(&config.max_depth) {
            return Err(Error::config("max_depth", "must be from 1 to 64"));
        }
        let settings = Settings {
            source: config.source,
            attributes: config.attributes,
            prefix: config.prefix,
            keep_lifted: config.keep_lifted,
            lift: Lift::new(config.lift),
            service: config.service,
        };
        Ok(Self { settings, scanner: Scanner::new(config.separator, config.max_depth) })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        let scanner = &mut self.scanner;
        parse_batch(batch, now, &self.settings, |line, fields| {
            scanner.scan(line, &mut |key, value| fields.add(key, value))
        })
    }
}

weft_guest::export!(ParseJson);

#[cfg(test)]
mod tests;
