//! The log as Apache Kafka, through librdkafka.
//!
//! - Appending (`kafka/producer.rs`): idempotent, `acks=all`, answered per request.
//! - Reading (`kafka/consumer.rs`): consumer groups with cooperative-sticky assignment, each
//!   partition from its own queue, batch-wise, `read_committed`, always from the offset asked for.
//! - Here: the settings, the connection, topics and watermarks.
//!
//! Blocking calls of librdkafka run on tokio's blocking threads.

mod client;
mod consumer;
mod failure;
mod producer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::{Deserialize, Serialize};
use weft_model::{Offset, TopicPartition};

use self::client::Watch;
use self::consumer::KafkaConsumer;
use self::failure::{by_code, explain};
use self::producer::Producer;
use crate::embedded::check_topic_name;
use crate::{Consumer, Error, Log, NewRecord};

/// How long a topic just created may take to have leaders everywhere.
const CREATED: Duration = Duration::from_secs(15);

/// Where to start when the offset asked for is not in Kafka any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// At the first record kept: what was deleted unread is lost, the rest is not.
    #[default]
    Earliest,
    /// At the next record to be written, if it shows when a partition is opened; a reader that is
    /// overtaken by the deletion goes on at the first record kept.
    Latest,
    /// Nowhere: reading ends with an error of kind `Corrupt`.
    Error,
}

/// Settings of the connection to Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated: `bootstrap.servers`.
    pub brokers: String,
    /// Where reading starts when the ledger's offset has been deleted by Kafka's retention.
    pub offset_reset: OffsetReset,
    /// Copies of each record for topics weft creates; -1 takes the broker's default.
    pub replication_factor: i32,
    /// Largest record taken (key, value and headers), in bytes; topics weft creates allow it.
    pub record_bytes: usize,
    /// `compression.type` of what weft writes: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// How long, in ms, the producer waits for more records to send along.
    pub linger_ms: u32,
    /// Bytes waiting to be sent, over all topics, before appends wait.
    pub queue_bytes: usize,
    /// Bytes fetched ahead of the reader, per partition.
    pub fetch_bytes: usize,
    /// How long, in ms, an append or any other request may take before it fails as `Retry`.
    pub timeout_ms: u32,
    /// Any other property of librdkafka, by its own name: SASL, TLS, buffer sizes. Those that
    /// exactly-once rests on (`enable.auto.commit`, `isolation.level`, `acks`, …) can't be set.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".into(),
            offset_reset: OffsetReset::Earliest,
            replication_factor: -1,
            record_bytes: 16 << 20,
            compression: "lz4".into(),
            linger_ms: 5,
            queue_bytes: 128 << 20,
            fetch_bytes: 16 << 20,
            timeout_ms: 30_000,
            properties: BTreeMap::new(),
        }
    }
}

/// Apache Kafka as the log. Cheap to clone.
#[derive(Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    config: KafkaConfig,
    producer: Producer,
    /// For metadata and watermarks; a member of no group.
    lookup: Lookup,
    admin: AdminClient<DefaultClientContext>,
}

type Lookup = BaseConsumer<Watch>;

impl ConsumerContext for Watch {}

impl KafkaLog {
    /// Connects, and checks that a broker answers.
    ///
    /// # Errors
    /// `Config` for settings librdkafka or the brokers refuse, `Retry` when no broker answers.
    pub async fn connect(config: KafkaConfig) -> Result<Self, Error> {
        let mut properties = client::properties(&config)?;
        let producer = Producer::new(&config)?;
        let admin: AdminClient<DefaultClientContext> =
            properties.create().map_err(|error| explain("starting the Kafka admin client", &error))?;
        properties.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
        let lookup = Lookup::from_config_and_context(&properties, Watch::default())
            .map_err(|error| explain("starting the Kafka client", &error))?;
        let log = Self { inner: Arc::new(Inner { config, producer, lookup, admin }) };
        log.blocking(|inner| {
            let doing = format!("connecting to Kafka at {}", inner.config.brokers);
            inner.lookup.fetch_metadata(None, inner.timeout()).map(drop).map_err(|error| inner.why(&doing, &error))
        })
        .await?;
        Ok(log)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|_| Error::Closed)?
    }

    /// How many partitions a topic has, all with a leader; 0 when it doesn't exist.
    async fn partitions(&self, topic: &str) -> Result<i32, Error> {
        let topic = topic.to_owned();
        self.blocking(move |inner| inner.partitions(&topic)).await
    }

    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let Inner { config, admin, .. } = &*self.inner;
        let max_bytes = (config.record_bytes + producer::OVERHEAD_BYTES).to_string();
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(config.replication_factor))
            .set("max.message.bytes", &max_bytes);
        let timeout = Some(self.inner.timeout());
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        let doing = format!("creating topic {topic}");
        let results = admin.create_topics([&new], &options).await.map_err(|error| explain(&doing, &error))?;
        for result in results {
            match result {
                // Another worker was as quick.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(by_code(&doing, code)),
            }
        }
        Ok(())
    }
}

impl Inner {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms.into())
    }

    /// The error with librdkafka's reason for it, where it gave one.
    fn why(&self, doing: &str, error: &KafkaError) -> Error {
        // Its complaints are served by polling only.
        while self.lookup.poll(Duration::ZERO).is_some() {}
        match (explain(doing, error), self.lookup.context().take()) {
            (Error::Unavailable(what), Some((code, reason))) => match by_code(doing, code) {
                Error::Config(_) => Error::Config(format!("{what} ({reason})")),
                _ => Error::Unavailable(format!("{what} ({reason})")),
            },
            (explained, _) => explained,
        }
    }

    fn partitions(&self, topic: &str) -> Result<i32, Error> {
        let doing = format!("asking for topic {topic}");
        let metadata =
            self.lookup.fetch_metadata(Some(topic), self.timeout()).map_err(|error| self.why(&doing, &error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(0),
            Some(code) => return Err(by_code(&doing, code)),
        }
        if found.partitions().iter().any(|partition| partition.leader() < 0) {
            return Err(Error::Unavailable(format!("topic {topic} has partitions without a leader")));
        }
        Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
    }

    fn bounds(&self, tp: &TopicPartition) -> Result<(Offset, Offset), Error> {
        client::watermarks(&self.lookup, tp, self.timeout()).map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => Error::UnknownPartition(tp.clone()),
            _ => self.why(&format!("asking for the bounds of {tp}"), &error),
        })
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn ensure_topic(&self, topic: &str, partitions: i32) -> Result<i32, Error> {
        check_topic_name(topic)?;
        let known = self.partitions(topic).await?;
        if known > 0 {
            return Ok(known);
        }
        self.create_topic(topic, partitions).await?;
        // Brokers hear of a new topic one after another.
        let deadline = tokio::time::Instant::now() + CREATED;
        loop {
            match self.partitions(topic).await {
                Ok(0) | Err(Error::Unavailable(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(0) => return Err(Error::Unavailable(format!("topic {topic} was created but doesn't show up"))),
                outcome => return outcome,
            }
        }
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let limit = self.inner.config.record_bytes;
        if let Some(record) = records.iter().find(|record| record.bytes() > limit) {
            return Err(Error::TooLarge { topic: record.topic.to_string(), bytes: record.bytes(), limit });
        }
        self.inner.producer.append(&records).await
    }

    async fn consume(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, Error> {
        // librdkafka takes names from `^` on as patterns; topics that match may come later.
        for topic in topics.iter().filter(|topic| !topic.starts_with('^')) {
            if self.partitions(topic).await? == 0 {
                return Err(Error::UnknownTopic(topic.clone()));
            }
        }
        let (group, topics) = (group.to_owned(), topics.to_vec());
        let consumer = self.blocking(move |inner| KafkaConsumer::join(&inner.config, &group, &topics)).await?;
        Ok(Box::new(consumer))
    }

    async fn bounds(&self, tp: &TopicPartition) -> Result<(Offset, Offset), Error> {
        let tp = tp.clone();
        self.blocking(move |inner| inner.bounds(&tp)).await
    }

    async fn trim(&self, _tp: &TopicPartition, _before: Offset) -> Result<(), Error> {
        // How long Kafka keeps records is its topic's setting: others may read them too.
        Ok(())
    }
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("brokers", &self.inner.config.brokers).finish_non_exhaustive()
    }
}
