//! The stored form of an epoch: entries, and what they name. JSON, one object an entry.
//!
//! Unknown fields are ignored when read, so that an older worker can read a newer one's entries.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_model::{Epoch, Offset, Table, TopicPartition};

/// One committed epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the ledger; the first is 1.
    pub number: u64,
    /// Id of the worker's run ([`Epoch::worker`]).
    pub worker: Arc<str>,
    /// [`Epoch::sequence`].
    pub epoch_sequence: u64,
    /// When the entry was written, ms since the Unix epoch, by the worker's clock. Information only.
    pub written_at_ms: i64,
    /// Offsets it covers; each partition at most once, never empty.
    pub partitions: Vec<Advance>,
    /// Data files it adds to the tables.
    pub files: Vec<DataFile>,
    /// Snapshots that replace those of the same partition and stage.
    pub snapshots: Vec<SnapshotRef>,
}

/// What a worker wants to commit; becomes an [`Entry`] once it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The epoch.
    pub epoch: Epoch,
    /// Offsets it covers. Partitions without progress are left out, unless the epoch holds rows or
    /// a snapshot of them: then `from == to`.
    pub partitions: Vec<Advance>,
    /// Data files, all durable.
    pub files: Vec<DataFile>,
    /// Snapshots, all durable.
    pub snapshots: Vec<SnapshotRef>,
}

/// A partition's progress in an entry: records `from..to` are covered by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// First offset covered. Must be where the ledger stood; free for a partition never seen, which
    /// starts where the log starts.
    pub from: Offset,
    /// First offset not covered.
    pub to: Offset,
    /// Number of the entry that last advanced this partition as the worker knows it; 0 for none.
    /// Taken from [`crate::Position::entry`] when the partition is opened, and from then on the
    /// number each of the worker's own commits returned.
    pub after: u64,
}

/// A Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// The table.
    #[serde(with = "table_name")]
    pub table: Table,
    /// Object path from the store's root, `spans/data/2026-11-22/….parquet`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// When it was written, ms since the Unix epoch, by the writer's clock.
    pub written_at_ms: i64,
    /// What is known of its values.
    pub stats: FileStats,
}

/// Ranges of a file's values, for pruning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileStats {
    /// Earliest instant any row touches, ns since the Unix epoch.
    pub min_time_ns: i64,
    /// Latest instant any row touches, ns since the Unix epoch, inclusive. For spans this is an end.
    pub max_time_ns: i64,
    /// By column name; columns without statistics are absent.
    pub columns: BTreeMap<String, ColumnRange>,
}

/// Range of one column in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRange {
    /// A lower bound of all values; absent when all are null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// An upper bound of all values; also absent when a long text has none that is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// Rows that are null.
    #[serde(default)]
    pub nulls: u64,
}

/// A bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of an integer column.
    Int(i64),
    /// Of a text column; may be shorter than the value it bounds.
    Text(String),
}

/// Where a module's state at the end of an epoch is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Topic of the partition it belongs to.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Name of the stage in the topology.
    pub stage: String,
    /// The module's name.
    pub module: String,
    /// SHA-256 of the module, hex.
    pub digest: String,
    /// Object path from the store's root.
    pub path: String,
}

impl Entry {
    /// The epoch it made durable.
    pub fn epoch(&self) -> Epoch {
        Epoch { worker: Arc::clone(&self.worker), sequence: self.epoch_sequence }
    }

    /// Whether it is this epoch's.
    pub fn is_of(&self, epoch: &Epoch) -> bool {
        self.worker == epoch.worker && self.epoch_sequence == epoch.sequence
    }

    /// As stored.
    pub fn to_json(&self) -> Vec<u8> {
        // Serialising plain data into memory can't fail: all map keys are strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored entry.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when it isn't the JSON of an entry with this number.
    pub fn from_json(number: u64, json: &[u8]) -> Result<Self, Error> {
        let what = || format!("ledger entry {number}");
        let entry: Self = serde_json::from_slice(json)
            .map_err(|error| Error::Unreadable { what: what(), reason: error.to_string() })?;
        if entry.number != number {
            let reason = format!("it says that its number is {}", entry.number);
            return Err(Error::Unreadable { what: what(), reason });
        }
        Ok(entry)
    }
}

impl Proposed {
    /// The entry with a number.
    pub fn entry(&self, number: u64, written_at_ms: i64) -> Entry {
        Entry {
            number,
            worker: Arc::clone(&self.epoch.worker),
            epoch_sequence: self.epoch.sequence,
            written_at_ms,
            partitions: self.partitions.clone(),
            files: self.files.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    /// Checks what no store can tell: every partition once, ranges not backwards, snapshots only of
    /// partitions it advances.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn check(&self) -> Result<(), Error> {
        check_shape(&self.partitions, &self.snapshots).map_err(Error::Malformed)
    }
}

pub(crate) fn check_shape(partitions: &[Advance], snapshots: &[SnapshotRef]) -> Result<(), String> {
    if partitions.is_empty() {
        return Err("it advances no partition, so nothing would fence it".into());
    }
    for (index, advance) in partitions.iter().enumerate() {
        let partition = advance.topic_partition();
        if advance.to < advance.from || advance.from < 0 {
            return Err(format!("{partition} goes from {} to {}", advance.from, advance.to));
        }
        if partitions[..index].iter().any(|other| other.topic_partition() == partition) {
            return Err(format!("{partition} occurs twice"));
        }
    }
    for snapshot in snapshots {
        let partition = snapshot.topic_partition();
        if !partitions.iter().any(|advance| advance.topic_partition() == partition) {
            return Err(format!("it has a snapshot of {partition} but doesn't advance it"));
        }
    }
    Ok(())
}

impl Advance {
    /// The partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }
}

impl SnapshotRef {
    /// The partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }
}

mod table_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use weft_model::Table;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn serialize<S: Serializer>(table: &Table, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(table.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}
