#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use weft_guest::testing::{Harness, Rows};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;

#[derive(Clone, Copy)]
struct Span {
    service: &'static str,
    kind: i64,
    trace: u8,
    id: u8,
    parent: u8,
    millis: i64,
    error: bool,
}

fn span(service: &'static str, kind: i64, id: u8, parent: u8) -> Span {
    Span { service, kind, trace: 1, id, parent, millis: 100, error: false }
}

fn rows(spans: &[Span]) -> Rows {
    Rows::new(Signal::Spans, spans.len())
        .with("resource.service.name", spans.iter().map(|s| Some(s.service)))
        .with("kind", spans.iter().map(|s| Some(s.kind)))
        .with("status_code", spans.iter().map(|s| Some(if s.error { 2 } else { 0 })))
        .with("duration", spans.iter().map(|s| Some(s.millis * 1_000_000)))
        .with("trace_id", spans.iter().map(|s| Some([s.trace; 16])))
        .with("span_id", spans.iter().map(|s| Some([s.id; 8])))
        .with("parent_span_id", spans.iter().map(|s| Some([s.parent; 8]).filter(|id| id[0] != 0)))
}

fn new(config: &str) -> Harness<ServiceGraph> {
    Harness::new(config).unwrap()
}

/// Counters and sums, without the zeros that series begin with.
fn totals(harness: &mut Harness<ServiceGraph>, now: u64) -> Vec<String> {
    let lines = harness.tick(now).unwrap().emitted.iter().flat_map(Rows::samples).collect::<Vec<_>>();
    let lines = lines.iter().filter(|line| line.contains("_total{") || line.contains("_sum{"));
    lines
        .filter(|line| !line.contains("} 0 @"))
        .map(|line| line.replace("traces_service_graph_request_", "").replace("__metrics_gen_instance=\"test-0\",", ""))
        .map(|line| line.split(" @").next().unwrap().to_owned())
        .collect()
}

#[test]
fn client_and_server_make_an_edge_in_either_order() {
    let mut harness = new("{}");
    let client = span("front", KIND_CLIENT, 1, 9);
    let server = Span { error: true, millis: 50, ..span("api", KIND_SERVER, 2, 1) };
    let out = harness.process(rows(&[client]), NOW).unwrap();
    assert_eq!(out.batch, Some(rows(&[client])), "spans pass unchanged");
    harness.process(rows(&[server]), NOW + 9 * SECOND).unwrap();
    let pair = [Span { trace: 2, ..server }, Span { trace: 2, ..client }];
    harness.process(rows(&pair), NOW + 9 * SECOND).unwrap();
    assert_eq!(
        totals(&mut harness, NOW + 10 * SECOND),
        [
            r#"total{client="front",server="api"} 2"#,
            r#"failed_total{client="front",server="api"} 2"#,
            r#"server_seconds_sum{client="front",server="api"} 0.1"#,
            r#"client_seconds_sum{client="front",server="api"} 0.2"#,
        ]
    );
    harness.tick(NOW + 60 * SECOND).unwrap();
    assert!(!harness.counters().contains_key("unpaired_spans"));
}

#[test]
fn histograms_have_tempos_buckets() {
    let mut harness = new("{}");
    harness.process(rows(&[span("a", KIND_CLIENT, 1, 9), span("b", KIND_SERVER, 2, 1)]), NOW).unwrap();
    let lines: Vec<_> = harness.tick(NOW + SECOND).unwrap().emitted.iter().flat_map(Rows::samples).collect();
    let buckets: Vec<_> = lines
        .iter()
        .filter(|line| {
            line.starts_with("traces_service_graph_request_server_seconds_bucket") && !line.contains("} 0 @")
        })
        .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert_eq!(buckets, ["0.1", "0.2", "0.4", "0.8", "1.6", "3.2", "6.4", "12.8", "+Inf"]);
}

#[test]
fn messaging_and_databases_have_their_connection_type() {
    let mut harness = new("{}");
    let spans = [
        span("shop", KIND_PRODUCER, 1, 9),
        span("mailer", KIND_CONSUMER, 2, 1),
        span("shop", KIND_CLIENT, 3, 9),
        span("shop", KIND_CLIENT, 4, 9),
        span("shop", KIND_CLIENT, 5, 9),
        span("shop", KIND_INTERNAL, 6, 9),
    ];
    let rows = rows(&spans)
        .with("span.db.system", [None, None, Some("mysql"), Some("mysql"), Some("redis"), Some("internal")])
        .with("span.db.name", [None, None, Some("orders"), Some("orders"), None, None])
        .with("span.network.peer.address", [None, None, None, Some("10.0.0.1"), None, None])
        .with("span.network.peer.port", [None, None, None, Some(3306), None, None])
        .with("span.server.address", [None, None, None, None, Some("cache"), None]);
    harness.process(rows, NOW).unwrap();
    let totals = totals(&mut harness, NOW + SECOND);
    assert_eq!(
        totals.iter().filter(|line| line.starts_with("total")).collect::<Vec<_>>(),
        [
            r#"total{client="shop",connection_type="messaging_system",server="mailer"} 1"#,
            r#"total{client="shop",connection_type="database",server="orders"} 1"#,
            r#"total{client="shop",connection_type="database",server="10.0.0.1:3306"} 1"#,
            r#"total{client="shop",connection_type="database",server="cache"} 1"#,
        ]
    );
    assert!(
        totals.contains(&r#"server_seconds_sum{client="shop",connection_type="database",server="cache"} 0.1"#.into())
    );
}

const KIND_INTERNAL: i64 = 1;

#[test]
fn silent_sides_become_virtual_nodes() {
    let mut harness = new("{}");
    let spans = [
        span("web", KIND_SERVER, 1, 0),
        Span { trace: 2, ..span("web", KIND_SERVER, 1, 0) },
        span("web", KIND_CLIENT, 3, 1),
        span("web", KIND_CLIENT, 4, 1),
        span("web", KIND_SERVER, 5, 77),
    ];
    let rows = rows(&spans).with("span.peer.service", [None, Some("mobile"), Some("payments"), None, None]);
    harness.process(rows, NOW).unwrap();
    assert_eq!(
        totals(&mut harness, NOW + SECOND),
        [
            r#"total{client="user",connection_type="virtual_node",server="web"} 1"#,
            r#"server_seconds_sum{client="user",connection_type="virtual_node",server="web"} 0.1"#,
            r#"total{client="mobile",connection_type="virtual_node",server="web"} 1"#,
            r#"server_seconds_sum{client="mobile",connection_type="virtual_node",server="web"} 0.1"#,
        ]
    );
    assert_eq!(
        totals(&mut harness, NOW + 10 * SECOND),
        [
            r#"total{client="web",connection_type="virtual_node",server="payments"} 1"#,
            r#"client_seconds_sum{client="web",connection_type="virtual_node",server="payments"} 0.1"#,
        ]
    );
    assert_eq!(harness.counters()["unpaired_spans"], 2);
}

#[test]
fn waiting_edges_are_bounded() {
    let mut harness = new(r#"{"max_items": 1}"#);
    harness.process(rows(&[span("a", KIND_CLIENT, 1, 9), span("a", KIND_CLIENT, 2, 9)]), NOW).unwrap();
    assert_eq!(harness.counters()["dropped_spans"], 1);
    harness.process(rows(&[span("b", KIND_SERVER, 3, 1)]), NOW).unwrap();
    assert_eq!(totals(&mut harness, NOW + SECOND)[0], r#"total{client="a",server="b"} 1"#);
}

#[test]
fn open_edges_and_counters_survive_a_crash() {
    let mut one = new("{}");
    one.process(rows(&[span("a", KIND_CLIENT, 1, 9), span("a", KIND_CLIENT, 2, 9)]), NOW).unwrap();
    one.process(rows(&[span("b", KIND_SERVER, 3, 1)]), NOW).unwrap();
    let snapshot = one.snapshot();
    let mut two = new("{}");
    two.restore(&snapshot).unwrap();
    for harness in [&mut one, &mut two] {
        harness.process(rows(&[span("b", KIND_SERVER, 4, 2)]), NOW + SECOND).unwrap();
    }
    let expected = totals(&mut one, NOW + 2 * SECOND);
    assert_eq!(expected[0], r#"total{client="a",server="b"} 2"#);
    assert_eq!(totals(&mut two, NOW + 2 * SECOND), expected);
    assert_eq!(one.snapshot().state(), two.snapshot().state());
    for cut in 0..snapshot.state().len() {
        assert!(new("{}").call_restore(&snapshot.state()[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn names_of_closed_edges_are_forgotten() {
    let mut edges = Edges::new(10, 10);
    let kept = edges.name(b"kept");
    let half = Half { service: kept, nanos: 1, failed: false, connection: Connection::Direct, peer: NONE };
    edges.pair([1; 24], Side::Client, half, 0).unwrap();
    for n in 0..5000 {
        edges.name(format!("name {n}").as_bytes());
    }
    edges.forget_names();
    let (_, edge) = edges.expired(10).unwrap();
    assert_eq!((edges.text(edge.client), edge.client), (&b"kept"[..], 0));
}

#[test]
fn a_bad_configuration_names_the_field() {
    let error = |config| Harness::<ServiceGraph>::new(config).unwrap_err().to_string();
    assert!(error(r#"{"wait_ms": 0}"#).contains("wait_ms: must be at least 1"));
    assert!(error(r#"{"buckets": [1, 1]}"#).contains("buckets: must be finite and ascend"));
    serde_json::from_str::<serde_json::Value>(&ServiceGraph::describe().config_schema).unwrap();
}
