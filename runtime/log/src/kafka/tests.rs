//! Kafka on librdkafka's mock cluster: the conformance suite, and what brokers do wrong. The same
//! suite against a real broker is in `tests/kafka`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use weft_model::{ErrorKind, TopicPartition};

use super::{KafkaConfig, KafkaLog};
use crate::conformance::{self, Subject};
use crate::{Error, Log, NewRecord};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Command = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster on a thread of its own, since its handle can't be sent to another.
struct Mock {
    commands: Mutex<mpsc::Sender<Command>>,
    brokers: String,
}

impl Mock {
    fn start() -> Self {
        let (commands, received) = mpsc::channel::<Command>();
        let (started, brokers) = mpsc::channel();
        std::thread::spawn(move || {
            let cluster = MockCluster::new(3).unwrap();
            started.send(cluster.bootstrap_servers()).unwrap();
            for command in received {
                command(&cluster);
            }
        });
        Self { commands: Mutex::new(commands), brokers: brokers.recv().unwrap() }
    }

    fn with(&self, work: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, finished) = mpsc::channel();
        let command = move |cluster: &Cluster| {
            work(cluster);
            done.send(()).unwrap();
        };
        self.commands.lock().send(Box::new(command)).unwrap();
        finished.recv().unwrap();
    }

    fn config(&self) -> KafkaConfig {
        KafkaConfig { brokers: self.brokers.clone(), ..KafkaConfig::default() }
    }

    fn create(&self, topic: &str, partitions: i32) {
        let topic = topic.to_owned();
        self.with(move |cluster| cluster.create_topic(&topic, partitions, 3).unwrap());
    }

    fn fail(&self, request: RDKafkaApiKey, error: RDKafkaRespErr, times: usize) {
        self.with(move |cluster| cluster.request_errors(request, &vec![error; times]));
    }
}

#[async_trait]
impl Subject for Mock {
    async fn log(&self) -> Arc<dyn Log> {
        let config = self.config();
        Arc::new(KafkaLog::connect(config).await.unwrap())
    }

    async fn reopened(&self) -> Arc<dyn Log> {
        self.log().await
    }

    async fn create(&self, log: &Arc<dyn Log>, topic: &str, partitions: i32) {
        Mock::create(self, topic, partitions);
        assert_eq!(log.ensure_topic(topic, partitions).await.unwrap(), partitions);
    }

    fn creates_topics(&self) -> bool {
        false
    }

    fn embedded(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kafka_behaves_as_every_log() {
    conformance::run_concurrently(&Mock::start()).await;
}

async fn append_one(log: &KafkaLog) -> Result<Vec<(i32, i64)>, Error> {
    log.append(vec![NewRecord::new("t", &b"x"[..]).to_partition(0)]).await
}

#[tokio::test]
async fn a_broker_that_fails_for_a_while_is_tried_again_without_doubling_anything() {
    let mock = Mock::start();
    mock.create("t", 1);
    let log = KafkaLog::connect(mock.config()).await.unwrap();
    append_one(&log).await.unwrap();
    mock.fail(RDKafkaApiKey::Produce, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 2);
    mock.fail(RDKafkaApiKey::Produce, RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, 1);
    assert_eq!(append_one(&log).await.unwrap(), [(0, 1)]);
    assert_eq!(log.bounds(&TopicPartition::new("t", 0)).await.unwrap(), (0, 2));
}

#[tokio::test]
async fn a_broker_that_keeps_failing_ends_in_an_error_to_retry() {
    let mock = Mock::start();
    mock.create("t", 1);
    let log = KafkaLog::connect(KafkaConfig { timeout_ms: 1500, ..mock.config() }).await.unwrap();
    append_one(&log).await.unwrap();
    mock.fail(RDKafkaApiKey::Produce, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 1000);
    let error = append_one(&log).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    mock.with(|cluster| cluster.clear_request_errors(RDKafkaApiKey::Produce));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    // The idempotent producer may have to start over first.
    while let Err(error) = append_one(&log).await {
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(tokio::time::Instant::now() < deadline, "still {error}");
    }
}

#[tokio::test]
async fn a_refused_writer_is_a_matter_of_configuration() {
    let mock = Mock::start();
    mock.create("t", 1);
    let log = KafkaLog::connect(mock.config()).await.unwrap();
    mock.fail(RDKafkaApiKey::Produce, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    let error = append_one(&log).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn brokers_that_cannot_be_reached_are_an_error_to_retry() {
    let mock = Mock::start();
    mock.with(|cluster| cluster.broker_down(-1).unwrap());
    let error = KafkaLog::connect(KafkaConfig { timeout_ms: 1000, ..mock.config() }).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn failing_fetches_delay_records_and_lose_none() {
    let mock = Mock::start();
    mock.create("t", 1);
    let log = KafkaLog::connect(mock.config()).await.unwrap();
    let request = |from: u8| {
        (from..from + 50).map(|number| NewRecord::new("t", vec![number]).to_partition(0)).collect::<Vec<_>>()
    };
    log.append(request(0)).await.unwrap();
    let mut consumer = log.consume("group", &["t".to_owned()]).await.unwrap();
    assert_eq!(consumer.assignment().await.unwrap().added, [TopicPartition::new("t", 0)]);
    mock.fail(RDKafkaApiKey::Fetch, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 2);
    mock.fail(RDKafkaApiKey::Fetch, RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, 1);
    let mut reader = consumer.open(&TopicPartition::new("t", 0), 0).await.unwrap();
    log.append(request(50)).await.unwrap();
    let mut found = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while found.len() < 100 {
        assert!(tokio::time::Instant::now() < deadline, "{} of 100 records came", found.len());
        match reader.read(1000, 1 << 20, Duration::from_millis(500)).await {
            Ok(records) => found.extend(records.iter().map(|record| record.value[0])),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
    assert_eq!(found, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_partition_of_a_fresh_assignment_is_read_from_where_it_was_opened() {
    let mock = Mock::start();
    mock.create("t", 12);
    let log = KafkaLog::connect(mock.config()).await.unwrap();
    let request = (0..12 * 20).map(|number| NewRecord::new("t", vec![number as u8]).to_partition(number % 12));
    log.append(request.collect()).await.unwrap();
    // Slow enough that what the assignment began is still under way when the partitions are opened.
    mock.with(|cluster| cluster.broker_round_trip_time(-1, Duration::from_millis(40)).unwrap());
    for round in 0..2 {
        let mut consumer = log.consume(&format!("group-{round}"), &["t".to_owned()]).await.unwrap();
        for tp in consumer.assignment().await.unwrap().added {
            let mut reader = consumer.open(&tp, 5).await.unwrap();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let mut found = Vec::new();
            while found.len() < 15 {
                assert!(tokio::time::Instant::now() < deadline, "{tp}: {found:?}");
                let records = reader.read(100, 1 << 20, Duration::from_millis(200)).await.unwrap();
                found.extend(records.iter().map(|record| record.offset));
            }
            assert_eq!(found, (5..20).collect::<Vec<_>>(), "{tp}");
        }
    }
}

#[tokio::test]
async fn properties_are_passed_on_and_those_of_weft_are_kept() {
    let mock = Mock::start();
    let connect = |name: &str, value: &str| {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        KafkaLog::connect(KafkaConfig { properties, timeout_ms: 3000, ..mock.config() })
    };
    connect("linger.ms", "1").await.unwrap();
    for (name, value) in
        [("acks", "1"), ("enable.auto.commit", "true"), ("no.such.property", "1"), ("linger.ms", "soon")]
    {
        let error = connect(name, value).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = KafkaLog::connect(KafkaConfig { brokers: " ".into(), ..KafkaConfig::default() }).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[test]
fn settings_are_read_from_configuration() {
    let config: KafkaConfig = serde_json::from_str(
        r#"{"brokers": "k1:9092,k2:9092", "offset_reset": "error", "compression": "zstd", "properties": {"security.protocol": "SASL_SSL"}}"#,
    )
    .unwrap();
    assert_eq!(config.brokers, "k1:9092,k2:9092");
    assert_eq!(config.record_bytes, KafkaConfig::default().record_bytes);
    assert!(serde_json::from_str::<KafkaConfig>(r#"{"broker": "k1:9092"}"#).is_err());
}
