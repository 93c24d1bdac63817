//! Ids of the log and of epochs.

use std::fmt;
use std::sync::Arc;

/// Position of a record in a partition of the log. The first record of a partition has offset 0.
pub type Offset = i64;

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What one worker makes durable at once. Unique across workers and restarts: `worker` is drawn
/// afresh at every start. It is written into the name of each file of the epoch, which is how a
/// query tells that a hot row is already among the committed ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch {
    /// The worker's id for this run: 32 lower-case hex digits.
    pub worker: Arc<str>,
    /// Counts from 1 within a run.
    pub sequence: u64,
}

impl Epoch {
    /// The name of a data file of this epoch; `part` numbers the files of one table, from 0.
    pub fn file_name(&self, part: usize) -> String {
        format!("{}-{:08}-{part:03}.parquet", self.worker, self.sequence)
    }

    /// The epoch that wrote a data file, by its name (folders before it are ignored); `None` for
    /// files that compaction wrote, which no hot row can belong to.
    pub fn of_file(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        let mut parts = name.strip_suffix(".parquet")?.split('-');
        let (worker, sequence, _part) = (parts.next()?, parts.next()?, parts.next()?);
        if worker.len() != 32 || parts.next().is_some() {
            return None;
        }
        Some(Self { worker: worker.into(), sequence: sequence.parse().ok()? })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08}", self.worker, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::Epoch;

    #[test]
    fn a_file_name_names_its_epoch() {
        let epoch = Epoch { worker: "0123456789abcdef0123456789abcdef".into(), sequence: 7 };
        assert_eq!(Epoch::of_file(&format!("a/b/{}", epoch.file_name(3))), Some(epoch));
        assert_eq!(Epoch::of_file("compacted-1.parquet"), None);
        assert_eq!(Epoch::of_file("part-00000-0123.snappy.parquet"), None);
    }
}
