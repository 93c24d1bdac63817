#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use weft_guest::testing::{Harness, Rows};

fn run(config: &str, line: &str) -> String {
    let rows = Rows::new(Signal::Logs, 1).with("body", [Some(line)]);
    let out = Harness::<ParseLogfmt>::new(config).unwrap().process(rows, 1).unwrap();
    out.batch.unwrap().lines()[0].replace(&format!("body={line:?}"), "").trim().replace("  ", " ")
}

#[test]
fn pairs_become_attributes() {
    assert_eq!(
        run("{}", r#"a=1 msg="it \"works\"\tyes" empty= d=1.5s q="" url=/x?y=z é=ü"#),
        r#"attributes.a="1" attributes.d="1.5s" attributes.empty="" attributes.msg="it \"works\"\tyes" attributes.q="" attributes.url="/x?y=z" attributes.é="ü""#
    );
    assert_eq!(
        run(r#"{"types": true}"#, r#"a=1 b=-2.5 c=true d=1s e="1" f=inf g=99999999999999999999"#),
        r#"attributes.a=1 attributes.b=-2.5 attributes.c=true attributes.d="1s" attributes.e="1" attributes.f="inf" attributes.g=1e20"#
    );
}

#[test]
fn lines_with_other_words_pass_unchanged() {
    for line in [
        "",
        "hello world",
        "user logged in id=3",
        r#"{"a":"b=c"}"#,
        r#"a="open"#,
        r#"a="x"y"#,
        "=x",
        r#"a=b"c"#,
        "[a=b]",
        r#""a"=b"#,
        r#"a="\"#,
        "level=error msg=failed because",
    ] {
        assert_eq!(run("{}", line), "", "{line}");
    }
    assert_eq!(run(r#"{"bare_keys": true}"#, "a=1 debug"), r#"attributes.a="1" attributes.debug="""#);
    assert_eq!(run(r#"{"bare_keys": true}"#, "no pairs"), "");
}

#[test]
fn known_fields_are_lifted() {
    assert_eq!(
        run("{}", "level=info traceID=0102030405060708090a0b0c0d0e0f10 ts=1 x=y"),
        r#"attributes.ts="1" attributes.x="y" severity_number=9 severity_text="info" trace_id=0102030405060708090a0b0c0d0e0f10"#
    );
    assert_eq!(
        run("{}", "level=strange trace_id=short"),
        r#"attributes.level="strange" attributes.trace_id="short""#,
        "what isn't understood stays an attribute"
    );
}

#[test]
fn raw_records_become_logs() {
    let rows = Rows::new(Signal::Raw, 2)
        .with("raw.value", [Some(&b"ts=2023-11-14T22:13:20Z lvl=warn n=1"[..]), Some(&b"text"[..])])
        .all("raw.topic", "t")
        .all("raw.timestamp", 5);
    let out = Harness::<ParseLogfmt>::new("{}").unwrap().process(rows, 7).unwrap();
    assert_eq!(
        out.emitted[0].lines(),
        [
            r#"attributes.n="1" body="ts=2023-11-14T22:13:20Z lvl=warn n=1" body_type=1 observed_time_unix_nano=7 resource.service.name="t" severity_number=13 severity_text="warn" time_unix_nano=1700000000000000000"#,
            r#"body="text" body_type=1 observed_time_unix_nano=7 resource.service.name="t" time_unix_nano=5000000"#,
        ]
    );
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = Harness::<ParseLogfmt>::new(r#"{"types": "yes"}"#).unwrap_err().to_string();
    assert!(error.starts_with("configuration: types: invalid type"), "{error}");
    serde_json::from_str::<serde_json::Value>(&ParseLogfmt::describe().config_schema).unwrap();
}
