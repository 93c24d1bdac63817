#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{attributes, content_type, decode, get, good_bodies, labels, message, pair, pairs, varint, wrap};
use crate::wire::write;
use crate::{Codec, Config, Decoder, Error, Message, validate};
use arrow::array::{Int32Array, Int64Array, StringArray};
use weft_model::logs;

const JSON: &str = r#"{"streams":[
    {"stream":{"b":"2","a":"1","none":""},"values":[["1700000000000000001","first",{"k":"v \u00e9"}],["1700000000000000000","second"]]},
    {"values":[["5","third",{}]],"stream":{"c":"3"},"extra":[1]}
]}"#;

#[test]
fn streams_become_rows_with_their_labels() {
    let batch = decode(Codec::LokiPush, JSON.as_bytes());
    assert_eq!(batch.num_rows(), 3);
    let body: &StringArray = get(&batch, logs::BODY);
    assert_eq!((body.value(0), body.value(1), body.value(2)), ("first", "second", "third"));
    assert_eq!(
        get::<Int64Array>(&batch, logs::TIME).values(),
        &[1_700_000_000_000_000_001, 1_700_000_000_000_000_000, 5]
    );
    assert_eq!(get::<Int32Array>(&batch, logs::BODY_TYPE).values(), &[1, 1, 1]);
    for row in 0..2 {
        assert_eq!(labels(&batch, logs::STREAM_LABELS, row), pairs(&[("a", "1"), ("b", "2")]));
    }
    assert_eq!(labels(&batch, logs::STREAM_LABELS, 2), pairs(&[("c", "3")]));
    assert_eq!(attributes(&batch, logs::ATTRIBUTES, 0), pairs(&[("k", "string:v é")]));
    assert!(attributes(&batch, logs::ATTRIBUTES, 1).is_empty());
    assert_eq!(validate(Codec::LokiPush, Some("application/json"), JSON.as_bytes()).unwrap().items, 3);
}

fn entry(seconds: i64, nanos: i32, line: &str) -> Vec<u8> {
    let mut time = Vec::new();
    varint(&mut time, 1, seconds as u64);
    varint(&mut time, 2, i64::from(nanos) as u64);
    let mut entry = wrap(1, &[time]);
    write::bytes(&mut entry, 2, line.as_bytes());
    write::bytes(&mut entry, 3, &pair("k", "v"));
    entry
}

fn stream(labels: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    // Entries before labels: the order of fields is free.
    stream.extend(wrap(2, entries));
    write::bytes(&mut stream, 1, labels.as_bytes());
    wrap(1, &[stream])
}

#[test]
fn protobuf_and_json_give_the_same_rows() {
    let body = stream(r#"{z="9", app="api"}"#, &[entry(1_700_000_000, 7, "x"), entry(0, 0, "")]);
    let json = r#"{"streams":[{"stream":{"app":"api","z":"9"},"values":[["1700000000000000007","x",{"k":"v"}],["0","",{"k":"v"}]]}]}"#;
    assert_eq!(decode(Codec::LokiPush, &body), decode(Codec::LokiPush, json.as_bytes()));
}

fn refusal(body: &[u8]) -> String {
    let error = Decoder::new(Codec::LokiPush, &Config::default()).push(&message(body)).unwrap_err();
    assert_eq!(validate(Codec::LokiPush, None, body).unwrap_err(), error);
    error.to_string()
}

#[test]
fn what_loki_refuses_is_refused() {
    let json = |entry: &str| format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[{entry}]}}]}}"#);
    for (body, reason) in [
        (json(r#"[1,"x"]"#), "invalid type: integer"),
        (json(r#"["1",2]"#), "invalid type: integer"),
        (json(r#"["1.5","x"]"#), "not a number of nanoseconds"),
        (json(r#"["-1","x"]"#), "negative"),
        (json(r#"["99999999999999999999","x"]"#), "not a number of nanoseconds"),
        (json(r#"["1"]"#), "an entry has no line"),
        (json("[]"), "an entry has no timestamp"),
        (json(r#"["1","x",{"k":1}]"#), "invalid type: integer"),
        (json(r#"["1","x",{},"y"]"#), "more than three"),
        (r#"{"streams":[{"stream":{"a":1},"values":[]}]}"#.to_owned(), "invalid type: integer"),
        (r#"{"streams":[{"stream":{},"values":[]}]}"#.to_owned(), "no labels"),
        (r#"{"streams":[{"values":[]}]}"#.to_owned(), "missing field `stream`"),
        (r#"{"streams":[{"stream":{"a":"1","a":"2"},"values":[]}]}"#.to_owned(), "twice"),
        (r#"{"streams":["#.to_owned(), "EOF"),
        ("{}".to_owned(), "missing field `streams`"),
    ] {
        let error = refusal(body.as_bytes());
        assert!(error.contains(reason), "{body}: {error}");
    }
    assert!(refusal(&stream("{a=b}", &[])).contains("a quoted value expected at byte 3"));
    assert!(refusal(&stream(r#"{a="b"}"#, &[entry(-1, 0, "x")])).contains("negative"));
    assert!(refusal(&stream(r#"{a="b"}"#, &[entry(i64::MAX, 0, "x")])).contains("2262"));
}

#[test]
fn the_content_type_says_which_encoding() {
    let push = |header: &str, body: &[u8]| {
        let headers = content_type(header);
        let pushed =
            Decoder::new(Codec::LokiPush, &Config::default()).push(&Message { headers: &headers, ..message(body) });
        assert_eq!(pushed.is_ok(), validate(Codec::LokiPush, Some(header), body).is_ok());
        pushed
    };
    let protobuf = good_bodies().into_iter().find(|(codec, _)| *codec == Codec::LokiPush).unwrap().1;
    assert_eq!(push("application/x-protobuf", &protobuf), Ok(1));
    assert_eq!(push("application/json; charset=utf-8", JSON.as_bytes()), Ok(3));
    assert!(push("application/x-protobuf", JSON.as_bytes()).is_err());
    assert!(matches!(push("text/plain", &protobuf), Err(Error::ContentType { .. })));
}
