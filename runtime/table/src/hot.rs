//! Hot rows: those of epochs that are not yet in the tables' snapshots.
//!
//! Role: the stream pushes batches as they leave the module chains; queries take them together with
//! a snapshot ([`crate::Tables::view`]). Batches are shared, never copied.
//! It does not decide what a view shows: [`crate::view`] does, with the [`Progress`] kept here.
//!
//! # Progress of an epoch
//! `Open` → `Attempting(n)` (about to put ledger entry n; possibly several times, n growing) →
//! `Committed(n)`. It is set to `Attempting(n)` **before** the put, so whoever sees `Open` after
//! taking a snapshot knows that the snapshot can't hold the epoch. An epoch's rows of a table leave
//! memory once an installed snapshot of that table has `n <= txn`; whoever pinned them before keeps
//! them, with the progress, until done.

use crate::Error;
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use weft_model::{Epoch, Table};

/// The hot rows of this process.
#[derive(Debug, Default)]
pub struct Hot {
    epochs: Mutex<HashMap<Epoch, HotEpoch>>,
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct HotEpoch {
    tables: BTreeMap<Table, Rows>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Rows {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

/// How far an epoch has got. Shared by the epoch and by the views that pinned its rows.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

/// A reading of [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No attempt to commit has begun.
    Open,
    /// Entry `n` is being put, or was and the outcome isn't known.
    Attempting(u64),
    /// It is entry `n`.
    Committed(u64),
    /// Its rows were dropped: it will never be committed by this process.
    Discarded,
}

impl Progress {
    const DISCARDED: u64 = u64::MAX;

    pub(crate) fn stage(&self) -> Stage {
        match self.0.load(Ordering::SeqCst) {
            0 => Stage::Open,
            Self::DISCARDED => Stage::Discarded,
            word if word & 1 == 1 => Stage::Committed(word >> 1),
            word => Stage::Attempting(word >> 1),
        }
    }

    fn set(&self, stage: Stage) {
        let word = match stage {
            Stage::Open => 0,
            Stage::Attempting(number) => number << 1,
            Stage::Committed(number) => number << 1 | 1,
            Stage::Discarded => Self::DISCARDED,
        };
        self.0.store(word, Ordering::SeqCst);
    }
}

/// Rows of one epoch as a view took them.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) epoch: Epoch,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) progress: Arc<Progress>,
}

impl Hot {
    /// Opens an epoch. Rows can be pushed from now on. Does nothing when it is open already.
    pub fn begin(&self, epoch: &Epoch) {
        let fresh = || HotEpoch { tables: BTreeMap::new(), progress: Arc::default() };
        self.epochs.lock().entry(epoch.clone()).or_insert_with(fresh);
    }

    /// Makes rows visible to queries.
    ///
    /// # Errors
    /// When the epoch was not begun (or was discarded), or the batch is not of the table's schema.
    pub fn push(&self, epoch: &Epoch, table: Table, batch: RecordBatch) -> Result<(), Error> {
        if batch.schema_ref() != &table.schema() {
            return Err(Error::Bug(format!("a batch for {table} has another schema: {}", batch.schema_ref())));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = batch_bytes(&batch);
        let mut epochs = self.epochs.lock();
        let Some(hot) = epochs.get_mut(epoch) else {
            return Err(Error::Bug(format!("rows were pushed to epoch {epoch}, which is not open")));
        };
        let rows = hot.tables.entry(table).or_default();
        rows.batches.push(batch);
        rows.bytes += bytes;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The rows pushed to an epoch so far, by table: what [`crate::Tables::write_epoch`] takes.
    pub fn batches(&self, epoch: &Epoch) -> BTreeMap<Table, Vec<RecordBatch>> {
        let epochs = self.epochs.lock();
        let Some(hot) = epochs.get(epoch) else { return BTreeMap::new() };
        hot.tables.iter().map(|(table, rows)| (*table, rows.batches.clone())).collect()
    }

    /// Drops an epoch that will not be committed: its rows disappear from views begun later.
    /// Never needed after a successful commit.
    pub fn discard(&self, epoch: &Epoch) {
        if let Some(hot) = self.epochs.lock().remove(epoch) {
            hot.progress.set(Stage::Discarded);
            self.released(hot.tables.values());
        }
    }

    /// Bytes of Arrow buffers held, all epochs and tables.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Epochs held: open, or committed and not yet in the snapshots.
    pub fn epochs(&self) -> usize {
        self.epochs.lock().len()
    }

    /// Every epoch that this process may still commit.
    pub(crate) fn uncommitted(&self) -> Vec<Epoch> {
        let epochs = self.epochs.lock();
        let open = epochs.iter().filter(|(_, hot)| !matches!(hot.progress.stage(), Stage::Committed(_)));
        open.map(|(epoch, _)| epoch.clone()).collect()
    }

    /// Takes a table's rows for a view.
    pub(crate) fn pin(&self, table: Table) -> Vec<Pinned> {
        let epochs = self.epochs.lock();
        let mut pinned: Vec<_> = epochs
            .iter()
            .filter_map(|(epoch, hot)| {
                let rows = hot.tables.get(&table)?;
                let progress = Arc::clone(&hot.progress);
                Some(Pinned { epoch: epoch.clone(), batches: rows.batches.clone(), progress })
            })
            .collect();
        pinned.sort_unstable_by(|a, b| a.epoch.cmp(&b.epoch));
        pinned
    }

    pub(crate) fn attempting(&self, epoch: &Epoch, number: u64) {
        if let Some(hot) = self.epochs.lock().get(epoch) {
            hot.progress.set(Stage::Attempting(number));
        }
    }

    /// Notes an epoch's number, and frees it if it has no rows that a snapshot is still to take over.
    pub(crate) fn committed(&self, epoch: &Epoch, number: u64) {
        let mut epochs = self.epochs.lock();
        if let Some(hot) = epochs.get(epoch) {
            hot.progress.set(Stage::Committed(number));
            if hot.tables.is_empty() {
                epochs.remove(epoch);
            }
        }
    }

    /// Frees a table's rows of every epoch that its installed snapshot holds.
    pub(crate) fn installed(&self, table: Table, txn: u64) {
        self.epochs.lock().retain(|_, hot| {
            let Stage::Committed(number) = hot.progress.stage() else { return true };
            if number <= txn {
                self.released(hot.tables.remove(&table).iter());
            }
            !hot.tables.is_empty()
        });
    }

    fn released<'a>(&self, rows: impl Iterator<Item = &'a Rows>) {
        self.bytes.fetch_sub(rows.map(|rows| rows.bytes).sum(), Ordering::Relaxed);
    }
}

/// Bytes of a batch's own rows: buffers shared with other batches count by the slice used.
fn batch_bytes(batch: &RecordBatch) -> usize {
    let column = |array: &arrow::array::ArrayRef| {
        array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
    };
    batch.columns().iter().map(column).sum()
}
