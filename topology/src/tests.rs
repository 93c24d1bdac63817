#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{CODECS, DEFAULT_YAML, Error, FABRIC_YAML, Host, Route, Start, Topology};
use std::time::Duration;
use weft_model::{Signal, Table};

fn host() -> Host {
    let environment = [("AWS_REGION", "eu-central-1"), ("NAMES", "x,y")];
    Host::new(environment.map(|(name, value)| (name.to_owned(), value.to_owned())), Some("box-1".to_owned()))
}

fn parse(yaml: &str) -> Result<Topology, Error> {
    Topology::parse("test.yaml", yaml, &host())
}

const SMALL: &str = "
sources:
  - {topic: otlp_spans, codec: otlp_traces}
  - {topic: lines, codec: raw, partitions: 2, start: latest, pipeline: parse}
pipelines:
  metrics: {}
  spans:
    stages:
      - redact
      - name: red
        module: span-metrics
        config: {buckets: [1, 2.5], on: true, name: \"${host.name}\", gone: \"${env:NOPE?}\"}
        emits: {metrics: metrics}
  parse:
    signal: raw
    stages:
      - module: parse-logfmt
        emits: {logs: table}
epoch: {interval: 250ms, bytes: 1048576}
";

#[test]
fn defaults_are_filled_in_and_names_resolved() {
    let topology = parse(SMALL).unwrap();
    let spans = topology.source("otlp_spans").unwrap();
    assert_eq!((spans.signal, spans.partitions, spans.start), (Signal::Spans, 4, Start::Earliest));
    let pipeline = &topology.pipelines[spans.pipeline];
    assert_eq!(pipeline.stages[0].id, "spans.redact");
    assert_eq!(pipeline.stages[0].config, "{}");
    let red = &pipeline.stages[1];
    assert_eq!(red.id, "spans.red");
    let config: serde_json::Value = serde_json::from_str(&red.config).unwrap();
    assert_eq!(config, serde_json::json!({"buckets": [1, 2.5], "on": true, "name": "box-1"}));
    let Route::Pipeline(metrics) = red.emits[&Signal::Metrics] else { panic!("not a pipeline") };
    assert_eq!(topology.pipelines[metrics].name, "metrics");
    assert!(metrics > spans.pipeline, "a pipeline comes before those it emits to");
    let lines = topology.source("lines").unwrap();
    assert_eq!((lines.partitions, lines.start), (2, Start::Latest));
    assert_eq!(topology.pipelines[lines.pipeline].stages[0].emits[&Signal::Logs], Route::Table(Table::Logs));
    assert_eq!(topology.epoch.interval, Some(Duration::from_millis(250)));
    assert_eq!(topology.epoch.bytes, Some(1_048_576));
    assert_eq!(topology.dead_letters.topic, "dead_letters");
    assert_eq!(topology.modules(), ["parse-logfmt", "redact", "span-metrics"]);
    assert!(topology.decode.promote_resource_attributes.iter().any(|name| name == "cloud.provider"));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let error = parse(
        "
sources:
  - {topic: 'bad topic', codec: otlp_traces, pipeline: nowhere}
  - {topic: a, codec: otlp_trace}
  - {topic: b, codec: otlp_logs, partitions: 0, startt: latest}
pipelines:
  logs:
    stages:
      - module: x/y.wasm
      - {name: a, module: m, emits: {metrics: logs, traces: table}}
      - {name: a, module: n, config: [1]}
      - {config: {x: '${env:UNSET}'}}
decode: {metric_names: pretty}
",
    )
    .unwrap_err();
    let text = error.to_string();
    for (line, part) in [
        (3, "'bad topic' is not a topic's name"),
        (3, "there is no pipeline 'nowhere'"),
        (4, "'otlp_trace' is not known; there are otlp_traces"),
        (5, "sources[2].startt: is not a setting here; there are topic, codec, partitions"),
        (5, "must be from 1 to"),
        (9, "pipelines.logs.stages[0].module"),
        (10, "pipeline 'logs' doesn't take metrics"),
        (10, "unknown signal 'traces'"),
        (11, "a second stage 'a'"),
        (11, "must be a map, but is a list"),
        (12, "needs 'module'"),
        (12, "'${env:UNSET}' has no value here"),
        (13, "'pretty' is not known"),
    ] {
        let found = error.problems.iter().any(|problem| problem.line == line && problem.to_string().contains(part));
        assert!(found, "no '{part}' on line {line} in:\n{text}");
    }
    assert_eq!(error.problems.len(), 13, "{text}");
}

#[test]
fn rows_that_would_go_round_without_end_are_refused() {
    let yaml = "
sources: [{topic: a, codec: otlp_logs}]
pipelines:
  logs: {stages: [{module: a, emits: {metrics: metrics}}]}
  metrics: {stages: [{module: b, emits: {logs: logs}}]}
";
    assert!(parse(yaml).unwrap_err().to_string().contains("round without end"));
}

#[test]
fn text_that_is_not_yaml_is_an_error_with_a_line() {
    let error = parse("sources:\n  - topic: [a\n").unwrap_err();
    assert!(error.problems[0].line > 0, "{error}");
    assert!(parse("").unwrap_err().to_string().contains("name at least one topic"));
}

#[test]
fn a_topic_is_re_keyed_only_into_another_source_of_traces() {
    let yaml = "
sources:
  - {topic: in, codec: otlp_traces, rekey: {by: trace_id, to: out}}
  - {topic: out, codec: otlp_traces}
pipelines: {spans: {}}
";
    let topology = parse(yaml).unwrap();
    assert_eq!(topology.source("in").unwrap().rekey.as_ref().unwrap().to, "out");
    for (from, to) in [("to: out", "to: in"), ("to: out", "to: nowhere"), ("by: trace_id", "by: name")] {
        assert!(parse(&yaml.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn the_shipped_topologies_are_valid_on_any_host() {
    for (name, yaml) in [("default", DEFAULT_YAML), ("fabric", FABRIC_YAML)] {
        for host in [host(), Host::default()] {
            let topology = Topology::parse(name, yaml, &host).unwrap();
            let read: Vec<_> = topology.sources.iter().map(|source| source.topic.as_str()).collect();
            for topic in ["otlp_spans", "otlp_metrics", "otlp_logs", "prometheus_write", "loki_push"] {
                assert!(read.contains(&topic), "{name} doesn't read {topic}");
            }
            let at = |module: &str| topology.stages().position(|(_, stage)| stage.module == module);
            assert!(at("span-metrics").is_some() && at("service-graph").is_some());
            if name == "fabric" {
                assert!(at("span-metrics") < at("probabilistic-sampler"), "metrics are counted before sampling");
                assert!(at("service-graph") < at("probabilistic-sampler") && at("tail-sampling").is_some());
            } else {
                assert_eq!(at("tail-sampling").or(at("probabilistic-sampler")), None, "the default loses nothing");
            }
        }
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let error = Topology::load(std::path::Path::new("/nowhere/t.yaml"), &host()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/t.yaml"));
}

#[test]
fn codec_names_have_no_doubles() {
    let mut names = CODECS.map(|(name, _)| name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
