//! The queries that a deployment is asked first, over hot and committed rows, with known answers.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that reports")]

#[path = "promqltest/store.rs"]
mod store;

use std::time::Instant;
use store::{Load, Store};
use weft_promql::{Answer, Error, Labels, Options, Value};
use weft_query::vector::Grid;

const MINUTE: i64 = 60_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    pairs.sort();
    Labels(pairs)
}

/// A counter that grows by `per_second`, with a sample every 15 s over 10 minutes.
fn counter(pairs: &[(&str, &str)], per_second: f64) -> Load {
    let floats = (0..=40).map(|at| (at * 15_000, at as f64 * 15.0 * per_second)).collect();
    Load { labels: labels(pairs), floats, histograms: Vec::new() }
}

fn gauge(pairs: &[(&str, &str)], value: f64) -> Load {
    Load { labels: labels(pairs), floats: (0..=40).map(|at| (at * 15_000, value)).collect(), histograms: Vec::new() }
}

async fn seeded() -> Store {
    let store = Store::open().await;
    let mut loads = Vec::new();
    for (service, code, rate) in [("api", "200", 9.0), ("api", "500", 0.6), ("api", "503", 0.4), ("web", "200", 5.0)] {
        loads.push(counter(&[("__name__", "http_requests_total"), ("service", service), ("status", code)], rate));
    }
    for (le, rate) in [("0.1", 5.0), ("0.5", 9.0), ("1", 10.0), ("+Inf", 10.0)] {
        loads.push(counter(
            &[("__name__", "http_request_duration_seconds_bucket"), ("service", "api"), ("le", le)],
            rate,
        ));
    }
    for (instance, provider, idle) in [("a", "aws", 0.25), ("b", "aws", 0.75), ("c", "gcp", 0.5)] {
        let pairs = [
            ("__name__", "node_cpu_seconds_total"),
            ("mode", "idle"),
            ("instance", instance),
            ("cloud_provider", provider),
        ];
        loads.push(counter(&pairs, idle));
        loads.push(gauge(&[("__name__", "up"), ("instance", instance), ("cloud_provider", provider)], 1.0));
    }
    loads.push(gauge(&[("__name__", "up"), ("instance", "lab")], 1.0));
    for (name, provider, cost) in [
        ("aws_cost_usd_total", "aws", 12.0),
        ("azure_cost_usd_total", "azure", 7.0),
        ("gcp_cost_usd_total", "gcp", 5.0),
    ] {
        loads.push(gauge(&[("__name__", name), ("cloud_provider", provider), ("region", "1")], cost));
        loads.push(gauge(&[("__name__", name), ("cloud_provider", provider), ("region", "2")], 1.0));
    }
    loads.push(counter(
        &[("__name__", "traces_service_graph_request_total"), ("client", "frontend"), ("server", "api")],
        1.0,
    ));
    loads.push(counter(
        &[("__name__", "traces_service_graph_request_total"), ("client", "frontend"), ("server", "db")],
        1.0,
    ));
    store.load(&loads);
    store
}

async fn ask(store: &Store, query: &str) -> Vec<(Labels, f64)> {
    let Answer { value, .. } = store.engine.instant(query, 10 * MINUTE, &Options::default()).await.unwrap();
    let Value::Vector(series) = value else { return Vec::new() };
    series.into_iter().map(|(labels, sample)| (labels, (sample.value * 1e9).round() / 1e9)).collect()
}

#[tokio::test]
async fn the_first_queries_have_their_answers() {
    let store = seeded().await;
    first_queries(&store).await;
    store.commit().await;
    first_queries(&store).await;
}

async fn first_queries(store: &Store) {
    let by = |name: &str, value: &str| labels(&[(name, value)]);
    let errors = r#"sum by (service) (rate(http_requests_total{status=~"5.."}[5m])) / sum by (service) (rate(http_requests_total[5m]))"#;
    assert_eq!(ask(store, errors).await, [(by("service", "api"), 0.1)]);
    let p99 = "histogram_quantile(0.99, sum by (le, service) (rate(http_request_duration_seconds_bucket[5m])))";
    assert_eq!(ask(store, p99).await, [(by("service", "api"), 0.95)]);
    let busy = r#"avg by (cloud_provider) (100 - (avg by (instance, cloud_provider) (irate(node_cpu_seconds_total{mode="idle"}[5m])) * 100))"#;
    assert_eq!(ask(store, busy).await, [(by("cloud_provider", "aws"), 50.0), (by("cloud_provider", "gcp"), 50.0)]);
    let up = r#"count(up{cloud_provider!=""}) by (cloud_provider)"#;
    assert_eq!(ask(store, up).await, [(by("cloud_provider", "aws"), 2.0), (by("cloud_provider", "gcp"), 1.0)]);
    let cost = "sum by (cloud_provider) (aws_cost_usd_total or azure_cost_usd_total or gcp_cost_usd_total)";
    let costs =
        [("aws", 13.0), ("azure", 8.0), ("gcp", 6.0)].map(|(provider, cost)| (by("cloud_provider", provider), cost));
    assert_eq!(ask(store, cost).await, costs);
    let edge = r#"traces_service_graph_request_total{client="frontend", server="api"}"#;
    assert_eq!(ask(store, edge).await.len(), 1);
}

#[tokio::test]
async fn operators_nest_without_losing_themselves() {
    let store = seeded().await;
    assert_eq!(ask(&store, "---up{instance='a'}").await[0].1, -1.0);
    assert_eq!(ask(&store, "sum_over_time(minute(up{instance='a'} * 120)[1m:10s])").await[0].1, 12.0);
    assert_eq!(ask(&store, "abs(-abs(-up{instance='a'})) + 1").await[0].1, 2.0);
    assert_eq!(ask(&store, "up{instance='a'} + 1 + 1 + 1 + 1").await[0].1, 5.0);
    assert_eq!(ask(&store, "sqrt(sqrt(up{instance='a'} * 2 * 2 * 2 * 2))").await[0].1, 2.0);
}

#[tokio::test]
async fn labels_series_and_values_are_found_by_matchers_and_time() {
    let store = seeded().await;
    let engine = &store.engine;
    assert_eq!(engine.label_values("cloud_provider", &[], 0, 10 * MINUTE).await.unwrap(), ["aws", "azure", "gcp"]);
    assert_eq!(
        engine.label_values("__name__", &[r#"{client="frontend"}"#], 0, MINUTE).await.unwrap(),
        ["traces_service_graph_request_total"]
    );
    assert_eq!(engine.labels(&["up"], 0, MINUTE).await.unwrap(), ["__name__", "cloud_provider", "instance"]);
    assert_eq!(engine.series(&[r#"up{cloud_provider="aws"}"#], 0, MINUTE).await.unwrap().len(), 2);
    assert_eq!(engine.series(&["up"], 20 * MINUTE, 30 * MINUTE).await.unwrap(), []);
    assert!(matches!(engine.series(&[], 0, 1).await, Err(Error::Request(_))));
}

#[tokio::test]
async fn what_is_not_supported_is_said_with_its_place() {
    let store = seeded().await;
    let error = store.engine.instant("up + info(up)", 0, &Options::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "1:6: info() is not supported yet");
    assert_eq!(error.kind(), weft_model::ErrorKind::Reject);
    store.load(&[Load { labels: labels(&[("__name__", "native")]), floats: Vec::new(), histograms: vec![MINUTE] }]);
    let error = store.engine.instant("native", MINUTE, &Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("native histograms"), "{error}");
    assert_eq!(error.kind(), weft_model::ErrorKind::Reject);
}

/// Prints what `sum by (rate)` over 10,000 series of 240 samples takes: hot rows of 15 samples each.
#[tokio::test]
async fn ten_thousand_series_are_summed() {
    let store = Store::open().await;
    for part in 0..16 {
        let loads: Vec<Load> = (0..10_000)
            .map(|series| {
                let (pod, service) = (format!("pod-{series}"), format!("service-{}", series % 20));
                let pairs = [("__name__", "requests_total"), ("pod", &pod), ("service", &service), ("cluster", "eu-1")];
                let floats = (part * 15..(part + 1) * 15).map(|at| (at * 15_000, (at * 30) as f64)).collect();
                Load { labels: labels(&pairs), floats, histograms: Vec::new() }
            })
            .collect();
        store.load(&loads);
    }
    let query = "sum by (service) (rate(requests_total[5m]))";
    for rows in ["hot", "hot again", "committed", "committed again"] {
        if rows == "committed" {
            store.commit().await;
        }
        let started = Instant::now();
        let answer = store.engine.range(query, 10 * MINUTE, 59 * MINUTE, MINUTE, &Options::default()).await.unwrap();
        println!("{query}: 10,000 series x 240 samples, 50 steps, {rows}: {:?}", started.elapsed());
        let Value::Matrix(series) = answer.value else { return };
        assert_eq!(series.len(), 20);
        assert_eq!(series[0].1.len(), 50);
        assert!(series.iter().all(|(_, points)| points.iter().all(|(_, value)| (value - 1000.0).abs() < 1e-6)));
    }
    if std::env::var_os("WEFT_EXPLAIN").is_some() {
        let plan = store.engine.explain(query, Grid::new(0, 10 * MINUTE, MINUTE)).unwrap().unwrap();
        println!("{}", plan.explain(false, true).unwrap().to_string().await.unwrap());
    }
}
