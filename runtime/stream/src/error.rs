//! What can go wrong in a worker.

use weft_model::{ErrorKind, TopicPartition};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting can't work.
    #[error("{0}")]
    Config(String),
    /// Stages of the topology can't run; every one is named.
    #[error("topology {topology} can't run:{}", .problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
    Topology {
        /// The topology's name.
        topology: String,
        /// What is wrong with which stage, and what to do.
        problems: Vec<String>,
    },
    /// A partition's modules can't be started where the ledger stands.
    #[error("{partition} can't be started: {reason}")]
    Open {
        /// The partition.
        partition: TopicPartition,
        /// Why, and what to do.
        reason: String,
        /// What the caller should do.
        kind: ErrorKind,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] weft_log::Error),
    /// The tables or their store.
    #[error(transparent)]
    Table(#[from] weft_table::Error),
    /// A module or the Wasm engine.
    #[error(transparent)]
    Wasm(#[from] weft_wasm::Error),
    /// Shutting down took longer than allowed: what is pending is read again at the next start.
    #[error("stopped before all was committed, {0}: it is in the log and is processed at the next start")]
    Unfinished(String),
    /// The worker has stopped.
    #[error("the worker has stopped")]
    Stopped,
    /// An invariant of ours was broken.
    #[error("{0}")]
    Bug(String),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Topology { .. } => ErrorKind::Config,
            Self::Open { kind, .. } => *kind,
            Self::Log(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::Wasm(error) => error.kind(),
            Self::Unfinished(_) | Self::Stopped => ErrorKind::Retry,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}
