//! Searches, look-ups and tags over spans in the hot buffer, through the engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "search/store.rs"]
mod store;

use store::{SECOND, START, Span, Store};
use weft_traceql::{Error, Scope, Search, SearchAnswer, Value};

const ALL: Search =
    Search { start_ns: START - 10 * SECOND, end_ns: START + 100 * SECOND, limit: 20, spans_per_spanset: 100 };

/// Trace 1: api `GET /users` (2 s, a child `db.query` of service db with status error, 3 ms).
/// Trace 2: api `POST /orders` (100 ms). Trace 3: an orphan of service worker.
async fn store() -> Store {
    let store = Store::open().await;
    store.load(&[
        Span { trace: 1, id: 1, name: "GET /users", service: "api", kind: 2, duration: 2 * SECOND, ..Span::default() }
            .with("http.method", "GET")
            .with_int("http.status_code", 200),
        Span {
            trace: 1,
            id: 2,
            parent: 1,
            name: "db.query",
            service: "db",
            kind: 3,
            duration: 3_000_000,
            status: 2,
            ..Span::default()
        }
        .with("db.system", "postgresql")
        .with_json("tags", r#"["a","b"]"#),
        Span {
            trace: 2,
            id: 3,
            at: 5,
            name: "POST /orders",
            service: "api",
            kind: 2,
            duration: 100_000_000,
            ..Span::default()
        }
        .with("http.method", "POST")
        .with("http.status_code", "500"),
        Span { trace: 3, id: 4, parent: 99, at: 7, name: "job", service: "worker", duration: 1_000, ..Span::default() },
    ]);
    store
}

async fn search(query: &str) -> SearchAnswer {
    store().await.engine.search(query, &ALL).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Names of the spans that match, of all traces in the order of the answer.
async fn ids(query: &str) -> Vec<u8> {
    let answer = search(query).await;
    let sets = answer.traces.iter().flat_map(|trace| &trace.span_sets);
    sets.flat_map(|set| &set.spans).map(|span| span.span_id[7]).collect()
}

#[tokio::test]
async fn the_queries_of_the_issue_answer() {
    assert_eq!(ids("{status=error}").await, [2]);
    assert_eq!(ids(r#"{resource.service.name="api" && name="GET /users"}"#).await, [1]);
    assert_eq!(ids("{duration > 1s}").await, [1]);
    let answer = search(r#"{resource.service.name="api"} | by(span.http.method) | avg(duration) > 500ms"#).await;
    let [trace] = answer.traces.as_slice() else { panic!("{answer:?}") };
    assert_eq!(trace.root_service_name.as_deref(), Some("api"));
    assert_eq!(trace.root_trace_name.as_deref(), Some("GET /users"));
    assert_eq!(trace.duration_ns, 2 * SECOND);
    assert_eq!(trace.span_sets[0].matched, 1);
    assert_eq!(
        trace.span_sets[0].attributes,
        [
            ("by(span.http.method)".to_owned(), Value::String("GET".to_owned())),
            ("avg(duration)".to_owned(), Value::Duration(2 * SECOND)),
        ]
    );
}

#[tokio::test]
async fn a_missing_attribute_compares_with_nothing() {
    assert_eq!(ids(r#"{span.http.method != "GET"}"#).await, [3]);
    assert_eq!(ids(r#"{span.http.method = nil}"#).await, [4, 2]);
    assert_eq!(ids("{span.http.status_code = 200}").await, [1]);
    assert_eq!(ids(r#"{span.http.status_code = "500"}"#).await, [3]);
    assert_eq!(ids("{span.http.status_code >= 0}").await, [1]);
}

#[tokio::test]
async fn arrays_equal_any_element_and_differ_from_none() {
    assert_eq!(ids(r#"{.tags = "b"}"#).await, [2]);
    assert_eq!(ids(r#"{.tags != "b"}"#).await, [0u8; 0]);
    assert_eq!(ids(r#"{.tags != "c"}"#).await, [2]);
    assert_eq!(ids(r#"{.tags =~ "a|x"}"#).await, [2]);
}

#[tokio::test]
async fn structural_operators_return_the_right_side() {
    assert_eq!(ids("{name = \"GET /users\"} > {}").await, [2]);
    assert_eq!(ids("{} < {}").await, [1]);
    assert_eq!(ids("{} !>> {kind = server}").await, [3, 1]);
    assert_eq!(ids("{kind = server} &> {status = error}").await, [1, 2]);
    assert_eq!(ids("{name = \"none\"} !> {name = \"job\"}").await, [4]);
    assert_eq!(ids("{ } > { name = \"job\" }").await, [0u8; 0]);
    assert_eq!(ids("{status = error} && {kind = server}").await, [1, 2]);
    assert_eq!(ids("{status = error} || {name = \"job\"}").await, [4, 2]);
}

#[tokio::test]
async fn fields_of_the_trace_are_those_of_all_its_spans() {
    assert_eq!(ids(r#"{rootServiceName = "api" && status = error}"#).await, [2]);
    assert_eq!(ids("{traceDuration > 1s && status = error}").await, [2]);
    assert_eq!(ids("{span:childCount = 1}").await, [1]);
    assert_eq!(ids("{} | count() = 2").await, [1, 2]);
    assert_eq!(ids("{} | max(duration) < 1s | count() = 1").await, [4, 3]);
    let orphan = search(r#"{name = "job"}"#).await;
    assert_eq!(orphan.traces[0].root_trace_name, None);
}

#[tokio::test]
async fn spans_carry_the_fields_that_the_query_names() {
    let answer = search(r#"{ status = error } | select(span.db.system, name)"#).await;
    let span = &answer.traces[0].span_sets[0].spans[0];
    assert_eq!(span.name.as_deref(), Some("db.query"));
    assert_eq!(
        span.attributes,
        [("status".to_owned(), Value::Status(2)), ("db.system".to_owned(), Value::String("postgresql".to_owned())),]
    );
    let plain = search("{ duration > 1s }").await;
    assert_eq!(plain.traces[0].span_sets[0].spans[0].name, None);
}

#[tokio::test]
async fn limits_cap_traces_and_spans_and_the_newest_come_first() {
    let store = store().await;
    let one = store.engine.search("{}", &Search { limit: 1, ..ALL }).await.unwrap();
    assert_eq!(one.traces.len(), 1);
    assert_eq!(one.traces[0].root_trace_name, None);
    let capped = store.engine.search("{}", &Search { spans_per_spanset: 1, ..ALL }).await.unwrap();
    let both = capped.traces.last().unwrap();
    assert_eq!((both.span_sets[0].spans.len(), both.span_sets[0].matched), (1, 2));
    let early = store.engine.search("{}", &Search { end_ns: START + SECOND, ..ALL }).await.unwrap();
    assert_eq!(early.traces.len(), 1);
}

#[tokio::test]
async fn a_trace_is_found_by_its_id() {
    let store = store().await;
    let trace = store.engine.trace_by_id(&store::trace_id(1), None).await.unwrap().unwrap();
    assert_eq!(trace.num_rows(), 2);
    assert_eq!(trace.schema(), weft_model::spans::schema());
    assert!(store.engine.trace_by_id(&store::trace_id(9), None).await.unwrap().is_none());
}

#[tokio::test]
async fn tags_and_their_values_are_listed_by_scope() {
    let store = store().await;
    let (start, end) = (ALL.start_ns, ALL.end_ns);
    let tags = store.engine.tags(Some(Scope::Span), start, end).await.unwrap();
    assert_eq!(tags[0].tags, ["db.system", "http.method", "http.status_code", "tags"]);
    let values = store.engine.tag_values("span.http.method", None, start, end).await.unwrap();
    assert_eq!(values, [Value::String("GET".to_owned()), Value::String("POST".to_owned())]);
    let values = store.engine.tag_values("span.http.status_code", None, start, end).await.unwrap();
    assert_eq!(values, [Value::String("500".to_owned()), Value::Int(200)]);
    let narrowed = store.engine.tag_values("name", Some("{status = error}"), start, end).await.unwrap();
    assert_eq!(narrowed, [Value::String("db.query".to_owned())]);
    assert!(store.engine.tag_values("nonsense", None, start, end).await.is_err());
}

#[tokio::test]
async fn metrics_count_spans_by_the_interval_of_their_start() {
    let store = store().await;
    let series = store
        .engine
        .metrics_range("{} | count_over_time() by (resource.service.name)", START, START + 10 * SECOND, 5 * SECOND)
        .await
        .unwrap();
    assert_eq!(series.len(), 3);
    assert_eq!(series[0].labels, [("resource.service.name".to_owned(), Value::String("api".to_owned()))]);
    let counts: Vec<f64> = series[0].samples.iter().map(|(_, value)| *value).collect();
    assert_eq!(counts.iter().sum::<f64>(), 2.0);
    let rate = store.engine.metrics_instant("{ name = \"nothing\" } | rate()", START, START + SECOND).await.unwrap();
    assert_eq!(rate[0].samples[0].1, 0.0);
}

#[tokio::test]
async fn an_operation_that_fails_on_the_data_is_the_querys_fault() {
    let error = store().await.engine.search("{ !.http.method }", &ALL).await.unwrap_err();
    assert!(matches!(error, Error::Execution(_)), "{error:?}");
    assert_eq!(error.kind(), weft_model::ErrorKind::Reject);
}

#[tokio::test]
async fn committed_rows_answer_as_hot_ones_do() {
    let (hot, committed) = (store().await, store().await);
    committed.commit().await;
    for query in [
        "{}",
        "{status=error}",
        r#"{resource.service.name="api" && name="GET /users"}"#,
        "{duration > 1s}",
        r#"{resource.service.name="api"} | by(span.http.method) | avg(duration) > 500ms"#,
        r#"{kind = server} > {.tags = "a"}"#,
        "{span.http.status_code >= 0 || event:name = \"x\" || link:traceID = \"y\"}",
    ] {
        let expected = hot.engine.search(query, &ALL).await.unwrap();
        let got = committed.engine.search(query, &ALL).await.unwrap();
        assert_eq!(got.traces, expected.traces, "{query}");
    }
    let trace = committed.engine.trace_by_id(&store::trace_id(1), None).await.unwrap().unwrap();
    assert_eq!(trace.num_rows(), 2);
    let wrong_time = committed.engine.trace_by_id(&store::trace_id(1), Some((0, 1))).await.unwrap();
    assert!(wrong_time.is_none());
}
