//! The embedded log: a durable log in a folder, for one process. `weft up` needs nothing else.
//!
//! Flow of an append: checked and encoded by the caller ([`EmbeddedLog`]) → queued for the one
//! writer thread (`embedded/writer.rs`), which makes a group of appends durable with one disk sync
//! → the partitions' ends, watched by their readers, move on → the append is answered. Reads go to
//! the storage engine directly (`embedded/store.rs`, which is all that knows it), a batch at a
//! time, on tokio's blocking threads.
//!
//! After a crash at any instant the log holds every answered append and, of those not answered,
//! whole groups or nothing. A full disk is answered as [`Error::DiskFull`] (kind `Retry`); reading
//! goes on, and so does writing once there is space.

mod consumer;
mod journal;
mod record;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use weft_env::{Clock, SystemClock};
use weft_model::{Offset, TopicPartition};

use self::consumer::{EmbeddedConsumer, Member};
use self::store::Store;
use self::writer::{Job, Writer};
use crate::{Consumer, Error, Log, NewRecord, partitioner};

/// More than this many partitions in a topic is a mistake: each is a tree of files.
const PARTITIONS: i32 = 1024;

/// Settings of the embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Largest record taken (key, value and headers), in bytes; 1 GiB at most.
    pub record_bytes: usize,
    /// How many bytes may wait for the disk before `append` answers that it can't take more.
    pub queue_bytes: usize,
    /// About how much is kept in memory before it goes from the journal into sorted files, in
    /// bytes, over all partitions; 8 MiB at least. Readers no further behind never touch the disk.
    pub memory_bytes: u64,
    /// Free space, in bytes, below which appends are refused: what the log needs to get its
    /// journals into sorted files. Less than `memory_bytes` risks having to reopen on a full disk.
    pub reserve_bytes: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { record_bytes: 64 << 20, queue_bytes: 256 << 20, memory_bytes: 192 << 20, reserve_bytes: 256 << 20 }
    }
}

impl EmbeddedConfig {
    fn check(&self) -> Result<(), Error> {
        if self.record_bytes == 0 || self.record_bytes > 1 << 30 {
            return Err(Error::Config(format!("record_bytes is {}, not 1 to 1073741824", self.record_bytes)));
        }
        if self.memory_bytes < 8 << 20 {
            return Err(Error::Config(format!("memory_bytes is {}, below 8388608", self.memory_bytes)));
        }
        Ok(())
    }
}

/// A durable log in a local folder. Cheap to clone; the folder is let go when the last clone,
/// consumer and reader are gone.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

/// What the log, its consumers and readers hold on to; dropping it stops the writer.
struct Inner {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    jobs: Option<mpsc::UnboundedSender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Bytes queued for the writer.
    queued: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
    groups: Mutex<Groups>,
    /// Held while a topic is being created.
    creating: Arc<Mutex<()>>,
}

/// Who consumes a group's topic at present.
type Groups = HashMap<(String, Arc<str>), Weak<Member>>;

/// What the writer thread shares with the rest.
struct Shared {
    dir: PathBuf,
    config: EmbeddedConfig,
    /// `None` while it is being opened anew, or couldn't be.
    store: RwLock<Option<Store>>,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// All partitions, in the order of the store's.
    slots: RwLock<Vec<Arc<Partition>>>,
}

#[derive(Debug)]
struct Topic {
    partitions: Vec<Arc<Partition>>,
    /// Whose turn it is among records without key.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Partition {
    tp: TopicPartition,
    slot: usize,
    first: AtomicI64,
    /// The offset of the next record; sent only once all before it are durable.
    next: watch::Sender<Offset>,
}

impl Partition {
    fn bounds(&self) -> (Offset, Offset) {
        let first = self.first.load(Ordering::Acquire);
        (first, (*self.next.borrow()).max(first))
    }
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or creates it. Blocks while the journal is read back (a second or so
    /// after a crash). Call within a tokio runtime or without, as you like.
    ///
    /// # Errors
    /// `Config` when another process has it open or the folder can't be used, `Corrupt` when it
    /// doesn't read back, `Retry` when the disk fails.
    pub fn open(dir: impl AsRef<Path>, config: EmbeddedConfig) -> Result<Self, Error> {
        Self::open_with_clock(dir, config, SystemClock::shared())
    }

    /// [`EmbeddedLog::open`] with the clock that stamps records without a time of their own.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_with_clock(
        dir: impl AsRef<Path>,
        config: EmbeddedConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        config.check()?;
        let dir = dir.as_ref().to_path_buf();
        std::fs::create_dir_all(&dir)
            .map_err(|error| Error::Config(format!("the log's folder {}: {error}", dir.display())))?;
        let store = Store::open(&dir, &config)?;
        let topics = store.topics()?;
        let shared = Arc::new(Shared {
            dir,
            config,
            store: RwLock::new(Some(store)),
            topics: RwLock::default(),
            slots: RwLock::default(),
        });
        for (name, partitions) in topics {
            shared.add_topic(&name, partitions)?;
        }
        let (jobs, receiver) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(Arc::clone(&shared), Arc::clone(&queued));
        let writer = std::thread::Builder::new()
            .name("weft-log-writer".into())
            .spawn(move || writer.run(receiver))
            .map_err(|error| Error::Unavailable(format!("no thread for the log's writer: {error}")))?;
        let inner = Inner {
            shared,
            jobs: Some(jobs),
            writer: Some(writer),
            queued,
            clock,
            groups: Mutex::default(),
            creating: Arc::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Shared {
    /// Opens a topic's partitions and makes it known.
    fn add_topic(&self, name: &Arc<str>, count: i32) -> Result<(), Error> {
        let mut guard = self.store.write();
        let store = guard.as_mut().ok_or(Error::Closed)?;
        let mut slots = self.slots.write();
        let attach = |store: &mut Store, slot: usize, partition: i32| {
            let tp = TopicPartition::new(Arc::clone(name), partition);
            store.attach(&tp)?;
            let first = store.first(&tp)?;
            let next = store.next(slot, first)?;
            Ok(Arc::new(Partition { tp, slot, first: AtomicI64::new(first), next: watch::channel(next).0 }))
        };
        let known = slots.len();
        let attached: Result<Vec<_>, Error> =
            (known..).zip(0..count).map(|(slot, partition)| attach(store, slot, partition)).collect();
        // Half a topic would shift the numbers of all that come after it.
        let partitions = attached.inspect_err(|_| store.detach_from(known))?;
        slots.extend(partitions.iter().map(Arc::clone));
        let topic = Topic { partitions, turn: AtomicUsize::new(0) };
        self.topics.write().insert(Arc::clone(name), Arc::new(topic));
        Ok(())
    }

    /// Closes the database and opens it again: the way on after a failed write.
    fn reopen(&self) -> Result<(), Error> {
        let mut guard = self.store.write();
        // The old one first: it holds the folder's lock.
        *guard = None;
        let mut store = Store::open(&self.dir, &self.config)?;
        let slots = self.slots.read();
        let mut ends = Vec::with_capacity(slots.len());
        for partition in slots.iter() {
            store.attach(&partition.tp)?;
            ends.push(store.next(partition.slot, partition.first.load(Ordering::Acquire))?);
        }
        for (partition, end) in slots.iter().zip(ends) {
            // The group that failed may be there whole; nothing that was answered may be gone.
            let known = *partition.next.borrow();
            if end < known {
                let reason =
                    format!("{} ends at {end} after reopening, and had been written up to {known}", partition.tp);
                return Err(Error::Corrupt { place: self.dir.display().to_string(), reason });
            }
            partition.next.send_replace(end);
        }
        *guard = Some(store);
        tracing::info!(dir = %self.dir.display(), "the log was opened anew after a failed write");
        Ok(())
    }

    fn with_store<T>(&self, work: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        let guard = self.store.read();
        let store =
            guard.as_ref().ok_or_else(|| Error::Unavailable(format!("{} is being opened anew", self.dir.display())))?;
        work(store)
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        self.topics.read().get(name).map(Arc::clone).ok_or_else(|| Error::UnknownTopic(name.into()))
    }

    fn partition(&self, tp: &TopicPartition) -> Result<Arc<Partition>, Error> {
        let topic = self.topic(&tp.topic)?;
        let partition = usize::try_from(tp.partition).ok().and_then(|index| topic.partitions.get(index));
        partition.map(Arc::clone).ok_or_else(|| Error::UnknownPartition(tp.clone()))
    }
}

impl Topic {
    fn partition_of(&self, record: &NewRecord) -> Result<&Partition, Error> {
        let count = self.partitions.len();
        let index = match (record.partition, &record.key) {
            (Some(partition), _) => usize::try_from(partition).unwrap_or(usize::MAX),
            (None, Some(key)) => partitioner::by_key(key, i32::try_from(count).unwrap_or(i32::MAX)) as usize,
            (None, None) => self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1),
        };
        self.partitions.get(index).map(Arc::as_ref).ok_or_else(|| {
            Error::UnknownPartition(TopicPartition::new(
                Arc::clone(&record.topic),
                record.partition.unwrap_or_default(),
            ))
        })
    }
}

impl Inner {
    /// Checks and encodes a request: all of it can be taken, or none.
    fn encode(&self, records: &[NewRecord]) -> Result<(Vec<(usize, bytes::Bytes)>, usize), Error> {
        let mut entries = Vec::with_capacity(records.len());
        let (mut bytes, limit) = (0, self.shared.config.record_bytes);
        let now_ms = self.clock.now_millis();
        let mut topic: Option<(&Arc<str>, Arc<Topic>)> = None;
        for record in records {
            if record.bytes() > limit {
                return Err(Error::TooLarge { topic: record.topic.to_string(), bytes: record.bytes(), limit });
            }
            let known = match topic.take() {
                Some((name, known)) if *name == record.topic => known,
                _ => self.shared.topic(&record.topic)?,
            };
            let slot = known.partition_of(record)?.slot;
            topic = Some((&record.topic, known));
            let stored = record::encode(record, now_ms);
            bytes += stored.len();
            entries.push((slot, stored));
        }
        Ok((entries, bytes))
    }

    async fn ask<T>(
        &self,
        bytes: usize,
        job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job,
    ) -> Result<T, Error> {
        let queued = self.queued.fetch_add(bytes, Ordering::Relaxed);
        // A request alone in the queue is taken whatever its size, or it never could be.
        if queued > 0 && queued + bytes > self.shared.config.queue_bytes {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Unavailable(format!(
                "{queued} bytes wait for the disk in {}",
                self.shared.dir.display()
            )));
        }
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(job(answer)).map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

/// Kafka's rule for topic names.
pub(crate) fn check_topic_name(topic: &str) -> Result<(), Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." || !topic.bytes().all(legal) {
        return Err(Error::BadTopicName(topic.into()));
    }
    Ok(())
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn ensure_topic(&self, topic: &str, partitions: i32) -> Result<i32, Error> {
        check_topic_name(topic)?;
        let known = |shared: &Shared| {
            shared.topic(topic).map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
        };
        if let Ok(count) = known(&self.inner.shared) {
            return Ok(count);
        }
        if !(1..=PARTITIONS).contains(&partitions) {
            return Err(Error::Rejected(format!(
                "topic {topic} with {partitions} partitions: 1 to {PARTITIONS} are possible"
            )));
        }
        let (shared, creating, name) =
            (Arc::clone(&self.inner.shared), Arc::clone(&self.inner.creating), Arc::<str>::from(topic));
        let create = move || {
            let _one_at_a_time = creating.lock();
            if let Ok(topic) = shared.topic(&name) {
                return Ok(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
            }
            shared.with_store(|store| store.create_topic(&name, partitions))?;
            shared.add_topic(&name, partitions)?;
            Ok(partitions)
        };
        tokio::task::spawn_blocking(create).await.map_err(|_| Error::Closed)?
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (entries, bytes) = self.inner.encode(&records)?;
        drop(records);
        self.inner.ask(bytes, |answer| Job::Append { entries, bytes, answer }).await
    }

    async fn consume(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, Error> {
        let mut held = HashMap::new();
        for topic in topics {
            for partition in &self.inner.shared.topic(topic)?.partitions {
                held.insert(partition.tp.clone(), Arc::clone(partition));
            }
        }
        let member = Member::new();
        let mut groups = self.inner.groups.lock();
        for topic in topics {
            let topic: Arc<str> = topic.as_str().into();
            let before = groups.insert((group.into(), Arc::clone(&topic)), Arc::downgrade(&member));
            if let Some(before) = before.and_then(|before| before.upgrade())
                && !Arc::ptr_eq(&before, &member)
            {
                before.lose(&topic);
            }
        }
        drop(groups);
        Ok(Box::new(EmbeddedConsumer::new(Arc::clone(&self.inner), member, held)))
    }

    async fn bounds(&self, tp: &TopicPartition) -> Result<(Offset, Offset), Error> {
        Ok(self.inner.shared.partition(tp)?.bounds())
    }

    async fn trim(&self, tp: &TopicPartition, before: Offset) -> Result<(), Error> {
        let partition = self.inner.shared.partition(tp)?;
        let (first, next) = partition.bounds();
        let (before, slot) = (before.min(next), partition.slot);
        if before <= first {
            return Ok(());
        }
        // The new first offset is durable before anything is deleted: it is what a restart counts
        // on from when all records of a partition are gone.
        self.inner.ask(0, |answer| Job::Trim { slot, first: before, answer }).await?;
        let shared = Arc::clone(&self.inner.shared);
        let work = move || shared.with_store(|store| store.drop_below(slot, before));
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when its queue is closed and empty; the folder's lock goes with it.
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(dir = %self.shared.dir.display(), "the log's writer had panicked");
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}
