//! The official OpenTelemetry SDK sends all three signals; every language finds them, before and
//! after a restart.

use std::time::Duration;
use weft_tests::client::{Client, eventually};
use weft_tests::python;
use weft_tests::weft::Weft;

const WAIT: Duration = Duration::from_secs(60);

fn everything_is_found(client: &Client, service: &str, sent: &serde_json::Value) {
    let traces: Vec<&str> = sent["traces"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let spans = sent["spans"].as_i64().unwrap();
    eventually("all spans in SQL", WAIT, || {
        client.count(&format!("select count(*) as n from spans where service_name = '{service}'")) == spans
    });
    eventually("all log records in SQL", WAIT, || {
        client.count(&format!("select count(*) as n from logs where service_name = '{service}'"))
            == sent["logs"].as_i64().unwrap()
    });
    let distinct =
        client.count(&format!("select count(distinct span_id) as n from spans where service_name = '{service}'"));
    assert_eq!(distinct, spans);

    // A trace by its id, in both versions of the API.
    let found = client.get(&format!("/api/traces/{}", traces[0]));
    assert_eq!(found.status, 200, "{}", found.text());
    let batches = found.json()["batches"].clone();
    let count: usize = batches
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|batch| batch["scopeSpans"].as_array().unwrap())
        .map(|scope| scope["spans"].as_array().unwrap().len())
        .sum();
    assert_eq!(count, 3, "{batches}");
    assert_eq!(client.get(&format!("/api/v2/traces/{}", traces[0])).status, 200);
    assert_eq!(client.get("/api/traces/0123456789abcdef0123456789abcdef").status, 404);

    let errors = client.traceql(&format!("{{ resource.service.name = \"{service}\" && status = error }}"), 1000);
    assert_eq!(errors.len() as u64, sent["errors"].as_u64().unwrap());
    let by_name = client.traceql(&format!("{{resource.service.name=\"{service}\" && name=\"GET /users\"}}"), 1000);
    assert_eq!(by_name.len(), traces.len());

    let lines = client.lines(&format!("{{service_name=\"{service}\"}}"), 5000);
    assert_eq!(lines.len(), traces.len());
    let failed = client.lines(&format!("{{service_name=\"{service}\"}} | json | status_code >= 500"), 5000);
    assert_eq!(failed.len() as u64, sent["errors"].as_u64().unwrap());

    eventually("the SDK's counter in PromQL", WAIT, || {
        client.promql_sum(&format!("sum(http_requests_total{{service=\"{service}\"}})")) as usize == traces.len()
    });
    let buckets =
        client.promql_sum(&format!("http_request_duration_seconds_bucket{{service=\"{service}\",le=\"+Inf\"}}"));
    assert_eq!(buckets as usize, traces.len());
    eventually("span metrics count every span", WAIT, || {
        client.promql_sum(&format!("sum(traces_spanmetrics_calls_total{{service=\"{service}\"}})")) as i64 == spans
    });
}

#[test]
fn what_the_sdk_sends_is_found_in_every_language_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut weft = Weft::up(&dir.path().join("data"));
    let mut sent = Vec::new();
    for (protocol, socket, service) in [("grpc", "otlp_grpc", "api"), ("http", "otlp_http", "web")] {
        let report = python::run("otel_send.py", &[protocol, &weft.address(socket), service, "50"]);
        everything_is_found(&weft.client(), service, &report);
        sent.push((service, report));
    }
    weft.stop();
    weft.restart();
    for (service, report) in &sent {
        everything_is_found(&weft.client(), service, report);
    }
    weft.kill();
    weft.restart();
    for (service, report) in &sent {
        everything_is_found(&weft.client(), service, report);
    }
}
