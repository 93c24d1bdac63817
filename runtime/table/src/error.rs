//! What can go wrong with tables, and what the caller should do about it.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use weft_model::{Epoch, ErrorKind, Table, TopicPartition};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object store refused or could not be reached.
    #[error("can't {action}: {source}")]
    Store {
        /// What was tried, `write spans/data/….parquet`.
        action: String,
        /// The store's answer.
        source: object_store::Error,
    },
    /// Some partitions of a proposed epoch belong to somebody else by now.
    #[error("fenced: other workers advanced {}", partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Fenced {
        /// Drop what is pending of these, and start them from the ledger.
        partitions: Vec<TopicPartition>,
    },
    /// An epoch's files are so old that a sweep may already have taken them.
    #[error("epoch {epoch} was written {age_seconds} s ago, longer than commit_within: its files may have been swept")]
    Expired {
        /// The epoch: drop it, and start its partitions from the ledger.
        epoch: Epoch,
        /// Age of its oldest file.
        age_seconds: i64,
    },
    /// An entry or checkpoint of the ledger doesn't fold.
    #[error(transparent)]
    Ledger(#[from] weft_ledger::Error),
    /// Others won every race for the next number or version.
    #[error("gave up after {attempts} attempts to {action}: others were faster each time")]
    Contention {
        /// What was tried.
        action: String,
        /// How often.
        attempts: usize,
    },
    /// A stored object doesn't read back as it was written.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// The object.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A table needs what this version of weft doesn't have.
    #[error("table {table} can't be used: {reason}")]
    Unsupported {
        /// The table.
        table: Table,
        /// What it needs, and what to do.
        reason: String,
    },
    /// The location or a setting can't work.
    #[error("{0}")]
    Config(String),
    /// Columns could not be computed.
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// A Parquet file could not be encoded. (One that can't be decoded is [`Self::Corrupt`].)
    #[error("parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// A caller broke a rule of this crate.
    #[error("{0}")]
    Bug(String),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => store_kind(source),
            Self::Fenced { .. } | Self::Expired { .. } => ErrorKind::Fenced,
            Self::Ledger(error) => error.kind(),
            Self::Contention { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::Config(_) => ErrorKind::Config,
            Self::Arrow(_) | Self::Parquet(_) | Self::Bug(_) => ErrorKind::Bug,
        }
    }

    pub(crate) fn store(action: impl Into<String>) -> impl FnOnce(object_store::Error) -> Self {
        let action = action.into();
        move |source| Self::Store { action, source }
    }

    pub(crate) fn corrupt(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.to_string() }
    }
}

fn store_kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match error {
        // An object that the ledger or a log names is gone: nothing gets better by waiting.
        E::NotFound { .. } => ErrorKind::Corrupt,
        E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::UnknownConfigurationKey { .. }
        | E::InvalidPath { .. } => ErrorKind::Config,
        // Refused credentials are often being rotated; a full disk and a dead network pass too.
        _ => ErrorKind::Retry,
    }
}
