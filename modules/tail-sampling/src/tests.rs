#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use weft_guest::testing::{Harness, Output, Rows};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;

const FABRIC: &str = r#"{"decision_wait": "10s", "policies": [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
    {"name": "rest", "type": "probabilistic", "probabilistic": {"sampling_percentage": 1}}]}"#;

/// Spans as (trace, start ms, end ms, status).
fn spans(spans: &[(u8, i64, i64, i64)]) -> Rows {
    Rows::new(Signal::Spans, spans.len())
        .with("trace_id", spans.iter().map(|s| Some([s.0; 16])))
        .with("start", spans.iter().map(|s| Some(s.1 * 1_000_000)))
        .with("end", spans.iter().map(|s| Some(s.2 * 1_000_000)))
        .with("status", spans.iter().map(|s| Some(s.3)))
}

fn new(config: &str) -> Harness<TailSampling> {
    Harness::new(config).unwrap()
}

/// The traces of all rows that go on, one entry a span.
fn traces(output: &Output) -> Vec<u8> {
    let rows = output.batch.iter().chain(&output.released);
    let ids = rows
        .flat_map(|rows| (0..rows.len()).map(|row| rows.get("trace_id", row).unwrap().to_string()).collect::<Vec<_>>());
    ids.map(|id| u8::from_str_radix(&id[..2], 16).unwrap()).collect()
}

#[test]
fn traces_are_gathered_and_then_decided_whole() {
    let mut harness = new(FABRIC);
    let first = harness.process(spans(&[(1, 0, 5, 0), (2, 0, 5, 0), (3, 0, 5, 0)]), NOW).unwrap();
    assert!(traces(&first).is_empty(), "all wait");
    harness.process(spans(&[(1, 5, 6, 2), (2, 900, 1000, 0), (3, 1, 2, 1)]), NOW + 9 * SECOND).unwrap();
    assert_eq!(harness.parked(), 6);
    assert!(traces(&harness.tick(NOW + 10 * SECOND - 1_000_000).unwrap()).is_empty());
    assert_eq!(traces(&harness.tick(NOW + 10 * SECOND).unwrap()), [1, 1, 2, 2]);
    assert_eq!(harness.parked(), 0);
    assert_eq!((harness.counters()["traces_sampled"], harness.counters()["traces_dropped"]), (2, 1));
}

#[test]
fn late_spans_follow_the_decision() {
    let mut harness = new(FABRIC);
    harness.process(spans(&[(1, 0, 5, 2), (2, 0, 5, 0)]), NOW).unwrap();
    harness.tick(NOW + 10 * SECOND).unwrap();
    let late =
        harness.process(spans(&[(2, 0, 5, 2), (1, 0, 5, 0), (3, 0, 5, 2), (2, 0, 5, 0)]), NOW + 11 * SECOND).unwrap();
    assert_eq!(traces(&late), [1]);
    assert_eq!(harness.parked(), 1, "the new trace waits");
    assert_eq!((harness.counters()["late_spans_kept"], harness.counters()["late_spans_dropped"]), (1, 2));
    assert_eq!(traces(&harness.tick(NOW + 21 * SECOND).unwrap()), [3]);
}

#[test]
fn forgotten_decisions_make_new_traces() {
    let cache = r#""decision_cache": {"sampled_cache_size": 0, "non_sampled_cache_size": 1}, "policies""#;
    let mut harness = new(&FABRIC.replace("\"policies\"", cache));
    harness.process(spans(&[(1, 0, 5, 2), (2, 0, 5, 0), (3, 0, 5, 0)]), NOW).unwrap();
    harness.tick(NOW + 10 * SECOND).unwrap();
    harness.process(spans(&[(1, 0, 5, 0), (2, 0, 5, 0), (3, 0, 5, 0)]), NOW + 11 * SECOND).unwrap();
    assert_eq!(harness.parked(), 2, "only the last decision is remembered");
}

#[test]
fn past_the_limit_the_oldest_is_decided_early() {
    let mut harness = new(&FABRIC.replace("\"policies\"", "\"num_traces\": 1, \"policies\""));
    let out = harness.process(spans(&[(1, 0, 5, 2), (2, 0, 5, 2)]), NOW).unwrap();
    assert_eq!(traces(&out), [1]);
    assert_eq!((harness.parked(), harness.counters()["traces_decided_early"]), (1, 1));
}

#[test]
fn state_and_parked_spans_survive_a_crash() {
    let mut one = new(FABRIC);
    one.process(spans(&[(1, 0, 5, 2), (9, 0, 5, 0)]), NOW).unwrap();
    one.tick(NOW + 10 * SECOND).unwrap();
    one.process(spans(&[(2, 0, 5, 2), (3, 0, 5, 0), (4, 0, 5, 0)]), NOW + 11 * SECOND).unwrap();
    let snapshot = one.snapshot();
    let mut two = new(FABRIC);
    two.restore(&snapshot).unwrap();
    let mut outputs = Vec::new();
    for harness in [&mut one, &mut two] {
        let late = harness.process(spans(&[(1, 0, 1, 0), (3, 0, 1, 2), (9, 0, 1, 2)]), NOW + 12 * SECOND).unwrap();
        let decided = harness.tick(NOW + 21 * SECOND).unwrap();
        outputs.push((traces(&late), traces(&decided)));
        assert_eq!(harness.parked(), 0);
    }
    assert_eq!(outputs[0], (vec![1], vec![2, 3, 3]));
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(one.snapshot().state(), two.snapshot().state());
    for cut in 0..snapshot.state().len() {
        assert!(new(FABRIC).call_restore(&snapshot.state()[..cut]).is_err(), "cut at {cut}");
    }
    let mut changed = new(
        r#"{"policies": [{"name": "x", "type": "boolean_attribute", "boolean_attribute": {"key": "k", "value": true}}]}"#,
    );
    changed.restore(&snapshot).unwrap();
    assert_eq!(traces(&changed.tick(NOW + 30 * SECOND).unwrap()), [2, 3, 4], "what was tested otherwise is kept");
}

#[test]
fn each_policy_samples_what_it_says() {
    let sampled = |policy: &str, rows: Rows| {
        let mut harness = new(&format!(r#"{{"policies": [{policy}]}}"#));
        harness.process(rows, NOW).unwrap();
        traces(&harness.tick(NOW + 60 * SECOND).unwrap())
    };
    let rows = || {
        spans(&[(1, 0, 100, 0), (2, 0, 200, 1), (3, 0, 5000, 2), (3, 0, 1, 0)])
            .with("span.route", [Some("/a"), Some("/b"), None, None])
            .with("resource.route", [None, None, None, Some("/c")])
            .with("span.code", [Some(200), Some(500), Some(404), None])
            .with("span.flag", [Some(true), Some(false), None, None])
    };
    for (policy, expected) in [
        (r#"{"name": "p", "type": "always_sample"}"#, &[1, 2, 3, 3][..]),
        (r#"{"name": "p", "type": "status_code", "status_code": {"status_codes": ["OK", "ERROR"]}}"#, &[2, 3, 3]),
        (r#"{"name": "p", "type": "latency", "latency": {"threshold_ms": 200}}"#, &[2, 3, 3]),
        (r#"{"name": "p", "type": "latency", "latency": {"threshold_ms": 100, "upper_threshold_ms": 200}}"#, &[2]),
        (r#"{"name": "p", "type": "probabilistic", "probabilistic": {"sampling_percentage": 100}}"#, &[1, 2, 3, 3]),
        (r#"{"name": "p", "type": "probabilistic", "probabilistic": {"sampling_percentage": 0}}"#, &[]),
        (
            r#"{"name": "p", "type": "string_attribute", "string_attribute": {"key": "route", "values": ["/a", "/c"]}}"#,
            &[1, 3, 3],
        ),
        (
            r#"{"name": "p", "type": "string_attribute", "string_attribute": {"key": "route", "values": ["^/[bc]$", "zz"], "enabled_regex_matching": true}}"#,
            &[2, 3, 3],
        ),
        (
            r#"{"name": "p", "type": "string_attribute", "string_attribute": {"key": "route", "values": ["/a"], "invert_match": true}}"#,
            &[2, 3, 3],
        ),
        (
            r#"{"name": "p", "type": "numeric_attribute", "numeric_attribute": {"key": "code", "min_value": 400, "max_value": 500}}"#,
            &[2, 3, 3],
        ),
        (r#"{"name": "p", "type": "boolean_attribute", "boolean_attribute": {"key": "flag", "value": true}}"#, &[1]),
        (r#"{"name": "p", "type": "span_count", "span_count": {"min_spans": 2}}"#, &[3, 3]),
        (
            r#"{"name": "p", "type": "and", "and": {"and_sub_policy": [
                {"name": "a", "type": "latency", "latency": {"threshold_ms": 200}},
                {"name": "b", "type": "numeric_attribute", "numeric_attribute": {"key": "code", "min_value": 500}}]}}"#,
            &[2],
        ),
        (
            r#"{"name": "a", "type": "always_sample"}, {"name": "d", "type": "drop", "drop": {"drop_sub_policy": [
                {"name": "b", "type": "string_attribute", "string_attribute": {"key": "route", "values": ["/a"]}}]}}"#,
            &[2, 3, 3],
        ),
        (
            // An inverted test that fails beats a policy that samples.
            r#"{"name": "a", "type": "always_sample"},
               {"name": "i", "type": "numeric_attribute", "numeric_attribute": {"key": "code", "min_value": 500, "invert_match": true}}"#,
            &[1, 3, 3],
        ),
    ] {
        assert_eq!(sampled(policy, rows()), expected, "{policy}");
    }
}

#[test]
fn chance_keeps_about_its_share() {
    let mut harness =
        new(r#"{"policies": [{"name": "p", "type": "probabilistic", "probabilistic": {"sampling_percentage": 10}}]}"#);
    let id = |n: u64| [n.to_be_bytes(), n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat();
    let rows = Rows::new(Signal::Spans, 5000)
        .with("trace_id", (0..5000).map(|n| Some(id(n))).map(|id| id.map(|id| <[u8; 16]>::try_from(id).unwrap())));
    harness.process(rows, NOW).unwrap();
    let kept = harness.tick(NOW + 60 * SECOND).unwrap().released.len();
    assert!((400..600).contains(&kept), "{kept}");
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config: &str| Harness::<TailSampling>::new(config).unwrap_err().to_string();
    assert!(error("{}").contains("missing field `policies`"));
    assert!(error(r#"{"policies": []}"#).contains("policies: at least one"));
    assert!(error(&FABRIC.replace("10s", "10")).contains("decision_wait: '10' is no duration"));
    assert!(
        error(&FABRIC.replace("threshold_ms", "threshold")).contains("policies.1.latency: unknown field `threshold`")
    );
    assert!(
        error(r#"{"policies": [{"name": "n", "type": "latency"}]}"#).contains("policies.0 (n).latency: is missing")
    );
    assert!(
        error(r#"{"policies": [{"name": "n", "type": "rate_limiting"}]}"#).contains("unknown variant `rate_limiting`")
    );
    serde_json::from_str::<serde_json::Value>(&TailSampling::describe().config_schema).unwrap();
    assert_eq!(parse_duration_ms("1m30.5s"), Some(90_500));
    assert_eq!((parse_duration_ms(""), parse_duration_ms("5"), parse_duration_ms("s")), (None, None, None));
}

proptest! {
    /// Spans of a dozen traces in any order, ticks in between, and a crash after which everything
    /// since the snapshot comes again.
    #[test]
    fn each_span_leaves_once_or_is_dropped_with_its_trace(
        batches in prop::collection::vec((prop::collection::vec((1..12u8, 0..3i64), 0..20), 0..8u64), 1..12),
        crash_at in 0..12usize,
        always in any::<bool>(),
        room in prop::sample::select(vec![3usize, 50_000]),
    ) {
        let policy = if always {
            r#"{"name": "p", "type": "always_sample"}"#
        } else {
            r#"{"name": "p", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}"#
        };
        let config = format!(r#"{{"num_traces": {room}, "policies": [{policy}]}}"#);
        let mut harness = new(&config);
        let (mut now, mut sent, mut out) = (NOW, 0, Vec::new());
        for (index, (batch, pause)) in batches.iter().enumerate() {
            let rows = || spans(&batch.iter().map(|(trace, status)| (*trace, 0, 1, *status)).collect::<Vec<_>>());
            if index == crash_at {
                let snapshot = harness.snapshot();
                harness.process(rows(), now).unwrap();
                harness.tick(now + 20 * SECOND).unwrap();
                harness = new(&config);
                harness.restore(&snapshot).unwrap();
            }
            out.extend(traces(&harness.process(rows(), now).unwrap()));
            sent += batch.len();
            now += pause * SECOND;
            out.extend(traces(&harness.tick(now).unwrap()));
        }
        out.extend(traces(&harness.tick(now + 20 * SECOND).unwrap()));
        prop_assert_eq!(harness.parked(), 0);
        if always {
            prop_assert_eq!(out.len(), sent);
        } else {
            // A trace decided once keeps its fate while it is remembered: all its spans or none.
            for trace in 1..12u8 {
                let of_trace = batches.iter().flat_map(|(batch, _)| batch).filter(|(id, _)| *id == trace).count();
                let left = out.iter().filter(|id| **id == trace).count();
                prop_assert!(left == 0 || left == of_trace, "{} of {} spans of {}", left, of_trace, trace);
            }
        }
    }
}
