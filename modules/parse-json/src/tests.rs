#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use weft_guest::logs::Value as Leaf;
use weft_guest::testing::{Harness, Output, Rows, Value};

const NOW: u64 = 1_700_000_000_000_000_000;

fn logs(lines: &[&str]) -> Rows {
    Rows::new(Signal::Logs, lines.len()).with("body", lines.iter().map(|line| Some(*line)))
}

fn run(config: &str, rows: Rows) -> Output {
    Harness::<ParseJson>::new(config).unwrap().process(rows, NOW).unwrap()
}

#[test]
fn fields_become_attributes_with_their_types() {
    let line = r#" {"a":"x","n":-3,"big":12345678901234567890,"f":1.5e3,"t":true,"z":null,
        "nested":{"b":"\u00e9\n\"","deep":{"c":false},"none":{}},"list":[1,{"k":"]"}]} "#;
    let out = run(r#"{"attributes": true}"#, logs(&[line])).batch.unwrap();
    assert_eq!(
        out.lines()[0].replace(&format!(" body={line:?}"), ""),
        r#"attributes.a="x" attributes.big=1.2345678901234567e19 attributes.f=1500.0 attributes.list=[1,{"k":"]"}] attributes.n=-3 attributes.nested_b="é\n\"" attributes.nested_deep_c=false attributes.t=true"#
    );
}

#[test]
fn lines_that_are_not_one_object_pass_unchanged() {
    let lines = [
        "plain",
        "",
        "[1]",
        "{",
        r#"{"a":1"#,
        r#"{"a":1} x"#,
        r#"{"a":01}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":tru}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        "{\"a\":\"\u{1}\"}",
        r#"{"a":"\u12"}"#,
        r#"{"a":["\x"]}"#,
        r#"{"a":-}"#,
        r#"{"a":1.}"#,
        r#"{"a":"b\"#,
        "{\"trace_id\":\"0102030405060708090a0b0c0d0e0f10\",",
    ];
    let mut harness = Harness::<ParseJson>::new("{}").unwrap();
    let out = harness.process(logs(&lines), NOW).unwrap();
    assert_eq!(out.batch.unwrap(), logs(&lines));
    assert_eq!(harness.counters()["lines_passed"], lines.len() as u64);
}

#[test]
fn known_fields_fill_the_gaps_of_a_record() {
    let line = r#"{"level":"WARN","trace_id":"0102030405060708090a0b0c0d0e0f10","span_id":"0102030405060708","time":"2023-11-14T22:13:20Z","msg":"m"}"#;
    let rows = logs(&[line, line])
        .with("severity_number", [Some(0), Some(17)])
        .with("trace_id", [None, Some([9; 16])])
        .with("time_unix_nano", [Some(5), Some(6)]);
    let out = run("{}", rows).batch.unwrap();
    assert_eq!(out.get("severity_number", 0), Some(&Value::Int(13)));
    assert_eq!(out.text("severity_text", 0), Some("WARN"));
    assert_eq!(out.get("trace_id", 0).unwrap().to_string(), "0102030405060708090a0b0c0d0e0f10");
    assert_eq!(out.get("span_id", 0).unwrap().to_string(), "0102030405060708");
    assert_eq!(out.get("time_unix_nano", 0), Some(&Value::Int(5)), "the sender's time stands");
    assert_eq!(out.text("attributes.time", 0), Some("2023-11-14T22:13:20Z"));
    assert_eq!(out.get("log.level", 0), None, "lifted fields are no attributes");
    assert_eq!(out.get("severity_number", 1), Some(&Value::Int(17)));
    assert_eq!(out.get("trace_id", 1), Some(&Value::Bytes(vec![9; 16])));
    assert_eq!(out.text("body", 0), Some(line));
    let config =
        r#"{"lift": {"time": ["time"], "message": ["msg"], "severity": []}, "keep_lifted": true, "prefix": "p."}"#;
    let out = run(config, logs(&[line])).batch.unwrap();
    assert_eq!(out.get("time_unix_nano", 0), Some(&Value::Int(1_700_000_000_000_000_000)));
    assert_eq!((out.text("body", 0), out.text("log.p.msg", 0)), (Some("m"), Some("m")));
    assert_eq!(out.get("severity_number", 0), None);
}

#[test]
fn raw_records_become_logs() {
    let lines: [&[u8]; 4] = [
        br#"{"ts":1700000001.5,"level":"error","service_name":"pay","msg":"hi","n":1}"#,
        b"plain text\r\n",
        b"bad \xff utf8",
        b"",
    ];
    let rows = Rows::new(Signal::Raw, 4)
        .with("raw.value", lines.iter().map(|line| Some(*line)))
        .all("raw.topic", "app_lines")
        .all("raw.timestamp", 1_600_000_000_123);
    let mut harness = Harness::<ParseJson>::new("{}").unwrap();
    let out = harness.process(rows.clone(), NOW).unwrap();
    assert!(out.batch.unwrap().is_empty(), "raw records end here");
    let logs = &out.emitted[0];
    assert_eq!(
        logs.lines(),
        [
            format!(
                r#"attributes.msg="hi" attributes.n=1 body={:?} body_type=1 observed_time_unix_nano={NOW} resource.service.name="pay" severity_number=17 severity_text="error" time_unix_nano=1700000001500000000"#,
                std::str::from_utf8(lines[0]).unwrap()
            ),
            format!(
                r#"body="plain text" body_type=1 observed_time_unix_nano={NOW} resource.service.name="app_lines" time_unix_nano=1600000000123000000"#
            ),
            format!(
                r#"body="bad {} utf8" body_type=1 observed_time_unix_nano={NOW} resource.service.name="app_lines" time_unix_nano=1600000000123000000"#,
                '\u{fffd}'
            ),
            format!(
                r#"body="" body_type=1 observed_time_unix_nano={NOW} resource.service.name="app_lines" time_unix_nano=1600000000123000000"#
            ),
        ]
    );
    assert_eq!((harness.counters()["lines_parsed"], harness.counters()["lines_not_utf8"]), (1, 1));
    let out = run(r#"{"service": "fixed"}"#, rows);
    assert_eq!(out.emitted[0].text("resource.service.name", 1), Some("fixed"));
}

#[test]
fn objects_nested_too_deep_stay_json() {
    let out = run(r#"{"max_depth": 2, "separator": "."}"#, logs(&[r#"{"a":{"b":{"c":1}}}"#])).batch.unwrap();
    assert_eq!(out.get("log.a.b", 0), Some(&Value::Json(r#"{"c":1}"#.into())));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let out = run("{}", logs(&[&deep])).batch.unwrap();
    assert_eq!(out.lines().len(), 1);
    assert_eq!(out.get("log.a", 0), None);
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config| Harness::<ParseJson>::new(config).unwrap_err().to_string();
    assert!(error(r#"{"max_depth": 0}"#).contains("max_depth: must be from 1 to 64"));
    assert!(error(r#"{"lift": {"tiem": []}}"#).contains("lift: unknown field `tiem`"));
    serde_json::from_str::<serde_json::Value>(&ParseJson::describe().config_schema).unwrap();
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e300..1e300).prop_map(|v: f64| v.into()),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same by way of a tree.
fn flatten(prefix: &str, value: &serde_json::Value, depth: usize, out: &mut Vec<(String, String)>) {
    let serde_json::Value::Object(map) = value else { return };
    for (key, value) in map {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Object(_) if depth < 10 => flatten(&path, value, depth + 1, out),
            serde_json::Value::String(text) => out.push((path, format!("s{text}"))),
            serde_json::Value::Bool(v) => out.push((path, format!("b{v}"))),
            serde_json::Value::Number(n) if n.is_i64() => out.push((path, format!("i{n}"))),
            serde_json::Value::Number(n) => out.push((path, format!("f{}", n.as_f64().unwrap()))),
            // Read back, since serde_json rounds some floats it reads.
            other => {
                out.push((path, format!("j{}", serde_json::from_str::<serde_json::Value>(&other.to_string()).unwrap())))
            }
        }
    }
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_serde_json(value in json(), pretty in any::<bool>()) {
        let line = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let mut found = Vec::new();
        let ok = Scanner::new("/".into(), 10).scan(&line, &mut |key, value| {
            found.push((key.to_owned(), match value {
                Leaf::Text(text) => format!("s{text}"),
                Leaf::Bool(v) => format!("b{v}"),
                Leaf::Int(text) => format!("i{text}"),
                Leaf::Float(text) => format!("f{}", text.parse::<f64>().unwrap()),
                Leaf::Json(text) => format!("j{}", serde_json::from_str::<serde_json::Value>(text).unwrap()),
            }));
        });
        prop_assert_eq!(ok, value.is_object());
        let mut expected = Vec::new();
        flatten("", &value, 1, &mut expected);
        if !value.as_object().is_some_and(|map| map.contains_key("")) && !line.contains("\"\":") && !line.contains("\"\": ") {
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_scanner_accepts_what_serde_json_accepts(line in r#"\{"a":[ \[\]\{\}",:0-9.eE+\-a-z\\]{0,12}\}"#) {
        let ok = Scanner::new("/".into(), 10).scan(&line, &mut |_, _| {});
        prop_assert_eq!(ok, serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{}", line);
    }
}
