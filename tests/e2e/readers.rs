//! The tables are plain Delta: DuckDB, Polars and Python's deltalake read all of them and agree.

use std::time::Duration;
use weft_tests::client::{Client, eventually};
use weft_tests::otlp::{self, PROTOBUF};
use weft_tests::python;
use weft_tests::weft::{Launch, Weft};

/// Sends `rounds` requests of each signal, waits until they are visible.
pub(super) fn fill(weft: &Weft, service: &str, rounds: u64) {
    let client = Client::new(&weft.address("otlp_http"));
    for round in 0..rounds {
        let first = 1 + round * 10;
        for (signal, body) in [
            ("traces", otlp::spans(service, first, 10)),
            ("logs", otlp::logs(service, first, 10)),
            ("metrics", otlp::samples(service, first, 10)),
        ] {
            let answer = client.post(&format!("/v1/{signal}"), &[("content-type", PROTOBUF)], &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let rows = i64::try_from(rounds * 10).unwrap();
    let client = weft.client();
    eventually("all rows are visible", Duration::from_secs(60), || {
        client.count(&format!("select count(*) as n from spans where service_name = '{service}'")) == rows
            && client.count(&format!("select count(*) as n from logs where service_name = '{service}'")) == rows
    });
}

/// Counts of each reader agree with one another and with `rows` spans and log records.
pub(super) fn agree(found: &serde_json::Value, rows: u64) {
    for table in ["spans", "logs", "metrics"] {
        let counts = &found[table];
        let expected = counts["deltalake"].as_u64().unwrap();
        assert_eq!(counts["polars"].as_u64(), Some(expected), "{table}: {found}");
        assert_eq!(counts["duckdb"].as_u64(), Some(expected), "{table}: {found}");
        if table != "metrics" {
            assert_eq!(expected, rows, "{table}: {found}");
        }
    }
    assert_eq!(found["spans"]["distinct"].as_u64(), Some(rows), "{found}");
    assert!(found["metrics"]["samples"].as_u64().unwrap() >= rows, "{found}");
}

#[test]
fn duckdb_polars_and_deltalake_agree_on_a_local_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut weft = Weft::up(&data);
    fill(&weft, "readers", 20);
    weft.stop();
    let tables = data.join("tables").display().to_string();
    agree(&python::run("read_tables.py", &[&tables]), 200);

    // A process that only answers queries, over the same tables.
    let query = Launch::new("query --serve", &dir.path().join("query")).flag("--object-store", &tables).start();
    let client = query.client();
    assert_eq!(client.count("select count(*) as n from spans where service_name = 'readers'"), 200);
    assert_eq!(client.lines("{service_name=\"readers\"}", 1000).len(), 200);
    assert!(!client.traceql("{ status = error }", 5).is_empty());
    assert_eq!(client.promql_sum("count(number{job=\"readers\"})") as u64, 200);
}
