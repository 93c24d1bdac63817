//! `parse-logfmt`: logfmt lines (`level=info msg="it works" took=3ms`) become attributes.
//!
//! Takes logs, and raw records, of which it makes logs. Values are strings, as in Loki, unless
//! `types` is set. Known fields go to their columns ([`weft_guest::logs::LiftConfig`]); the line
//! stays the body. Since any words could be read as logfmt, a line passes unchanged unless each of
//! its words is `key=value` (`bare_keys` loosens that).

use serde::Deserialize;
use weft_guest::logs::{Fields, Lift, LiftConfig, Settings, Value, parse_batch};
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
    bare_keys: bool,
    types: bool,
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
            bare_keys: false,
            types: false,
        }
    }
}

/// See the crate.
#[derive(Debug)]
pub struct ParseLogfmt {
    settings: Settings,
    parser: Parser,
}

#[derive(Debug)]
struct Parser {
    bare_keys: bool,
    types: bool,
    /// A quoted value without its escapes.
    text: String,
}

fn typed(text: &str) -> Value<'_> {
    let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.parse::<f64>().is_ok();
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if number && text.parse::<i64>().is_ok() => Value::Int(text),
        _ if number => Value::Float(text),
        _ => Value::Text(text),
    }
}

impl Parser {
    /// Whether the line is logfmt; its fields have been added then.
    fn parse(&mut self, line: &str, fields: &mut Fields<'_>) -> bool {
        let bytes = line.as_bytes();
        let (mut at, mut pairs) = (0, 0);
        loop {
            while bytes.get(at).is_some_and(|byte| *byte <= b' ') {
                at += 1;
            }
            if at == bytes.len() {
                return pairs > 0;
            }
            let start = at;
            while bytes.get(at).is_some_and(|byte| *byte > b' ' && !matches!(byte, b'=' | b'"')) {
                at += 1;
            }
            let key = &line[start..at];
            // JSON and its like have keys, too, but not such.
            if key.is_empty() || key.starts_with(['{', '[', '<']) || bytes.get(at) == Some(&b'"') {
                return false;
            }
            if bytes.get(at) != Some(&b'=') {
                if !self.bare_keys {
                    return false;
                }
                fields.add(key, Value::Text(""));
                continue;
            }
            at += 1;
            pairs += 1;
            if bytes.get(at) == Some(&b'"') {
                let Some(end) = self.quoted(line, at + 1) else { return false };
                fields.add(key, Value::Text(&self.text));
                at = end;
                if bytes.get(at).is_some_and(|byte| *byte > b' ') {
                    return false;
                }
                continue;
            }
            let start = at;
            while bytes.get(at).is_some_and(|byte| *byte > b' ' && *byte != b'"') {
                at += 1;
            }
            if bytes.get(at) == Some(&b'"') {
                return false;
            }
            let value = &line[start..at];
            fields.add(key, if self.types { typed(value) } else { Value::Text(value) });
        }
    }

    /// Reads a quoted value from after its quote into `self.text`; the place after its end.
    fn quoted(&mut self, line: &str, start: usize) -> Option<usize> {
        self.text.clear();
        let mut chars = line[start..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some(start + at + 1),
                '\\' => match chars.next()?.1 {
                    'n' => self.text.push('\n'),
                    'r' => self.text.push('\r'),
                    't' => self.text.push('\t'),
                    'u' => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4)?;
                        self.text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    other => self.text.push(other),
                },
                other => self.text.push(other),
            }
        }
        None
    }
}

impl Module for ParseLogfmt {
    type Config = Config;

    fn describe() -> Description {
        Description::new("parse-logfmt", env!("CARGO_PKG_VERSION"))
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
        let settings = Settings {
            source: config.source,
            attributes: config.attributes,
            prefix: config.prefix,
            keep_lifted: config.keep_lifted,
            lift: Lift::new(config.lift),
            service: config.service,
        };
        let parser = Parser { bare_keys: config.bare_keys, types: config.types, text: String::new() };
        Ok(Self { settings, parser })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        let Self { settings, parser } = self;
        parse_batch(batch, now, settings, |line, fields| parser.parse(line, fields))
    }
}

weft_guest::export!(ParseLogfmt);

#[cfg(test)]
mod tests;
