//! `redact`: replaces what must not be stored, such as card numbers, by regular expressions.
//!
//! Rules run in order on the body of logs and the text attributes of logs and spans, or on the paths
//! that a rule names. The replacing is done by the host, natively.

use serde::Deserialize;
use weft_guest::{Batch, Description, Error, Module, Signal, Source};

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    regex: String,
    #[serde(default = "stars")]
    replacement: String,
    paths: Option<Vec<String>>,
}

fn stars() -> String {
    "***".into()
}

/// See the crate.
#[derive(Debug)]
pub struct Redact {
    rules: Vec<Rule>,
}

/// Where a rule looks that names no paths.
fn default_paths(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &["body", "attributes.*"],
        Signal::Spans => &["attributes.*"],
        Signal::Metrics => &["label.*"],
        Signal::Raw => &[],
    }
}

impl Module for Redact {
    type Config = Config;

    fn describe() -> Description {
        Description::new("redact", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Logs, Signal::Spans, Signal::Metrics])
            .reads(["body", "name", "attributes.*", "resource.*", "label.*"])
            .writes(["body", "name", "attributes.*", "resource.*", "label.*"])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        for (index, rule) in config.rules.iter().enumerate() {
            if rule.regex.is_empty() {
                return Err(Error::config(format!("rules.{index}.regex"), "is empty, which matches everywhere"));
            }
        }
        Ok(Self { rules: config.rules })
    }

    fn process(&mut self, batch: &Batch, _now: u64) -> Result<(), Error> {
        if batch.rows() == 0 {
            return Ok(());
        }
        for rule in &self.rules {
            let named: Vec<&str> = match &rule.paths {
                Some(paths) => paths.iter().map(String::as_str).collect(),
                None => default_paths(batch.signal()).to_vec(),
            };
            for path in named {
                let Some(map) = path.strip_suffix(".*") else {
                    batch.replace(path, &rule.regex, &rule.replacement)?;
                    continue;
                };
                for key in batch.keys(map)? {
                    batch.replace(&format!("{map}.{key}"), &rule.regex, &rule.replacement)?;
                }
            }
        }
        Ok(())
    }
}

weft_guest::export!(Redact);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use weft_guest::testing::{Harness, Rows};

    fn run(config: &str, rows: Rows) -> Vec<String> {
        Harness::<Redact>::new(config).unwrap().process(rows, 1).unwrap().batch.unwrap().lines()
    }

    #[test]
    fn secrets_are_replaced_in_body_and_attributes() {
        let rows = Rows::new(Signal::Logs, 2)
            .with("body", [Some("card 4111-1111 of bob@x.org"), None])
            .with("log.mail", [None, Some("bob@x.org")])
            .with("log.n", [Some(4111), None])
            .with("resource.owner", [Some("bob@x.org"), None]);
        let config = r#"{"rules": [{"regex": "\\d{4}-\\d{4}"}, {"regex": "(\\w+)@[\\w.]+", "replacement": "$1@"}]}"#;
        assert_eq!(
            run(config, rows),
            [r#"attributes.n=4111 body="card *** of bob@" resource.owner="bob@x.org""#, r#"attributes.mail="bob@""#]
        );
    }

    #[test]
    fn a_rule_may_name_its_paths() {
        let rows = Rows::new(Signal::Spans, 1).all("name", "GET /u/1").all("resource.a", "1").all("span.b", "1");
        let config = r#"{"rules": [{"regex": "1", "replacement": "?", "paths": ["name", "resource.*"]}]}"#;
        assert_eq!(run(config, rows), [r#"attributes.b="1" name="GET /u/?" resource.a="?""#]);
    }

    #[test]
    fn a_bad_regex_or_configuration_is_an_error() {
        let mut harness = Harness::<Redact>::new(r#"{"rules": [{"regex": "("}]}"#).unwrap();
        let rows = Rows::new(Signal::Logs, 1).all("body", "x");
        assert!(harness.process(rows, 1).unwrap_err().to_string().starts_with("argument: regex"));
        let error = Harness::<Redact>::new(r#"{"rules": [{"regex": ""}]}"#).unwrap_err().to_string();
        assert!(error.contains("rules.0.regex"), "{error}");
        serde_json::from_str::<serde_json::Value>(&Redact::describe().config_schema).unwrap();
    }
}
