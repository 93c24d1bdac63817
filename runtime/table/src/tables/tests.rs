//! Exactly once, whatever goes wrong: the tests drive small workers against stores that fail.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fault::{Fault, FaultStore, Operation, Rule};
use crate::fixtures::{NOON, bodies, epoch, everything, log_rows, open};
use object_store::memory::InMemory;
use std::collections::BTreeSet;
use weft_model::{ErrorKind, Offset};

/// A worker of one partition: record n of partition p becomes the log line `p-n`.
struct Worker {
    tables: Tables,
    id: u8,
    sequence: u64,
    partition: TopicPartition,
    offset: Offset,
    after: u64,
}

impl Worker {
    /// Starts from the ledger, as a worker does that was just given the partition.
    async fn start(tables: &Tables, id: u8, partition: i32) -> Result<Self, Error> {
        tables.publish().await?;
        let partition = TopicPartition::new("t", partition);
        let state = tables.ledger_state().await?;
        let (offset, after) = (state.offset(&partition).unwrap_or(0), state.last_entry(&partition));
        Ok(Self { tables: tables.clone(), id, sequence: 0, partition, offset, after })
    }

    fn proposed(&self, epoch: &Epoch, to: Offset, files: Vec<DataFile>) -> Proposed {
        let advance = weft_ledger::Advance {
            topic: Arc::clone(&self.partition.topic),
            partition: self.partition.partition,
            from: self.offset,
            to,
            after: self.after,
        };
        Proposed { epoch: epoch.clone(), partitions: vec![advance], files, snapshots: Vec::new() }
    }

    /// Reads `records`, makes them visible, writes them; everything before the commit.
    async fn prepare(&mut self, records: i64) -> Result<Proposed, Error> {
        self.sequence += 1;
        let epoch = epoch(self.id, self.sequence);
        let to = self.offset + records;
        let hot = self.tables.hot();
        hot.begin(&epoch);
        for offset in self.offset..to {
            let body = format!("{}-{offset:03}", self.partition.partition);
            hot.push(&epoch, Table::Logs, log_rows(&[("s", NOON + offset, &body)]))?;
        }
        let files = self.tables.write_epoch(&epoch, hot.batches(&epoch), &[]).await?;
        Ok(self.proposed(&epoch, to, files))
    }

    async fn commit(&mut self, proposed: &Proposed) -> Result<(), Error> {
        self.after = self.tables.commit(proposed).await?.number;
        self.offset = proposed.partitions[0].to;
        Ok(())
    }

    async fn epoch(&mut self, records: i64) -> Result<(), Error> {
        let proposed = self.prepare(records).await?;
        self.commit(&proposed).await?;
        self.tables.publish().await
    }

    async fn up_to(&mut self, offset: Offset, step: i64) -> Result<(), Error> {
        while self.offset < offset {
            self.epoch(step.min(offset - self.offset)).await?;
        }
        Ok(())
    }
}

fn lines(partition: i32, to: Offset) -> Vec<String> {
    (0..to).map(|offset| format!("{partition}-{offset:03}")).collect()
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Often, so that a short test passes through every kind of write.
fn eager() -> Config {
    Config { delta_checkpoint_commits: 2, ledger_checkpoint_entries: 2, ..Config::default() }
}

#[tokio::test]
async fn rows_are_seen_once_before_during_and_after_their_way_into_the_table() {
    let store = memory();
    let tables = open(&store, Config::default()).await;
    let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
    let proposed = worker.prepare(3).await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 3));
    worker.commit(&proposed).await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 3));
    assert!(tables.hot().bytes() > 0);
    tables.publish().await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 3));
    assert_eq!((tables.hot().bytes(), tables.hot().epochs()), (0, 0));
    let view = tables.view(Table::Logs).await.unwrap();
    assert_eq!((view.hot.len(), view.files.len(), view.txn), (0, 1, 1));
    assert_eq!(view.files[0].epoch, Some(epoch(1, 1)));
    assert!(view.files[0].overlaps(NOON, NOON) && !view.files[0].overlaps(NOON + 3, i64::MAX));
}

#[tokio::test]
async fn a_worker_killed_at_any_write_loses_no_row_and_doubles_none() {
    for last_gasp in [false, true] {
        for kill in 0.. {
            let store = memory();
            let faulty = FaultStore::new(Arc::clone(&store));
            faulty.die_at(kill, last_gasp);
            let shared: Arc<dyn ObjectStore> = faulty.clone();
            let run = async {
                let tables = Tables::open_store(shared, eager(), weft_env::ManualClock::at(NOON)).await?;
                Worker::start(&tables, 1, 0).await?.up_to(12, 4).await
            };
            let survived = run.await.is_ok();
            let tables = open(&store, eager()).await;
            let mut next = Worker::start(&tables, 2, 0).await.unwrap();
            next.up_to(15, 4).await.unwrap();
            assert_eq!(bodies(&tables).await, lines(0, 15), "killed at write {kill}, which happened: {last_gasp}");
            // A third process, without anything hot, sees the same.
            assert_eq!(bodies(&open(&store, eager()).await).await, lines(0, 15));
            if survived {
                assert!(kill > 10, "the run takes more than {kill} writes");
                break;
            }
        }
    }
}

#[tokio::test]
async fn any_single_write_may_fail_or_lose_its_answer() {
    for fault in [Fault::Fail, Fault::LostAnswer] {
        for skip in 0.. {
            let store = memory();
            let faulty = FaultStore::new(Arc::clone(&store));
            let shared: Arc<dyn ObjectStore> = faulty.clone();
            let tables = open(&shared, eager()).await;
            let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
            faulty.inject(Rule { operation: Operation::Put, path: String::new(), skip, times: 1, fault });
            let before = faulty.mutations();
            for _ in 0..3 {
                // What a worker does on `Retry`: the same step again.
                let proposed = loop {
                    match worker.prepare(4).await {
                        Ok(proposed) => break proposed,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
                    }
                    tables.hot().discard(&epoch(1, worker.sequence));
                };
                while let Err(error) = worker.commit(&proposed).await {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    assert_eq!(bodies(&tables).await, lines(0, worker.offset + 4));
                }
                while let Err(error) = tables.publish().await {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    assert_eq!(bodies(&tables).await, lines(0, worker.offset));
                }
            }
            assert_eq!(bodies(&tables).await, lines(0, 12), "{fault:?} of write {skip}");
            assert_eq!(tables.ledger_state().await.unwrap().next, 4, "{fault:?} of write {skip}");
            if skip > faulty.mutations() - before {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_outcome_is_unknown_is_seen_once_even_after_others_publish_it() {
    let store = memory();
    let faulty = FaultStore::new(Arc::clone(&store));
    let shared: Arc<dyn ObjectStore> = faulty.clone();
    let tables = open(&shared, Config::default()).await;
    let other = open(&store, Config::default()).await;
    let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
    let proposed = worker.prepare(3).await.unwrap();
    // The put lands, its answer is lost, and the ledger can't be read to find out.
    let rule = |operation, fault| Rule { operation, path: "_ledger/".into(), skip: 0, times: 1, fault };
    faulty.inject(rule(Operation::Put, Fault::LostAnswer));
    faulty.inject(Rule { path: "_ledger/checkpoint".into(), ..rule(Operation::List, Fault::Fail) });
    assert_eq!(worker.commit(&proposed).await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(bodies(&tables).await, lines(0, 3));
    other.publish().await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 3));
    assert_eq!(bodies(&other).await, lines(0, 3));
    worker.commit(&proposed).await.unwrap();
    worker.epoch(2).await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 5));
    assert_eq!(tables.hot().epochs(), 0);
}

#[tokio::test]
async fn a_worker_that_lost_its_partition_is_fenced() {
    let store = memory();
    let (old, new) = (open(&store, Config::default()).await, open(&store, Config::default()).await);
    let mut zombie = Worker::start(&old, 1, 0).await.unwrap();
    zombie.epoch(2).await.unwrap();
    let late = zombie.prepare(2).await.unwrap();
    let mut owner = Worker::start(&new, 2, 0).await.unwrap();
    owner.epoch(5).await.unwrap();
    let error = zombie.commit(&late).await.unwrap_err();
    assert!(matches!(&error, Error::Fenced { partitions } if *partitions == [TopicPartition::new("t", 0)]));
    old.hot().discard(&late.epoch);
    assert_eq!(bodies(&old).await, lines(0, 7));
    assert_eq!(bodies(&new).await, lines(0, 7));
}

#[tokio::test]
async fn rows_released_without_new_offsets_are_fenced_too() {
    let store = memory();
    let (old, new) = (open(&store, Config::default()).await, open(&store, Config::default()).await);
    let mut zombie = Worker::start(&old, 1, 0).await.unwrap();
    zombie.epoch(2).await.unwrap();
    let mut owner = Worker::start(&new, 2, 0).await.unwrap();
    owner.epoch(0).await.unwrap();
    // Same offset as the ledger's, but the owner has committed since.
    let error = zombie.epoch(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_workers_publishers_and_queries_agree() {
    const WORKERS: u8 = 4;
    let store = memory();
    let mut tasks = Vec::new();
    for id in 0..WORKERS {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let tables = open(&store, eager()).await;
            let mut worker = Worker::start(&tables, id + 1, i32::from(id)).await.unwrap();
            let own = format!("{id}-");
            while worker.offset < 30 {
                let proposed = worker.prepare(3).await.unwrap();
                let expected = lines(i32::from(id), worker.offset + 3);
                let check = async |tables: &Tables| {
                    let seen = bodies(tables).await;
                    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "a row twice");
                    assert_eq!(seen.into_iter().filter(|body| body.starts_with(&own)).collect::<Vec<_>>(), expected);
                };
                check(&tables).await;
                worker.commit(&proposed).await.unwrap();
                check(&tables).await;
                tables.publish().await.unwrap();
                check(&tables).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let tables = open(&store, eager()).await;
    let all: Vec<String> = (0..WORKERS).flat_map(|id| lines(id.into(), 30)).collect();
    assert_eq!(bodies(&tables).await, all);
    assert_eq!(tables.ledger_state().await.unwrap().next, 41);
}

#[tokio::test]
async fn a_number_that_was_swept_is_never_won_again() {
    let store = memory();
    let (idle, busy) = (open(&store, eager()).await, open(&store, eager()).await);
    let mut sleeper = Worker::start(&idle, 1, 0).await.unwrap();
    let mut worker = Worker::start(&busy, 2, 1).await.unwrap();
    worker.up_to(10, 2).await.unwrap();
    let swept = busy.sweep(Duration::ZERO).await.unwrap();
    assert!(swept.ledger >= 5, "{swept:?}");
    sleeper.epoch(4).await.unwrap();
    assert_eq!(sleeper.after, 6);
    let mut all = lines(0, 4);
    all.extend(lines(1, 10));
    for tables in [&idle, &busy, &open(&store, eager()).await] {
        assert_eq!(bodies(tables).await, all);
    }
}

#[tokio::test]
async fn an_epoch_older_than_the_sweeps_patience_is_refused() {
    let store = memory();
    let clock = weft_env::ManualClock::at(NOON);
    let tables = Tables::open_store(Arc::clone(&store), Config::default(), clock.clone()).await.unwrap();
    let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
    let proposed = worker.prepare(1).await.unwrap();
    clock.advance(31 * 60 * 1_000_000_000);
    let error = worker.commit(&proposed).await.unwrap_err();
    assert!(matches!(error, Error::Expired { .. }));
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn a_full_or_unreachable_store_asks_for_patience_and_loses_nothing() {
    let store = memory();
    let faulty = FaultStore::new(Arc::clone(&store));
    let shared: Arc<dyn ObjectStore> = faulty.clone();
    let tables = open(&shared, Config::default()).await;
    let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
    let proposed = worker.prepare(2).await.unwrap();
    faulty.set_unavailable(true);
    assert_eq!(worker.commit(&proposed).await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(tables.publish().await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(tables.view(Table::Logs).await.unwrap_err().kind(), ErrorKind::Retry);
    faulty.set_unavailable(false);
    worker.commit(&proposed).await.unwrap();
    tables.publish().await.unwrap();
    assert_eq!(bodies(&tables).await, lines(0, 2));
}

#[tokio::test]
async fn tables_in_a_folder_survive_being_closed() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().into());
    let clock = || weft_env::ManualClock::at(NOON);
    for run in 1..=3u8 {
        let tables = Tables::open(&location, eager(), clock()).await.unwrap();
        let mut worker = Worker::start(&tables, run, 0).await.unwrap();
        worker.up_to(i64::from(run) * 10, 3).await.unwrap();
        assert_eq!(bodies(&tables).await, lines(0, i64::from(run) * 10));
    }
    assert!(folder.path().join("logs/_delta_log/_last_checkpoint").exists());
}

#[tokio::test]
async fn module_snapshots_follow_the_ledger_and_superseded_ones_are_swept() {
    let store = memory();
    let tables = open(&store, Config::default()).await;
    let mut worker = Worker::start(&tables, 1, 0).await.unwrap();
    let mut paths = Vec::new();
    for round in 0..3u8 {
        let mut proposed = worker.prepare(1).await.unwrap();
        let path =
            tables.put_snapshot(&worker.partition, "tail", &proposed.epoch, Bytes::from(vec![round])).await.unwrap();
        proposed.snapshots.push(weft_ledger::SnapshotRef {
            topic: "t".into(),
            partition: 0,
            stage: "tail".into(),
            module: "tail_sampling".into(),
            digest: "d".into(),
            path: path.clone(),
        });
        worker.commit(&proposed).await.unwrap();
        paths.push(path);
    }
    tables.sweep(Duration::ZERO).await.unwrap();
    let state = open(&store, Config::default()).await.ledger_state().await.unwrap();
    let snapshot = state.snapshots_of(&worker.partition).next().unwrap();
    assert_eq!(tables.get_snapshot(&snapshot.path).await.unwrap(), vec![2]);
    assert!(tables.get_snapshot(&paths[0]).await.is_err());
}

#[tokio::test]
async fn a_batch_of_another_schema_or_a_closed_epoch_is_refused() {
    let tables = open(&memory(), Config::default()).await;
    let batch = log_rows(&[("s", NOON, "x")]);
    let open_epoch = epoch(1, 1);
    assert!(tables.hot().push(&open_epoch, Table::Logs, batch.clone()).is_err());
    tables.hot().begin(&open_epoch);
    assert!(tables.hot().push(&open_epoch, Table::Spans, batch.clone()).is_err());
    tables.hot().push(&open_epoch, Table::Logs, batch).unwrap();
    assert_eq!(everything(&tables, Table::Logs).await.len(), 1);
    tables.hot().discard(&open_epoch);
    assert_eq!((tables.hot().bytes(), everything(&tables, Table::Logs).await.len()), (0, 0));
}
