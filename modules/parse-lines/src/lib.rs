//! `parse-lines`: raw records of plain text become log records: the line is the body, the service
//! comes from the configuration or is the topic, the time is the record's.

use serde::Deserialize;
use weft_guest::logs::{Lift, LiftConfig, Settings, parse_batch};
use weft_guest::{Batch, Description, Error, Module, Signal, Source};

/// The stage's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    service: Option<String>,
}

/// See the crate.
#[derive(Debug)]
pub struct ParseLines {
    settings: Settings,
}

impl Module for ParseLines {
    type Config = Config;

    fn describe() -> Description {
        Description::new("parse-lines", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Raw])
            .emits([Signal::Logs])
            .reads(["raw.value", "raw.timestamp", "raw.topic"])
            .writes(["body", "body_type", "time_unix_nano", "observed_time_unix_nano", "resource.service.name"])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        let settings = Settings {
            source: "body".into(),
            attributes: false,
            prefix: String::new(),
            keep_lifted: false,
            lift: Lift::new(LiftConfig::default()),
            service: config.service,
        };
        Ok(Self { settings })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        parse_batch(batch, now, &self.settings, |_, _| true)
    }
}

weft_guest::export!(ParseLines);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use weft_guest::testing::{Harness, Rows};

    #[test]
    fn each_record_is_a_line() {
        let rows = Rows::new(Signal::Raw, 1)
            .with("raw.value", [Some(&b"level=info anything\n"[..])])
            .all("raw.topic", "t")
            .all("raw.timestamp", 5);
        let out = Harness::<ParseLines>::new(r#"{"service": "s"}"#).unwrap().process(rows, 7).unwrap();
        assert_eq!(
            out.emitted[0].lines(),
            [
                r#"body="level=info anything" body_type=1 observed_time_unix_nano=7 resource.service.name="s" time_unix_nano=5000000"#
            ]
        );
        serde_json::from_str::<serde_json::Value>(&ParseLines::describe().config_schema).unwrap();
    }
}
