//! Whole workers on a real log and real tables; modules are native where they must fail on cue.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::Config;
use crate::failpoint::Failpoints;
use crate::fixtures::{Rig, config, letters, lines, numbered, parsed, rows, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weft_env::SystemClock;
use weft_log::{Log, NewRecord};
use weft_model::{Table, TopicPartition, dead_letters};
use weft_table::Tables;
use weft_table::fault::FaultStore;

/// Every place where a worker can die in an epoch.
const STEPS: [&str; 7] =
    ["sealed", "files written", "snapshots written", "dead letters appended", "committed", "published", "trimmed"];

fn expected(range: std::ops::Range<usize>) -> Vec<String> {
    numbered(range).collect()
}

/// What the counters of both partitions say together, as the ledger names them.
async fn counted(tables: &Tables) -> u64 {
    let state = tables.ledger_state().await.unwrap();
    let mut sum = 0;
    for snapshot in state.snapshots.values() {
        let bytes = tables.get_snapshot(&snapshot.path).await.unwrap();
        sum += u64::from_be_bytes(bytes.as_ref().try_into().unwrap());
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_at_once_then_committed_then_found_again_by_another_process() {
    let rig = Rig::new();
    let running = rig.start(&[]).await;
    rig.append(numbered(0..10)).await;
    until("the rows are hot", async || lines(&running.tables).await.len() == 10).await;
    assert_eq!(rig.tables().await.ledger_state().await.unwrap().next, 1, "nothing is committed yet");
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, expected(0..10));
    assert_eq!(lines(&rig.tables().await).await, expected(0..10));
    assert!(running.worker.health().ready, "{:?}", running.worker.health());
    running.stop().await;

    let again = rig.start(&[]).await;
    rig.append(numbered(10..15)).await;
    again.worker.flush().await.unwrap();
    assert_eq!(lines(&again.tables).await, expected(0..15));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_commits_what_was_read() {
    let rig = Rig::new();
    let running = rig.start(&["counter"]).await;
    rig.append(numbered(0..6)).await;
    until("the rows are hot", async || lines(&running.tables).await.len() == 6).await;
    running.stop().await;
    let tables = rig.tables().await;
    assert_eq!(lines(&tables).await, expected(0..6));
    assert_eq!(counted(&tables).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_step_of_an_epoch_loses_no_row_and_doubles_none() {
    for step in STEPS {
        let rig = Rig::new();
        let first = rig.start(&["counter"]).await;
        rig.append(numbered(0..4)).await;
        first.worker.flush().await.unwrap();
        first.worker.kill().await;

        rig.append(numbered(4..10).chain(["garbage".to_owned()])).await;
        rig.log.append(vec![NewRecord::new("otlp_logs", "\u{1}not otlp").to_partition(0)]).await.unwrap();
        let failpoints = Failpoints::new(move |at| at == step);
        let second = rig.start_with(&["counter"], rig.tables().await, config(), failpoints).await;
        let flushed = second.worker.flush().await;
        assert!(flushed.is_err(), "it was to die at '{step}'");
        assert!(second.worker.join().await.is_err());

        rig.append(numbered(10..12)).await;
        let third = rig.start(&["counter"]).await;
        third.worker.flush().await.unwrap();
        let mut all = expected(0..12);
        all.insert(0, "garbage".to_owned());
        assert_eq!(lines(&third.tables).await, all, "after dying at '{step}'");
        assert_eq!(lines(&rig.tables().await).await, all, "after dying at '{step}'");
        assert_eq!(letters(&third.tables, dead_letters::STAGE).await, ["decode"], "after dying at '{step}'");
        assert_eq!(counted(&third.tables).await, 13, "after dying at '{step}'");
        third.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn being_killed_over_and_over_loses_no_row_and_doubles_none() {
    let rig = Rig::new();
    for round in 0..8 {
        let fast = Config { epoch_interval: Duration::from_millis(15), ..config() };
        // The topology's hour must not stand in the way: flushes end epochs at odd moments.
        let running = rig.start_with(&["counter"], rig.tables().await, fast, Failpoints::default()).await;
        rig.append(numbered(round * 50..(round + 1) * 50)).await;
        let control = running.worker.control();
        let flushing = tokio::spawn(async move { control.flush().await });
        tokio::time::sleep(Duration::from_millis(7 * round as u64)).await;
        running.worker.kill().await;
        // Done or died: both are fine.
        let _ = flushing.await;
    }
    let last = rig.start(&["counter"]).await;
    last.worker.flush().await.unwrap();
    assert_eq!(lines(&last.tables).await, expected(0..400));
    assert_eq!(counted(&last.tables).await, 400);
    last.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_goes_to_the_dead_letters_and_stops_nobody() {
    let rig = Rig::new();
    let running = rig.start(&[]).await;
    rig.append(numbered(0..3)).await;
    let garbage = NewRecord::new("otlp_logs", vec![0x0a, 0xff, 0xff, 0xff]).to_partition(0);
    rig.log.append(vec![garbage]).await.unwrap();
    rig.append(numbered(3..6)).await;
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, expected(0..6));
    assert_eq!(letters(&running.tables, dead_letters::STAGE).await, ["decode"]);
    let dead = rows(&running.tables, Table::DeadLetters).await;
    let value = dead[0].column_by_name(dead_letters::VALUE).unwrap();
    assert_eq!(arrow::array::AsArray::as_binary::<i32>(value).value(0), [0x0a, 0xff, 0xff, 0xff]);
    let topic = TopicPartition::new("dead_letters", 0);
    assert_eq!(rig.log.bounds(&topic).await.unwrap(), (0, 1));
    assert!(running.metric("weft_dead_letters_total") >= 1.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_module_s_fault_costs_exactly_the_message_it_fails_on() {
    let rig = Rig::new();
    rig.append(["a", "b", "reject me", "c", "trap me", "d"].map(str::to_owned)).await;
    let running = rig.start(&["picky"]).await;
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, ["a", "b", "c", "d"]);
    assert_eq!(letters(&running.tables, dead_letters::STAGE).await, ["logs.picky", "logs.picky"]);
    assert_eq!(letters(&running.tables, dead_letters::MODULE_DIGEST).await, ["native", "native"]);
    let values = letters(&running.tables, dead_letters::VALUE).await.concat();
    assert!(values.contains("reject me") && values.contains("trap me"));
    assert_eq!(running.metric("weft_rollbacks_total"), 0.0);
    let figure = |name: &str| running.metric(&format!("weft_stage_rows_{name}_total"));
    assert_eq!((figure("in"), figure("out"), figure("rejected"), figure("dropped")), (6.0, 4.0, 2.0, 0.0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_module_s_trap_costs_exactly_the_message_and_its_state_stays_right() {
    let rig = Rig::new();
    let running = rig.start(&["counter"]).await;
    rig.append(numbered(0..4)).await;
    running.worker.flush().await.unwrap();
    rig.append(numbered(4..20).chain(["poison".to_owned()]).chain(numbered(20..30))).await;
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, expected(0..30));
    assert_eq!(letters(&running.tables, dead_letters::STAGE).await, ["logs.counter"]);
    assert_eq!(counted(&running.tables).await, 30, "the rows before the trap are counted once");
    assert!(running.metric("weft_rollbacks_total") >= 1.0);
    running.stop().await;
    // The next process doesn't meet it again, nor does what it left say so.
    let again = rig.start(&["counter"]).await;
    again.worker.flush().await.unwrap();
    assert_eq!(lines(&again.tables).await, expected(0..30));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_between_trap_and_commit_handles_the_poison_the_same_way() {
    let rig = Rig::new();
    rig.append(numbered(0..3).chain(["poison".to_owned()])).await;
    let failpoints = Failpoints::new(|at| at == "files written");
    let first = rig.start_with(&["counter"], rig.tables().await, config(), failpoints).await;
    assert!(first.worker.flush().await.is_err());
    let second = rig.start(&["counter"]).await;
    second.worker.flush().await.unwrap();
    assert_eq!(lines(&second.tables).await, expected(0..3));
    assert_eq!(letters(&second.tables, dead_letters::STAGE).await, ["logs.counter"]);
    assert_eq!(counted(&second.tables).await, 3);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_only_traps_in_ticks_is_passed_by_and_loses_no_row() {
    let rig = Rig::new();
    rig.append(numbered(0..6)).await;
    let running = rig.start(&["ticker"]).await;
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, expected(0..6));
    let health = running.worker.health();
    assert!(!health.ready && health.problems[0].contains("logs.ticker"), "{health:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_module_holds_back_go_on_when_it_lets_them_go() {
    let rig = Rig::new();
    rig.append(["a", "drop b", "c", "d"].map(str::to_owned)).await;
    let running = rig.start(&["parker", "picky"]).await;
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, ["a", "c", "d"]);
    let figure =
        |name: &str, stage: &str| running.metric(&format!("weft_stage_rows_{name}_total{{stage=\"logs.{stage}\""));
    assert_eq!((figure("in", "parker"), figure("out", "parker"), figure("dropped", "parker")), (4.0, 3.0, 1.0));
    assert_eq!((figure("in", "picky"), figure("out", "picky")), (3.0, 3.0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_message_that_a_module_fails_on_are_kept_as_arrow() {
    let rig = Rig::new();
    rig.append(["reject me".to_owned()]).await;
    let running = rig.start(&["parker", "picky"]).await;
    running.worker.flush().await.unwrap();
    assert!(lines(&running.tables).await.is_empty());
    assert_eq!(letters(&running.tables, dead_letters::STAGE).await, ["logs.picky"]);
    assert!(letters(&running.tables, dead_letters::VALUE).await[0].contains("reject me"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_partitions_is_fenced_off_and_doubles_nothing() {
    let rig = Rig::new();
    rig.append(numbered(0..4)).await;
    let first = rig.start(&["counter"]).await;
    first.worker.flush().await.unwrap();
    rig.append(numbered(4..8)).await;
    until("the first has read them", async || lines(&first.tables).await.len() == 8).await;
    // Another group is told that it owns the same partitions: what a zombie looks like to the ledger.
    let other = Config { group: "other".to_owned(), ..config() };
    let second = rig.start_with(&["counter"], rig.tables().await, other, Failpoints::default()).await;
    second.worker.flush().await.unwrap();
    first.worker.flush().await.unwrap();
    assert_eq!(lines(&first.tables).await, expected(0..8));
    assert_eq!(first.metric("weft_epochs_fenced_total"), 1.0);
    rig.append(numbered(8..10)).await;
    first.worker.flush().await.unwrap();
    second.worker.flush().await.unwrap();
    assert_eq!(lines(&rig.tables().await).await, expected(0..10));
    assert_eq!(counted(&first.tables).await, 10);
    first.stop().await;
    second.worker.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_fails_reading_stops_and_nothing_is_lost() {
    let rig = Rig::new();
    let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
    let tables =
        Tables::open_store(Arc::<FaultStore>::clone(&store), weft_table::Config::default(), SystemClock::shared())
            .await
            .unwrap();
    let small = Config { epoch_bytes: 20_000, hot_bytes: 60_000, read_records: 10, ..config() };
    let running = rig.start_with(&[], tables.clone(), small, Failpoints::default()).await;
    rig.append(numbered(0..2)).await;
    running.worker.flush().await.unwrap();
    store.set_unavailable(true);
    rig.append(numbered(2..2000)).await;
    until("it says so", async || running.worker.health().problems.iter().any(|problem| problem.starts_with("store")))
        .await;
    until("reading stops", async || tables.hot().bytes() >= 60_000).await;
    let stopped_at = tables.hot().bytes();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(tables.hot().bytes(), stopped_at, "nothing more is read");
    assert!(!running.worker.health().ready);
    store.set_unavailable(false);
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&tables).await, expected(0..2000));
    assert!(running.worker.health().ready, "{:?}", running.worker.health());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_waits_until_the_tables_have_the_rows() {
    use weft_table::fault::{Fault, Operation, Rule};
    let rig = Rig::new();
    let memory: Arc<dyn object_store::ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let store = FaultStore::new(Arc::clone(&memory));
    let open =
        async |store| Tables::open_store(store, weft_table::Config::default(), SystemClock::shared()).await.unwrap();
    let running =
        rig.start_with(&[], open(Arc::<FaultStore>::clone(&store)).await, config(), Failpoints::default()).await;
    store.inject(Rule {
        operation: Operation::Put,
        path: "_delta_log".to_owned(),
        skip: 0,
        times: 3,
        fault: Fault::Fail,
    });
    rig.append(numbered(0..4)).await;
    running.worker.flush().await.unwrap();
    let view = open(memory).await.view(Table::Logs).await.unwrap();
    assert_eq!(view.files.iter().map(|file| file.rows).sum::<u64>(), 4);
    assert!(running.metric("weft_store_failures_total") >= 1.0);
    assert!(running.worker.health().ready, "{:?}", running.worker.health());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_epochs_write_nothing() {
    let rig = Rig::new();
    let running = rig.start(&["counter", "parker"]).await;
    rig.append(numbered(0..2)).await;
    running.worker.flush().await.unwrap();
    let before = running.tables.ledger_state().await.unwrap().next;
    for _ in 0..3 {
        running.worker.flush().await.unwrap();
    }
    assert_eq!(running.tables.ledger_state().await.unwrap().next, before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processed_records_are_trimmed_behind_a_margin() {
    let rig = Rig::new();
    let close = Config { trim_margin: 2, ..config() };
    let running = rig.start_with(&[], rig.tables().await, close, Failpoints::default()).await;
    rig.append(numbered(0..20)).await;
    running.worker.flush().await.unwrap();
    assert_eq!(rig.log.bounds(&TopicPartition::new("otlp_logs", 0)).await.unwrap(), (8, 10));
    running.stop().await;
    let again = rig.start(&[]).await;
    again.worker.flush().await.unwrap();
    assert_eq!(lines(&again.tables).await, expected(0..20));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_ends_by_itself_when_it_is_full() {
    let rig = Rig::new();
    let small = Config { epoch_bytes: 10_000, ..config() };
    let epochs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&epochs);
    let failpoints = Failpoints::new(move |at| {
        seen.fetch_add(usize::from(at == "committed"), Ordering::Relaxed);
        false
    });
    let running = rig.start_with(&[], rig.tables().await, small, failpoints).await;
    rig.append(numbered(0..500)).await;
    until("an epoch was committed", async || epochs.load(Ordering::Relaxed) > 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_records_become_logs_and_those_nobody_knows_become_dead_letters() {
    let yaml = "
sources: [{topic: lines, codec: raw, partitions: 1, pipeline: parse}]
pipelines:
  parse: {signal: raw, stages: [{module: lines, emits: {logs: logs}}]}
  logs: {stages: [picky]}
epoch: {interval: 1h}
";
    let rig = Rig::new();
    let running = rig.start_loaded(parsed(yaml), rig.tables().await, config(), Failpoints::default()).await;
    let records = ["one", "unknown", "two"].map(|line| NewRecord::new("lines", line));
    rig.log.append(records.to_vec()).await.unwrap();
    running.worker.flush().await.unwrap();
    assert_eq!(lines(&running.tables).await, ["one", "two"]);
    assert_eq!(letters(&running.tables, dead_letters::VALUE).await, ["unknown"]);
    assert_eq!(letters(&running.tables, dead_letters::STAGE).await, ["parse"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_of_the_group_takes_over_where_the_first_one_stood() {
    let rig = Rig::new();
    rig.append(numbered(0..40)).await;
    let first = rig.start(&["counter"]).await;
    until("the first has read them", async || lines(&first.tables).await.len() == 40).await;
    let second = rig.start(&["counter"]).await;
    rig.append(numbered(40..60)).await;
    second.worker.flush().await.unwrap();
    let tables = rig.tables().await;
    until("all is committed", async || lines(&tables).await.len() >= 60).await;
    assert_eq!(lines(&tables).await, expected(0..60));
    assert_eq!(counted(&tables).await, 60);
    second.stop().await;
    first.worker.kill().await;
}

/// An OTLP trace request with a span of each of these traces.
fn spans(traces: std::ops::Range<u8>) -> Vec<u8> {
    let spans = traces.map(|trace| {
        serde_json::json!({
            "traceId": format!("{:032x}", u64::from(trace) + 1), "spanId": format!("{:016x}", u64::from(trace) + 1), "name": format!("span {trace}"),
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000002000000000",
        })
    });
    let body =
        serde_json::json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans.collect::<Vec<_>>()}]}]});
    body.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_re_keyed_by_trace_exactly_once_whenever_the_worker_dies() {
    let yaml = "
sources:
  - {topic: in, codec: otlp_traces, partitions: 1, rekey: {by: trace_id, to: out}}
  - {topic: out, codec: otlp_traces, partitions: 3}
pipelines: {spans: {}}
epoch: {interval: 1h}
";
    for step in STEPS {
        let rig = Rig::new();
        rig.log.ensure_topic("in", 1).await.unwrap();
        rig.log.append(vec![NewRecord::new("in", spans(0..20)), NewRecord::new("in", "garbage")]).await.unwrap();
        let failpoints = Failpoints::new(move |at| at == step);
        let first = rig.start_loaded(parsed(yaml), rig.tables().await, config(), failpoints).await;
        assert!(first.worker.flush().await.is_err());
        rig.log.append(vec![NewRecord::new("in", spans(20..40))]).await.unwrap();
        let second = rig.start_loaded(parsed(yaml), rig.tables().await, config(), Failpoints::default()).await;
        let all = async || rows(&second.tables, Table::Spans).await.iter().map(|rows| rows.num_rows()).sum::<usize>();
        until("every span came through", async || all().await >= 40).await;
        second.worker.flush().await.unwrap();
        assert_eq!(all().await, 40, "after dying at '{step}'");
        assert_eq!(letters(&second.tables, dead_letters::STAGE).await, ["decode"]);
        let written = async |partition| rig.log.bounds(&TopicPartition::new("out", partition)).await.unwrap().1;
        assert!(
            written(0).await > 0 && written(1).await > 0 && written(2).await > 0,
            "every partition has some traces"
        );
        second.stop().await;
    }
}

/// The modules as `guest-sdk/build` puts them. `None`, said on standard output, where it hasn't run
/// (`make test` runs it first); in CI that fails.
fn modules() -> Option<std::path::PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "../../target".into(), std::path::PathBuf::from);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("modules");
    let built = folder.join("tail-sampling.wasm").exists();
    if !built {
        let advice = format!("no modules in {}: run guest-sdk/build", folder.display());
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        println!("skipped: {advice}");
    }
    built.then_some(folder)
}

/// Names of the metrics that are stored, and the sum of each one's last samples.
async fn metrics(tables: &Tables) -> std::collections::BTreeMap<String, f64> {
    use arrow::array::{Array, AsArray};
    let mut last = std::collections::BTreeMap::new();
    for rows in rows(tables, Table::Metrics).await {
        let column = |name: &str| rows.column_by_name(name).unwrap();
        let names = column(weft_model::metrics::NAME).as_string::<i32>();
        let ids = column(weft_model::metrics::SERIES_ID).as_binary::<i32>();
        let times = column(weft_model::metrics::MAX_TIME).as_primitive::<arrow::datatypes::Int64Type>();
        for row in 0..rows.num_rows() {
            let list = |name: &str| {
                let lists = column(name).as_list::<i32>();
                lists.is_valid(row).then(|| lists.value(row))
            };
            let value = match (list(weft_model::metrics::INT_VALUES), list(weft_model::metrics::VALUES)) {
                (Some(values), _) => {
                    let values = values.as_primitive::<arrow::datatypes::Int64Type>();
                    values.value(values.len() - 1) as f64
                }
                (_, Some(values)) => {
                    let values = values.as_primitive::<arrow::datatypes::Float64Type>();
                    values.value(values.len() - 1)
                }
                _ => 0.0,
            };
            let key = (names.value(row).to_owned(), ids.value(row).to_vec());
            let newest = last.entry(key).or_insert((i64::MIN, 0.0));
            if times.value(row) >= newest.0 {
                *newest = (times.value(row), value);
            }
        }
    }
    let mut sums = std::collections::BTreeMap::new();
    for ((name, _), (_, value)) in last {
        *sums.entry(name).or_insert(0.0) += value;
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_topology_s_own_modules_count_every_span_through_a_crash() {
    let Some(folder) = modules() else { return };
    let rig = Rig::new();
    let config = Config { modules: folder, ..config() };
    let topology = || weft_topology::Topology::default_topology(&weft_topology::Host::default()).unwrap();
    let first = rig.start_real(topology(), config.clone()).await;
    rig.log.append(vec![NewRecord::new("otlp_spans", spans(0..30)).to_partition(0)]).await.unwrap();
    rig.log
        .append(vec![NewRecord::new("otlp_logs", crate::fixtures::message(&["{\"level\":\"warn\"}", "plain"]))])
        .await
        .unwrap();
    first.worker.flush().await.unwrap();
    rig.log.append(vec![NewRecord::new("otlp_spans", spans(30..50)).to_partition(0)]).await.unwrap();
    let stored =
        async |tables: &Tables| rows(tables, Table::Spans).await.iter().map(|rows| rows.num_rows()).sum::<usize>();
    until("the rest is hot", async || stored(&first.tables).await == 50).await;
    first.worker.kill().await;

    let second = rig.start_real(topology(), config).await;
    second.worker.flush().await.unwrap();
    assert_eq!(stored(&second.tables).await, 50);
    assert_eq!(lines(&second.tables).await.len(), 2);
    let calls = async || metrics(&second.tables).await.get("traces_spanmetrics_calls_total").copied();
    until("the spans are counted", async || calls().await == Some(50.0)).await;
    assert!(letters(&second.tables, dead_letters::REASON).await.is_empty());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fabric_topology_s_own_modules_sample_but_count_before() {
    let Some(folder) = modules() else { return };
    let rig = Rig::new();
    let fabric = weft_topology::FABRIC_YAML.replace("decision_wait: 10s", "decision_wait: 100ms");
    let topology = weft_topology::Topology::parse("fabric", &fabric, &weft_topology::Host::default()).unwrap();
    let running = rig.start_real(topology, Config { modules: folder, ..config() }).await;
    rig.log.append(vec![NewRecord::new("otlp_spans", spans(0..200)).to_partition(0)]).await.unwrap();
    until("the spans are counted", async || {
        metrics(&running.tables).await.get("traces_spanmetrics_calls_total") == Some(&200.0)
    })
    .await;
    running.worker.flush().await.unwrap();
    let dropped = async || running.metric("weft_stage_rows_dropped_total{stage=\"spans.");
    let deferred = async || running.metric("weft_stage_rows_deferred{stage=\"spans.tail\"");
    until("everything is decided", async || deferred().await == 0.0).await;
    running.worker.flush().await.unwrap();
    let stored = rows(&running.tables, Table::Spans).await.iter().map(|rows| rows.num_rows()).sum::<usize>();
    assert!((1..100).contains(&stored), "of 200 slow spans, about 10 % are kept: {stored}");
    assert_eq!(dropped().await + stored as f64, 200.0);
    running.stop().await;
}
