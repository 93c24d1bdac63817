#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::Config;
use crate::fixtures::{NOON, bodies, epoch, log_rows, open};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::Arc;

async fn paths_of(store: &Arc<dyn ObjectStore>, folder: &str) -> Vec<String> {
    store.list(Some(&Path::from(folder))).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn files_of_an_epoch_that_died_are_swept_and_nothing_else() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tables = open(&store, Config::default()).await;
    let dead = epoch(1, 1);
    let batches = BTreeMap::from([(Table::Logs, vec![log_rows(&[("s", NOON, "dead")])])]);
    tables.write_epoch(&dead, batches.clone(), &[]).await.unwrap();
    let live = epoch(2, 1);
    let files = tables.write_epoch(&live, batches, &[]).await.unwrap();
    let advance = weft_ledger::Advance { topic: "t".into(), partition: 0, from: 0, to: 1, after: 0 };
    let proposed = weft_ledger::Proposed { epoch: live, partitions: vec![advance], files, snapshots: Vec::new() };
    tables.commit(&proposed).await.unwrap();
    let swept = tables.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(swept.data_files, 1);
    assert_eq!(paths_of(&store, "logs/data").await.len(), 1);
    assert_eq!(bodies(&tables).await, ["dead"]);
    assert_eq!(tables.sweep(Duration::ZERO).await.unwrap().data_files, 0);
}

#[tokio::test]
async fn an_epoch_in_progress_here_and_young_files_of_others_are_left_alone() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tables = open(&store, Config::default()).await;
    let running = epoch(1, 1);
    tables.hot().begin(&running);
    let batches = BTreeMap::from([(Table::Logs, vec![log_rows(&[("s", NOON, "x")])])]);
    tables.write_epoch(&running, batches.clone(), &[]).await.unwrap();
    tables.put_snapshot(&weft_model::TopicPartition::new("t", 0), "s", &running, "x".into()).await.unwrap();
    assert_eq!(tables.sweep(Duration::ZERO).await.unwrap().data_files, 0);
    // Another process's: it can only be told by its age.
    tables.write_epoch(&epoch(2, 1), batches, &[]).await.unwrap();
    let centuries = Duration::from_secs(400 * 365 * 86_400);
    assert_eq!(tables.sweep(centuries).await.unwrap().data_files, 0);
    assert_eq!(tables.sweep(Duration::ZERO).await.unwrap().data_files, 1);
    assert_eq!(paths_of(&store, paths::SNAPSHOTS).await.len(), 1);
}

#[test]
fn a_snapshot_is_unused_only_since_its_successor_was_written() {
    let snapshot = |path: &str, modified_ms| Candidate { path: Path::from(path), modified_ms, size: 1 };
    let all = [snapshot("s/t/0/tail/a.bin", 1), snapshot("s/t/0/tail/b.bin", 50), snapshot("s/t/1/tail/c.bin", 2)];
    let named = HashSet::from([Path::from("s/t/0/tail/b.bin")]);
    let successors = successors(&all, &named);
    assert_eq!(successors.get(folder("s/t/0/tail/a.bin")), Some(&50));
    assert_eq!(successors.get(folder("s/t/1/tail/c.bin")), None);
}
