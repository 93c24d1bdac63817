//! A table at one version: the log's actions folded.

use super::action::{APP_ID, Add, Line, MetaData, Protocol, Remove};
use crate::{Error, FileInfo, stats};
use object_store::path::Path;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use weft_model::{Epoch, Table};

/// Immutable; a commit makes a new one that shares its files.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) table: Table,
    pub(crate) version: u64,
    /// Ledger entries up to this number are published here.
    pub(crate) txn: u64,
    pub(crate) files: Arc<Vec<Arc<FileInfo>>>,
    /// Files removed not long ago: still read by queries on older snapshots.
    pub(crate) tombstones: Arc<Vec<Tombstone>>,
    pub(crate) protocol: Protocol,
    pub(crate) metadata: Arc<MetaData>,
    /// `txn` actions of other writers, kept for checkpoints.
    pub(crate) other_txns: BTreeMap<String, u64>,
}

/// A removed file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tombstone {
    pub(crate) path: Path,
    pub(crate) removed_ms: i64,
    pub(crate) size: u64,
}

/// What a log without commits folds into; filled by actions.
#[derive(Debug, Default)]
pub(crate) struct Folding {
    files: Vec<Arc<FileInfo>>,
    tombstones: Vec<Tombstone>,
    protocol: Option<Protocol>,
    metadata: Option<Arc<MetaData>>,
    txns: BTreeMap<String, u64>,
}

impl Folding {
    /// Goes on from a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut txns = snapshot.other_txns.clone();
        txns.insert(APP_ID.into(), snapshot.txn);
        Self {
            files: snapshot.files.as_ref().clone(),
            tombstones: snapshot.tombstones.as_ref().clone(),
            protocol: Some(snapshot.protocol.clone()),
            metadata: Some(Arc::clone(&snapshot.metadata)),
            txns,
        }
    }

    /// Folds one commit (or a checkpoint's actions) in. Order within a commit doesn't matter, as the
    /// protocol demands.
    pub(crate) fn fold(&mut self, table: Table, lines: Vec<Line>) -> Result<(), Error> {
        let mut removed = HashSet::new();
        let mut added = Vec::new();
        for line in lines {
            if let Some(protocol) = line.protocol {
                self.protocol = Some(protocol);
            }
            if let Some(metadata) = line.meta_data {
                self.metadata = Some(Arc::new(metadata));
            }
            if let Some(txn) = line.txn {
                self.txns.insert(txn.app_id, txn.version);
            }
            if let Some(remove) = line.remove {
                let path = full_path(table, &remove.path)?;
                let removed_ms = remove.deletion_timestamp.unwrap_or(0);
                self.tombstones.push(Tombstone { path: path.clone(), removed_ms, size: remove.size.unwrap_or(0) });
                removed.insert(path);
            }
            if let Some(add) = line.add {
                added.push(Arc::new(file_info(table, add)?));
            }
        }
        if !removed.is_empty() {
            self.files.retain(|file| !removed.contains(&file.path));
        }
        self.files.append(&mut added);
        Ok(())
    }

    /// The table at `version`; tombstones from before `forget_ms` are left out.
    pub(crate) fn finish(mut self, table: Table, version: u64, forget_ms: i64) -> Result<Snapshot, Error> {
        let missing =
            |what: &str| Error::corrupt(format!("the Delta log of {table}"), format!("it has no {what} action"));
        let protocol = self.protocol.ok_or_else(|| missing("protocol"))?;
        let metadata = self.metadata.ok_or_else(|| missing("metaData"))?;
        if protocol.min_reader_version > 1 || protocol.min_writer_version > 2 {
            return Err(Error::Unsupported {
                table,
                reason: format!(
                    "another writer raised its Delta protocol to reader {} and writer {}, weft supports 1 and 2; \
                     restore the table to an older version",
                    protocol.min_reader_version, protocol.min_writer_version
                ),
            });
        }
        if !metadata.partition_columns.is_empty() {
            return Err(Error::Unsupported { table, reason: "it is partitioned; weft's tables are not".into() });
        }
        self.tombstones.retain(|tombstone| tombstone.removed_ms >= forget_ms);
        let txn = self.txns.remove(APP_ID).unwrap_or(0);
        Ok(Snapshot {
            table,
            version,
            txn,
            files: Arc::new(self.files),
            tombstones: Arc::new(self.tombstones),
            protocol,
            metadata,
            other_txns: self.txns,
        })
    }
}

impl Snapshot {
    /// The snapshot after one more commit.
    pub(crate) fn after(&self, lines: Vec<Line>, forget_ms: i64) -> Result<Self, Error> {
        let mut folding = Folding::of(self);
        folding.fold(self.table, lines)?;
        folding.finish(self.table, self.version + 1, forget_ms)
    }

    /// Whether a file of this epoch is in it.
    pub(crate) fn names(&self, epoch: &Epoch) -> bool {
        self.files.iter().rev().any(|file| file.epoch.as_ref() == Some(epoch))
    }
}

fn full_path(table: Table, relative: &str) -> Result<Path, Error> {
    if relative.contains("://") {
        let reason = format!("it names a file outside its folder: {relative}");
        return Err(Error::Unsupported { table, reason });
    }
    Path::from_url_path(format!("{}/{relative}", table.name()))
        .map_err(|error| Error::corrupt(format!("the Delta log of {table}"), error))
}

/// The path in an action of a file at `path`.
pub(crate) fn relative_path(table: Table, path: &str) -> &str {
    path.strip_prefix(table.name()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

fn file_info(table: Table, add: Add) -> Result<FileInfo, Error> {
    let path = full_path(table, &add.path)?;
    let (rows, stats) = stats::from_delta(table, add.stats.as_deref());
    let epoch = Epoch::of_file(path.as_ref());
    Ok(FileInfo { path, size: add.size, rows, modified_ms: add.modification_time, stats, epoch })
}

/// The action that adds a file.
pub(crate) fn add_of(table: Table, file: &FileInfo, data_change: bool) -> Add {
    Add {
        path: relative_path(table, file.path.as_ref()).into(),
        partition_values: BTreeMap::new(),
        size: file.size,
        modification_time: file.modified_ms,
        data_change,
        stats: Some(stats::to_delta(file.rows, &file.stats)),
    }
}

/// The action that removes a file.
pub(crate) fn remove_of(table: Table, file: &FileInfo, now_ms: i64, data_change: bool) -> Remove {
    Remove {
        path: relative_path(table, file.path.as_ref()).into(),
        deletion_timestamp: Some(now_ms),
        data_change,
        extended_file_metadata: Some(true),
        partition_values: Some(BTreeMap::new()),
        size: Some(file.size),
    }
}
