//! What all entries so far fold into: where each partition stands and its modules' snapshots.

use crate::{Advance, Entry, Error, SnapshotRef, entry::check_shape};
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_model::{Epoch, Offset, TopicPartition};

/// The ledger, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Number of the next entry; 1 for an empty ledger.
    pub next: u64,
    /// Where each partition that was ever advanced stands.
    pub positions: BTreeMap<TopicPartition, Position>,
    /// The latest snapshot of each partition and stage.
    pub snapshots: BTreeMap<(TopicPartition, String), SnapshotRef>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// First offset that no entry covers: where reading goes on.
    pub offset: Offset,
    /// The entry that put it there: [`Advance::after`] of the next one.
    pub entry: u64,
    /// The epoch of that entry.
    pub epoch: Epoch,
}

impl Default for State {
    fn default() -> Self {
        Self { next: 1, positions: BTreeMap::new(), snapshots: BTreeMap::new() }
    }
}

impl State {
    /// Where reading of a partition goes on; `None` when no entry ever advanced it, and it starts
    /// where the log starts.
    pub fn offset(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).map(|position| position.offset)
    }

    /// Number of the entry that last advanced a partition; 0 for none.
    pub fn last_entry(&self, partition: &TopicPartition) -> u64 {
        self.positions.get(partition).map_or(0, |position| position.entry)
    }

    /// The snapshots of a partition, by stage.
    pub fn snapshots_of<'a>(&'a self, partition: &'a TopicPartition) -> impl Iterator<Item = &'a SnapshotRef> {
        self.snapshots
            .range((partition.clone(), String::new())..)
            .take_while(move |((of, _), _)| of == partition)
            .map(|(_, snapshot)| snapshot)
    }

    /// Why an advance doesn't fit here; `None` when it does.
    pub fn misfit(&self, advance: &Advance) -> Option<String> {
        match self.positions.get(&advance.topic_partition()) {
            None if advance.after == 0 => None,
            None => Some(format!("it follows entry {}, but no entry ever advanced the partition", advance.after)),
            Some(at) if at.entry != advance.after => Some(format!(
                "it follows entry {}, but entry {} of worker {} advanced the partition since, to {}",
                advance.after, at.entry, at.epoch.worker, at.offset
            )),
            Some(at) if at.offset != advance.from => {
                Some(format!("it starts at {}, but entry {} ended at {}", advance.from, at.entry, at.offset))
            }
            Some(_) => None,
        }
    }

    /// Folds the next entry in. On error the state is as before.
    ///
    /// # Errors
    /// When the number isn't the next, or a partition doesn't start where it stood: entries are
    /// checked before they are written, so a stored one that doesn't fit is corrupt.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.number != self.next {
            return Err(Error::OutOfOrder { expected: self.next, found: entry.number });
        }
        check_shape(&entry.partitions, &entry.snapshots)
            .map_err(|reason| Error::Unreadable { what: format!("ledger entry {}", entry.number), reason })?;
        for advance in &entry.partitions {
            if let Some(detail) = self.misfit(advance) {
                return Err(Error::Invalid { number: entry.number, partition: advance.topic_partition(), detail });
            }
        }
        for advance in &entry.partitions {
            let position = Position { offset: advance.to, entry: entry.number, epoch: entry.epoch() };
            self.positions.insert(advance.topic_partition(), position);
        }
        for snapshot in &entry.snapshots {
            let key = (snapshot.topic_partition(), snapshot.stage.clone());
            self.snapshots.insert(key, snapshot.clone());
        }
        self.next += 1;
        Ok(())
    }

    /// An advance of a partition from where it stands here to `to`; `from` is used for a partition
    /// never seen.
    pub fn advance(&self, partition: &TopicPartition, from: Offset, to: Offset) -> Advance {
        Advance {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            from: self.offset(partition).unwrap_or(from),
            to,
            after: self.last_entry(partition),
        }
    }
}

#[cfg(test)]
mod tests;
