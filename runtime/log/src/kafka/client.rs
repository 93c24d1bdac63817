//! Properties and contexts that every client of librdkafka here shares.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use weft_model::{Offset, TopicPartition};

use super::KafkaConfig;
use crate::Error;

/// How long to give a broker that has just stopped, or not yet begun, to lead a partition.
const LEADER_RETRY: Duration = Duration::from_millis(50);

/// What may not be set by hand: what exactly-once rests on, or has a setting of its own.
const RESERVED: [&str; 17] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "group.protocol",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "transactional.id",
    "partitioner",
    "allow.auto.create.topics",
];

/// The properties given, on top of which each client sets its own.
pub(super) fn properties(config: &KafkaConfig) -> Result<ClientConfig, Error> {
    if config.brokers.trim().is_empty() {
        return Err(Error::Config("no Kafka brokers are given: name them as host:port, comma-separated".into()));
    }
    let mut properties = ClientConfig::new();
    properties.set("bootstrap.servers", &config.brokers).set("client.id", "weft").set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in &config.properties {
        if RESERVED.contains(&name.as_str()) {
            return Err(Error::Config(format!("Kafka property {name} is weft's own to set: take it out")));
        }
        properties.set(name, value);
    }
    Ok(properties)
}

/// The first offset of a partition and the next, asked again while its leader changes.
pub(super) fn watermarks<X: ConsumerContext>(
    client: &BaseConsumer<X>,
    tp: &TopicPartition,
    timeout: Duration,
) -> KafkaResult<(Offset, Offset)> {
    use RDKafkaErrorCode as C;
    let deadline = Instant::now() + timeout;
    loop {
        let outcome = client.fetch_watermarks(&tp.topic, tp.partition, timeout);
        let passing = matches!(
            outcome.as_ref().err().and_then(KafkaError::rdkafka_error_code),
            Some(
                C::NotLeaderForPartition
                    | C::LeaderNotAvailable
                    | C::ReplicaNotAvailable
                    | C::FencedLeaderEpoch
                    | C::UnknownLeaderEpoch
            )
        );
        if !passing || Instant::now() > deadline {
            return outcome;
        }
        std::thread::sleep(LEADER_RETRY);
    }
}

/// Passes librdkafka's log on, and keeps its last complaint: calls that time out know only that
/// they did, the reason comes by this way.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Watch {
    /// The complaint, taken.
    pub(super) fn take(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().take()
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as L;
        match level {
            L::Emerg | L::Alert | L::Critical | L::Error => tracing::warn!(facility, "Kafka client: {message}"),
            L::Warning | L::Notice => tracing::info!(facility, "Kafka client: {message}"),
            L::Info | L::Debug => tracing::debug!(facility, "Kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka client");
        if let Some(code) = error.rdkafka_error_code() {
            *self.last.lock() = Some((code, reason.to_owned()));
        }
    }
}
