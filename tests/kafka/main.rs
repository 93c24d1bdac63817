//! `weft-log` on a real Apache Kafka broker: the conformance suite, and what a mock can't show —
//! transactions, deleted records, a broker that is killed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use weft_log::conformance::{self, Subject};
use weft_log::{Consumer, KafkaConfig, KafkaLog, Log, NewRecord, OffsetReset, PartitionReader, Record};
use weft_model::{ErrorKind, TopicPartition};
use weft_tests::broker::Broker;

const PATIENCE: Duration = Duration::from_secs(60);

fn config(broker: &Broker) -> KafkaConfig {
    KafkaConfig { brokers: broker.address(), ..KafkaConfig::default() }
}

struct Real(Broker);

#[async_trait]
impl Subject for Real {
    async fn log(&self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::connect(config(&self.0)).await.unwrap())
    }

    async fn reopened(&self) -> Arc<dyn Log> {
        self.log().await
    }

    fn embedded(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_kafka_behaves_as_every_log() {
    let Some(broker) = Broker::start() else { return };
    conformance::run(&Real(broker)).await;
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<NewRecord> {
    numbers.map(|number| NewRecord::new("t", number.to_be_bytes().to_vec()).to_partition(0)).collect()
}

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

async fn join(log: &KafkaLog) -> Box<dyn Consumer> {
    let mut consumer = log.consume("group", &["t".to_owned()]).await.unwrap();
    assert_eq!(consumer.assignment().await.unwrap().added, [tp()]);
    consumer
}

/// Offsets and numbers of `count` records.
async fn read(reader: &mut dyn PartitionReader, count: usize) -> Vec<(i64, u32)> {
    let (mut found, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records came", found.len());
        match reader.read(1000, 1 << 20, Duration::from_millis(200)).await {
            Ok(records) => found.extend(records.iter().map(place)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
    found
}

fn place(record: &Record) -> (i64, u32) {
    (record.offset, u32::from_be_bytes(record.value[..].try_into().unwrap()))
}

fn numbers(found: &[(i64, u32)]) -> Vec<u32> {
    found.iter().map(|(_, number)| *number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_committed_transactions_are_read_and_their_markers_leave_gaps_that_confuse_nothing() {
    let Some(broker) = Broker::start() else { return };
    let log = KafkaLog::connect(config(&broker)).await.unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    log.append(numbered(0..5)).await.unwrap();
    let address = broker.address();
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", address).set("transactional.id", "someone").create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for (range, commit) in [(5..10u32, true), (100..105, false), (10..15, true)] {
            producer.begin_transaction().unwrap();
            for number in range {
                let value = number.to_be_bytes();
                producer
                    .send(BaseRecord::<(), [u8]>::to("t").partition(0).payload(&value[..]))
                    .map_err(|(error, _)| error)
                    .unwrap();
            }
            producer.flush(PATIENCE).unwrap();
            if commit {
                producer.commit_transaction(PATIENCE).unwrap();
            } else {
                producer.abort_transaction(PATIENCE).unwrap();
            }
        }
    })
    .await
    .unwrap();
    let mut consumer = join(&log).await;
    let mut reader = consumer.open(&tp(), 0).await.unwrap();
    let found = read(reader.as_mut(), 15).await;
    assert_eq!(numbers(&found), (0..15).collect::<Vec<_>>());
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(found[14].0 > 14, "markers and aborted records take offsets: {found:?}");
    // The end is past the last marker; resuming after the last record, before it, works.
    let (_, end) = log.bounds(&tp()).await.unwrap();
    assert!(end > found[14].0 + 1);
    let mut reader = consumer.open(&tp(), found[14].0 + 1).await.unwrap();
    assert!(reader.read(10, 1 << 20, Duration::from_millis(500)).await.unwrap().is_empty());
    let answers = log.append(numbered(15..16)).await.unwrap();
    assert_eq!(read(reader.as_mut(), 1).await, [(answers[0].1, 15)]);
    // So does resuming inside a transaction, and on a marker.
    for from in [found[7].0, found[9].0 + 1] {
        let mut reader = consumer.open(&tp(), from).await.unwrap();
        let expected: Vec<_> =
            found.iter().copied().filter(|(offset, _)| *offset >= from).chain([(answers[0].1, 15)]).collect();
        assert_eq!(read(reader.as_mut(), expected.len()).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_from_an_offset_that_retention_deleted_starts_at_the_first_record_kept() {
    let Some(broker) = Broker::start() else { return };
    let log = KafkaLog::connect(config(&broker)).await.unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    log.append(numbered(0..100)).await.unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(40)).unwrap();
    admin.delete_records(&list, &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap();
    assert_eq!(log.bounds(&tp()).await.unwrap(), (40, 100));
    let mut consumer = join(&log).await;
    let mut reader = consumer.open(&tp(), 10).await.unwrap();
    assert_eq!(numbers(&read(reader.as_mut(), 60).await), (40..100).collect::<Vec<_>>());
    drop((consumer, reader));

    // Who would rather stop is told; a partition never read before is no such case.
    let log = KafkaLog::connect(KafkaConfig { offset_reset: OffsetReset::Error, ..config(&broker) }).await.unwrap();
    let mut consumer = join(&log).await;
    let error = consumer.open(&tp(), 10).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let mut reader = consumer.open(&tp(), 0).await.unwrap();
    assert_eq!(read(reader.as_mut(), 60).await.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_delays_readers_and_writers_and_loses_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    let log = KafkaLog::connect(KafkaConfig { timeout_ms: 3000, ..config(&broker) }).await.unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    let mut consumer = join(&log).await;
    let mut reader = consumer.open(&tp(), 0).await.unwrap();
    log.append(numbered(0..50)).await.unwrap();
    assert_eq!(read(reader.as_mut(), 50).await.len(), 50);

    broker.kill();
    let error = log.append(numbered(1000..1001)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let mut broker = tokio::task::spawn_blocking(move || {
        broker.restart();
        broker
    })
    .await
    .unwrap();
    let deadline = Instant::now() + 2 * PATIENCE;
    let answers = loop {
        match log.append(numbered(50..100)).await {
            Ok(answers) => break answers,
            Err(error) => assert!(error.kind() == ErrorKind::Retry && Instant::now() < deadline, "{error}"),
        }
    };
    // What failed may have been written or not, what was answered is there once, at its place. The
    // group may have to form anew, as any worker must expect.
    let mut found = Vec::new();
    while found.last().is_none_or(|(offset, _)| *offset < answers[49].1) {
        assert!(Instant::now() < deadline, "read up to {:?}", found.last());
        match reader.read(1, 1 << 20, Duration::from_millis(200)).await {
            Ok(records) => found.extend(records.iter().map(place)),
            Err(error) if error.kind() == ErrorKind::Fenced => {
                while !consumer.assignment().await.unwrap().added.contains(&tp()) {}
                reader = consumer.open(&tp(), found.last().map_or(50, |(offset, _)| offset + 1)).await.unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
    let expected: Vec<_> = answers.iter().map(|(_, offset)| *offset).zip(50..100).collect();
    assert_eq!(found[found.len() - 50..], expected);
    broker.kill();
}
