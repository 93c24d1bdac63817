#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use weft_guest::testing::{Harness, Rows as Data};

fn run(config: &str, rows: Data) -> Vec<String> {
    Harness::<ResourceDetection>::new(config).unwrap().process(rows, 1).unwrap().batch.unwrap().lines()
}

#[test]
fn missing_attributes_are_set_and_present_ones_stay() {
    let rows = Data::new(Signal::Spans, 2).with("resource.host.name", [Some("mine"), None]);
    let config =
        r#"{"attributes": {"host.name": "h", "cloud.provider": "aws"}, "detected": {"host.name": "no", "n": 3}}"#;
    assert_eq!(
        run(config, rows),
        [
            r#"resource.cloud.provider="aws" resource.host.name="mine" resource.n=3"#,
            r#"resource.cloud.provider="aws" resource.host.name="h" resource.n=3"#,
        ]
    );
}

#[test]
fn override_replaces() {
    let rows = Data::new(Signal::Logs, 1).with("resource.host.name", [Some("mine")]);
    assert_eq!(run(r#"{"attributes": {"host.name": "h"}, "override": true}"#, rows), [r#"resource.host.name="h""#]);
}

#[test]
fn metrics_get_labels_as_text() {
    let rows = Data::new(Signal::Metrics, 1).all("name", "up");
    assert_eq!(
        run(r#"{"attributes": {"cloud.zone": 1, "b": true}}"#, rows),
        [r#"label.b="true" label.cloud_zone="1" name="up""#]
    );
}

#[test]
fn a_lookup_enriches_by_another_label() {
    let config = r#"{"lookups": [{"attribute": "instance", "default": {"cloud_provider": "none"}, "table": {
        "a:9100": {"cloud_provider": "aws", "rack": 7}, "b:9100": {"cloud_provider": "gcp"}}}]}"#;
    let rows = Data::new(Signal::Metrics, 4)
        .with("label.instance", [Some("a:9100"), Some("b:9100"), Some("c"), None])
        .with("label.cloud_provider", [None, Some("kept"), None, None]);
    assert_eq!(
        run(config, rows),
        [
            r#"label.cloud_provider="aws" label.instance="a:9100" label.rack="7""#,
            r#"label.cloud_provider="kept" label.instance="b:9100""#,
            r#"label.cloud_provider="none" label.instance="c""#,
            r#"label.cloud_provider="none""#,
        ]
    );
}

#[test]
fn looked_up_values_keep_their_types_and_beat_constants() {
    let config = r#"{"attributes": {"v": "constant"}, "lookups": [{"attribute": "k", "table": {
        "1": {"v": 1}, "2": {"v": 2.5}, "3": {"v": false}, "4": {"v": "t"}}}]}"#;
    let rows = || Data::new(Signal::Spans, 5).with("resource.k", [Some("1"), Some("2"), Some("3"), Some("4"), None]);
    let expected = [
        r#"resource.k="1" resource.v=1"#,
        r#"resource.k="2" resource.v=2.5"#,
        r#"resource.k="3" resource.v=false"#,
        r#"resource.k="4" resource.v="t""#,
        r#"resource.v="constant""#,
    ];
    assert_eq!(run(config, rows()), expected);
    assert_eq!(run(&config.replacen('{', r#"{"override": true, "#, 1), rows()), expected);
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config| Harness::<ResourceDetection>::new(config).unwrap_err().to_string();
    assert!(error(r#"{"overwrite": true}"#).contains("unknown field `overwrite`"));
    assert!(error(r#"{"override": 1}"#).starts_with("configuration: override: invalid type"));
    assert!(error(r#"{"attributes": {"": "x"}}"#).starts_with("configuration: attributes:"));
    assert!(error(r#"{"lookups": [{"attribute": "", "table": {}}]}"#).contains("lookups.0.attribute"));
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<serde_json::Value>(&ResourceDetection::describe().config_schema).unwrap();
}
