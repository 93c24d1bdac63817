//! `probabilistic-sampler`: keeps a percentage of traces, and of the logs that belong to them.
//!
//! The decision follows from the trace id alone (the Collector's `hash_seed` mode, see
//! [`weft_guest::sampling`]), so every span and log of a trace, whatever worker reads it, has the same
//! fate. A span's `sampling.priority` overrides it: above 0 keeps, 0 drops. Logs without a trace id are
//! kept unless the configuration says otherwise.
//!
//! Source: opentelemetry-collector-contrib, processor/probabilisticsamplerprocessor.

use serde::Deserialize;
use weft_guest::sampling::Sampler;
use weft_guest::{Batch, Description, Error, Mask, Module, Signal, Source};

const PRIORITY: &str = "sampling.priority";

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    sampling_percentage: f64,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    hash_seed: u32,
    #[serde(default)]
    logs_without_trace_id: WithoutTraceId,
    from_attribute: Option<String>,
    sampling_priority: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    HashSeed,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WithoutTraceId {
    #[default]
    Keep,
    Drop,
}

/// See the crate.
#[derive(Debug)]
pub struct ProbabilisticSampler {
    sampler: Sampler,
    seed: u32,
    without_trace_id: WithoutTraceId,
    from_attribute: Option<String>,
    sampling_priority: Option<String>,
}

/// An attribute that may be a number of either kind, or its text.
fn numbers(batch: &Batch, path: &str) -> Result<impl Fn(usize) -> Option<f64> + use<>, Error> {
    let (ints, floats, texts) = (batch.ints(path)?, batch.floats(path)?, batch.dictionary(path)?);
    Ok(move |row| {
        ints.get(row)
            .map(|value| value as f64)
            .or_else(|| floats.get(row))
            .or_else(|| texts.get(row).and_then(|text| text.trim().parse().ok()))
    })
}

fn present(batch: &Batch, key: &str) -> Result<bool, Error> {
    Ok(batch.keys("attributes")?.iter().any(|known| known == key))
}

impl ProbabilisticSampler {
    fn spans(&self, batch: &Batch) -> Result<Mask, Error> {
        let trace_ids = batch.blobs("trace_id")?;
        let mut keep = Mask::of(trace_ids.iter().map(|id| id.is_none_or(|id| self.sampler.keeps(id))));
        if present(batch, PRIORITY)? {
            let priority = numbers(batch, &format!("attributes.{PRIORITY}"))?;
            for row in 0..batch.rows() {
                if let Some(priority) = priority(row) {
                    keep.set(row, priority > 0.0);
                }
            }
        }
        Ok(keep)
    }

    fn logs(&self, batch: &Batch) -> Result<Mask, Error> {
        let trace_ids = batch.blobs("trace_id")?;
        let attribute = match &self.from_attribute {
            Some(key) => Some(batch.dictionary(&format!("attributes.{key}"))?),
            None => None,
        };
        let priority = match &self.sampling_priority {
            Some(key) if present(batch, key)? => Some(numbers(batch, &format!("attributes.{key}"))?),
            _ => None,
        };
        Ok(Mask::of((0..batch.rows()).map(|row| {
            let own = priority.as_ref().and_then(|priority| priority(row));
            let sampler = own.map_or(self.sampler, |percentage| Sampler::new(percentage, self.seed));
            let id = match &attribute {
                Some(attribute) => attribute.get(row).map(str::as_bytes),
                None => trace_ids.get(row).filter(|id| id.iter().any(|byte| *byte != 0)),
            };
            match id {
                Some(id) => sampler.keeps(id),
                None => self.without_trace_id == WithoutTraceId::Keep,
            }
        })))
    }
}

impl Module for ProbabilisticSampler {
    type Config = Config;

    fn describe() -> Description {
        Description::new("probabilistic-sampler", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans, Signal::Logs])
            .reads(["trace_id", "attributes.*"])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        if !(0.0..=100.0).contains(&config.sampling_percentage) {
            return Err(Error::config("sampling_percentage", "must be from 0 to 100"));
        }
        let Mode::HashSeed = config.mode;
        Ok(Self {
            sampler: Sampler::new(config.sampling_percentage, config.hash_seed),
            seed: config.hash_seed,
            without_trace_id: config.logs_without_trace_id,
            from_attribute: config.from_attribute,
            sampling_priority: config.sampling_priority,
        })
    }

    fn process(&mut self, batch: &Batch, _now: u64) -> Result<(), Error> {
        let keep = match batch.signal() {
            Signal::Logs => self.logs(batch)?,
            _ => self.spans(batch)?,
        };
        let (kept, rows) = (keep.count(), batch.rows());
        weft_guest::count("kept", kept as u64);
        weft_guest::count("dropped", (rows - kept) as u64);
        if kept < rows {
            batch.retain(&keep)?;
        }
        Ok(())
    }
}

weft_guest::export!(ProbabilisticSampler);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use weft_guest::testing::{Harness, Rows};

    fn id(n: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        id[8..].copy_from_slice(&n.wrapping_add(1).to_be_bytes());
        id
    }

    fn run(config: &str, rows: Rows) -> Rows {
        Harness::<ProbabilisticSampler>::new(config).unwrap().process(rows, 1).unwrap().batch.unwrap()
    }

    #[test]
    fn a_trace_and_its_logs_have_one_fate() {
        let rows = |signal| Rows::new(signal, 4000).with("trace_id", (0..4000).map(|n| Some(id(n / 4))));
        let config = r#"{"sampling_percentage": 10, "hash_seed": 22}"#;
        let (spans, logs) = (run(config, rows(Signal::Spans)), run(config, rows(Signal::Logs)));
        assert_eq!(spans.lines(), logs.lines());
        assert_eq!(spans.len() % 4, 0, "whole traces only");
        assert!((280..520).contains(&spans.len()), "{}", spans.len());
    }

    #[test]
    fn priority_overrides() {
        let rows = Rows::new(Signal::Spans, 4).with("trace_id", (0..4).map(|n| Some(id(n)))).with(
            "span.sampling.priority",
            [
                Some(weft_guest::testing::Value::Int(1)),
                Some(weft_guest::testing::Value::Int(0)),
                Some("2".into()),
                None,
            ],
        );
        assert_eq!(run(r#"{"sampling_percentage": 0}"#, rows.clone()).len(), 2);
        assert_eq!(run(r#"{"sampling_percentage": 100}"#, rows).len(), 3);
        let rows =
            Rows::new(Signal::Logs, 2).with("trace_id", [Some(id(1)), Some(id(1))]).with("log.p", [Some(100), Some(0)]);
        assert_eq!(run(r#"{"sampling_percentage": 0, "sampling_priority": "p"}"#, rows).len(), 1);
    }

    #[test]
    fn logs_of_no_trace_are_kept_unless_configured() {
        let rows = || Rows::new(Signal::Logs, 2).with("trace_id", [None, Some([0; 16])]);
        assert_eq!(run(r#"{"sampling_percentage": 0}"#, rows()).len(), 2);
        assert_eq!(run(r#"{"sampling_percentage": 100, "logs_without_trace_id": "drop"}"#, rows()).len(), 0);
        let by_user = Rows::new(Signal::Logs, 2).with("log.user", [Some("a"), None]);
        assert_eq!(run(r#"{"sampling_percentage": 0, "from_attribute": "user"}"#, by_user).len(), 1);
    }

    #[test]
    fn a_bad_configuration_names_the_field() {
        let error = |config| Harness::<ProbabilisticSampler>::new(config).unwrap_err().to_string();
        assert!(error("{}").contains("missing field `sampling_percentage`"));
        assert!(error(r#"{"sampling_percentage": 101}"#).contains("sampling_percentage: must be from 0 to 100"));
        assert!(error(r#"{"sampling_percentage": 1, "mode": "equalizing"}"#).contains("mode: unknown variant"));
        serde_json::from_str::<serde_json::Value>(&ProbabilisticSampler::describe().config_schema).unwrap();
    }
}
