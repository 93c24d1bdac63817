//! What a query sees of a table: hot rows and files, consistent, no row twice and none missing.
//!
//! # How
//! 1. Pin the table's hot rows, with the [`crate::hot::Progress`] of each epoch.
//! 2. Take the newest snapshot.
//! 3. Drop every pinned epoch that the snapshot holds.
//!
//! In this order a row that moves from hot to committed meanwhile is in both, never in neither; step
//! 3 removes the one.
//!
//! # When does a snapshot hold an epoch?
//! Exactly when the epoch's ledger number is `<= txn`: publishing adds whole entries in order. The
//! number is known once `commit` returns; before that it isn't, and another process may meanwhile
//! read our entry, publish it, and even compact it, so that no file name mentions the epoch any more.
//! Names alone are therefore not enough, nor is a number alone. What settles it is that `commit`
//! records `Attempting(n)` before it puts entry n, and n only grows:
//! - `Open`, read after the snapshot was taken: no put had begun, so the snapshot can't hold it. Keep.
//! - `Committed(n)`: held if `n <= txn`.
//! - `Attempting(n)` with `n > txn`: whatever its number becomes, it is at least n. Keep.
//! - `Attempting(n)` with `n <= txn`: entry n exists, ours or another's. If a file of the snapshot
//!   carries the epoch's name it is held. Else entry n is read: it says whose it is. If not ours,
//!   the attempt was lost; had it moved on to a larger number meanwhile, look again; if not, any later
//!   attempt begins after this snapshot was taken. Keep.
//!
//! Entries are swept only long after they were published, so entry n is there to be read.

use crate::delta::Snapshot;
use crate::hot::{Pinned, Stage};
use crate::ledger::Ledger;
use crate::{Error, Hot, delta::TableLog};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::path::Path;
use std::sync::Arc;
use weft_ledger::FileStats;
use weft_model::{Epoch, Table};

/// A table at one instant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TableView {
    /// The table.
    pub table: Table,
    /// Schema of hot batches and of files.
    pub schema: SchemaRef,
    /// Rows that no file of `files` holds. Unsorted; rows of metrics are not joined.
    pub hot: Vec<RecordBatch>,
    /// Committed files, oldest commit first.
    pub files: Arc<Vec<Arc<FileInfo>>>,
    /// Version of the Delta table that `files` is.
    pub version: u64,
    /// Ledger entries up to this number are in `files`.
    pub txn: u64,
}

/// A committed data file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInfo {
    /// Object path from the root of [`crate::Tables::store`].
    pub path: Path,
    /// Bytes.
    pub size: u64,
    /// Rows; 0 when another writer gave no statistics.
    pub rows: u64,
    /// When it was written, ms since the Unix epoch.
    pub modified_ms: i64,
    /// Times and column ranges; without statistics the times span everything.
    pub stats: FileStats,
    /// The epoch that wrote it; `None` for compacted files.
    pub epoch: Option<Epoch>,
}

impl FileInfo {
    /// Whether any row may touch `start_ns..=end_ns`.
    pub fn overlaps(&self, start_ns: i64, end_ns: i64) -> bool {
        self.stats.min_time_ns <= end_ns && self.stats.max_time_ns >= start_ns
    }
}

/// Takes a view.
pub(crate) async fn view(hot: &Hot, log: &TableLog, ledger: &Ledger, table: Table) -> Result<TableView, Error> {
    let pinned = hot.pin(table);
    let snapshot = log.refresh().await?;
    let mut batches = Vec::new();
    for pinned in pinned {
        if !is_held(&pinned, &snapshot, ledger).await? {
            batches.extend(pinned.batches);
        }
    }
    hot.installed(table, snapshot.txn);
    Ok(TableView {
        table,
        schema: table.schema(),
        hot: batches,
        files: Arc::clone(&snapshot.files),
        version: snapshot.version,
        txn: snapshot.txn,
    })
}

/// Whether the snapshot (or nobody) holds the epoch; see the module.
async fn is_held(pinned: &Pinned, snapshot: &Snapshot, ledger: &Ledger) -> Result<bool, Error> {
    loop {
        let stage = pinned.progress.stage();
        match stage {
            Stage::Open => return Ok(false),
            Stage::Discarded => return Ok(true),
            Stage::Committed(number) => return Ok(number <= snapshot.txn),
            Stage::Attempting(number) if number > snapshot.txn => return Ok(false),
            Stage::Attempting(number) => {
                if snapshot.names(&pinned.epoch) {
                    return Ok(true);
                }
                let swept = || {
                    Error::corrupt(
                        weft_ledger::paths::entry(number),
                        "it was swept while its epoch was being committed",
                    )
                };
                if ledger.entry(number).await?.ok_or_else(swept)?.is_of(&pinned.epoch) {
                    return Ok(true);
                }
                if pinned.progress.stage() == stage {
                    return Ok(false);
                }
            }
        }
    }
}
