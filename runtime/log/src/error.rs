//! The crate's error: what went wrong in words for the operator, and a kind for the caller.

use std::path::PathBuf;

use weft_model::{ErrorKind, TopicPartition};

/// What can go wrong between weft and its log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The log can't take or give records now; it may later.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The embedded log's disk is full. Nothing of the append was kept.
    #[error("the disk that holds the log in {dir} is full: {reason}; free some space, the log goes on by itself")]
    DiskFull {
        /// The log's folder.
        dir: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// No such topic.
    #[error("the log has no topic {0:?}")]
    UnknownTopic(String),
    /// The topic has fewer partitions.
    #[error("the log has no partition {0}")]
    UnknownPartition(TopicPartition),
    /// The name of a topic can't be used.
    #[error("topic name {0:?} is not one Kafka would take: 1 to 249 of letters, digits, '.', '_' and '-'")]
    BadTopicName(String),
    /// A record is larger than the log takes.
    #[error("a record of {bytes} bytes for {topic} is over the log's limit of {limit} bytes")]
    TooLarge {
        /// Where it was meant to go.
        topic: String,
        /// Its key, value and headers.
        bytes: usize,
        /// The most the log takes; 0 when only the broker knows.
        limit: usize,
    },
    /// The log refuses the records for good.
    #[error("the log refuses the records: {0}")]
    Rejected(String),
    /// The partition is not held by this consumer (any more).
    #[error("partition {0} is not assigned to this worker any more")]
    NotAssigned(TopicPartition),
    /// Another process has the embedded log's folder open.
    #[error("the log in {0} is in use by another process: stop it, or give this one a folder of its own")]
    Locked(PathBuf),
    /// The ledger's offset is past the log's end.
    #[error(
        "{tp} ends at offset {end}, but processing had reached {from}: the log was replaced or has lost records. Restore it, or start with a fresh data folder"
    )]
    BeyondEnd {
        /// The partition.
        tp: TopicPartition,
        /// The offset asked for.
        from: i64,
        /// The next offset to be written.
        end: i64,
    },
    /// Stored records don't read back.
    #[error("the log in {place} is damaged: {reason}")]
    Corrupt {
        /// Folder or partition.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting can't work.
    #[error("the log's configuration can't work: {0}")]
    Config(String),
    /// The log was closed, or a thread of it died.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) | Self::DiskFull { .. } | Self::Closed => ErrorKind::Retry,
            Self::UnknownTopic(_)
            | Self::UnknownPartition(_)
            | Self::BadTopicName(_)
            | Self::TooLarge { .. }
            | Self::Rejected(_) => ErrorKind::Reject,
            Self::NotAssigned(_) => ErrorKind::Fenced,
            Self::BeyondEnd { .. } | Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Locked(_) | Self::Config(_) => ErrorKind::Config,
        }
    }
}
