//! Makes a sealed epoch durable: files → snapshots → dead letters → ledger → tables.
//!
//! Every step is tried until it works: while the store fails, the epoch stays in memory, the worker
//! reports itself unready and reading stops at the memory limit. Only the ledger can end it
//! otherwise: another worker has advanced one of the partitions.
//!
//! Dying between any two steps loses and doubles nothing. Before the ledger entry, nothing refers to
//! the files and the records are read again; after it, whoever comes next publishes the entry.

use crate::failpoint::{Failpoints, Killed};
use crate::loaded::Loaded;
use crate::pipeline::{Part, Shared};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use weft_ledger::{Advance, Proposed, SnapshotRef};
use weft_log::{Log, NewRecord};
use weft_model::{Epoch, ErrorKind, Offset, TopicPartition};

/// The name of this part in the worker's health.
const STORE: &str = "store";

/// Records of each partition of the dead-letter topic that the embedded log keeps.
const LETTERS_KEPT: Offset = 100_000;

/// An epoch that takes no more rows.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) epoch: Epoch,
    pub(crate) parts: Vec<Part>,
    /// Where the ledger stood for each part.
    pub(crate) stood: BTreeMap<TopicPartition, Stood>,
}

/// Where the ledger stands for a partition that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stood {
    pub(crate) offset: Offset,
    /// The entry that put it there.
    pub(crate) entry: u64,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There was nothing in it.
    Empty,
    /// It is the ledger's entry `number`; the partitions stand at these offsets.
    Committed { number: u64, advanced: Vec<(TopicPartition, Offset)>, published: bool },
    /// Somebody else has some of the partitions.
    Fenced(String),
    /// A test ended it.
    Killed,
}

/// What committing needs.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) failpoints: Failpoints,
}

enum Never {
    Fenced(String),
    Killed,
}

impl From<Killed> for Never {
    fn from(_: Killed) -> Self {
        Self::Killed
    }
}

impl Committer {
    /// Carries the epoch through.
    pub(crate) async fn commit(self, sealed: Sealed) -> Outcome {
        let began = tokio::time::Instant::now();
        match self.steps(sealed).await {
            Ok(outcome) => {
                if matches!(outcome, Outcome::Committed { .. }) {
                    self.shared.metrics.epochs.inc();
                    self.shared.metrics.epoch_duration.observe(began.elapsed().as_secs_f64());
                }
                outcome
            }
            Err(Never::Fenced(reason)) => {
                self.shared.metrics.fenced.inc();
                Outcome::Fenced(reason)
            }
            Err(Never::Killed) => Outcome::Killed,
        }
    }

    async fn steps(&self, sealed: Sealed) -> Result<Outcome, Never> {
        let Sealed { epoch, mut parts, stood } = sealed;
        let (tables, at) = (&self.shared.tables, &self.failpoints);
        parts.retain(|part| part.has_rows || stood.get(&part.source).is_none_or(|stood| part.to > stood.offset));
        if parts.is_empty() {
            tables.hot().discard(&epoch);
            return Ok(Outcome::Empty);
        }
        at.pass("sealed")?;
        let metadata = self.loaded.file_metadata();
        let files = self
            .until_done("write an epoch", || tables.write_epoch(&epoch, tables.hot().batches(&epoch), &metadata))
            .await?;
        at.pass("files written")?;
        let snapshots = self.put_snapshots(&epoch, &parts).await?;
        at.pass("snapshots written")?;
        self.append_letters(&parts).await?;
        at.pass("dead letters appended")?;
        let advance = |part: &Part| {
            let stood = stood.get(&part.source).copied().unwrap_or(Stood { offset: part.to, entry: 0 });
            let (topic, partition) = (Arc::clone(&part.source.topic), part.source.partition);
            Advance { topic, partition, from: stood.offset, to: part.to, after: stood.entry }
        };
        let proposed = Proposed { epoch, partitions: parts.iter().map(advance).collect(), files, snapshots };
        let committed = self.until_done("commit an epoch", || tables.commit(&proposed)).await?;
        at.pass("committed")?;
        let published = self.publish().await;
        at.pass("published")?;
        let advanced = parts.iter().map(|part| (part.source.clone(), part.to)).collect();
        Ok(Outcome::Committed { number: committed.number, advanced, published })
    }

    async fn put_snapshots(&self, epoch: &Epoch, parts: &[Part]) -> Result<Vec<SnapshotRef>, Never> {
        let mut references = Vec::new();
        for part in parts {
            for snapshot in &part.snapshots {
                let put =
                    || self.shared.tables.put_snapshot(&part.source, &snapshot.stage, epoch, snapshot.bytes.clone());
                references.push(SnapshotRef {
                    topic: Arc::clone(&part.source.topic),
                    partition: part.source.partition,
                    stage: snapshot.stage.clone(),
                    module: snapshot.module.clone(),
                    digest: snapshot.digest.clone(),
                    path: self.until_done("write a module's snapshot", put).await?,
                });
            }
        }
        Ok(references)
    }

    /// The dead-letter topic gets what the table gets. Before the ledger entry, so that a crash can
    /// double a record there, but never lose one.
    async fn append_letters(&self, parts: &[Part]) -> Result<(), Never> {
        let topic: Arc<str> = self.loaded.topology.dead_letters.topic.as_str().into();
        let letters =
            parts.iter().flat_map(|part| part.letters.iter().map(|letter| letter.to_record(&topic, &part.source)));
        let letters: Vec<NewRecord> = letters.collect();
        for chunk in letters.chunks(1000) {
            let append = || async {
                match self.log.append(chunk.to_vec()).await {
                    Ok(written) => {
                        self.trim_letters(&written).await;
                        Ok(())
                    }
                    Err(error) if error.kind() == ErrorKind::Reject && chunk.len() > 1 => {
                        self.append_one_by_one(chunk).await
                    }
                    Err(error) if error.kind() == ErrorKind::Reject => {
                        tracing::warn!(%error, "a dead letter doesn't fit the dead-letter topic: it is in the table alone");
                        Ok(())
                    }
                    other => other.map(|_| ()),
                }
            };
            self.until_done("append to the dead-letter topic", append).await?;
        }
        Ok(())
    }

    /// A source of garbage must not fill the disk: the table has every letter, the embedded log's
    /// topic the newest.
    async fn trim_letters(&self, written: &[(i32, Offset)]) {
        let topic = self.loaded.topology.dead_letters.topic.as_str();
        let last: BTreeMap<i32, Offset> = written.iter().copied().collect();
        for (partition, offset) in last {
            let before = offset - LETTERS_KEPT;
            if before > 0
                && let Err(error) = self.log.trim(&TopicPartition::new(topic, partition), before).await
            {
                tracing::warn!(%error, "the log didn't free old dead letters");
            }
        }
    }

    async fn append_one_by_one(&self, records: &[NewRecord]) -> Result<(), weft_log::Error> {
        for record in records {
            match self.log.append(vec![record.clone()]).await {
                Err(error) if error.kind() == ErrorKind::Reject => {
                    tracing::warn!(%error, "a dead letter doesn't fit the dead-letter topic: it is in the table alone");
                }
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Brings the tables up to the ledger. A failure waits for the next epoch: the rows stay hot.
    pub(crate) async fn publish(&self) -> bool {
        match self.shared.tables.publish().await {
            Ok(_) => {
                self.shared.health.clear("publishing");
                true
            }
            Err(error) => {
                self.shared.metrics.store_failures.inc();
                self.shared.health.problem("publishing", error);
                false
            }
        }
    }

    /// Tries `step` until it works, waiting longer each time.
    async fn until_done<T, E, F>(&self, what: &str, mut step: impl FnMut() -> F) -> Result<T, Never>
    where
        E: Display + Kinded,
        F: Future<Output = Result<T, E>>,
    {
        let most = self.shared.config.retry_most;
        let mut wait = Duration::from_millis(100).min(most);
        loop {
            match step().await {
                Ok(done) => {
                    self.shared.health.clear(STORE);
                    return Ok(done);
                }
                Err(error) if error.error_kind() == ErrorKind::Fenced => return Err(Never::Fenced(error.to_string())),
                Err(error) => {
                    self.shared.metrics.store_failures.inc();
                    self.shared
                        .health
                        .problem(STORE, format!("can't {what}: {error}; nothing is lost, it is tried again"));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(most);
                }
            }
        }
    }
}

/// Errors that say what to do about them.
trait Kinded {
    fn error_kind(&self) -> ErrorKind;
}

impl Kinded for weft_table::Error {
    fn error_kind(&self) -> ErrorKind {
        self.kind()
    }
}

impl Kinded for weft_log::Error {
    fn error_kind(&self) -> ErrorKind {
        self.kind()
    }
}
