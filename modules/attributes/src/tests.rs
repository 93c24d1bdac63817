#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use weft_guest::testing::{Harness, Rows as Data, Value as Cell};

fn run(config: &str, rows: Data) -> Vec<String> {
    let out = Harness::<Attributes>::new(config).unwrap().process(rows, 1).unwrap();
    assert!(out.emitted.is_empty());
    out.batch.unwrap().lines()
}

fn actions(actions: &str, rows: Data) -> Vec<String> {
    run(&format!(r#"{{"actions": [{actions}]}}"#), rows)
}

fn two() -> Data {
    Data::new(Signal::Spans, 2).with("span.a", [Some("x"), None])
}

#[test]
fn insert_update_and_upsert_differ_by_what_is_there() {
    assert_eq!(
        actions(r#"{"action": "insert", "key": "a", "value": "new"}"#, two()),
        [r#"attributes.a="x""#, r#"attributes.a="new""#]
    );
    assert_eq!(actions(r#"{"action": "update", "key": "a", "value": 5}"#, two()), ["attributes.a=5", ""]);
    assert_eq!(
        actions(r#"{"action": "upsert", "key": "a", "value": true}"#, two()),
        ["attributes.a=true", "attributes.a=true"]
    );
    assert_eq!(
        actions(r#"{"action": "upsert", "key": "resource.b", "from_attribute": "a"}"#, two()),
        [r#"attributes.a="x" resource.b="x""#, ""]
    );
}

#[test]
fn delete_hash_and_rename_take_keys_and_patterns() {
    let rows = || Data::new(Signal::Logs, 1).all("log.user.id", "7").all("log.user.name", "bob").all("log.keep", 1);
    assert_eq!(
        actions(r#"{"action": "delete", "key": "user.id"}"#, rows()),
        [r#"attributes.keep=1 attributes.user.name="bob""#]
    );
    assert_eq!(actions(r#"{"action": "delete", "pattern": "^user\\."}"#, rows()), ["attributes.keep=1"]);
    assert_eq!(
        actions(r#"{"action": "hash", "key": "keep"}, {"action": "delete", "pattern": "user"}"#, rows()),
        [r#"attributes.keep="6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b""#]
    );
    assert_eq!(
        actions(r#"{"action": "rename", "key": "user.id", "new_key": "resource.uid"}"#, rows()),
        [r#"attributes.keep=1 attributes.user.name="bob" resource.uid="7""#]
    );
}

#[test]
fn extract_and_convert() {
    let rows = Data::new(Signal::Spans, 2).with("span.url", [Some("/u/42?x"), Some("/none")]);
    assert_eq!(
        actions(
            r#"{"action": "extract", "key": "url", "pattern": "/u/(?P<uid>\\d+)"}, {"action": "convert", "key": "uid", "converted_type": "int"}"#,
            rows
        ),
        [r#"attributes.uid=42 attributes.url="/u/42?x""#, r#"attributes.url="/none""#]
    );
    let mixed = |to: &str| {
        let cells = [
            Cell::from("1.5"),
            Cell::from(2),
            Cell::from(3.7),
            Cell::from(true),
            Cell::from("x"),
            Cell::Json("[1]".into()),
        ];
        let rows = Data::new(Signal::Spans, 6).with("span.v", cells.map(Some));
        actions(&format!(r#"{{"action": "convert", "key": "v", "converted_type": "{to}"}}"#), rows)
            .join(" ")
            .replace("attributes.v=", "")
    };
    assert_eq!(mixed("double"), r#"1.5 2.0 3.7 1.0 "x" [1]"#);
    assert_eq!(mixed("int"), r#""1.5" 2 3 1 "x" [1]"#);
    assert_eq!(mixed("string"), r#""1.5" "2" "3.7" "true" "x" [1]"#);
}

#[test]
fn include_and_exclude_choose_rows_and_spare_the_rest() {
    let rows = || {
        Data::new(Signal::Spans, 4)
            .with("resource.service.name", [Some("api"), Some("web"), Some("api"), None])
            .with("name", [Some("GET /a"), Some("GET /a"), Some("POST /b"), Some("GET /a")])
            .with("kind", [Some(2), Some(2), Some(3), Some(1)])
            .with("span.v", [Some(Cell::from("t")), Some(Cell::Json("[1]".into())), Some(Cell::from(7)), None])
    };
    let v = |config: &str| -> Vec<String> {
        let out = Harness::<Attributes>::new(config).unwrap().process(rows(), 1).unwrap().batch.unwrap();
        assert!(!out.lines().join(" ").contains("__weft"), "nothing is left behind: {:?}", out.lines());
        (0..4).map(|row| out.get("span.v", row).map_or("-".into(), ToString::to_string)).collect()
    };
    let delete = r#""actions": [{"action": "delete", "key": "v"}]"#;
    assert_eq!(v(&format!(r#"{{"include": {{"services": ["api"]}}, {delete}}}"#)), ["-", "[1]", "-", "-"]);
    assert_eq!(v(&format!(r#"{{"exclude": {{"services": ["api"]}}, {delete}}}"#)), [r#""t""#, "-", "7", "-"]);
    assert_eq!(
        v(&format!(
            r#"{{"include": {{"services": ["api", "web"], "span_names": ["GET /a"]}}, "exclude": {{"span_kinds": ["SPAN_KIND_CLIENT"], "attributes": [{{"key": "v"}}]}}, {delete}}}"#
        )),
        ["-", "-", "7", "-"]
    );
    let upsert = r#""actions": [{"action": "upsert", "key": "v", "value": 1}]"#;
    assert_eq!(
        v(&format!(
            r#"{{"include": {{"match_type": "regexp", "span_names": ["^GET", "^PUT"], "services": ["^.p"]}}, {upsert}}}"#
        )),
        ["1", "[1]", "7", "-"]
    );
    assert_eq!(v(&format!(r#"{{"include": {{"span_kinds": ["internal"]}}, {upsert}}}"#)), [r#""t""#, "[1]", "7", "1"]);
    assert_eq!(
        v(&format!(r#"{{"include": {{"attributes": [{{"key": "v", "value": 7}}]}}, {upsert}}}"#)),
        [r#""t""#, "[1]", "1", "-"]
    );
    assert_eq!(v(&format!(r#"{{"include": {{"log_bodies": ["x"]}}, {upsert}}}"#)), [r#""t""#, "[1]", "7", "-"]);
    let extract = r#""actions": [{"action": "extract", "key": "v", "pattern": "(?P<v>.)"}, {"action": "rename", "key": "v", "new_key": "w"}, {"action": "rename", "key": "w", "new_key": "v"}]"#;
    assert_eq!(v(&format!(r#"{{"include": {{"services": ["api"]}}, {extract}}}"#)), [r#""t""#, "[1]", "7", "-"]);
}

#[test]
fn metrics_have_labels() {
    let rows = Data::new(Signal::Metrics, 2)
        .with("name", [Some("up"), Some("down")])
        .with("label.job", [Some("a"), Some("b")]);
    assert_eq!(
        run(
            r#"{"include": {"metric_names": ["up"]}, "actions": [{"action": "upsert", "key": "n", "value": 1}, {"action": "delete", "key": "job"}]}"#,
            rows
        ),
        [r#"label.n="1" name="up""#, r#"label.job="b" name="down""#]
    );
}

#[test]
fn resources_have_their_scope() {
    let rows = Data::new(Signal::Logs, 1).all("resource.a", 1).all("log.a", 2);
    assert_eq!(
        run(
            r#"{"scope": "resource", "actions": [{"action": "delete", "key": "a"}, {"action": "insert", "key": "c", "from_attribute": "attributes.a"}]}"#,
            rows
        ),
        ["attributes.a=2 resource.c=2"]
    );
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config: &str| Harness::<Attributes>::new(config).unwrap_err().to_string();
    assert!(error("{}").contains("missing field `actions`"));
    assert!(
        error(r#"{"actions": [{"action": "insert", "key": "a"}]}"#)
            .contains("actions.0: needs either value or from_attribute")
    );
    assert!(error(r#"{"actions": [{"action": "delete"}]}"#).contains("actions.0.key: is missing"));
    assert!(
        error(r#"{"actions": [{"action": "extract", "key": "a", "pattern": "x"}]}"#)
            .contains("actions.0.pattern: has no named group")
    );
    assert!(error(r#"{"actions": [{"action": "convert", "key": "a"}]}"#).contains("actions.0.converted_type"));
    assert!(error(r#"{"actions": [{"action": "rename", "key": "a"}]}"#).contains("actions.0.new_key"));
    assert!(error(r#"{"actions": [{"action": "swap"}]}"#).contains("actions.0.action: unknown variant `swap`"));
    assert!(error(r#"{"include": {}, "actions": []}"#).contains("include: says nothing to match"));
    assert!(error(r#"{"include": {"span_kinds": ["odd"]}, "actions": []}"#).contains("include.span_kinds.0: 'odd'"));
    serde_json::from_str::<serde_json::Value>(&Attributes::describe().config_schema).unwrap();
}
