//! A state written down, so that start-up reads one checkpoint and the entries after it.

use crate::{Error, Position, SnapshotRef, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weft_model::{Epoch, Offset, TopicPartition};

/// The stored form of [`State`]. JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of the first entry that is not folded in.
    pub next: u64,
    /// Where partitions stand, by topic and partition.
    positions: Vec<StoredPosition>,
    /// Latest snapshots.
    snapshots: Vec<SnapshotRef>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StoredPosition {
    topic: Arc<str>,
    partition: i32,
    offset: Offset,
    entry: u64,
    worker: Arc<str>,
    epoch_sequence: u64,
}

impl From<&State> for Checkpoint {
    fn from(state: &State) -> Self {
        let positions = state.positions.iter().map(|(partition, position)| StoredPosition {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            offset: position.offset,
            entry: position.entry,
            worker: Arc::clone(&position.epoch.worker),
            epoch_sequence: position.epoch.sequence,
        });
        Self {
            next: state.next,
            positions: positions.collect(),
            snapshots: state.snapshots.values().cloned().collect(),
        }
    }
}

impl From<Checkpoint> for State {
    fn from(checkpoint: Checkpoint) -> Self {
        let positions = checkpoint.positions.into_iter().map(|stored| {
            let epoch = Epoch { worker: stored.worker, sequence: stored.epoch_sequence };
            let position = Position { offset: stored.offset, entry: stored.entry, epoch };
            (TopicPartition { topic: stored.topic, partition: stored.partition }, position)
        });
        let snapshots = checkpoint
            .snapshots
            .into_iter()
            .map(|snapshot| ((snapshot.topic_partition(), snapshot.stage.clone()), snapshot));
        Self { next: checkpoint.next, positions: positions.collect(), snapshots: snapshots.collect() }
    }
}

impl Checkpoint {
    /// As stored.
    pub fn to_json(&self) -> Vec<u8> {
        // Serialising plain data into memory can't fail: there are no maps.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored checkpoint before entry `next`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when it isn't the JSON of that checkpoint.
    pub fn from_json(next: u64, json: &[u8]) -> Result<Self, Error> {
        let what = || format!("ledger checkpoint {next}");
        let checkpoint: Self = serde_json::from_slice(json)
            .map_err(|error| Error::Unreadable { what: what(), reason: error.to_string() })?;
        if checkpoint.next != next {
            let reason = format!("it says that it stands before entry {}", checkpoint.next);
            return Err(Error::Unreadable { what: what(), reason });
        }
        Ok(checkpoint)
    }
}
