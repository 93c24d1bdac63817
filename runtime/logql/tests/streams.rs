//! Log queries and the label APIs over entries in the hot buffer, through the engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "tests; the script module is shared with another suite"
)]

#[path = "conformance/script.rs"]
mod script;
#[path = "conformance/store.rs"]
mod store;

use script::Entry;
use store::Store;
use weft_logql::{Answer, Direction, Error, Labels, Options, Stream, Value};

const BASE: i64 = 1_700_006_400_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn entry(labels: &[(&str, &str)], time: i64, line: &str, metadata: &[(&str, &str)]) -> Entry {
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Entry { labels: owned(labels), line: line.to_owned(), time: time * SECOND, metadata: owned(metadata) }
}

async fn store() -> Store {
    let store = Store::open().await;
    let api = [("app", "api"), ("namespace", "production"), ("service_name", "api")];
    store.load(
        &[
            entry(
                &api,
                1,
                r#"{"level":"info","duration":1500,"response_time":0.2,"status_code":200}"#,
                &[("trace_id", "abc")],
            ),
            entry(&api, 2, r#"{"level":"error","duration":900,"response_time":0.4,"status_code":500}"#, &[]),
            entry(&api, 3, "error: not json", &[]),
            entry(&[("app", "web"), ("namespace", "production")], 4, "GET / 200", &[]),
            entry(&[("app", "web"), ("namespace", "staging")], 5, "GET /x 404", &[]),
        ],
        BASE,
    );
    store
}

async fn streams(query: &str, options: &Options) -> Vec<Stream> {
    let answer = store().await.engine.range(query, BASE, BASE + 60 * SECOND, SECOND, options).await;
    match answer.unwrap_or_else(|error| panic!("{query}: {error}")).value {
        Value::Streams(streams) => streams,
        other => panic!("{other:?}"),
    }
}

async fn lines(query: &str) -> Vec<String> {
    let mut entries: Vec<_> =
        streams(query, &Options::default()).await.into_iter().flat_map(|stream| stream.entries).collect();
    entries.sort_by_key(|entry| entry.timestamp_ns);
    entries.into_iter().map(|entry| entry.line).collect()
}

async fn instant(query: &str) -> Result<Answer, Error> {
    store().await.engine.instant(query, BASE + 60 * SECOND, &Options::default()).await
}

#[tokio::test]
async fn the_queries_of_the_issue_answer() {
    assert_eq!(lines(r#"{namespace="production"}"#).await.len(), 4);
    assert_eq!(
        lines(r#"{service_name="api"} | json | duration > 1000"#).await.len(),
        1,
        "a line without the label is dropped"
    );
    assert_eq!(lines(r#"{service_name="api"} | json | __error__="" | duration > 1000"#).await.len(), 1);
    let value = |answer: Answer| match answer.value {
        Value::Vector(samples) => {
            samples.into_iter().map(|sample| (sample.labels.to_string(), sample.value)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let rate = value(instant(r#"rate({app="api"} |= "error" [5m])"#).await.unwrap());
    assert_eq!(rate.iter().map(|(_, value)| value).sum::<f64>(), 2.0 / 300.0);
    let by_status =
        value(instant(r#"sum by (status_code) (rate({app="api"} | json | __error__="" [5m]))"#).await.unwrap());
    assert_eq!(
        by_status,
        [(r#"{status_code="200"}"#.to_owned(), 1.0 / 300.0), (r#"{status_code="500"}"#.to_owned(), 1.0 / 300.0),]
    );
    let quantile = value(
        instant(r#"quantile_over_time(0.99, {app="api"} | json | __error__="" | unwrap response_time [5m]) by (app)"#)
            .await
            .unwrap(),
    );
    assert_eq!(quantile.len(), 1);
    assert!((quantile[0].1 - 0.398).abs() < 1e-9, "{quantile:?}");
}

#[tokio::test]
async fn limit_and_direction_hold_over_all_streams() {
    let newest = streams(r#"{namespace=~".+"}"#, &Options { limit: 2, ..Options::default() }).await;
    let times = |streams: &[Stream]| {
        let mut times: Vec<i64> = streams
            .iter()
            .flat_map(|stream| &stream.entries)
            .map(|entry| (entry.timestamp_ns - BASE) / SECOND)
            .collect();
        times.sort_unstable();
        times
    };
    assert_eq!(times(&newest), [4, 5]);
    let oldest = Options { limit: 2, direction: Direction::Forward, categorize: false };
    assert_eq!(times(&streams(r#"{namespace=~".+"} |~ ".""#, &oldest).await), [1, 2]);
    assert_eq!(times(&streams(r#"{namespace=~".+"} | logfmt | app="web""#, &oldest).await), [4, 5]);
}

#[tokio::test]
async fn the_end_of_a_log_query_is_left_out_and_its_start_is_not() {
    let store = store().await;
    let answer =
        store.engine.range(r#"{app=~".+"}"#, BASE + SECOND, BASE + 3 * SECOND, 1, &Options::default()).await.unwrap();
    assert_eq!(answer.stats.entries, 2);
}

#[tokio::test]
async fn labels_are_merged_unless_categories_are_asked_for() {
    let merged = streams(r#"{app="api"} | json | level="info""#, &Options::default()).await;
    assert_eq!(merged[0].labels.get("trace_id"), Some("abc"));
    assert_eq!(merged[0].labels.get("level"), Some("info"));
    let apart =
        streams(r#"{app="api"} | json | level="info""#, &Options { categorize: true, ..Options::default() }).await;
    assert_eq!(apart[0].labels.get("level"), None);
    assert_eq!(apart[0].entries[0].structured_metadata, Labels::from_pairs([("trace_id", "abc")]));
    assert_eq!(apart[0].entries[0].parsed.get("status_code"), Some("200"));
}

#[tokio::test]
async fn labels_values_and_series_are_those_of_streams_in_range() {
    let store = store().await;
    let (start, end) = (BASE, BASE + 60 * SECOND);
    assert_eq!(store.engine.labels(None, start, end).await.unwrap(), ["app", "namespace", "service_name"]);
    assert_eq!(
        store.engine.label_values("namespace", Some(r#"{app="web"}"#), start, end).await.unwrap(),
        ["production", "staging"]
    );
    let series = store.engine.series(&[r#"{namespace="staging"}"#.to_owned()], start, end).await.unwrap();
    assert_eq!(series, [Labels::from_pairs([("app", "web"), ("namespace", "staging")])]);
    assert!(store.engine.labels(None, start - 100 * SECOND, start - 50 * SECOND).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_query_may_not_be_is_refused() {
    for query in
        [r#"{app=""}"#, r#"{app=~".*"}"#, "{}", r#"{app="a"} | unwrap x"#, r#"{app="a"} | line_format "{{ .a ""#]
    {
        let error =
            store().await.engine.range(query, BASE, BASE + SECOND, SECOND, &Options::default()).await.unwrap_err();
        assert_eq!(error.kind(), weft_model::ErrorKind::Reject, "{query}: {error}");
    }
    assert!(instant(r#"{app="api"}"#).await.unwrap_err().to_string().contains("not supported as an instant query"));
    let error = instant(r#"sum by (level) (count_over_time({app="api"} | json | status_code > 1 [5m])) / 0 > 1 + {"#)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Parse { .. }));
    let error = instant(r#"count_over_time({app="api"} | json [5m])"#).await.unwrap_err();
    assert!(matches!(error, Error::Pipeline { .. }), "{error:?}");
    assert!(
        instant(r#"sum(count_over_time({app="api"} | json [5m]))"#).await.is_ok(),
        "no label is needed, so no line is parsed"
    );
}

#[tokio::test]
async fn committed_rows_answer_as_hot_ones_do() {
    let (hot, committed) = (store().await, store().await);
    committed.commit().await;
    let options = Options::default();
    for query in [
        r#"{namespace="production"}"#,
        r#"{service_name="api"} | json | duration > 1000"#,
        r#"{app=~"web|api"} |~ "GET|error" != "404""#,
        r#"rate({app="api"} |= "error" [5m])"#,
        r#"sum by (status_code) (rate({app="api"} | json | __error__="" [5m]))"#,
        r#"quantile_over_time(0.99, {app="api"} | json | __error__="" | unwrap response_time [5m]) by (app)"#,
    ] {
        let (start, end) = (BASE, BASE + 60 * SECOND);
        let expected = hot.engine.range(query, start, end, 15 * SECOND, &options).await.unwrap();
        let got = committed.engine.range(query, start, end, 15 * SECOND, &options).await.unwrap();
        assert_eq!(got.value, expected.value, "{query}");
    }
    let (start, end) = (BASE, BASE + 60 * SECOND);
    assert_eq!(committed.engine.labels(None, start, end).await.unwrap(), ["app", "namespace", "service_name"]);
}
