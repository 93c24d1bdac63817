//! Real Apache Kafka: any producer's OTLP and raw lines, workers that share partitions, SIGKILL.

use crate::kill::seed;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use weft_tests::accounts::{Sender, differences, stored};
use weft_tests::broker::Broker;
use weft_tests::client::eventually;
use weft_tests::python;
use weft_tests::weft::{Launch, Weft};

const KILLS: usize = 20;

#[test]
fn what_kafka_producers_send_lands_in_the_tables() {
    let Some(broker) = Broker::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let topology = dir.path().join("raw.yaml");
    std::fs::write(
        &topology,
        r#"
version: 1
sources:
  - { topic: otlp_spans, codec: otlp_traces }
  - { topic: otlp_metrics, codec: otlp_metrics }
  - { topic: otlp_logs, codec: otlp_logs }
  - { topic: app-lines, codec: raw, pipeline: lines }
pipelines:
  spans: { stages: [ { name: span-metrics, module: span-metrics, emits: { metrics: metrics } } ] }
  metrics: { stages: [] }
  logs: { stages: [] }
  lines:
    signal: raw
    stages: [ { name: json, module: parse-json, emits: { logs: logs } } ]
"#,
    )
    .unwrap();
    let mut weft = Launch::new("up", &dir.path().join("data"))
        .flag("--kafka", &broker.address())
        .flag("--topology", &topology.display().to_string())
        .start();
    let sent = python::run("kafka_send.py", &[&broker.address(), "producer", "200", "app-lines"]);
    for _ in 0..2 {
        let client = weft.client();
        for (what, statement) in [
            ("spans", "select count(distinct span_id) as n from spans where service_name = 'producer'"),
            ("logs", "select count(distinct body) as n from logs where service_name = 'producer'"),
            ("metrics", "select count(distinct labels['number']) as n from metrics where name = 'queue_depth'"),
            (
                "raw",
                "select count(distinct attr(attributes, 'msg')) as n from logs where attr(attributes, 'msg') like 'raw %'",
            ),
        ] {
            eventually(what, Duration::from_secs(60), || client.count(statement) == sent[what].as_i64().unwrap());
        }
        let id = sent["traces"][1].as_str().unwrap();
        assert_eq!(client.get(&format!("/api/traces/{id}")).status, 200);
        weft.stop();
        weft.restart();
    }
}

fn worker(name: &str, dir: &std::path::Path, broker: &Broker) -> Launch {
    Launch::new("run", &dir.join(name))
        .flag("--kafka", &broker.address())
        .flag("--object-store", &dir.join("tables").display().to_string())
        .flag("--flush-interval", "300ms")
}

#[test]
fn two_workers_killed_twenty_times_lose_and_double_nothing() {
    let Some(broker) = Broker::start() else { return };
    let mut random = rand::rngs::StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    // Three members of one group: one also receives and answers queries, two are killed.
    let up = Launch::new("up", &dir.path().join("front"))
        .flag("--kafka", &broker.address())
        .flag("--object-store", &dir.path().join("tables").display().to_string())
        .flag("--flush-interval", "300ms")
        .start();
    let mut workers: Vec<Weft> =
        ["one", "two"].into_iter().map(|name| worker(name, dir.path(), &broker).start()).collect();
    let sender = Sender::start("killed", &up.address("otlp_http"));
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.random_range(100..1_500)));
        let victim = random.random_range(0..workers.len());
        workers[victim].kill();
        std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
        workers[victim].respawn();
    }
    for worker in &mut workers {
        worker.wait_until_ready();
    }
    let accounts = sender.finish();
    assert!(accounts["traces"].accepted.len() > 100, "hardly anything was accepted: the test shows nothing");
    let client = up.client();
    let mut wrong = Vec::new();
    eventually("rows are exactly those sent", Duration::from_secs(180), || {
        wrong = differences(&accounts, &stored(&client, "killed"));
        assert!(!wrong.iter().any(|what| what.contains("doubled")), "{wrong:?}");
        wrong.is_empty()
    });
    let spans = client.count("select count(*) as n from spans where service_name = 'killed'");
    eventually("span metrics count every span once", Duration::from_secs(60), || {
        client.promql_sum("sum(traces_spanmetrics_calls_total{service=\"killed\"})") as i64 == spans
    });
}
