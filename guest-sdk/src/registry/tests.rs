#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::Harness;
use crate::{Batch, Description, Module, Source};

/// Counts the rows' `name` and observes their `value`.
struct Counting(Registry);

#[derive(serde::Deserialize)]
struct Config {
    max_series: Option<usize>,
}

impl Module for Counting {
    type Config = Config;

    fn describe() -> Description {
        Description::new("counting", "0")
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        let options = Options {
            interval_ms: 1000,
            repeat_ms: 60_000,
            stale_ms: 900_000,
            max_series: config.max_series.unwrap_or(1000),
            constant_labels: vec![("i".into(), "0".into())],
        };
        let instruments = vec![Instrument::counter("c_total", "c"), Instrument::histogram("h", "h", &[0.5, 1.0])];
        Ok(Self(Registry::new(options, vec!["n".into()], instruments)))
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        let (names, values) = (batch.text("name")?, batch.floats("value")?);
        for row in 0..batch.rows() {
            let name = names.get_bytes(row).unwrap_or_default();
            let (id, _) = self.0.entry(hash_labels([hash_bytes(name)]), &[name]);
            self.0.add(id, 0, 1, now as i64);
            if let Some(value) = values.get(row) {
                self.0.observe(id, 1, value, Some([7; 16]), now as i64);
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: u64) -> Result<(), Error> {
        self.0.emit(now as i64)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new(1);
        self.0.snapshot(&mut out);
        out.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.restore(&mut Reader::new(state, 1)?).map(|_| ())
    }
}

fn rows(names: &[&str], value: Option<f64>) -> crate::testing::Rows {
    crate::testing::Rows::new(crate::Signal::Metrics, names.len())
        .with("name", names.iter().map(|name| Some(*name)))
        .with("value", names.iter().map(|_| value))
}

fn tick(harness: &mut Harness<Counting>, now: u64) -> Vec<String> {
    harness.tick(now).unwrap().emitted.iter().flat_map(crate::testing::Rows::samples).collect()
}

const NOW: u64 = 1_000_000;

#[test]
fn a_new_series_begins_at_zero_and_times_ascend() {
    let mut harness = Harness::<Counting>::new("{}").unwrap();
    harness.process(rows(&["a", "a"], None), NOW).unwrap();
    let samples = tick(&mut harness, NOW + 1);
    assert_eq!(samples, [r#"c_total{i="0",n="a"} 0 @999000"#, r#"c_total{i="0",n="a"} 2 @1000001"#]);
    harness.process(rows(&["a", "b"], None), NOW + 100).unwrap();
    assert!(tick(&mut harness, NOW + 500).is_empty(), "before the interval has passed");
    assert_eq!(
        tick(&mut harness, NOW + 2000),
        [
            r#"c_total{i="0",n="a"} 3 @1002000"#,
            r#"c_total{i="0",n="b"} 0 @1000001"#,
            r#"c_total{i="0",n="b"} 1 @1002000"#
        ]
    );
    assert!(tick(&mut harness, NOW + 3000).is_empty(), "nothing has changed");
    assert_eq!(tick(&mut harness, NOW + 62_000).len(), 2, "repeated for the lookback");
}

#[test]
fn a_histogram_that_begins_later_begins_after_what_was_written() {
    let mut harness = Harness::<Counting>::new("{}").unwrap();
    harness.process(rows(&["a"], None), NOW).unwrap();
    tick(&mut harness, NOW + 1);
    harness.process(rows(&["a"], Some(0.5)), NOW + 2).unwrap();
    let exemplar = " # 07070707070707070707070707070707 0.5 @1000002";
    assert_eq!(
        tick(&mut harness, NOW + 1500),
        [
            r#"c_total{i="0",n="a"} 2 @1001500"#.to_owned(),
            r#"h_bucket{i="0",le="0.5",n="a"} 0 @1000001"#.into(),
            format!(r#"h_bucket{{i="0",le="0.5",n="a"}} 1 @1001500{exemplar}"#),
            r#"h_bucket{i="0",le="1",n="a"} 0 @1000001"#.into(),
            r#"h_bucket{i="0",le="1",n="a"} 1 @1001500"#.into(),
            r#"h_bucket{i="0",le="+Inf",n="a"} 0 @1000001"#.into(),
            r#"h_bucket{i="0",le="+Inf",n="a"} 1 @1001500"#.into(),
            r#"h_sum{i="0",n="a"} 0 @1000001"#.into(),
            r#"h_sum{i="0",n="a"} 0.5 @1001500"#.into(),
            r#"h_count{i="0",n="a"} 0 @1000001"#.into(),
            r#"h_count{i="0",n="a"} 1 @1001500"#.into(),
        ]
    );
}

#[test]
fn an_idle_entry_ends_with_the_staleness_marker() {
    let mut harness = Harness::<Counting>::new("{}").unwrap();
    harness.process(rows(&["a"], None), NOW).unwrap();
    tick(&mut harness, NOW + 1);
    assert_eq!(tick(&mut harness, NOW + 900_001), [r#"c_total{i="0",n="a"} NaN @1900001"#]);
    assert!(tick(&mut harness, NOW + 990_000).is_empty());
    harness.process(rows(&["a"], None), NOW + 990_001).unwrap();
    assert_eq!(
        tick(&mut harness, NOW + 992_000),
        [r#"c_total{i="0",n="a"} 0 @1990000"#, r#"c_total{i="0",n="a"} 1 @1992000"#]
    );
}

#[test]
fn past_the_limit_totals_stay_exact() {
    // 6 series a label set: room for two.
    let mut harness = Harness::<Counting>::new(r#"{"max_series": 12}"#).unwrap();
    harness.process(rows(&["a", "b", "c", "d", "a", "c"], None), NOW).unwrap();
    let samples: Vec<_> = tick(&mut harness, NOW + 1).into_iter().filter(|line| !line.contains(" 0 @")).collect();
    assert_eq!(
        samples,
        [
            r#"c_total{i="0",n="a"} 2 @1000001"#,
            r#"c_total{i="0",n="b"} 1 @1000001"#,
            r#"c_total{i="0",metric_overflow="true"} 3 @1000001"#,
        ]
    );
}

#[test]
fn a_restored_registry_goes_on_as_if_nothing_had_happened() {
    let mut one = Harness::<Counting>::new("{}").unwrap();
    one.process(rows(&["a", "b"], Some(0.7)), NOW).unwrap();
    tick(&mut one, NOW + 1);
    one.process(rows(&["b", "c"], Some(3.0)), NOW + 10).unwrap();
    let snapshot = one.snapshot();
    let mut two = Harness::<Counting>::new("{}").unwrap();
    two.restore(&snapshot).unwrap();
    for harness in [&mut one, &mut two] {
        harness.process(rows(&["a", "c", "d"], Some(0.2)), NOW + 20).unwrap();
    }
    assert_eq!(tick(&mut one, NOW + 2000), tick(&mut two, NOW + 2000));
    assert_eq!(one.snapshot().state(), two.snapshot().state());
    for cut in 0..snapshot.state().len() {
        let mut broken = Harness::<Counting>::new("{}").unwrap();
        assert!(broken.call_restore(&snapshot.state()[..cut]).is_err(), "cut at {cut}");
    }
}
