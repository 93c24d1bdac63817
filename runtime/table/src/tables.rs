//! The tables of a deployment: the handle everything else works with.
//!
//! It owns no rule of its own: it opens the parts and passes calls on. See the crate's page for
//! which file does what.

use crate::delta::TableLog;
use crate::ledger::Ledger;
use crate::maintenance::{self, Maintained};
use crate::sweep::{self, Swept};
use crate::view::{self, TableView};
use crate::write::Writer;
use crate::{Config, Error, Hot, Location, objects, publish};
use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weft_env::Clock;
use weft_ledger::{DataFile, Proposed, State, paths};
use weft_model::{Epoch, Table, TopicPartition};

/// The tables of a deployment. Cheap to clone; all clones share hot rows and snapshots.
#[derive(Debug, Clone)]
pub struct Tables {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Writer,
    hot: Hot,
    ledger: Ledger,
    /// In the order of [`Table::ALL`].
    logs: Vec<TableLog>,
    /// Maintenance and sweeps of this process take turns: a joined file that isn't committed yet
    /// looks like litter.
    housekeeping: tokio::sync::Mutex<()>,
}

/// An epoch is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The entry's number: [`weft_ledger::Advance::after`] of the next advance of its partitions.
    pub number: u64,
}

impl Tables {
    /// Opens the store, the ledger and the tables, making those that are absent.
    ///
    /// # Errors
    /// Kind `Config` when the location or an option can't work, or a table has other columns.
    pub async fn open(location: &Location, config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let store = location.open(&config.options)?;
        Self::open_store(store, config, clock).await
    }

    /// The same on a store that is there already: tests, and processes that share one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_store(store: Arc<dyn ObjectStore>, config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let opened = Table::ALL.map(|table| TableLog::open(table, Arc::clone(&store), &config, Arc::clone(&clock)));
        let (ledger, logs) =
            futures::try_join!(Ledger::open(Arc::clone(&store), &config, Arc::clone(&clock)), try_join_all(opened))?;
        let writer = Writer { store, config: Arc::new(config), clock };
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                hot: Hot::default(),
                ledger,
                logs,
                housekeeping: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// The hot rows of this process.
    pub fn hot(&self) -> &Hot {
        &self.inner.hot
    }

    /// The store all paths are relative to.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.writer.store)
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.writer.config
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.writer.clock
    }

    /// Writes an epoch's rows as Parquet files, one a table, durably. Nothing refers to them yet:
    /// they become part of the tables through [`Self::commit`], or are swept. Sorting, joining and
    /// encoding run as tasks of the calling runtime, which should be the one for work on the cores.
    /// `file_metadata` goes into each file's footer (module digests).
    ///
    /// Writing the same epoch again replaces its files.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't take them; `Bug` when a batch isn't of its table's schema.
    pub async fn write_epoch(
        &self,
        epoch: &Epoch,
        batches: BTreeMap<Table, Vec<RecordBatch>>,
        file_metadata: &[(String, String)],
    ) -> Result<Vec<DataFile>, Error> {
        self.inner.writer.write_epoch(epoch, batches, file_metadata).await
    }

    /// Stores a module's snapshot, durably; answers its path for the
    /// [`SnapshotRef`](weft_ledger::SnapshotRef).
    ///
    /// # Errors
    /// Kind `Retry` when the store can't take it.
    pub async fn put_snapshot(
        &self,
        partition: &TopicPartition,
        stage: &str,
        epoch: &Epoch,
        snapshot: Bytes,
    ) -> Result<String, Error> {
        let path = paths::snapshot(partition, stage, epoch);
        objects::put(self.store().as_ref(), &Path::from(path.as_str()), snapshot.into(), PutMode::Overwrite).await?;
        Ok(path)
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// Kind `Corrupt` when there is none under this path.
    pub async fn get_snapshot(&self, path: &str) -> Result<Bytes, Error> {
        let found = objects::get(self.store().as_ref(), &Path::from(path)).await?;
        found.ok_or_else(|| Error::corrupt(path, "the ledger names it, but it doesn't exist"))
    }

    /// The ledger as it stands now: reads what was added since the last call.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't be reached, `Corrupt` when an entry doesn't fold.
    pub async fn ledger_state(&self) -> Result<Arc<State>, Error> {
        self.inner.ledger.refresh().await
    }

    /// Makes an epoch the next ledger entry. All files and snapshots it names must be durable.
    ///
    /// After an error of kind `Retry` the outcome may be open; the same proposal can be committed
    /// again and again until it is settled, and is never entered twice.
    ///
    /// # Errors
    /// Kind `Fenced` when partitions were advanced by others ([`Error::Fenced`] lists them) or the
    /// files are too old ([`Error::Expired`]): drop the epoch's rows ([`Hot::discard`]) and start its
    /// partitions from the ledger.
    pub async fn commit(&self, proposed: &Proposed) -> Result<Committed, Error> {
        let number = self.inner.ledger.commit(proposed, &self.inner.hot).await?;
        Ok(Committed { number })
    }

    /// Adds every ledger entry, of any worker, that isn't yet in the tables. Idempotent; several
    /// processes may do it at once.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't be reached. What was published until then stays.
    pub async fn publish(&self) -> Result<(), Error> {
        self.publish_to(false).await
    }

    async fn publish_to(&self, flush: bool) -> Result<(), Error> {
        let last = self.inner.ledger.refresh().await?.next - 1;
        let now = self.clock().now_millis();
        let published = self.inner.logs.iter().map(|log| publish::publish(log, &self.inner.ledger, last, now, flush));
        // Every table gets as far as it can: one table's trouble must not hold the others' rows back.
        let mut failed = None;
        for (table, result) in Table::ALL.iter().zip(futures::future::join_all(published).await) {
            match result {
                Ok(snapshot) => self.inner.hot.installed(*table, snapshot.txn),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What a query sees of a table now: every committed row and every hot row of this process,
    /// exactly once.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't be reached.
    pub async fn view(&self, table: Table) -> Result<TableView, Error> {
        view::view(&self.inner.hot, self.log(table), &self.inner.ledger, table).await
    }

    /// Deletes what nothing names and is older than `older_than`: data files, module snapshots,
    /// ledger entries that are published and checkpointed, superseded Delta commits. Publishes and
    /// writes checkpoints first, so that there is something to delete.
    ///
    /// Epochs that other processes are writing are protected by their age alone: `older_than` must be
    /// longer than [`Config::commit_within`] plus the difference between clocks, unless no other
    /// process runs. Those of this process are known and left alone.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't be reached; what was deleted until then stays deleted.
    pub async fn sweep(&self, older_than: Duration) -> Result<Swept, Error> {
        let _turn = self.inner.housekeeping.lock().await;
        self.publish_to(true).await?;
        sweep::sweep(&self.inner.writer, &self.inner.hot, &self.inner.ledger, &self.inner.logs, older_than).await
    }

    /// Removes rows older than [`Config::retention`] and joins small files. Safe beside publishers
    /// and other processes' maintenance; costs memory for one joined file at a time.
    ///
    /// # Errors
    /// Kind `Retry` when the store can't be reached. What was done until then stays.
    pub async fn maintenance(&self) -> Result<Maintained, Error> {
        let _turn = self.inner.housekeeping.lock().await;
        let mut done = Maintained::default();
        for log in &self.inner.logs {
            done += maintenance::run(&self.inner.writer, log).await?;
        }
        Ok(done)
    }

    fn log(&self, table: Table) -> &TableLog {
        // `logs` is in the order of `ALL`, which holds every table.
        let index = Table::ALL.iter().position(|other| *other == table).unwrap_or_default();
        &self.inner.logs[index]
    }

    /// Compaction of files chosen by a test.
    #[cfg(test)]
    pub(crate) async fn compact_for_test(&self, table: Table, files: &[Arc<crate::FileInfo>]) -> Result<bool, Error> {
        maintenance::compact(&self.inner.writer, self.log(table), table, files).await
    }
}

#[cfg(test)]
mod tests;
