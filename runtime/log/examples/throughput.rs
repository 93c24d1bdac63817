//! How much a log appends and reads per second and per CPU-second of this process.
//!
//! ```text
//! cargo run --release -p weft-log --example throughput -- embedded [DIR]
//! cargo run --release -p weft-log --example throughput -- kafka HOST:PORT
//! ```
//! One line per record size: appending by eight requests at a time, then reading from the start,
//! then both at once with the read part trimmed, as a worker that keeps up does it. The embedded
//! log's figures depend on DIR's disk: each group of appends waits for a sync.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers, that prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use weft_log::{Consumer, EmbeddedConfig, EmbeddedLog, KafkaConfig, KafkaLog, Log, NewRecord, PartitionReader};
use weft_model::TopicPartition;

/// Bytes per measurement; enough to leave memory and go through the disk.
const VOLUME: usize = 768 << 20;
/// Requests under way at once.
const REQUESTS: usize = 8;

struct Spent {
    wall: Instant,
    cpu: Duration,
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

impl Spent {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn report(&self, what: &str, record_bytes: usize, records: usize) {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), (cpu() - self.cpu).as_secs_f64());
        let megabytes = (record_bytes * records) as f64 / 1e6;
        println!(
            "{record_bytes:>8} B  {what:<14} {:>7.0} MB/s  {:>7.0} MB/CPU-s  {:>9.0} records/s  {:>9.0} records/CPU-s",
            megabytes / wall,
            megabytes / cpu,
            records as f64 / wall,
            records as f64 / cpu,
        );
    }
}

async fn append(log: &Arc<dyn Log>, topic: &Arc<str>, record_bytes: usize, records: usize) {
    // About what a receiver's request holds.
    let per_request = (256 * 1024 / record_bytes).clamp(1, 256);
    // Bytes that don't compress to nothing.
    let value: Vec<u8> =
        (0..record_bytes as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let value = Bytes::from(value);
    let tasks = (0..REQUESTS).map(|task| {
        let (log, topic, value) = (Arc::clone(log), Arc::clone(topic), value.clone());
        let mut left = records / REQUESTS + usize::from(task < records % REQUESTS);
        tokio::spawn(async move {
            while left > 0 {
                let count = left.min(per_request);
                let request =
                    (0..count).map(|_| NewRecord::new(Arc::clone(&topic), value.clone()).to_partition(0)).collect();
                log.append(request).await.unwrap();
                left -= count;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn open(log: &Arc<dyn Log>, topic: &str) -> (Box<dyn Consumer>, Box<dyn PartitionReader>) {
    let mut consumer = log.consume(topic, &[topic.to_owned()]).await.unwrap();
    consumer.assignment().await.unwrap();
    let reader = consumer.open(&TopicPartition::new(topic, 0), 0).await.unwrap();
    (consumer, reader)
}

async fn read(log: &Arc<dyn Log>, reader: &mut dyn PartitionReader, tp: &TopicPartition, records: usize, trim: bool) {
    let (mut seen, mut since_trim) = (0, 0);
    while seen < records {
        let batch = reader.read(10_000, 4 << 20, Duration::from_secs(10)).await.unwrap();
        let Some(last) = batch.last() else { continue };
        seen += batch.len();
        since_trim += batch.iter().map(|record| record.value.len()).sum::<usize>();
        if trim && since_trim > 128 << 20 {
            since_trim = 0;
            log.trim(tp, last.offset).await.unwrap();
        }
    }
}

async fn measure(log: Arc<dyn Log>, record_bytes: usize, volume: usize) {
    let records = volume / record_bytes;
    for (topic, together) in [(format!("apart-{record_bytes}"), false), (format!("together-{record_bytes}"), true)] {
        let tp = TopicPartition::new(topic.as_str(), 0);
        log.ensure_topic(&topic, 1).await.unwrap();
        if together {
            let (_consumer, mut reader) = open(&log, &topic).await;
            let spent = Spent::start();
            tokio::join!(
                append(&log, &tp.topic, record_bytes, records),
                read(&log, reader.as_mut(), &tp, records, true)
            );
            spent.report("append + read", record_bytes, records);
        } else {
            let spent = Spent::start();
            append(&log, &tp.topic, record_bytes, records).await;
            spent.report("append", record_bytes, records);
            let (_consumer, mut reader) = open(&log, &topic).await;
            let spent = Spent::start();
            read(&log, reader.as_mut(), &tp, records, false).await;
            spent.report("read", record_bytes, records);
            log.trim(&tp, records as i64).await.unwrap();
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dir = tempfile::tempdir().unwrap();
    let (log, volume): (Arc<dyn Log>, usize) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["embedded"] => (Arc::new(EmbeddedLog::open(dir.path(), EmbeddedConfig::default()).unwrap()), VOLUME),
        ["embedded", at] => (Arc::new(EmbeddedLog::open(at, EmbeddedConfig::default()).unwrap()), VOLUME),
        ["kafka", brokers] => {
            let config = KafkaConfig { brokers: brokers.into(), compression: "none".into(), ..KafkaConfig::default() };
            (Arc::new(KafkaLog::connect(config).await.unwrap()), VOLUME / 2)
        }
        _ => {
            println!("throughput embedded [DIR] | throughput kafka HOST:PORT");
            return;
        }
    };
    for record_bytes in [1_000, 10_000, 100_000, 1_000_000] {
        measure(Arc::clone(&log), record_bytes, volume).await;
    }
}
