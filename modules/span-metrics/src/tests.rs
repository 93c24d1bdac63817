#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use weft_guest::testing::{Harness, Rows, Value};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;

fn spans(spans: &[(&str, &str, i64, i64, i64)]) -> Rows {
    Rows::new(Signal::Spans, spans.len())
        .with("resource.service.name", spans.iter().map(|s| Some(s.0).filter(|name| !name.is_empty())))
        .with("name", spans.iter().map(|s| Some(s.1)))
        .with("kind", spans.iter().map(|s| Some(s.2)))
        .with("status_code", spans.iter().map(|s| Some(s.3)))
        .with("duration", spans.iter().map(|s| Some(s.4)))
        .with("trace_id", (0..spans.len()).map(|n| Some([n as u8; 16])))
}

fn new(config: &str) -> Harness<SpanMetrics> {
    Harness::with_source(config, Source { topic: "otlp_spans".into(), partition: 3 }).unwrap()
}

fn samples(harness: &mut Harness<SpanMetrics>, now: u64) -> Vec<String> {
    harness.tick(now).unwrap().emitted.iter().flat_map(Rows::samples).collect()
}

#[test]
fn names_labels_and_buckets_are_tempos() {
    let mut harness = new("{}");
    let rows = spans(&[("api", "GET /", 2, 0, 3_000_000), ("api", "GET /", 2, 0, 20_000_000_000)]);
    let out = harness.process(rows.clone(), NOW).unwrap();
    assert_eq!(out.batch, Some(rows), "spans pass unchanged");
    let labels = |le: &str| {
        format!(
            "{{__metrics_gen_instance=\"otlp_spans-3\"{le},service=\"api\",span_kind=\"SPAN_KIND_SERVER\",\
             span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"}}"
        )
    };
    let mut expected = Vec::new();
    let mut series = |name: &str, le: &str, value: &str, exemplar: &str| {
        let le = if le.is_empty() { String::new() } else { format!(",le={le:?}") };
        expected.push(format!("{name}{} 0 @999000", labels(&le)));
        expected.push(format!("{name}{} {value} @1001000{exemplar}", labels(&le)));
    };
    series("traces_spanmetrics_calls_total", "", "2", "");
    let bounds = [
        "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256", "0.512", "1.024", "2.048", "4.096",
        "8.192", "16.384", "+Inf",
    ];
    for (index, le) in bounds.into_iter().enumerate() {
        let (value, exemplar) = match index {
            0 => ("0", String::new()),
            1 => ("1", format!(" # {} 0.003 @1000000", "00".repeat(16))),
            14 => ("2", format!(" # {} 20 @1000000", "01".repeat(16))),
            _ => ("1", String::new()),
        };
        series("traces_spanmetrics_latency_bucket", le, value, &exemplar);
    }
    series("traces_spanmetrics_latency_sum", "", "20.003", "");
    series("traces_spanmetrics_latency_count", "", "2", "");
    assert_eq!(samples(&mut harness, NOW + SECOND), expected);
    assert!(samples(&mut harness, NOW + 2 * SECOND).is_empty());
}

#[test]
fn dimensions_come_from_resource_then_span_whatever_their_type() {
    let mut harness = new(
        r#"{"dimensions": ["http.status_code", "service", "absent", "region"], "latency": false, "status_message": true}"#,
    );
    let rows = spans(&[("a", "x", 3, 1, 1), ("a", "x", 3, 1, 1), ("", "x", 9, 9, 1)])
        .with("span.http.status_code", [Some(500), None, None])
        .with("resource.http.status_code", [None, Some("from resource"), None])
        .with("span.service", [Some(true), None, None])
        .with("status_message", [Some("m"), Some("m"), None])
        .with("span.region", [Some(Value::Float(1.5)), Some(Value::from("eu")), None]);
    harness.process(rows, NOW).unwrap();
    let samples: Vec<_> = samples(&mut harness, NOW + 1).into_iter().filter(|line| !line.contains(" 0 @")).collect();
    let name = "traces_spanmetrics_calls_total";
    let instance = r#"__metrics_gen_instance="otlp_spans-3""#;
    assert_eq!(
        samples,
        [
            format!(
                r#"{name}{{{instance},__service="true",http_status_code="500",region="1.5",service="a",span_kind="SPAN_KIND_CLIENT",span_name="x",status_code="STATUS_CODE_OK",status_message="m"}} 1 @1000000"#
            ),
            format!(
                r#"{name}{{{instance},http_status_code="from resource",region="eu",service="a",span_kind="SPAN_KIND_CLIENT",span_name="x",status_code="STATUS_CODE_OK",status_message="m"}} 1 @1000000"#
            ),
            format!(
                r#"{name}{{{instance},span_kind="SPAN_KIND_UNSPECIFIED",span_name="x",status_code="STATUS_CODE_UNSET"}} 1 @1000000"#
            ),
        ]
    );
}

#[test]
fn exemplars_name_only_traces_that_the_samplers_keep() {
    let exemplars = |config: &str| {
        let mut harness = new(config);
        harness.process(spans(&[("a", "x", 2, 0, 5_000_000), ("a", "y", 2, 2, 5), ("a", "z", 2, 0, 5)]), NOW).unwrap();
        samples(&mut harness, NOW + SECOND).iter().filter(|line| line.contains(" # ")).count()
    };
    assert_eq!(exemplars("{}"), 3);
    assert_eq!(exemplars(r#"{"exemplars": {"enabled": false}}"#), 0);
    assert_eq!(exemplars(r#"{"exemplars": {"percentage": 0}}"#), 0);
    assert_eq!(exemplars(r#"{"exemplars": {"errors_or_slower_than_ms": 1}}"#), 2);
}

#[test]
fn past_the_limit_spans_are_still_counted() {
    let mut harness = new(r#"{"max_active_series": 18}"#);
    harness.process(spans(&[("a", "x", 2, 0, 5), ("b", "x", 2, 0, 5), ("c", "x", 2, 0, 5)]), NOW).unwrap();
    let all = samples(&mut harness, NOW + SECOND);
    assert!(all.iter().any(|line| line.starts_with("traces_spanmetrics_calls_total")
        && line.contains(r#"metric_overflow="true"}"#)
        && line.contains(" 2 @")));
    assert_eq!(harness.counters()["spans_over_series_limit"], 2);
}

#[test]
fn a_snapshot_of_another_shape_begins_anew_with_a_warning() {
    let mut old = new("{}");
    old.process(spans(&[("a", "x", 2, 0, 5)]), NOW).unwrap();
    let mut new = new(r#"{"dimensions": ["x"]}"#);
    new.restore(&old.snapshot()).unwrap();
    assert!(new.logged()[0].contains("begin anew"));
    assert!(samples(&mut new, NOW + SECOND).is_empty());
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config| Harness::<SpanMetrics>::new(config).unwrap_err().to_string();
    assert!(error(r#"{"latency_buckets": [2, 1]}"#).contains("latency_buckets: must be finite and ascend"));
    assert!(error(r#"{"interval_ms": 0}"#).contains("interval_ms: must be at least 1"));
    assert!(error(r#"{"dimensions": ["a.b", "a_b"]}"#).contains("dimensions.1: the label a_b is there twice"));
    assert!(error(r#"{"exemplars": {"percent": 1}}"#).contains("unknown field `percent`"));
    serde_json::from_str::<serde_json::Value>(&SpanMetrics::describe().config_schema).unwrap();
}

/// The last value of every series of a family, added up.
fn total(lines: &[String], family: &str) -> u64 {
    let mut last = std::collections::BTreeMap::new();
    for line in lines.iter().filter(|line| line.starts_with(family)) {
        let (series, rest) = line.rsplit_once("} ").unwrap();
        last.insert(series.to_owned(), rest.split(' ').next().unwrap().parse::<u64>().unwrap());
    }
    last.values().sum()
}

proptest! {
    #[test]
    fn n_spans_in_make_n_calls_through_crashes(
        batches in prop::collection::vec(prop::collection::vec((0..4usize, 0..5usize, 0..6i64, 0..3i64, 0..30_000_000_000i64), 0..40), 1..12),
        crash_at in 0..12usize,
        limit in prop::sample::select(vec![18usize, 90, 100_000]),
    ) {
        let config = format!(r#"{{"max_active_series": {limit}}}"#);
        let mut harness = new(&config);
        let (mut now, mut sent, mut lines) = (NOW, 0, Vec::new());
        for (index, batch) in batches.iter().enumerate() {
            let names = ["a", "b", "c", "d", "e"];
            let rows: Vec<_> = batch.iter().map(|s| (names[s.0], names[s.1], s.2, s.3, s.4)).collect();
            if index == crash_at {
                // The epoch was durable here; what came after it is lost and read again.
                let snapshot = harness.snapshot();
                harness.process(spans(&rows), now).unwrap();
                harness = new(&config);
                harness.restore(&snapshot).unwrap();
            }
            harness.process(spans(&rows), now).unwrap();
            sent += rows.len() as u64;
            now += SECOND / 3;
            lines.extend(samples(&mut harness, now));
        }
        lines.extend(samples(&mut harness, now + 2 * SECOND));
        prop_assert_eq!(total(&lines, "traces_spanmetrics_calls_total"), sent);
        prop_assert_eq!(total(&lines, "traces_spanmetrics_latency_count"), sent);
        // Times of a series strictly ascend.
        let mut times = std::collections::BTreeMap::new();
        for line in &lines {
            let (series, rest) = line.rsplit_once("} ").unwrap();
            let time: i64 = rest.split('@').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            if let Some(before) = times.insert(series, time) {
                prop_assert!(before < time, "{} after {}: {}", time, before, series);
            }
        }
    }
}
