#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::Tables;
use crate::fault::{Fault, FaultStore, Operation, Rule};
use crate::fixtures::{NOON, bodies, epoch, everything, log_rows, metric_rows, open, samples};
use arrow::array::RecordBatch;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::time::Duration;
use weft_ledger::{Advance, Proposed};

fn config() -> Config {
    let compaction = crate::Compaction { min_files: 3, ..crate::Compaction::default() };
    Config { compaction, ..Config::default() }
}

/// One epoch with these rows, committed and published.
async fn add(tables: &Tables, worker: u8, sequence: u64, table: Table, batch: RecordBatch) {
    let epoch = epoch(worker, sequence);
    let files = tables.write_epoch(&epoch, BTreeMap::from([(table, vec![batch])]), &[]).await.unwrap();
    let state = tables.ledger_state().await.unwrap();
    let partition = weft_model::TopicPartition::new("t", i32::from(worker));
    let Advance { from, .. } = state.advance(&partition, 0, 0);
    let proposed =
        Proposed { epoch, partitions: vec![state.advance(&partition, 0, from + 1)], files, snapshots: Vec::new() };
    tables.commit(&proposed).await.unwrap();
    tables.publish().await.unwrap();
}

async fn with_logs(store: &Arc<dyn ObjectStore>, count: u64) -> Tables {
    let tables = open(store, config()).await;
    for sequence in 1..=count {
        let body = format!("{sequence:02}");
        add(&tables, 1, sequence, Table::Logs, log_rows(&[("s", NOON + i64::try_from(sequence).unwrap(), &body)]))
            .await;
    }
    tables
}

fn numbered(count: u64) -> Vec<String> {
    (1..=count).map(|number| format!("{number:02}")).collect()
}

#[tokio::test]
async fn small_files_become_one_and_no_row_changes() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tables = with_logs(&store, 5).await;
    let before = tables.view(Table::Logs).await.unwrap();
    let done = tables.maintenance().await.unwrap();
    assert_eq!(done, Maintained { expired_files: 0, compacted_files: 5, written_files: 1 });
    let view = tables.view(Table::Logs).await.unwrap();
    assert_eq!((view.files.len(), &view.files[0].epoch, view.txn), (1, &None, before.txn));
    assert_eq!(bodies(&tables).await, numbered(5));
    assert_eq!(bodies(&open(&store, config()).await).await, numbered(5));
    // Files of the older view are there until a sweep of their age.
    let centuries = Duration::from_secs(400 * 365 * 86_400);
    assert_eq!(tables.sweep(centuries).await.unwrap().data_files, 0);
    for file in before.files.iter() {
        assert!(objects::get(store.as_ref(), &file.path).await.unwrap().is_some());
    }
    assert_eq!(tables.sweep(Duration::ZERO).await.unwrap().data_files, 5);
    assert_eq!(bodies(&tables).await, numbered(5));
    assert_eq!(tables.maintenance().await.unwrap(), Maintained::default());
}

#[tokio::test]
async fn compaction_joins_series() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tables = open(&store, config()).await;
    let at = NOON / 1_000_000;
    for sequence in 1..=4i64 {
        let (time, value) = (at + sequence, 0.5);
        let batch = metric_rows(&[("up", "a", &[(time, value)]), ("up", "b", &[(time, value)])]);
        add(&tables, 1, sequence.unsigned_abs(), Table::Metrics, batch).await;
    }
    let before = samples(&everything(&tables, Table::Metrics).await);
    assert_eq!(tables.maintenance().await.unwrap().written_files, 1);
    let view = tables.view(Table::Metrics).await.unwrap();
    assert_eq!(view.files.iter().map(|file| file.rows).sum::<u64>(), 2);
    assert_eq!(samples(&everything(&tables, Table::Metrics).await), before);
    assert_eq!(before.len(), 8);
}

#[tokio::test]
async fn a_compaction_that_lost_the_race_leaves_the_winners_files() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let one = with_logs(&store, 4).await;
    let two = open(&store, config()).await;
    let stale: Vec<_> = two.view(Table::Logs).await.unwrap().files.iter().cloned().collect();
    one.maintenance().await.unwrap();
    let swapped = two.compact_for_test(Table::Logs, &stale).await.unwrap();
    assert!(!swapped);
    assert_eq!(bodies(&two).await, numbered(4));
    // Its own output is gone again.
    assert_eq!(two.sweep(Duration::ZERO).await.unwrap().data_files, 4);
}

#[tokio::test]
async fn a_compaction_whose_answer_was_lost_is_recognised_as_its_own() {
    for fault in [Fault::LostAnswer, Fault::Fail] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        with_logs(&store, 4).await;
        let faulty = FaultStore::new(Arc::clone(&store));
        let shared: Arc<dyn ObjectStore> = faulty.clone();
        let tables = open(&shared, config()).await;
        faulty.inject(Rule { operation: Operation::Put, path: "logs/_delta_log".into(), skip: 0, times: 1, fault });
        let done = tables.maintenance().await;
        assert_eq!(done.is_ok(), fault == Fault::LostAnswer);
        assert_eq!(bodies(&tables).await, numbered(4));
        tables.sweep(Duration::ZERO).await.unwrap();
        assert_eq!(bodies(&tables).await, numbered(4));
        assert_eq!(bodies(&open(&store, config()).await).await, numbered(4));
    }
}

#[tokio::test]
async fn hot_rows_that_others_published_and_compacted_are_not_shown_twice() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let others = with_logs(&store, 3).await;
    let faulty = FaultStore::new(Arc::clone(&store));
    let shared: Arc<dyn ObjectStore> = faulty.clone();
    let tables = open(&shared, config()).await;
    let epoch = epoch(9, 1);
    tables.hot().begin(&epoch);
    tables.hot().push(&epoch, Table::Logs, log_rows(&[("s", NOON + 4, "04")])).unwrap();
    let files = tables.write_epoch(&epoch, tables.hot().batches(&epoch), &[]).await.unwrap();
    let state = tables.ledger_state().await.unwrap();
    let partitions = vec![state.advance(&weft_model::TopicPartition::new("t", 9), 0, 1)];
    let proposed = Proposed { epoch, partitions, files, snapshots: Vec::new() };
    // Our entry lands, but we don't learn its number …
    let rule = |operation, fault| Rule { operation, path: "_ledger/".into(), skip: 0, times: 1, fault };
    faulty.inject(rule(Operation::Put, Fault::LostAnswer));
    faulty.inject(Rule { path: "_ledger/checkpoint".into(), ..rule(Operation::List, Fault::Fail) });
    tables.commit(&proposed).await.unwrap_err();
    // … while others publish it and compact its file away.
    others.publish().await.unwrap();
    assert_eq!(others.maintenance().await.unwrap().compacted_files, 4);
    assert_eq!(bodies(&tables).await, numbered(4));
    tables.commit(&proposed).await.unwrap();
    assert_eq!(bodies(&tables).await, numbered(4));
    assert_eq!(tables.hot().epochs(), 0);
}

#[tokio::test]
async fn rows_past_their_retention_go_and_others_stay() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let retention = BTreeMap::from([(Table::Logs, Duration::from_secs(3600))]);
    let tables = open(&store, Config { retention, ..config() }).await;
    let hour = 3_600_000_000_000;
    add(&tables, 1, 1, Table::Logs, log_rows(&[("s", NOON - 2 * hour, "old")])).await;
    add(&tables, 1, 2, Table::Logs, log_rows(&[("s", NOON - 2 * hour, "mixed"), ("s", NOON, "new")])).await;
    assert_eq!(tables.maintenance().await.unwrap().expired_files, 1);
    assert_eq!(bodies(&tables).await, ["mixed", "new"]);
}

#[test]
fn only_small_files_of_one_window_and_size_are_joined() {
    let file = |size: u64, hours: i64| {
        let stats = weft_ledger::FileStats {
            min_time_ns: hours * 3_600_000_000_000,
            max_time_ns: hours * 3_600_000_000_000,
            columns: BTreeMap::new(),
        };
        Arc::new(FileInfo { path: Path::from(format!("{size}")), size, rows: 10, modified_ms: 0, stats, epoch: None })
    };
    let config = config();
    let mut files = vec![file(1000, 0), file(2000, 1), file(3000, 1)];
    assert_eq!(bins(&config, &files).iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    files.extend([file(5_000_000, 1), file(5_000_001, 1), file(1000, 5), file(60 << 20, 1)]);
    assert_eq!(bins(&config, &files).iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    files.push(file(5_000_002, 0));
    assert_eq!(bins(&config, &files).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
}
