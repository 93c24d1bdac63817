//! The trait of the input log, and the records that go through it.
//!
//! Three objects, from long-lived to short: a [`Log`] per process, a [`Consumer`] per worker (a
//! member of a consumer group), a [`PartitionReader`] per assigned partition. Everything is
//! batch-wise: one call moves many records, and no future is made per record.
//!
//! What every implementation promises, and `conformance` checks:
//! - [`Log::append`] returns when the records are durable; what it answered survives SIGKILL and,
//!   as far as the disk or the brokers keep their word, power loss.
//! - Records of one partition are read in offset order, each once, from the offset asked for.
//!   Offsets ascend but need not be contiguous (Kafka's compaction and transaction markers leave
//!   gaps); the embedded log's are contiguous.
//! - Every `async fn` here is cancel-safe: dropping a future loses no record and no assignment
//!   change. A dropped `append` may or may not have been written.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use weft_model::{Offset, TopicPartition};

use crate::Error;

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch: the producer's time, or the log's where it gave none.
    pub timestamp_ms: i64,
    /// `None` and empty are different keys.
    pub key: Option<Bytes>,
    /// The payload. A Kafka tombstone (null value) reads as empty.
    pub value: Bytes,
    /// In the order written; names may repeat.
    pub headers: Vec<(Arc<str>, Bytes)>,
}

impl Record {
    /// What it counts towards `max_bytes` of [`PartitionReader::read`]: key, value and headers.
    pub fn bytes(&self) -> usize {
        payload_bytes(self.key.as_ref(), &self.value, &self.headers)
    }
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic; it must exist (see [`Log::ensure_topic`]).
    pub topic: Arc<str>,
    /// `None`: by the key's hash (murmur2, as Kafka's own clients do), or round robin without key.
    pub partition: Option<i32>,
    /// See [`Record::key`].
    pub key: Option<Bytes>,
    /// The payload, possibly empty.
    pub value: Bytes,
    /// See [`Record::headers`].
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Milliseconds since the Unix epoch; `None`: now.
    pub timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// A record without key, headers or partition of its own.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: value.into(),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// The same for partition `partition`.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Its key, value and headers in bytes.
    pub fn bytes(&self) -> usize {
        payload_bytes(self.key.as_ref(), &self.value, &self.headers)
    }
}

fn payload_bytes(key: Option<&Bytes>, value: &Bytes, headers: &[(Arc<str>, Bytes)]) -> usize {
    key.map_or(0, Bytes::len)
        + value.len()
        + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

/// A change of the partitions a consumer holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Newly held: open each at the ledger's offset.
    pub added: Vec<TopicPartition>,
    /// No longer held: stop reading, drop what is pending; its readers answer
    /// [`ErrorKind::Fenced`](weft_model::ErrorKind::Fenced) from now on. Another worker may own it
    /// already.
    pub removed: Vec<TopicPartition>,
}

/// The input log.
#[async_trait]
pub trait Log: Send + Sync + Debug {
    /// Creates `topic` with `partitions` partitions when it is absent; answers how many there are.
    /// An existing topic is left as it is, however many it has.
    ///
    /// # Errors
    /// `Reject` for a name the log can't hold, `Retry` when it can't be reached.
    async fn ensure_topic(&self, topic: &str, partitions: i32) -> Result<i32, Error>;

    /// Appends all of `records`, in order within each partition; answers partition and offset of
    /// each, in the order given, once all are durable.
    ///
    /// # Errors
    /// `Retry` when the log can't take them now: none, some or all may have been written (the
    /// embedded log: none, or, when the disk failed at the very end, possibly all). `Reject` when
    /// one can never be taken (unknown topic or partition, too big): nothing was written by the
    /// embedded log.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>, Error>;

    /// Joins `group` as a consumer of `topics`.
    ///
    /// # Errors
    /// `Reject` for a topic that does not exist, `Config` or `Retry` when the group can't be joined.
    async fn consume(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, Error>;

    /// The first offset still kept and the one the next record will get. Equal when empty.
    ///
    /// # Errors
    /// `Reject` for an unknown partition, `Retry` when it can't be asked.
    async fn bounds(&self, tp: &TopicPartition) -> Result<(Offset, Offset), Error>;

    /// Records below `before` are needed no more. The embedded log frees their space; Kafka keeps
    /// to its topic's own retention and does nothing.
    ///
    /// # Errors
    /// `Reject` for an unknown partition, `Retry` when the disk fails.
    async fn trim(&self, tp: &TopicPartition, before: Offset) -> Result<(), Error>;
}

/// A member of a consumer group.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next change of the partitions held. The first answer holds the first
    /// assignment. Changes queue up while nobody waits; none is lost or held up by that.
    ///
    /// # Errors
    /// `Retry` when the group's coordinator fails for good, `Config` when it refuses us.
    async fn assignment(&mut self) -> Result<Assignment, Error>;

    /// Starts reading a partition that is held, at `from`. Where records below the first kept one
    /// are asked for, reading starts at the first kept one. Opening again replaces the reader
    /// before: the old one answers `Fenced`.
    ///
    /// # Errors
    /// `Fenced` when the partition is not held (any more), `Retry` when it can't be reached,
    /// `Corrupt` when `from` lies beyond the end: records that were processed are gone.
    async fn open(&mut self, tp: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>, Error>;

    /// Tells the log which offset comes next in each partition, for lag monitors. A hint: returns
    /// before it is stored, and a failure is logged and forgotten.
    ///
    /// # Errors
    /// When the consumer itself is closed.
    async fn commit(&self, offsets: &[(TopicPartition, Offset)]) -> Result<(), Error>;
}

/// Reads one partition, in order.
#[async_trait]
pub trait PartitionReader: Send {
    /// The next records: at most `max_records`, and about `max_bytes` (always at least one record,
    /// however big). Waits up to `wait` for the first one, never for more; empty when none came.
    /// Cancel-safe: what was not answered is answered by the next call.
    ///
    /// # Errors
    /// `Fenced` once the partition is no longer held, `Retry` for passing failures (call again),
    /// `Corrupt` when a record doesn't read back.
    async fn read(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, Error>;
}
