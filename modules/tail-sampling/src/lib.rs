//! `tail-sampling`: keeps or drops whole traces by what is in them, once they had time to complete.
//!
//! Spans are parked in the host under their trace id; the module keeps a few words about each trace
//! ([`traces`]). `decision_wait` after a trace's first span its policies ([`policy`]) decide, and the
//! host releases or drops the spans. Later spans of a decided trace follow the decision as long as it
//! is remembered; after that they are a trace of their own. All of it, the parked spans included, is
//! part of the epoch's snapshot, so a crash neither loses nor doubles a span. All spans of a trace must
//! come by one partition, which weft's receivers see to.
//!
//! Source: opentelemetry-collector-contrib, processor/tailsamplingprocessor.

mod policy;
mod traces;

use policy::{Policies, PolicyConfig};
use serde::{Deserialize, Deserializer};
use traces::{Decisions, Id, Trace, Traces};
use weft_guest::snapshot::{Reader, Writer};
use weft_guest::{Batch, Description, Error, Level, Mask, Module, Signal, Source};

const FORMAT: u8 = 1;

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "ten_seconds", deserialize_with = "duration_ms")]
    decision_wait: i64,
    #[serde(default = "many")]
    num_traces: usize,
    #[serde(default)]
    decision_cache: CacheConfig,
    policies: Vec<PolicyConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CacheConfig {
    sampled_cache_size: usize,
    non_sampled_cache_size: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { sampled_cache_size: many(), non_sampled_cache_size: many() }
    }
}

fn ten_seconds() -> i64 {
    10_000
}

fn many() -> usize {
    50_000
}

fn duration_ms<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration_ms(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no duration: write it as 10s, 500ms or 1m30s")))
}

/// Go's durations: numbers with units, one after another.
fn parse_duration_ms(text: &str) -> Option<i64> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += value * unit;
        rest = &rest[letters..];
    }
    (!text.is_empty() && total < 1e15).then_some(total as i64)
}

/// See the crate.
#[derive(Debug)]
pub struct TailSampling {
    wait_ms: i64,
    max_traces: usize,
    policies: Policies,
    traces: Traces,
    decisions: Decisions,
}

impl TailSampling {
    /// Decides the oldest traces for which `due` holds.
    fn decide(&mut self, mut due: impl FnMut(usize, &Trace) -> bool) -> Result<usize, Error> {
        let mut ids: Vec<Id> = Vec::new();
        let mut keep = Mask::default();
        loop {
            let waiting = self.traces.len();
            let Some((id, trace)) = self.traces.pop(|trace| due(waiting, trace)) else { break };
            let sampled = self.policies.decide(&id, &trace);
            self.decisions.add(id, sampled);
            ids.push(id);
            keep.push(sampled);
        }
        if !ids.is_empty() {
            weft_guest::resolve(&ids, &keep)?;
            weft_guest::count("traces_sampled", keep.count() as u64);
            weft_guest::count("traces_dropped", (ids.len() - keep.count()) as u64);
        }
        Ok(ids.len())
    }
}

impl Module for TailSampling {
    type Config = Config;

    fn describe() -> Description {
        Description::new("tail-sampling", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans])
            .reads(["trace_id", "start", "end", "status_code", "resource.*", "attributes.*"])
            .schema(include_str!("../schema.json"))
            .stateful()
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        if config.num_traces == 0 {
            return Err(Error::config("num_traces", "must be at least 1"));
        }
        let cache = config.decision_cache;
        Ok(Self {
            wait_ms: config.decision_wait,
            max_traces: config.num_traces,
            policies: Policies::new(config.policies)?,
            traces: Traces::default(),
            decisions: Decisions::new(cache.sampled_cache_size, cache.non_sampled_cache_size),
        })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        let rows = batch.rows();
        if rows == 0 {
            return Ok(());
        }
        let due_ms = ((now / 1_000_000) as i64).saturating_add(self.wait_ms);
        let trace_ids = batch.blobs("trace_id")?;
        let (starts, ends) = (batch.ints("start")?, batch.ints("end")?);
        let masks = self.policies.masks(batch)?;
        let mut keep = Mask::default();
        // Of the rows that stay, those that wait, and their keys.
        let mut wait = Mask::default();
        let mut keys: Vec<Id> = Vec::with_capacity(rows);
        let (mut late_kept, mut late_dropped) = (0, 0);
        for row in 0..rows {
            let Some(id) = trace_ids.id::<16>(row) else {
                // Nothing to gather it with.
                keep.push(true);
                wait.push(false);
                keys.push([0; 16]);
                continue;
            };
            match self.decisions.get(&id) {
                Some(false) => {
                    late_dropped += 1;
                    keep.push(false);
                }
                Some(true) => {
                    late_kept += 1;
                    keep.push(true);
                    wait.push(false);
                    keys.push(id);
                }
                None => {
                    let met =
                        masks.iter().enumerate().fold(0, |met, (test, mask)| met | u64::from(mask.get(row)) << test);
                    let start = starts.get(row).unwrap_or_default();
                    self.traces.add(id, start, ends.get(row).unwrap_or(start), met, due_ms);
                    keep.push(true);
                    wait.push(true);
                    keys.push(id);
                }
            }
        }
        if late_dropped > 0 {
            weft_guest::count("late_spans_dropped", late_dropped);
            batch.retain(&keep)?;
        }
        if late_kept > 0 {
            weft_guest::count("late_spans_kept", late_kept);
        }
        if wait.count() > 0 {
            batch.defer(&keys, &wait)?;
        }
        let max_traces = self.max_traces;
        let early = self.decide(|waiting, _| waiting > max_traces)?;
        if early > 0 {
            weft_guest::count("traces_decided_early", early as u64);
        }
        Ok(())
    }

    fn tick(&mut self, now: u64) -> Result<(), Error> {
        let now_ms = (now / 1_000_000) as i64;
        self.decide(|_, trace| trace.due_ms <= now_ms).map(|_| ())
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new(FORMAT);
        out.u64(self.policies.shape());
        self.traces.snapshot(&mut out);
        self.decisions.snapshot(&mut out);
        out.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut from = Reader::new(state, FORMAT)?;
        let same_tests = from.u64()? == self.policies.shape();
        if !same_tests {
            weft_guest::log(Level::Warn, "policies have changed: traces that wait are kept");
        }
        self.traces.restore(&mut from, same_tests)?;
        self.decisions.restore(&mut from)?;
        from.end()
    }
}

weft_guest::export!(TailSampling);

#[cfg(test)]
mod tests;
