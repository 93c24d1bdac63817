//! Reading from Kafka: a member of a consumer group on a thread of its own, and a reader per
//! partition on librdkafka's partition queue.
//!
//! The thread polls the group's queue: rebalances, errors, liveness. A partition that is assigned
//! is paused at once; [`KafkaConsumer::open`] seeks to the ledger's offset, splits off the
//! partition's queue and resumes. So nothing is fetched from a committed offset, and the records of
//! one partition never wait for another's. A reader drains its queue in the caller's task: fetching
//! and decompressing happen on librdkafka's threads, what is left is a copy. The queue wakes the
//! reader when it stops being empty.
//!
//! Giving partitions back is not delayed until the worker has finished with them: its ledger entry
//! is fenced if another worker was faster (see the design's "Exactly once").

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync_mpsc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};
use weft_model::{Offset, TopicPartition};

use super::client::{self, Watch};
use super::failure::explain;
use super::{KafkaConfig, OffsetReset};
use crate::header_names::Names;
use crate::{Assignment, Consumer, Error, PartitionReader, Record};

/// How long the group's thread sleeps in librdkafka at most: what stopping it takes.
const POLL: Duration = Duration::from_millis(50);
/// A reader looks again after this even if the queue didn't wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long dropping a consumer waits for it to leave its group.
const LEAVE: Duration = Duration::from_secs(3);

/// The client type, with our callbacks.
type Client = BaseConsumer<Group>;

/// What the group's callbacks, its consumer and its readers share.
#[derive(Default)]
struct Held {
    slots: Mutex<HashMap<TopicPartition, Arc<Slot>>>,
}

/// A partition while it is assigned.
struct Slot {
    tp: TopicPartition,
    queue: Mutex<SlotQueue>,
    /// The queue isn't empty any more, or the partition isn't ours any more.
    wake: Arc<Notify>,
}

#[derive(Default)]
struct SlotQueue {
    queue: Option<PartitionQueue<Group>>,
    /// Counts openings: only the last one's reader reads.
    opened: u64,
    revoked: bool,
}

/// The group's callbacks; they run on its thread.
struct Group {
    watch: Watch,
    held: Arc<Held>,
    changes: mpsc::UnboundedSender<Result<Assignment, Error>>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &Client, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let list = partitions
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let change = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions).map(|()| self.add(list))
        } else {
            // Readers first: nothing of the partition may be read once another can have it.
            let change = self.remove(list);
            unassign(consumer, partitions).map(|()| change)
        };
        let change = change.map_err(|error| explain("taking part in the consumer group", &error));
        // The consumer may be on its way out.
        let _ = self.changes.send(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "Kafka did not take the offsets; they are only a hint");
        }
    }
}

impl Group {
    fn assign(&self, consumer: &Client, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
        // Paused before and after: before, so that nothing is fetched in between; after, because
        // a partition not known yet can't be paused before.
        let _ = consumer.pause(&partitions.clone());
        // Any position will do until the partition is opened, but it must not be a logical one
        // (the end, the committed one): librdkafka looks those up, and when a seek comes in
        // between it looks them up *again*, half a second after the seek, and goes there.
        partitions.set_all_offsets(KafkaOffset::Offset(0))?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions)?,
            _ => consumer.assign(partitions)?,
        }
        consumer.pause(partitions)
    }

    fn add(&self, added: Vec<TopicPartition>) -> Assignment {
        let mut slots = self.held.slots.lock();
        for tp in &added {
            let slot = Slot { tp: tp.clone(), queue: Mutex::default(), wake: Arc::default() };
            slots.insert(tp.clone(), Arc::new(slot));
        }
        Assignment { added, removed: Vec::new() }
    }

    fn remove(&self, removed: Vec<TopicPartition>) -> Assignment {
        let mut slots = self.held.slots.lock();
        for tp in &removed {
            if let Some(slot) = slots.remove(tp) {
                slot.revoke();
            }
        }
        Assignment { added: Vec::new(), removed }
    }
}

fn unassign(consumer: &Client, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

impl Slot {
    fn revoke(&self) {
        let mut queue = self.queue.lock();
        queue.revoked = true;
        queue.queue = None;
        drop(queue);
        self.wake.notify_one();
    }
}

/// A member of a consumer group.
pub(super) struct KafkaConsumer {
    /// `None` only while dropping.
    client: Option<Arc<Client>>,
    held: Arc<Held>,
    changes: mpsc::UnboundedReceiver<Result<Assignment, Error>>,
    stop: Arc<AtomicBool>,
    stopped: Mutex<sync_mpsc::Receiver<()>>,
    reset: OffsetReset,
    timeout: Duration,
}

impl KafkaConsumer {
    /// Joins `group`; blocks only to start threads.
    pub(super) fn join(config: &KafkaConfig, group: &str, topics: &[String]) -> Result<Self, Error> {
        let mut properties = client::properties(config)?;
        let set_unless_given = [
            ("session.timeout.ms", "10000".to_owned()),
            ("heartbeat.interval.ms", "3000".to_owned()),
            ("queued.max.messages.kbytes", (config.fetch_bytes / 1024).max(1).to_string()),
            ("queued.min.messages", "1000000".to_owned()),
            ("fetch.message.max.bytes", "4194304".to_owned()),
            ("fetch.wait.max.ms", "100".to_owned()),
            ("fetch.queue.backoff.ms", "10".to_owned()),
            ("socket.nagle.disable", "true".to_owned()),
        ];
        for (name, value) in set_unless_given {
            if !config.properties.contains_key(name) {
                properties.set(name, value);
            }
        }
        properties
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", if config.offset_reset == OffsetReset::Error { "error" } else { "earliest" })
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("allow.auto.create.topics", "false");
        let held = Arc::<Held>::default();
        let (sender, changes) = mpsc::unbounded_channel();
        let context = Group { watch: Watch::default(), held: Arc::clone(&held), changes: sender.clone() };
        let failed = |error| explain(&format!("joining the consumer group {group}"), &error);
        let client: Arc<Client> =
            Arc::new(BaseConsumer::from_config_and_context(&properties, context).map_err(failed)?);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, stopped) = sync_mpsc::channel();
        let thread = GroupThread {
            client: Arc::clone(&client),
            held: Arc::clone(&held),
            changes: sender,
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new()
            .name("weft-kafka-group".into())
            .spawn(move || {
                thread.run();
                drop(stopping);
            })
            .map_err(|error| Error::Unavailable(format!("no thread for the consumer group: {error}")))?;
        let timeout = Duration::from_millis(config.timeout_ms.into());
        Ok(Self {
            client: Some(client),
            held,
            changes,
            stop,
            stopped: Mutex::new(stopped),
            reset: config.offset_reset,
            timeout,
        })
    }

    fn client(&self) -> Result<&Arc<Client>, Error> {
        self.client.as_ref().ok_or(Error::Closed)
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        // The thread's must be the last reference: giving it up means leaving the group, which
        // takes a while and runs the callbacks.
        self.client = None;
        self.stop.store(true, Ordering::Release);
        // Others take over at once when we left, and after the session timeout when we didn't.
        let _ = self.stopped.lock().recv_timeout(LEAVE);
    }
}

/// The thread that keeps the membership alive.
struct GroupThread {
    client: Arc<Client>,
    held: Arc<Held>,
    changes: mpsc::UnboundedSender<Result<Assignment, Error>>,
    stop: Arc<AtomicBool>,
}

impl GroupThread {
    fn run(self) {
        while !self.stop.load(Ordering::Acquire) {
            match self.client.poll(POLL) {
                None => {}
                // Fetched in the moment between the assignment and the pause; read again later.
                Some(Ok(message)) => {
                    tracing::trace!(offset = message.offset(), "a record before its partition was opened")
                }
                Some(Err(error)) => self.report(&error),
            }
        }
        let slots: Vec<_> = self.held.slots.lock().drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            slot.revoke();
        }
    }

    /// What passes by itself is for the log; the rest is for whoever awaits the assignment.
    fn report(&self, error: &KafkaError) {
        let explained = explain("in the consumer group", error);
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        if fatal || matches!(explained, Error::Config(_)) {
            let _ = self.changes.send(Err(explained));
        } else {
            tracing::info!(%error, "the Kafka consumer has a passing problem");
        }
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn assignment(&mut self) -> Result<Assignment, Error> {
        self.changes.recv().await.ok_or(Error::Closed)?
    }

    async fn open(&mut self, tp: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>, Error> {
        let slot = self.held.slots.lock().get(tp).map(Arc::clone).ok_or_else(|| Error::NotAssigned(tp.clone()))?;
        let (client, reset, timeout) = (Arc::clone(self.client()?), self.reset, self.timeout);
        let open = move || Reader::open(&client, slot, from, reset, timeout);
        let reader = tokio::task::spawn_blocking(open).await.map_err(|_| Error::Closed)??;
        Ok(Box::new(reader))
    }

    async fn commit(&self, offsets: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        let held = self.held.slots.lock();
        for (tp, offset) in offsets.iter().filter(|(tp, _)| held.contains_key(tp)) {
            if let Err(error) = list.add_partition_offset(&tp.topic, tp.partition, KafkaOffset::Offset(*offset)) {
                tracing::debug!(%error, %tp, offset, "not an offset Kafka can keep");
            }
        }
        drop(held);
        if list.count() > 0
            && let Err(error) = self.client()?.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "Kafka did not take the offsets; they are only a hint");
        }
        Ok(())
    }
}

/// Reads a partition's queue.
struct Reader {
    slot: Arc<Slot>,
    opened: u64,
    /// The lowest offset not yet answered. What is below was answered or belongs to an earlier
    /// position of the queue.
    next: Offset,
    /// An error that came behind records: answered by the next call.
    pending: Option<Error>,
    names: Names,
}

impl Reader {
    fn open(
        client: &Arc<Client>,
        slot: Arc<Slot>,
        from: Offset,
        reset: OffsetReset,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let tp = slot.tp.clone();
        let failed = |error: KafkaError| explain(&format!("opening {tp}"), &error);
        let (first, end) = client::watermarks(client, &tp, timeout).map_err(failed)?;
        if from > end {
            return Err(Error::BeyondEnd { tp, from, end });
        }
        let position = if from < first { deleted(&tp, from, (first, end), reset)? } else { from };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&tp.topic, tp.partition);

        let mut state = slot.queue.lock();
        if state.revoked {
            return Err(Error::NotAssigned(tp));
        }
        // A reader before this one ends here.
        state.opened += 1;
        state.queue = None;
        let opened = state.opened;
        drop(state);
        client.pause(&list).map_err(failed)?;
        seek(client, &slot, position, timeout)?;

        let mut state = slot.queue.lock();
        if state.revoked || state.opened != opened {
            return Err(Error::NotAssigned(tp));
        }
        let mut queue =
            client.split_partition_queue(&tp.topic, tp.partition).ok_or_else(|| Error::NotAssigned(tp.clone()))?;
        let wake = Arc::clone(&slot.wake);
        queue.set_nonempty_callback(move || wake.notify_one());
        state.queue = Some(queue);
        client.resume(&list).map_err(failed)?;
        drop(state);
        // librdkafka's thread for the partition's broker may sleep for up to a second before it
        // sees that there is something to fetch again; a request through it wakes it. Only that
        // matters here: if it fails, reading starts a little later.
        let _ = client.fetch_watermarks(&tp.topic, tp.partition, timeout);
        Ok(Self { slot, opened, next: position, pending: None, names: Names::default() })
    }

    /// What the queue holds now, up to the limits.
    fn drain(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, Error> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let state = self.slot.queue.lock();
        let Some(queue) = state.queue.as_ref().filter(|_| !state.revoked && state.opened == self.opened) else {
            return Err(Error::NotAssigned(self.slot.tp.clone()));
        };
        let mut messages: Vec<BorrowedMessage<'_>> = Vec::new();
        let (mut bytes, mut after) = (0, self.next);
        while messages.len() < max_records && bytes < max_bytes {
            match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) if message.offset() < after => {}
                Some(Ok(message)) => {
                    after = message.offset() + 1;
                    bytes += payload_bytes(&message);
                    messages.push(message);
                }
                // Not asked for, and no error.
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => {
                    let error = reading_failed(&self.slot.tp, &error);
                    if messages.is_empty() {
                        return Err(error);
                    }
                    self.pending = Some(error);
                    break;
                }
            }
        }
        // One buffer for the whole batch; the records share it.
        let mut buffer = BytesMut::with_capacity(bytes);
        let records = messages.iter().map(|message| own(message, &mut buffer, &mut self.names)).collect();
        self.next = after;
        Ok(records)
    }
}

/// Where to start when Kafka has deleted what comes after `from`. A partition that was never read
/// starts wherever Kafka does.
fn deleted(
    tp: &TopicPartition,
    from: Offset,
    (first, end): (Offset, Offset),
    reset: OffsetReset,
) -> Result<Offset, Error> {
    let position = match reset {
        _ if from <= 0 => return Ok(first),
        OffsetReset::Earliest => first,
        OffsetReset::Latest => end,
        OffsetReset::Error => {
            let reason =
                format!("processing had reached offset {from}, and Kafka has deleted all below {first} unread");
            return Err(Error::Corrupt { place: tp.to_string(), reason });
        }
    };
    tracing::error!(%tp, from, first, position, "Kafka's retention deleted records before they were read; going on without them");
    Ok(position)
}

/// Seeks once librdkafka has started on the partition, which it does a moment after it was assigned.
fn seek(client: &Client, slot: &Slot, position: Offset, timeout: Duration) -> Result<(), Error> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let Err(error) = client.seek(&slot.tp.topic, slot.tp.partition, KafkaOffset::Offset(position), timeout) else {
            return Ok(());
        };
        if slot.queue.lock().revoked {
            return Err(Error::NotAssigned(slot.tp.clone()));
        }
        if std::time::Instant::now() > deadline {
            return Err(explain(&format!("seeking {} to {position}", slot.tp), &error));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn reading_failed(tp: &TopicPartition, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => Error::Corrupt {
            place: tp.to_string(),
            reason: "the offset that processing had reached is not in Kafka any more".into(),
        },
        Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression) => {
            Error::Corrupt { place: tp.to_string(), reason: error.to_string() }
        }
        _ => explain(&format!("reading {tp}"), error),
    }
}

fn payload_bytes(message: &BorrowedMessage<'_>) -> usize {
    let headers =
        message.headers().map_or(0, |headers| headers.iter().map(|header| header.value.map_or(0, <[u8]>::len)).sum());
    message.key_len() + message.payload_len() + headers
}

/// The message's parts in `buffer`, which has room for them.
fn own(message: &BorrowedMessage<'_>, buffer: &mut BytesMut, names: &mut Names) -> Record {
    let mut copy = |bytes: &[u8]| -> Bytes {
        buffer.extend_from_slice(bytes);
        buffer.split().freeze()
    };
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (names.intern(header.key), copy(header.value.unwrap_or_default()))).collect()
    });
    Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(&mut copy),
        value: copy(message.payload().unwrap_or_default()),
        headers,
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn read(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            let records = self.drain(max_records.max(1), max_bytes.max(1))?;
            if !records.is_empty() || Instant::now() >= deadline {
                return Ok(records);
            }
            // Woken or not, the next look decides.
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), self.slot.wake.notified()).await;
        }
    }
}
