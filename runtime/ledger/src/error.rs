//! What can be wrong with an entry or a checkpoint.

use weft_model::{ErrorKind, TopicPartition};

/// Errors of folding and reading the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An entry was applied out of order.
    #[error("ledger entry {found} was applied where entry {expected} comes next")]
    OutOfOrder {
        /// The number the state waits for.
        expected: u64,
        /// The number of the entry.
        found: u64,
    },
    /// A stored entry does not start where its partition stood.
    #[error("ledger entry {number} starts {partition} somewhere else than the ledger stood: {detail}")]
    Invalid {
        /// The entry.
        number: u64,
        /// The first partition that doesn't fit.
        partition: TopicPartition,
        /// What differs.
        detail: String,
    },
    /// The entry or checkpoint can't be read.
    #[error("{what} does not read back: {reason}")]
    Unreadable {
        /// Which object.
        what: String,
        /// Why.
        reason: String,
    },
    /// A proposal that no worker should make.
    #[error("a proposed epoch is malformed: {0}")]
    Malformed(String),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfOrder { .. } | Self::Malformed(_) => ErrorKind::Bug,
            Self::Invalid { .. } | Self::Unreadable { .. } => ErrorKind::Corrupt,
        }
    }
}
