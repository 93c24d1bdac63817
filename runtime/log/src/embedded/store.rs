//! The one place that knows the storage engine (fjall, an LSM tree): a keyspace per partition, its
//! keys the offsets, big-endian, and a keyspace `meta` for what topics there are and how far each
//! partition is trimmed.
//!
//! Keys only ever ascend, so sorted files never overlap and are never rewritten: a record goes to
//! the journal once and to a sorted file once. The memory tables in between are the tail cache
//! from which readers that keep up are served.
//!
//! Everything here blocks; callers are on threads that may. Offsets, waking readers, grouping
//! appends: not here.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use weft_model::{Offset, TopicPartition};

use super::{EmbeddedConfig, journal, record};
use crate::header_names::Names;
use crate::{Error, Record};

/// Bytes of a block of a sorted file: the unit of one read, small records share one.
const BLOCK_BYTES: u32 = 64 * 1024;
/// Blocks kept in memory for readers that lag; the engine's own tail needs none.
const CACHE_BYTES: u64 = 16 << 20;

/// The open database.
pub(super) struct Store {
    dir: PathBuf,
    database: Database,
    meta: Keyspace,
    partitions: Vec<Keyspace>,
}

impl Store {
    /// Opens or creates the database in `dir`, without its partitions: see [`Store::attach`].
    pub(super) fn open(dir: &Path, config: &EmbeddedConfig) -> Result<Self, Error> {
        let failed = |error| classify(dir, &error);
        let open = || {
            Database::builder(dir)
                .cache_size(CACHE_BYTES)
                .worker_threads(2)
                .journal_compression(CompressionType::None)
                .max_journaling_size((4 * config.memory_bytes).max(64 << 20))
                .open()
        };
        let database = match open() {
            Err(fjall::Error::JournalRecovery(reason)) => {
                let repaired = journal::cut_torn_tail(dir).map_err(|error| failed(error.into()))?;
                if !repaired {
                    return Err(failed(fjall::Error::JournalRecovery(reason)));
                }
                open()
            }
            outcome => outcome,
        }
        .map_err(failed)?;
        let meta = database.keyspace("meta", partition_options).map_err(failed)?;
        Ok(Self { dir: dir.to_path_buf(), database, meta, partitions: Vec::new() })
    }

    /// Opens or creates the keyspace of one more partition; they are numbered in this order.
    pub(super) fn attach(&mut self, tp: &TopicPartition) -> Result<(), Error> {
        let keyspace = self.keyspace(tp)?;
        self.partitions.push(keyspace);
        Ok(())
    }

    /// Forgets the partitions numbered `slot` and above.
    pub(super) fn detach_from(&mut self, slot: usize) {
        self.partitions.truncate(slot);
    }

    fn keyspace(&self, tp: &TopicPartition) -> Result<Keyspace, Error> {
        // '/' can't be in a topic's name, and the name's 249 characters at most leave room.
        let name = format!("{}/{}", tp.topic, tp.partition);
        self.database.keyspace(&name, partition_options).map_err(|error| self.failed(&error))
    }

    /// Every topic with its partition count.
    pub(super) fn topics(&self) -> Result<Vec<(Arc<str>, i32)>, Error> {
        let mut topics = Vec::new();
        for entry in self.meta.prefix("topic/") {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let name =
                std::str::from_utf8(&key["topic/".len()..]).map_err(|_| self.damaged("a topic's name is not UTF-8"))?;
            let count = <[u8; 4]>::try_from(&value[..])
                .map_err(|_| self.damaged("a topic's partition count is not four bytes"))?;
            topics.push((name.into(), i32::from_be_bytes(count)));
        }
        Ok(topics)
    }

    /// Creates a topic's keyspaces, then its entry, durably; a crash between leaves empty keyspaces
    /// that the next try uses.
    pub(super) fn create_topic(&self, topic: &Arc<str>, partitions: i32) -> Result<(), Error> {
        for partition in 0..partitions {
            self.keyspace(&TopicPartition::new(Arc::clone(topic), partition))?;
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.meta, format!("topic/{topic}"), partitions.to_be_bytes());
        batch.commit().map_err(|error| self.failed(&error))
    }

    /// How far a partition is trimmed: its first offset.
    pub(super) fn first(&self, tp: &TopicPartition) -> Result<Offset, Error> {
        match self.meta.get(trim_key(tp)).map_err(|error| self.failed(&error))? {
            None => Ok(0),
            Some(value) => <[u8; 8]>::try_from(&value[..])
                .map(Offset::from_be_bytes)
                .map_err(|_| self.damaged("a partition's first offset is not eight bytes")),
        }
    }

    /// The offset after the last record of a partition whose first offset is `first`.
    pub(super) fn next(&self, slot: usize, first: Offset) -> Result<Offset, Error> {
        let Some(last) = self.partition(slot)?.last_key_value() else { return Ok(first) };
        let key = last.key().map_err(|error| self.failed(&error))?;
        // Dropped files can end below the trimmed offset, never above it.
        Ok(self.offset(&key)?.saturating_add(1).max(first))
    }

    fn offset(&self, key: &[u8]) -> Result<Offset, Error> {
        <[u8; 8]>::try_from(key)
            .map(Offset::from_be_bytes)
            .map_err(|_| self.damaged("a record's offset is not eight bytes"))
    }

    /// Records from `from` up to `end` (exclusive), within the limits but at least one.
    pub(super) fn read(
        &self,
        slot: usize,
        from: Offset,
        end: Offset,
        limits: Limits,
        names: &mut Names,
    ) -> Result<Vec<Record>, Error> {
        let mut records = Vec::with_capacity(limits.records.min(usize::try_from(end - from).unwrap_or(0)).min(4096));
        let mut bytes = 0;
        for entry in self.partition(slot)?.range(from.to_be_bytes()..end.to_be_bytes()) {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let offset = self.offset(&key)?;
            let record = record::decode(offset, Bytes::from(value), names).ok_or_else(|| {
                self.damaged(&format!("record {offset} of {} is malformed", self.partitions[slot].name()))
            })?;
            bytes += record.bytes();
            records.push(record);
            if records.len() >= limits.records || bytes >= limits.bytes {
                break;
            }
        }
        Ok(records)
    }

    /// A batch to write; nothing of it is visible before [`Store::commit`].
    pub(super) fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), capacity)
    }

    /// Adds a record to `batch`.
    pub(super) fn insert(
        &self,
        batch: &mut OwnedWriteBatch,
        slot: usize,
        offset: Offset,
        stored: Bytes,
    ) -> Result<(), Error> {
        batch.insert(self.partition(slot)?, offset.to_be_bytes(), stored);
        Ok(())
    }

    /// Adds to `batch` that `tp` starts at `first` from now on.
    pub(super) fn insert_first(&self, batch: &mut OwnedWriteBatch, tp: &TopicPartition, first: Offset) {
        batch.insert(&self.meta, trim_key(tp), first.to_be_bytes());
    }

    /// Writes `batch` to the journal, waits for the disk, then makes it visible: all or nothing.
    pub(super) fn commit(&self, batch: OwnedWriteBatch) -> Result<(), Error> {
        // fdatasync: the file's size and blocks are synced with it, its times needn't be.
        batch.durability(Some(PersistMode::SyncData)).commit().map_err(|error| self.failed(&error))
    }

    /// Deletes the sorted files that hold nothing at or above `before`; whatever of it shares a
    /// file with later records goes when they do.
    pub(super) fn drop_below(&self, slot: usize, before: Offset) -> Result<(), Error> {
        let tree = &self.partition(slot)?.tree;
        let end = before.to_be_bytes();
        // Asking first: a drop that finds nothing still writes and syncs a manifest.
        if tree.current_version().iter_tables().any(|table| table.metadata.key_range.max()[..] < end[..]) {
            tree.drop_range(..end).map_err(|error| classify(&self.dir, &error.into()))?;
        }
        Ok(())
    }

    /// How many full memory tables of a partition wait to be written to sorted files.
    pub(super) fn sealed(&self, slot: usize) -> usize {
        self.partitions.get(slot).map_or(0, Keyspace::sealed_memtable_count)
    }

    /// How many bytes a partition holds in memory since its last [`Store::seal`].
    pub(super) fn unsealed_bytes(&self, slot: usize) -> u64 {
        self.partitions.get(slot).map_or(0, |keyspace| keyspace.tree.active_memtable().size())
    }

    /// Has the partition's memory table written to a sorted file, in the background.
    pub(super) fn seal(&self, slot: usize) -> Result<(), Error> {
        self.partition(slot)?.rotate_memtable().map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// The same for `meta`, without which old journals could never be deleted.
    pub(super) fn seal_meta(&self) -> Result<(), Error> {
        self.meta.rotate_memtable().map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Fails when an earlier write, or the background, has failed: it must be opened anew.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.database.persist(PersistMode::Buffer).map_err(|error| self.failed(&error))
    }

    fn partition(&self, slot: usize) -> Result<&Keyspace, Error> {
        self.partitions.get(slot).ok_or(Error::Closed)
    }

    fn failed(&self, error: &fjall::Error) -> Error {
        classify(&self.dir, error)
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Corrupt { place: self.dir.display().to_string(), reason: reason.into() }
    }
}

/// How much one read may bring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

fn trim_key(tp: &TopicPartition) -> String {
    format!("trim/{}/{}", tp.topic, tp.partition)
}

/// When a memory table is full is the writer's to say (it sees all partitions), so the engine's own
/// limit is out of reach. No filters: there are no point reads of absent keys. No compression:
/// payloads are read back within seconds as a rule, and the codec's formats compress badly twice.
fn partition_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(u64::MAX)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_compression_policy(CompressionPolicy::disabled())
        .filter_policy(FilterPolicy::disabled())
}

/// The crate's error for the engine's.
fn classify(dir: &Path, error: &fjall::Error) -> Error {
    use fjall::Error as E;
    let unavailable = |reason: String| Error::Unavailable(format!("{}: {reason}", dir.display()));
    let io = match error {
        E::Io(io) => Some(io),
        E::Storage(storage) => storage.source().and_then(|source| source.downcast_ref::<io::Error>()),
        _ => None,
    };
    if let Some(io) = io {
        return match io.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::DiskFull { dir: dir.to_path_buf(), reason: io.to_string() }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
                Error::Config(format!("the log's folder {}: {io}", dir.display()))
            }
            _ => unavailable(io.to_string()),
        };
    }
    match error {
        E::Locked => Error::Locked(dir.to_path_buf()),
        E::Poisoned => unavailable("an earlier write failed; it is being opened anew".into()),
        E::InvalidVersion(version) => Error::Config(format!(
            "{} holds a database of another version ({version:?}): use the version that wrote it",
            dir.display()
        )),
        other => Error::Corrupt { place: dir.display().to_string(), reason: other.to_string() },
    }
}
