//! The second shipped topology, and a module of one's own dropped in.

use std::time::Duration;
use weft_tests::client::{Client, eventually};
use weft_tests::otlp::{self, PROTOBUF};
use weft_tests::weft::{Launch, Weft};

fn send(weft: &Weft, signal: &str, body: &[u8]) {
    let answer =
        Client::new(&weft.address("otlp_http")).post(&format!("/v1/{signal}"), &[("content-type", PROTOBUF)], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn fabric_samples_traces_but_counts_every_span() {
    const TRACES: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let weft = Launch::new("up", &dir.path().join("data")).flag("--topology", "fabric").start();
    for trace in 0..TRACES {
        send(&weft, "traces", &otlp::spans("sampled", 1 + trace * 10, 10));
    }
    let client = weft.client();
    eventually("span metrics count every span", Duration::from_secs(60), || {
        client.promql_sum("sum(traces_spanmetrics_calls_total{service=\"sampled\"})") as u64 == TRACES * 10
    });
    // Every trace has a failed span (ids divisible by ten), so of the tenth that the first sampler
    // lets through the second keeps all, ten seconds later.
    eventually("sampled traces arrive after the decision", Duration::from_secs(60), || {
        client.count("select count(distinct trace_id) as n from spans where service_name = 'sampled'") > 0
    });
    eventually("whole traces are kept", Duration::from_secs(30), || {
        client.count("select count(*) as n from spans where service_name = 'sampled'")
            == 10 * client.count("select count(distinct trace_id) as n from spans where service_name = 'sampled'")
    });
    let kept = client.count("select count(distinct trace_id) as n from spans where service_name = 'sampled'");
    assert!((10..=90).contains(&kept), "a tenth of {TRACES} traces is about 40, not {kept}");
}

#[test]
fn a_module_dropped_into_the_folder_and_named_in_a_topology_runs() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    // The module is a file like any other: under a name of one's own, in a folder of one's own.
    std::fs::copy(weft_tests::target_dir().join("modules/attributes.wasm"), modules.join("my-team.wasm")).unwrap();
    let topology = dir.path().join("mine.yaml");
    std::fs::write(
        &topology,
        r#"
version: 1
sources:
  - { topic: otlp_spans, codec: otlp_traces }
pipelines:
  spans:
    stages:
      - name: team
        module: my-team
        config: { actions: [ { key: team, value: observability, action: insert } ] }
"#,
    )
    .unwrap();
    let weft = Launch::new("up", &dir.path().join("data"))
        .flag("--modules", &modules.display().to_string())
        .flag("--topology", &topology.display().to_string())
        .start();
    send(&weft, "traces", &otlp::spans("mine", 1, 5));
    let client = weft.client();
    eventually("the module's attribute is on every span", Duration::from_secs(30), || {
        client.count("select count(*) as n from spans where attr(attributes, 'team') = 'observability'") == 5
    });
    // Nothing takes logs in this topology: a clear answer, not silence.
    let answer = Client::new(&weft.address("otlp_http")).post(
        "/v1/logs",
        &[("content-type", PROTOBUF)],
        &otlp::logs("mine", 1, 1),
    );
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[test]
fn a_topology_that_cannot_work_is_refused_with_all_its_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let topology = dir.path().join("wrong.yaml");
    std::fs::write(
        &topology,
        "version: 1\nsources:\n  - { topic: a, codec: nonsense }\n  - { topic: b, codec: otlp_logs, pipeline: nowhere }\n",
    )
    .unwrap();
    let mut weft =
        Launch::new("up", &dir.path().join("data")).flag("--topology", &topology.display().to_string()).spawn();
    weft.quiet();
    eventually("it ends", Duration::from_secs(30), || !weft.is_running());
    let log = weft.log();
    assert!(log.contains("nonsense") && log.contains("nowhere"), "{log}");
}
