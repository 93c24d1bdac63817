//! Appending to Kafka: idempotent, acknowledged by all in-sync replicas, a whole request at a time.
//!
//! Records go into librdkafka's queue, which batches and compresses them by partition; each carries
//! a ticket back to its request, and the request is answered when the last ticket is in. No future
//! is made per record.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_model::Offset;

use super::KafkaConfig;
use super::client::{self, Watch};
use super::failure::{by_code, explain};
use crate::{Error, NewRecord};

/// Room for a record's own overhead over key, value and headers, in the broker's arithmetic.
pub(super) const OVERHEAD_BYTES: usize = 64 * 1024;

/// How long to wait before trying again to queue a record that found the queue full.
const QUEUE_RETRY: Duration = Duration::from_millis(2);

/// The producer, replaced when librdkafka gives it up for good.
pub(super) struct Producer {
    properties: ClientConfig,
    current: RwLock<Arc<ThreadedProducer<Acks>>>,
    timeout: Duration,
}

impl Producer {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, Error> {
        let mut properties = client::properties(config)?;
        let set_unless_given = [
            ("linger.ms", config.linger_ms.to_string()),
            ("compression.type", config.compression.clone()),
            ("message.timeout.ms", config.timeout_ms.to_string()),
            ("message.max.bytes", (config.record_bytes + OVERHEAD_BYTES).to_string()),
            ("queue.buffering.max.kbytes", (config.queue_bytes / 1024).max(1).to_string()),
            ("queue.buffering.max.messages", "1000000".to_owned()),
            ("socket.nagle.disable", "true".to_owned()),
        ];
        for (name, value) in set_unless_given {
            if !config.properties.contains_key(name) {
                properties.set(name, value);
            }
        }
        properties.set("acks", "all").set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        let current = RwLock::new(Arc::new(create(&properties)?));
        Ok(Self { properties, current, timeout: Duration::from_millis(config.timeout_ms.into()) })
    }

    /// Appends all; answers partition and offset of each.
    pub(super) async fn append(&self, records: &[NewRecord]) -> Result<Vec<(i32, Offset)>, Error> {
        let producer = Arc::clone(&self.current.read());
        let (request, answered) = Request::new(records.len());
        let deadline = Instant::now() + self.timeout;
        for (index, record) in records.iter().enumerate() {
            while let Err(error) = send(&producer, &request, index, record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if full && Instant::now() < deadline {
                    tokio::time::sleep(QUEUE_RETRY).await;
                    continue;
                }
                self.replace_if_dead(&producer);
                return Err(explain(&format!("appending to {}", record.topic), &error));
            }
        }
        let outcome = answered.await.map_err(|_| Error::Closed)?;
        outcome.inspect_err(|_| self.replace_if_dead(&producer))
    }

    /// An idempotent producer that lost track of its sequence refuses everything from then on.
    fn replace_if_dead(&self, dead: &Arc<ThreadedProducer<Acks>>) {
        let Some((code, reason)) = dead.client().fatal_error() else { return };
        let mut current = self.current.write();
        if !Arc::ptr_eq(&current, dead) {
            return;
        }
        tracing::warn!(%code, reason, "the Kafka producer gave up; starting another");
        match create(&self.properties) {
            Ok(fresh) => *current = Arc::new(fresh),
            Err(error) => tracing::error!(%error, "no new Kafka producer"),
        }
    }
}

fn create(properties: &ClientConfig) -> Result<ThreadedProducer<Acks>, Error> {
    ThreadedProducer::from_config_and_context(properties, Acks::default())
        .map_err(|error| explain("starting the Kafka producer", &error))
}

fn send(
    producer: &ThreadedProducer<Acks>,
    request: &Arc<Request>,
    index: usize,
    record: &NewRecord,
) -> Result<(), KafkaError> {
    let ticket = Box::new(Ticket { request: Arc::clone(request), index });
    let mut message =
        BaseRecord::<[u8], [u8], Box<Ticket>>::with_opaque_to(&record.topic, ticket).payload(&record.value[..]);
    if let Some(partition) = record.partition {
        message = message.partition(partition);
    }
    if let Some(key) = &record.key {
        message = message.key(&key[..]);
    }
    if let Some(timestamp_ms) = record.timestamp_ms {
        message = message.timestamp(timestamp_ms);
    }
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |headers: OwnedHeaders, (name, value): &(Arc<str>, bytes::Bytes)| {
            headers.insert(Header { key: name, value: Some(&value[..]) })
        };
        message = message.headers(record.headers.iter().fold(headers, add));
    }
    producer.send(message).map_err(|(error, _)| error)
}

/// Partition and offset of each record of a request.
type Answer = Result<Vec<(i32, Offset)>, Error>;

/// A request under way.
struct Request {
    progress: Mutex<Progress>,
}

struct Progress {
    offsets: Vec<(i32, Offset)>,
    left: usize,
    failure: Option<Error>,
    answer: Option<oneshot::Sender<Answer>>,
}

/// A record's way back to its request.
struct Ticket {
    request: Arc<Request>,
    index: usize,
}

impl Request {
    fn new(records: usize) -> (Arc<Self>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let progress =
            Progress { offsets: vec![(-1, -1); records], left: records, failure: None, answer: Some(answer) };
        (Arc::new(Self { progress: Mutex::new(progress) }), answered)
    }

    fn complete(&self, index: usize, outcome: Result<(i32, Offset), Error>) {
        let mut progress = self.progress.lock();
        match outcome {
            Ok(place) => progress.offsets[index] = place,
            // The first failure is the cause, the others follow from it.
            Err(error) => drop(progress.failure.get_or_insert(error)),
        }
        progress.left -= 1;
        if progress.left == 0
            && let Some(answer) = progress.answer.take()
        {
            let outcome = match progress.failure.take() {
                None => Ok(std::mem::take(&mut progress.offsets)),
                Some(error) => Err(error),
            };
            // Nobody waiting any more is not an error: the future was dropped.
            let _ = answer.send(outcome);
        }
    }
}

/// Takes the delivery reports, on the producer's own thread.
#[derive(Default)]
struct Acks {
    watch: Watch,
}

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, message)) => {
                let doing = format!("appending to {}", message.topic());
                let mut failure = match error.rdkafka_error_code() {
                    Some(code) => by_code(&doing, code),
                    None => explain(&doing, error),
                };
                if let (Error::Unavailable(what), Some((code, reason))) = (&failure, self.watch.take()) {
                    failure = match by_code(&doing, code) {
                        Error::Config(_) => Error::Config(format!("{what} ({reason})")),
                        _ => Error::Unavailable(format!("{what} ({reason})")),
                    };
                }
                Err(failure)
            }
        };
        ticket.request.complete(ticket.index, outcome);
    }
}
