//! May this epoch become the next entry? The one place where fencing is decided.

use crate::{Proposed, State};
use weft_model::TopicPartition;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write it under this number, if absent.
    Commit {
        /// [`State::next`].
        number: u64,
    },
    /// It already is this entry: an earlier attempt got through, though its answer was lost.
    Committed {
        /// The entry's number.
        number: u64,
    },
    /// These partitions were advanced by somebody else: drop what is pending of them and start from
    /// the ledger.
    Fenced {
        /// The partitions that don't stand where the worker believed, in the order proposed.
        partitions: Vec<TopicPartition>,
    },
}

/// Pure: same facts, same answer. Never reads the clock or the store.
pub fn decide(state: &State, proposed: &Proposed) -> Decision {
    // A partition's position keeps the epoch that put it there. One advanced by this very epoch
    // proves that the epoch is in the ledger whole, whatever became of the others since.
    for advance in &proposed.partitions {
        if let Some(position) = state.positions.get(&advance.topic_partition())
            && position.epoch == proposed.epoch
        {
            return Decision::Committed { number: position.entry };
        }
    }
    let partitions: Vec<_> = proposed
        .partitions
        .iter()
        .filter(|advance| state.misfit(advance).is_some())
        .map(crate::Advance::topic_partition)
        .collect();
    if partitions.is_empty() { Decision::Commit { number: state.next } } else { Decision::Fenced { partitions } }
}

#[cfg(test)]
mod tests;
