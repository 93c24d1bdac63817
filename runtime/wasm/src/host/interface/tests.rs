//! The contract's calls on real columns, without a guest.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::columns::*;
use super::super::{State, read};
use crate::bindings::weft::telemetry::batches::{Host, HostBatch};
use crate::fixtures::{self, NOW, borrow, entries, in_call, text_column};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bytes::Bytes;
use weft_model::{Signal as Kind, metrics, spans};

fn text(values: &[Option<&str>]) -> Text {
    Text::of(&values.iter().copied().collect())
}

fn some(values: &[&str]) -> Text {
    Text::of(&values.iter().map(|value| Some(*value)).collect())
}

fn ints(values: &[Option<i64>]) -> Ints {
    Ints::of(&values.iter().copied().collect())
}

fn floats(values: &[Option<f64>]) -> Floats {
    Floats::of(&values.iter().copied().collect())
}

/// The text of a pulled column.
fn got(state: &mut State, handle: u32, path: &str) -> Vec<Option<String>> {
    let column = state.text(borrow(handle), path.into()).unwrap().unwrap();
    let rows = state.rows(borrow(handle)).unwrap() as usize;
    column.into_array(rows).unwrap().iter().map(|value| value.map(str::to_owned)).collect()
}

fn got_ints(state: &mut State, handle: u32, path: &str) -> Vec<Option<i64>> {
    let column = state.ints(borrow(handle), path.into()).unwrap().unwrap();
    let rows = state.rows(borrow(handle)).unwrap() as usize;
    column.into_array(rows).unwrap().iter().collect()
}

fn done(state: &mut State, handle: u32) -> RecordBatch {
    state.take(Some(handle)).unwrap().batch.unwrap()
}

fn opt(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn columns_are_pulled_by_name_alias_and_attribute() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(4));
    assert_eq!(got(&mut state, batch, "name"), opt(&[Some("name-0"), Some("name-1"), Some("name-2"), Some("name-3")]));
    assert_eq!(got_ints(&mut state, batch, "duration"), [Some(10), Some(2_000_000), Some(10), Some(2_000_000)]);
    assert_eq!(got_ints(&mut state, batch, "status"), [Some(0), Some(0), Some(0), Some(2)]);
    assert_eq!(got(&mut state, batch, "span.user"), opt(&[Some("user-0"), None, Some("user-2"), None]));
    assert_eq!(got(&mut state, batch, "attributes.user"), got(&mut state, batch, "span.user"));
    assert_eq!(got(&mut state, batch, "resource.service.name"), opt(&[Some("api"); 4]));
    assert_eq!(got_ints(&mut state, batch, "span.http.status_code"), [Some(200), Some(200), Some(200), Some(500)]);
    let ratio = state.floats(borrow(batch), "span.ratio".into()).unwrap().unwrap();
    assert_eq!(ratio.bits, [0.0_f64, 0.5, 1.0, 1.5].map(f64::to_bits));
    let cached = state.bools(borrow(batch), "span.cached".into()).unwrap().unwrap();
    assert_eq!(cached.values[0], 0b1001);
    assert!(cached.validity.is_empty());
}

#[test]
fn what_no_row_has_and_what_is_of_another_type_reads_as_null() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(3));
    for path in ["span.nothing", "resource.nothing", "span.http.status_code", "duration"] {
        assert_eq!(got(&mut state, batch, path), opt(&[None; 3]), "{path}");
    }
    for path in ["span.user", "name", "span.ratio"] {
        assert_eq!(got_ints(&mut state, batch, path), [None; 3], "{path}");
    }
}

#[test]
fn a_slice_of_a_batch_reads_as_itself() {
    let whole = fixtures::spans(20);
    let (mut state, batch) = in_call(Kind::Spans, whole.slice(7, 5));
    assert_eq!(got(&mut state, batch, "name")[0].as_deref(), Some("name-7"));
    assert_eq!(got(&mut state, batch, "span.user"), opt(&[None, Some("user-8"), None, Some("user-10"), None]));
    let column = some(&["a", "b", "c", "d", "e"]);
    state.set_text(borrow(batch), "span.user".into(), column, Nulls::Clear).unwrap().unwrap();
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "attributes", 0), ["http.status_code=500", "ratio=3.5", "cached=false", "user=a"]);
    assert_eq!(entries(&out, "attributes", 1), ["http.status_code=200", "user=b", "ratio=4.0", "cached=false"]);
}

#[test]
fn ids_are_bytes_and_hex_text() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(5));
    assert_eq!(got(&mut state, batch, "trace_id")[4].as_deref(), Some("00000000000000000000000000000002"));
    assert_eq!(got(&mut state, batch, "parent_span_id")[0], None);
    let hex = some(&["00ff00ff00ff00AB"; 5]);
    state.set_text(borrow(batch), "parent_span_id".into(), hex, Nulls::Clear).unwrap().unwrap();
    let error = state.set_text(borrow(batch), "span_id".into(), some(&["xyz"; 5]), Nulls::Clear).unwrap().unwrap_err();
    assert!(matches!(error, Error::Column(_)));
    let error = state.set_text(borrow(batch), "trace_id".into(), text(&[None; 5]), Nulls::Clear).unwrap().unwrap_err();
    assert!(matches!(error, Error::Column(_)), "a span without a trace");
    let out = done(&mut state, batch);
    let parents = out.column_by_name(spans::PARENT_SPAN_ID).unwrap().as_binary::<i32>();
    assert_eq!(parents.value(0), [0, 0xff, 0, 0xff, 0, 0xff, 0, 0xab]);
}

#[test]
fn raw_bytes_read_as_text_where_they_are_utf8() {
    let (mut state, batch) = in_call(Kind::Raw, fixtures::raw(3));
    assert_eq!(got(&mut state, batch, "raw.value"), opt(&[Some("line 0"), None, Some("line 2")]));
    assert_eq!(got(&mut state, batch, "raw.header.x"), opt(&[None; 3]));
    let blobs = state.blobs(borrow(batch), "raw.value".into()).unwrap().unwrap();
    assert_eq!(blobs.offsets, [0, 6, 8, 14]);
    state.set_text(borrow(batch), "raw.header.x".into(), some(&["1", "2", "3"]), Nulls::Clear).unwrap().unwrap();
    assert_eq!(got(&mut state, batch, "raw.header.x"), opt(&[Some("1"), Some("2"), Some("3")]));
}

#[test]
fn a_dictionary_has_each_value_once() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(12));
    let services = state.dictionary(borrow(batch), "resource.service.name".into()).unwrap().unwrap();
    assert_eq!(services.keys, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!((&services.values.data[..], &services.values.offsets[..]), (&b"apiweb"[..], &[0, 3, 6][..]));
    let users = state.dictionary(borrow(batch), "span.user".into()).unwrap().unwrap();
    assert_eq!(users.keys[..3], [0, NULL_KEY, 1]);
    let none = state.dictionary(borrow(batch), "span.nothing".into()).unwrap().unwrap();
    assert_eq!(none.keys, [NULL_KEY; 12]);
    let names = state.dictionary(borrow(batch), "name".into()).unwrap().unwrap();
    assert_eq!(names.keys, (0..12).collect::<Vec<u32>>());
}

#[test]
fn keys_come_in_the_order_of_their_first_row() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(5));
    let keys = state.keys(borrow(batch), "attributes".into()).unwrap().unwrap();
    assert_eq!(keys, ["http.status_code", "user", "ratio", "cached"]);
    state.set_constant(borrow(batch), "span.new".into(), Scalar::Int(1), Rows::All).unwrap().unwrap();
    let keys = state.keys(borrow(batch), "attributes".into()).unwrap().unwrap();
    assert_eq!(keys.last().map(String::as_str), Some("new"));
}

#[test]
fn a_later_read_sees_what_was_written_and_the_rest_stays() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(4));
    let before = fixtures::spans(4);
    let h = || borrow(batch);
    state.set_text(h(), "span.user".into(), text(&[Some("x"), Some("y"), None, None]), Nulls::Clear).unwrap().unwrap();
    state.set_ints(h(), "span.count".into(), ints(&[Some(1), None, Some(3), None]), Nulls::Leave).unwrap().unwrap();
    assert_eq!(got(&mut state, batch, "span.user"), opt(&[Some("x"), Some("y"), None, None]));
    assert_eq!(got_ints(&mut state, batch, "span.count"), [Some(1), None, Some(3), None]);
    // A second write after the read, and one that leaves.
    state.set_text(h(), "span.user".into(), text(&[None, Some("z"), None, Some("w")]), Nulls::Leave).unwrap().unwrap();
    let out = done(&mut state, batch);
    assert_eq!(
        entries(&out, "attributes", 0),
        ["http.status_code=200", "user=x", "ratio=0.0", "cached=true", "count=1"]
    );
    assert_eq!(entries(&out, "attributes", 1), ["http.status_code=200", "ratio=0.5", "cached=false", "user=z"]);
    assert_eq!(entries(&out, "attributes", 2), ["http.status_code=200", "ratio=1.0", "cached=false", "count=3"]);
    assert_eq!(entries(&out, "attributes", 3), ["http.status_code=500", "ratio=1.5", "cached=true", "user=w"]);
    assert_eq!(out.column_by_name("resource"), before.column_by_name("resource"));
}

#[test]
fn a_later_write_of_a_key_wins_whatever_its_type() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(2));
    let h = || borrow(batch);
    state.set_ints(h(), "span.user".into(), ints(&[Some(1), Some(2)]), Nulls::Clear).unwrap().unwrap();
    state.set_text(h(), "span.user".into(), text(&[None, Some("t")]), Nulls::Leave).unwrap().unwrap();
    state.remove(h(), "span.ratio".into()).unwrap().unwrap();
    state.set_constant(h(), "span.ratio".into(), Scalar::Boolean(true), Rows::Present).unwrap().unwrap();
    state.set_constant(h(), "span.cached".into(), Scalar::Float(0.5), Rows::Missing).unwrap().unwrap();
    state.set_constant(h(), "span.fresh".into(), Scalar::Text("a".into()), Rows::Missing).unwrap().unwrap();
    state.set_constant(h(), "span.fresh".into(), Scalar::Text("b".into()), Rows::Missing).unwrap().unwrap();
    state.set_constant(h(), "span.fresh".into(), Scalar::Text("c".into()), Rows::Present).unwrap().unwrap();
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "attributes", 0), ["http.status_code=200", "user=1", "cached=true", "fresh=c"]);
    assert_eq!(entries(&out, "attributes", 1), ["http.status_code=200", "cached=false", "user=t", "fresh=c"]);
}

#[test]
fn flat_columns_take_whole_columns_and_parts() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(3));
    let h = || borrow(batch);
    state.set_text(h(), "name".into(), text(&[Some("a"), None, Some("c")]), Nulls::Leave).unwrap().unwrap();
    state.set_text(h(), "status_message".into(), text(&[Some("m"), None, None]), Nulls::Clear).unwrap().unwrap();
    state.set_ints(h(), "kind".into(), ints(&[Some(2), Some(3), None]), Nulls::Clear).unwrap().unwrap();
    let dictionary = Dictionary { keys: vec![1, NULL_KEY, 0], values: some(&["x", "yy"]) };
    state.set_dictionary(h(), "trace_state".into(), dictionary, Nulls::Clear).unwrap().unwrap();
    state.set_constant(h(), "service_name".into(), Scalar::Text("s".into()), Rows::Missing).unwrap().unwrap();
    let out = done(&mut state, batch);
    assert_eq!(text_column(&out, "name").iter().flatten().collect::<Vec<_>>(), ["a", "name-1", "c"]);
    assert_eq!(text_column(&out, "status_message").null_count(), 2);
    let kinds = out.column_by_name("kind").unwrap().as_primitive::<Int32Type>();
    assert_eq!(kinds.values()[..], [2, 3, 0], "a null of a column that has none is zero");
    assert_eq!(text_column(&out, "trace_state").iter().collect::<Vec<_>>(), [Some("yy"), None, Some("x")]);
    assert_eq!(text_column(&out, "service_name").value(2), "s");
}

#[test]
fn a_spans_duration_follows_its_times() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(2));
    state.set_ints(borrow(batch), "end".into(), ints(&[Some(1500), Some(5)]), Nulls::Clear).unwrap().unwrap();
    assert_eq!(got_ints(&mut state, batch, "duration"), [Some(500), Some(0)]);
    let error = state.set_ints(borrow(batch), "duration".into(), ints(&[Some(1), Some(1)]), Nulls::Clear);
    assert!(matches!(error.unwrap().unwrap_err(), Error::Path(_)));
}

#[test]
fn a_body_that_was_written_is_a_string() {
    let (mut state, batch) = in_call(Kind::Logs, fixtures::logs(3));
    let column = text(&[Some("line"), None, None]);
    state.set_text(borrow(batch), "log.body".into(), column, Nulls::Leave).unwrap().unwrap();
    let out = done(&mut state, batch);
    let types = out.column_by_name("body_type").unwrap().as_primitive::<Int32Type>();
    assert_eq!(types.values()[..], [1, 0, 0]);
}

#[test]
fn retain_filters_every_column_and_writes_before_it_count() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(10));
    let h = || borrow(batch);
    state.set_constant(h(), "span.seen".into(), Scalar::Int(1), Rows::All).unwrap().unwrap();
    state.retain(h(), vec![0b1000_0010, 0b10]).unwrap().unwrap();
    assert_eq!(state.rows(h()).unwrap(), 3);
    assert_eq!(got(&mut state, batch, "name"), opt(&[Some("name-1"), Some("name-7"), Some("name-9")]));
    let error = state.set_ints(h(), "span.x".into(), ints(&[Some(1); 10]), Nulls::Clear).unwrap().unwrap_err();
    assert!(matches!(error, Error::Column(_)), "columns pulled before have the old length");
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "attributes", 1), ["http.status_code=500", "ratio=3.5", "cached=false", "seen=1"]);
    assert_eq!(entries(&out, "resource", 1), ["service.name=web", "host.name=h1"]);
}

#[test]
fn set_attributes_writes_many_keys_with_their_types() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(3));
    let attributes = Attributes {
        offsets: vec![0, 5, 5, 6],
        keys: Dictionary { keys: vec![0, 1, 2, 3, 4, 0], values: some(&["user", "n", "d", "b", "j"]) },
        kinds: vec![0, 1, 2, 3, 4, 0],
        values: some(&["new", "-7", "2.5", "true", "[1,2]", "other"]),
    };
    state.set_attributes(borrow(batch), "attributes".into(), attributes).unwrap().unwrap();
    assert_eq!(got_ints(&mut state, batch, "span.n"), [Some(-7), None, None]);
    let out = done(&mut state, batch);
    assert_eq!(
        entries(&out, "attributes", 0),
        ["http.status_code=200", "user=new", "ratio=0.0", "cached=true", "n=-7", "d=2.5", "b=true", "j=[1,2]"]
    );
    assert_eq!(entries(&out, "attributes", 1), ["http.status_code=200", "ratio=0.5", "cached=false"]);
    assert_eq!(entries(&out, "attributes", 2), ["http.status_code=200", "user=other", "ratio=1.0", "cached=false"]);
}

#[test]
fn labels_are_text_and_an_empty_one_is_none() {
    let (mut state, batch) = in_call(Kind::Logs, fixtures::logs(2));
    let h = || borrow(batch);
    state.set_ints(h(), "label.zone".into(), ints(&[Some(1), Some(2)]), Nulls::Clear).unwrap().unwrap();
    state.set_text(h(), "label.pod".into(), some(&["", "p"]), Nulls::Clear).unwrap().unwrap();
    assert_eq!(got(&mut state, batch, "label.zone"), opt(&[Some("1"), Some("2")]));
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "stream_labels", 0), ["app=api", "zone=1"]);
    assert_eq!(entries(&out, "stream_labels", 1), ["app=api", "pod=p", "zone=2"]);
}

#[test]
fn copy_and_rename_keep_the_type() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(2));
    let h = || borrow(batch);
    state.rename(h(), "span.http.status_code".into(), "span.http.response.status_code".into()).unwrap().unwrap();
    state.copy(h(), "resource.service.name".into(), "span.svc".into(), Rows::All).unwrap().unwrap();
    state.copy(h(), "trace_id".into(), "span.trace".into(), Rows::All).unwrap().unwrap();
    state.copy(h(), "span.user".into(), "name".into(), Rows::All).unwrap().unwrap();
    state.copy(h(), "duration".into(), "span.user".into(), Rows::Missing).unwrap().unwrap();
    assert_eq!(got_ints(&mut state, batch, "span.http.response.status_code"), [Some(200), Some(200)]);
    assert_eq!(got(&mut state, batch, "name"), opt(&[Some("user-0"), Some("name-1")]));
    assert_eq!(got_ints(&mut state, batch, "span.user"), [None, Some(2_000_000)]);
    assert_eq!(got(&mut state, batch, "span.svc"), opt(&[Some("api"), Some("api")]));
    assert_eq!(got(&mut state, batch, "span.trace")[0].as_deref(), Some("00000000000000000000000000000001"));
    assert_eq!(got_ints(&mut state, batch, "span.http.status_code"), [None, None]);
    // A text column takes any value as text, an int column only ints.
    state.copy(h(), "span.ratio".into(), "status_message".into(), Rows::All).unwrap().unwrap();
    state.copy(h(), "span.svc".into(), "kind".into(), Rows::All).unwrap().unwrap();
    assert_eq!(got(&mut state, batch, "status_message"), opt(&[Some("0"), Some("0.5")]));
    assert_eq!(got_ints(&mut state, batch, "kind"), [Some(0), Some(0)]);
}

#[test]
fn expressions_match_replace_and_extract() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(11));
    let h = || borrow(batch);
    let hits = state.matches(h(), "span.user".into(), "-(2|10)$".into()).unwrap().unwrap();
    assert_eq!(hits, [0b100, 0b100]);
    state.replace(h(), "name".into(), r"name-(\d)$".into(), "n[$1]".into()).unwrap().unwrap();
    state.extract(h(), "span.user".into(), r"(?P<who>user)-(?P<n>\d+)".into(), "resource".into()).unwrap().unwrap();
    assert_eq!(got(&mut state, batch, "name")[9..], opt(&[Some("n[9]"), Some("name-10")]));
    assert_eq!(got(&mut state, batch, "resource.n")[..3], opt(&[Some("0"), None, Some("2")]));
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "resource", 2), ["service.name=api", "host.name=h1", "who=user", "n=2"]);
    assert_eq!(entries(&out, "resource", 1), ["service.name=api", "host.name=h1"]);
}

#[test]
fn hash_is_sha256_in_hex() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(2));
    state.hash(borrow(batch), "span.user".into(), "span.user".into()).unwrap().unwrap();
    let hashed = got(&mut state, batch, "span.user");
    // printf user-0 | sha256sum
    assert_eq!(hashed[0].as_deref().map(str::len), Some(64));
    assert_eq!(hashed[0].as_deref(), Some(&*sha256("user-0")));
    assert_eq!(hashed[1], None);
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    read::hex(&Sha256::digest(text))
}

#[test]
fn json_extract_keeps_the_type() {
    let (mut state, batch) = in_call(Kind::Logs, fixtures::logs(5));
    let h = || borrow(batch);
    for (pointer, target) in [
        ("/ms", "attributes.ms"),
        ("/user/id", "attributes.user"),
        ("/ok", "attributes.ok"),
        ("/user", "attributes.whole"),
        ("/nothing", "attributes.nothing"),
        ("/level", "severity_text"),
        ("/ms", "severity_number"),
    ] {
        state.json_extract(h(), "body".into(), pointer.into(), target.into()).unwrap().unwrap();
    }
    let out = done(&mut state, batch);
    assert_eq!(entries(&out, "attributes", 2), ["ms=2", "user=u2", "ok=true", r#"whole={"id":"u2"}"#]);
    assert!(entries(&out, "attributes", 4).is_empty(), "no body");
    assert_eq!(text_column(&out, "severity_text").iter().collect::<Vec<_>>()[3..], [Some("info"), None]);
    let numbers = out.column_by_name("severity_number").unwrap().as_primitive::<Int32Type>();
    assert_eq!(numbers.values()[..], [0, 1, 2, 3, 0]);
}

#[test]
fn a_metrics_last_sample_is_read_and_its_only_one_written() {
    let (mut state, batch) = in_call(Kind::Metrics, fixtures::metrics(3));
    let h = || borrow(batch);
    assert_eq!(got_ints(&mut state, batch, "timestamp"), [Some(1), Some(1001), Some(2001)]);
    assert_eq!(got_ints(&mut state, batch, "value"), [Some(10), None, Some(30)]);
    let values = state.floats(h(), "value".into()).unwrap().unwrap();
    assert_eq!(values.bits, [10.0_f64, 1.5, 30.0].map(f64::to_bits));
    state.set_floats(h(), "value".into(), floats(&[Some(4.0), Some(-0.0), None]), Nulls::Leave).unwrap().unwrap();
    state.set_ints(h(), "timestamp".into(), ints(&[Some(7), None, Some(9)]), Nulls::Leave).unwrap().unwrap();
    let error = state.set_floats(h(), "value".into(), floats(&[None; 3]), Nulls::Clear).unwrap().unwrap_err();
    assert!(matches!(error, Error::Column(_)));
    let out = done(&mut state, batch);
    let list = |name: &str, row: usize| out.column_by_name(name).unwrap().as_list::<i32>().value(row);
    let is_null = |name: &str, row: usize| out.column_by_name(name).unwrap().is_null(row);
    assert_eq!(list(metrics::TIMESTAMPS, 0).as_primitive::<Int64Type>().values()[..], [7]);
    assert_eq!(list(metrics::TIMESTAMPS, 1).as_primitive::<Int64Type>().values()[..], [1001]);
    let times = out.column_by_name(metrics::MIN_TIME).unwrap().as_primitive::<Int64Type>();
    assert_eq!(times.values()[..], [7, 1001, 9]);
    assert_eq!(list(metrics::INT_VALUES, 0).as_primitive::<Int64Type>().values()[..], [4]);
    assert!(is_null(metrics::VALUES, 0));
    assert_eq!(list(metrics::VALUES, 1).as_primitive::<Float64Type>().value(0).to_bits(), (-0.0_f64).to_bits());
    assert!(is_null(metrics::INT_VALUES, 1), "an integer has no negative zero");
    assert_eq!(list(metrics::INT_VALUES, 2).as_primitive::<Int64Type>().values()[..], [30], "cut to its last");
}

#[test]
fn an_emitted_series_needs_a_name_and_gets_the_rest() {
    let (mut state, _) = in_call(Kind::Spans, fixtures::spans(1));
    let batch = Host::emit(&mut state, Signal::Metrics, 2).unwrap().unwrap();
    let handle = batch.rep();
    state.set_text(borrow(handle), "name".into(), some(&["calls_total"; 2]), Nulls::Clear).unwrap().unwrap();
    state.set_text(borrow(handle), "label.service".into(), some(&["a", "b"]), Nulls::Clear).unwrap().unwrap();
    state.set_ints(borrow(handle), "value".into(), ints(&[Some(1), Some(2)]), Nulls::Clear).unwrap().unwrap();
    let ids = Blobs { offsets: vec![0, 16, 16], data: Bytes::from(vec![7; 16]), validity: Bytes::from_static(&[1]) };
    state.set_blobs(borrow(handle), "exemplar.trace_id".into(), ids, Nulls::Clear).unwrap().unwrap();
    state
        .set_floats(borrow(handle), "exemplar.value".into(), floats(&[Some(0.25), None]), Nulls::Clear)
        .unwrap()
        .unwrap();
    state.send(batch).unwrap().unwrap();
    let nameless = Host::emit(&mut state, Signal::Metrics, 1).unwrap().unwrap();
    assert!(matches!(state.send(nameless).unwrap().unwrap_err(), Error::Column(_)));
    let output = state.take(None).unwrap();
    let (signal, out) = &output.emitted[0];
    assert_eq!((*signal, out.num_rows()), (Kind::Metrics, 2));
    assert_eq!(entries(out, "labels", 1), ["service=b"]);
    let times = out.column_by_name(metrics::TIMESTAMPS).unwrap().as_list::<i32>().value(0);
    assert_eq!(times.as_primitive::<Int64Type>().values()[..], [NOW / 1_000_000]);
    let exemplars = out.column_by_name(metrics::EXEMPLARS).unwrap().as_list::<i32>();
    assert!(exemplars.is_null(1));
    let exemplar = exemplars.value(0);
    let exemplar = exemplar.as_struct();
    assert_eq!(exemplar.column_by_name("timestamp").unwrap().as_primitive::<Int64Type>().value(0), NOW / 1_000_000);
    assert_eq!(exemplar.column_by_name("value").unwrap().as_primitive::<Float64Type>().value(0), 0.25);
    assert_eq!(exemplar.column_by_name("trace_id").unwrap().as_binary::<i32>().value(0), [7; 16]);
    assert_eq!(output.emitted.len(), 1);
}

#[test]
fn emitted_batches_of_every_signal_have_sane_defaults() {
    let (mut state, _) = in_call(Kind::Spans, fixtures::spans(1));
    let log = Host::emit(&mut state, Signal::Logs, 3).unwrap().unwrap();
    let span = Host::emit(&mut state, Signal::Spans, 2).unwrap().unwrap();
    let handle = span.rep();
    let hex = |digits: usize| some(&["a".repeat(digits).as_str(); 2]);
    state.set_text(borrow(handle), "trace_id".into(), hex(32), Nulls::Clear).unwrap().unwrap();
    state.set_text(borrow(handle), "span_id".into(), hex(16), Nulls::Clear).unwrap().unwrap();
    state.send(log).unwrap().unwrap();
    state.send(span).unwrap().unwrap();
    let emitted = state.take(None).unwrap().emitted;
    for (signal, batch) in &emitted {
        // try_new in finish has checked nullability and types.
        assert_eq!(batch.schema(), signal.schema());
    }
    let time = emitted[0].1.column_by_name("time_unix_nano").unwrap().as_primitive::<Int64Type>();
    assert_eq!(time.values()[..], [NOW; 3]);
    let duration = emitted[1].1.column_by_name(spans::DURATION).unwrap().as_primitive::<Int64Type>();
    assert_eq!(duration.values()[..], [0; 2]);
}

#[test]
fn only_declared_signals_are_emitted_and_only_while_at_work() {
    let (mut state, _) = in_call(Kind::Spans, fixtures::spans(1));
    let error = Host::emit(&mut state, Signal::Raw, 1).unwrap().unwrap_err();
    assert!(matches!(error, Error::Argument(_)));
    state.begin(NOW, false);
    assert!(matches!(Host::emit(&mut state, Signal::Logs, 1).unwrap().unwrap_err(), Error::Argument(_)));
    assert!(matches!(state.resolve(vec![0; 16], vec![1]).unwrap().unwrap_err(), Error::Argument(_)));
}

#[test]
fn writing_has_a_limit_of_bytes_and_of_paths() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(64));
    let h = || borrow(batch);
    // 2 MiB on 64 rows are 128 MiB: more than the fixture's 64, though little is pushed.
    let long = Scalar::Text("x".repeat(2 << 20));
    let error = state.set_constant(h(), "name".into(), long, Rows::All).unwrap().unwrap_err();
    assert!(matches!(error, Error::Limit(_)));
    let columns = state.config.columns;
    // The refused write has counted as a path, too.
    for number in 1..columns {
        state.set_constant(h(), format!("span.k{number}"), Scalar::Int(1), Rows::All).unwrap().unwrap();
    }
    let error = state.set_constant(h(), "span.more".into(), Scalar::Int(1), Rows::All).unwrap().unwrap_err();
    assert!(matches!(error, Error::Limit(_)));
    state.set_constant(h(), "span.k1".into(), Scalar::Int(2), Rows::All).unwrap().unwrap();
}

#[test]
fn a_batch_of_no_rows_can_be_used_like_any_other() {
    let (mut state, batch) = in_call(Kind::Spans, fixtures::spans(0));
    let h = || borrow(batch);
    assert!(got(&mut state, batch, "name").is_empty());
    assert!(got(&mut state, batch, "span.user").is_empty());
    state
        .set_text(
            h(),
            "name".into(),
            Text { offsets: vec![], data: Bytes::new(), validity: Bytes::new() },
            Nulls::Clear,
        )
        .unwrap()
        .unwrap();
    state.set_constant(h(), "span.a".into(), Scalar::Int(1), Rows::All).unwrap().unwrap();
    state.set_constant(h(), "name".into(), Scalar::Text("x".into()), Rows::All).unwrap().unwrap();
    state.copy(h(), "span.user".into(), "resource.user".into(), Rows::All).unwrap().unwrap();
    state.hash(h(), "name".into(), "span.b".into()).unwrap().unwrap();
    state.defer(h(), vec![], vec![]).unwrap().unwrap();
    state.retain(h(), vec![]).unwrap().unwrap();
    assert!(state.take(Some(batch)).unwrap().batch.is_none());
}
