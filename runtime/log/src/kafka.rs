//! Kafka (being filled in).
use std::collections::BTreeMap;
use serde::{Deserialize, Serialize};

/// Settings of the connection to Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated: `bootstrap.servers`.
    pub brokers: String,
    /// Copies of each record for topics weft creates; -1 takes the broker's default.
    pub replication_factor: i32,
    /// Any other property of librdkafka, by its own name: SASL, TLS, buffer sizes. Those that
    /// exactly-once rests on (`enable.auto.commit`, `isolation.level`, `acks`, …) can't be set.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self { brokers: "127.0.0.1:9092".into(), replication_factor: -1, properties: BTreeMap::new() }
    }
}
