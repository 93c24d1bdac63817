//! The behaviour every [`Log`] is held to, as one suite: run by the embedded log, by Kafka on
//! librdkafka's mock cluster, and against a real broker (`tests/kafka`).
//!
//! A log comes with a [`Subject`], which says how to open it and what it can do. Each behaviour is
//! a function named as a sentence; [`run`] goes through all of them. Topics are named after the
//! behaviour, so one log serves the whole suite.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test suite: a broken promise ends in a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use weft_model::{ErrorKind, Offset, TopicPartition};

use crate::{Assignment, Consumer, Error, Log, NewRecord, PartitionReader, Record};

/// The log under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The log, opened if it isn't.
    async fn log(&self) -> Arc<dyn Log>;
    /// The log after a restart of the process that uses it. The caller has dropped the one before.
    async fn reopened(&self) -> Arc<dyn Log>;
    /// Creates a topic; logs whose `ensure_topic` does it keep this.
    async fn create(&self, log: &Arc<dyn Log>, topic: &str, partitions: i32) {
        assert_eq!(log.ensure_topic(topic, partitions).await.unwrap(), partitions, "{topic}");
    }
    /// Whether `ensure_topic` can create topics (the mock cluster can't).
    fn creates_topics(&self) -> bool {
        true
    }
    /// Whether offsets have no gaps, and `trim` moves the first one.
    fn embedded(&self) -> bool;
}

/// Long enough for any answer that is coming; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A behaviour's name and its run.
type Behaviour<'a> = (&'static str, Pin<Box<dyn Future<Output = ()> + Send + 'a>>);

fn behaviours(subject: &dyn Subject) -> Vec<Behaviour<'_>> {
    macro_rules! named {
        ($($name:ident),* $(,)?) => { vec![$((stringify!($name), Box::pin($name(subject)) as Pin<Box<dyn Future<Output = ()> + Send>>)),*] };
    }
    named!(
        records_are_read_in_the_order_they_were_appended,
        every_part_of_a_record_comes_back,
        offsets_are_answered_in_the_order_of_the_request,
        a_key_always_goes_to_one_partition_and_keyless_records_to_all,
        reading_starts_in_the_middle_when_asked,
        a_waiting_read_wakes_when_a_record_comes,
        a_read_without_records_ends_when_its_time_is_up,
        a_read_keeps_to_its_limits_but_always_moves_on,
        a_dropped_read_loses_nothing,
        big_records_come_back_whole,
        bounds_are_the_first_and_the_next_offset,
        opening_past_the_end_is_refused_as_damage,
        a_second_reader_takes_over_from_the_first,
        concurrent_appends_all_get_places_of_their_own,
        unknown_topics_and_partitions_are_refused,
        too_big_a_record_is_refused,
        two_consumers_of_a_group_divide_or_take_over,
        everything_answered_is_there_after_reopening,
        topics_are_created_once,
        trimming_keeps_what_comes_after,
    )
}

/// Runs every behaviour, one after another; a panic says which one failed.
pub async fn run(subject: &dyn Subject) {
    for behaviour in behaviours(subject) {
        finish(behaviour).await;
    }
}

/// Runs them all at once: for logs where joining a group takes seconds, and which many processes
/// can open.
pub async fn run_concurrently(subject: &dyn Subject) {
    futures::future::join_all(behaviours(subject).into_iter().map(finish)).await;
}

async fn finish((name, behaviour): Behaviour<'_>) {
    tracing::info!(name, "behaviour");
    let outcome = AssertUnwindSafe(tokio::time::timeout(3 * PATIENCE, behaviour)).catch_unwind().await;
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(_)) => panic!("{name}: it hangs"),
        // The first panic has been printed already, with its place.
        Err(_) => panic!("{name}: broken"),
    }
}

fn record(topic: &str, value: impl Into<Bytes>) -> NewRecord {
    NewRecord::new(topic, value).to_partition(0)
}

fn numbered(topic: &str, numbers: std::ops::Range<u32>) -> Vec<NewRecord> {
    numbers.map(|number| record(topic, number.to_be_bytes().to_vec())).collect()
}

fn number(record: &Record) -> u32 {
    u32::from_be_bytes(record.value[..].try_into().unwrap())
}

/// Joins a group and waits until it holds `count` partitions.
async fn join(log: &Arc<dyn Log>, group: &str, topic: &str, count: usize) -> Box<dyn Consumer> {
    let mut consumer = log.consume(group, &[topic.to_owned()]).await.unwrap();
    let mut held = BTreeSet::new();
    while held.len() < count {
        apply(&mut held, assignment(consumer.as_mut()).await);
    }
    consumer
}

async fn assignment(consumer: &mut dyn Consumer) -> Assignment {
    tokio::time::timeout(PATIENCE, consumer.assignment()).await.expect("no assignment came").unwrap()
}

fn apply(held: &mut BTreeSet<TopicPartition>, change: Assignment) {
    for tp in change.removed {
        assert!(held.remove(&tp), "{tp} was taken away without having been given");
    }
    for tp in change.added {
        assert!(held.insert(tp.clone()), "{tp} was given twice");
    }
}

/// Opens partition 0 of a topic in a group of its own.
async fn open(log: &Arc<dyn Log>, topic: &str, from: Offset) -> (Box<dyn Consumer>, Box<dyn PartitionReader>) {
    let mut consumer = join(log, &format!("{topic}-group"), topic, 1).await;
    let reader = consumer.open(&TopicPartition::new(topic, 0), from).await.unwrap();
    (consumer, reader)
}

/// Reads until there are `count` records.
async fn read(reader: &mut dyn PartitionReader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while records.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {} of {count} records came", records.len());
        records.extend(reader.read(1000, 1 << 30, Duration::from_millis(200)).await.unwrap());
    }
    assert_eq!(records.len(), count, "more records than were appended");
    records
}

async fn records_are_read_in_the_order_they_were_appended(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "in-order");
    subject.create(&log, topic, 1).await;
    for start in (0..1000).step_by(100) {
        log.append(numbered(topic, start..start + 100)).await.unwrap();
    }
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    let records = read(reader.as_mut(), 1000).await;
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    for pair in records.windows(2) {
        assert!(pair[0].offset < pair[1].offset);
        assert!(!subject.embedded() || pair[0].offset + 1 == pair[1].offset);
    }
}

async fn every_part_of_a_record_comes_back(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "every-part");
    subject.create(&log, topic, 1).await;
    let headers: Vec<(Arc<str>, Bytes)> = vec![
        ("content-type".into(), Bytes::from_static(b"application/json")),
        ("twice".into(), Bytes::from_static(b"1")),
        ("twice".into(), Bytes::from_static(b"2")),
    ];
    let full = NewRecord {
        key: Some(Bytes::from_static(b"key")),
        headers,
        timestamp_ms: Some(1_700_000_000_123),
        ..record(topic, &b"value"[..])
    };
    let bare = record(topic, Bytes::new());
    let empty_key = NewRecord { key: Some(Bytes::new()), ..record(topic, &b"x"[..]) };
    log.append(vec![full.clone(), bare, empty_key]).await.unwrap();
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    let records = read(reader.as_mut(), 3).await;
    assert_eq!((&records[0].key, &records[0].value, &records[0].headers), (&full.key, &full.value, &full.headers));
    assert_eq!(records[0].timestamp_ms, 1_700_000_000_123);
    assert_eq!((records[1].key.as_ref(), records[1].value.len(), records[1].headers.len()), (None, 0, 0));
    assert!(records[1].timestamp_ms > 1_600_000_000_000, "a record without a time gets the log's");
    assert_eq!(records[2].key.as_deref(), Some(&b""[..]));
}

async fn offsets_are_answered_in_the_order_of_the_request(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "answers");
    subject.create(&log, topic, 3).await;
    let partitions = [2, 0, 1, 0, 2, 2];
    let request = partitions
        .iter()
        .enumerate()
        .map(|(index, partition)| NewRecord::new(topic, vec![index as u8]).to_partition(*partition));
    let answers = log.append(request.collect()).await.unwrap();
    assert_eq!(answers.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), partitions);
    let mut consumer = join(&log, "answers-group", topic, 3).await;
    for partition in 0..3 {
        let mut reader = consumer.open(&TopicPartition::new(topic, partition), 0).await.unwrap();
        let expected: Vec<_> = answers
            .iter()
            .zip(0u8..)
            .filter(|((at, _), _)| *at == partition)
            .map(|((_, offset), index)| (*offset, index))
            .collect();
        let found = read(reader.as_mut(), expected.len()).await;
        assert_eq!(found.iter().map(|record| (record.offset, record.value[0])).collect::<Vec<_>>(), expected);
    }
    assert_eq!(log.append(Vec::new()).await.unwrap(), Vec::new());
}

async fn a_key_always_goes_to_one_partition_and_keyless_records_to_all(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "keys");
    subject.create(&log, topic, 4).await;
    let keyed = |key: u32| NewRecord { key: Some(key.to_string().into()), ..NewRecord::new(topic, &b"v"[..]) };
    let mut places: BTreeMap<u32, BTreeSet<i32>> = BTreeMap::new();
    for _ in 0..3 {
        let answers = log.append((0..50).map(keyed).collect()).await.unwrap();
        for (key, (partition, _)) in (0..50).zip(answers) {
            places.entry(key).or_default().insert(partition);
        }
    }
    for (key, partitions) in &places {
        let expected = crate::partitioner::by_key(key.to_string().as_bytes(), 4);
        assert_eq!(partitions, &BTreeSet::from([expected]), "key {key}");
    }
    let mut used = BTreeSet::new();
    for _ in 0..200 {
        used.extend(
            log.append(vec![NewRecord::new(topic, &b"v"[..])]).await.unwrap().iter().map(|(partition, _)| *partition),
        );
        if used.len() == 4 {
            return;
        }
    }
    panic!("records without key went to partitions {used:?} only");
}

async fn reading_starts_in_the_middle_when_asked(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "middle");
    subject.create(&log, topic, 1).await;
    let answers = log.append(numbered(topic, 0..100)).await.unwrap();
    let (mut consumer, mut reader) = open(&log, topic, answers[70].1).await;
    assert_eq!(read(reader.as_mut(), 30).await.iter().map(number).collect::<Vec<_>>(), (70..100).collect::<Vec<_>>());
    // And back again, on the same consumer.
    let mut reader = consumer.open(&TopicPartition::new(topic, 0), answers[10].1).await.unwrap();
    assert_eq!(read(reader.as_mut(), 90).await.iter().map(number).collect::<Vec<_>>(), (10..100).collect::<Vec<_>>());
    // Hints are taken, and never matter for where reading starts.
    consumer.commit(&[(TopicPartition::new(topic, 0), answers[50].1)]).await.unwrap();
    drop((consumer, reader));
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    assert_eq!(read(reader.as_mut(), 100).await.len(), 100);
}

async fn a_waiting_read_wakes_when_a_record_comes(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "wakes");
    subject.create(&log, topic, 1).await;
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    for round in 0..5u32 {
        let waiting = tokio::spawn(async move {
            let records = reader.read(10, 1 << 20, PATIENCE).await.unwrap();
            (reader, records)
        });
        tokio::task::yield_now().await;
        log.append(numbered(topic, round..round + 1)).await.unwrap();
        let (returned, records) = tokio::time::timeout(PATIENCE, waiting).await.expect("the read slept on").unwrap();
        assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [round]);
        reader = returned;
    }
}

async fn a_read_without_records_ends_when_its_time_is_up(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "time-is-up");
    subject.create(&log, topic, 1).await;
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    assert!(reader.read(10, 1 << 20, Duration::ZERO).await.unwrap().is_empty());
    assert!(reader.read(10, 1 << 20, Duration::from_millis(30)).await.unwrap().is_empty());
}

async fn a_read_keeps_to_its_limits_but_always_moves_on(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "limits");
    subject.create(&log, topic, 1).await;
    log.append((0..20).map(|_| record(topic, vec![7; 1000])).collect()).await.unwrap();
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    let mut seen = 0;
    while seen < 10 {
        let records = reader.read(3, 1 << 20, PATIENCE).await.unwrap();
        assert!((1..=3).contains(&records.len()), "{}", records.len());
        seen += records.len();
    }
    while seen < 20 {
        // Less than one record: one record.
        let records = reader.read(10, 10, PATIENCE).await.unwrap();
        assert_eq!(records.len(), 1);
        seen += 1;
    }
}

async fn a_dropped_read_loses_nothing(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "dropped-read");
    subject.create(&log, topic, 1).await;
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    let appender = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for start in (0..400).step_by(4) {
                log.append(numbered(topic, start..start + 4)).await.unwrap();
            }
        })
    };
    let mut found = Vec::new();
    while found.len() < 400 {
        // Dropped at its first wait more often than not.
        tokio::select! {
            biased;
            records = reader.read(7, 1 << 20, PATIENCE) => found.extend(records.unwrap().iter().map(number)),
            () = tokio::task::yield_now() => {}
        }
    }
    appender.await.unwrap();
    assert_eq!(found, (0..400).collect::<Vec<_>>());
}

async fn big_records_come_back_whole(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "big");
    subject.create(&log, topic, 1).await;
    let big = |seed: usize| -> Vec<u8> { (0..1 << 20).map(|index| ((index * 31 + seed * 7) % 251) as u8).collect() };
    log.append((0..4).map(|seed| record(topic, big(seed))).collect()).await.unwrap();
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    for (seed, found) in read(reader.as_mut(), 4).await.iter().enumerate() {
        assert!(found.value == big(seed), "record {seed} differs");
    }
}

async fn bounds_are_the_first_and_the_next_offset(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "bounds");
    subject.create(&log, topic, 2).await;
    let tp = TopicPartition::new(topic, 0);
    assert_eq!(log.bounds(&tp).await.unwrap(), (0, 0));
    let answers = log.append(numbered(topic, 0..10)).await.unwrap();
    let (first, next) = log.bounds(&tp).await.unwrap();
    assert_eq!(first, 0);
    assert_eq!(next, answers[9].1 + 1, "{answers:?}");
    assert_eq!(log.bounds(&TopicPartition::new(topic, 1)).await.unwrap(), (0, 0));
    log.trim(&tp, 0).await.unwrap();
    assert_eq!(log.bounds(&tp).await.unwrap(), (0, next));
}

async fn opening_past_the_end_is_refused_as_damage(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "past-the-end");
    subject.create(&log, topic, 1).await;
    log.append(numbered(topic, 0..3)).await.unwrap();
    let mut consumer = join(&log, "past-group", topic, 1).await;
    let error = consumer.open(&TopicPartition::new(topic, 0), 1000).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let error = consumer.open(&TopicPartition::new(topic, 7), 0).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    // At the end itself is where a worker that has caught up resumes.
    let mut reader = consumer.open(&TopicPartition::new(topic, 0), 3).await.unwrap();
    log.append(numbered(topic, 3..4)).await.unwrap();
    assert_eq!(number(&read(reader.as_mut(), 1).await[0]), 3);
}

async fn a_second_reader_takes_over_from_the_first(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "second-reader");
    subject.create(&log, topic, 1).await;
    log.append(numbered(topic, 0..10)).await.unwrap();
    let (mut consumer, mut first) = open(&log, topic, 0).await;
    read(first.as_mut(), 10).await;
    let mut second = consumer.open(&TopicPartition::new(topic, 0), 5).await.unwrap();
    let error = first.read(10, 1 << 20, Duration::ZERO).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(read(second.as_mut(), 5).await.iter().map(number).collect::<Vec<_>>(), (5..10).collect::<Vec<_>>());
    // A reader ends with its consumer.
    drop(consumer);
    let error = second.read(10, 1 << 20, Duration::ZERO).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

async fn concurrent_appends_all_get_places_of_their_own(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "concurrent");
    subject.create(&log, topic, 2).await;
    let appends = (0..64u32).map(|writer| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let request = (0..5u32).map(|index| {
                NewRecord::new(topic, (writer * 5 + index).to_be_bytes().to_vec()).to_partition((writer % 2) as i32)
            });
            log.append(request.collect()).await.unwrap()
        })
    });
    let mut places = BTreeSet::new();
    for append in appends.collect::<Vec<_>>() {
        let answers = append.await.unwrap();
        assert!(answers.windows(2).all(|pair| pair[0].1 < pair[1].1), "a request keeps its order");
        places.extend(answers);
    }
    assert_eq!(places.len(), 320);
    let mut consumer = join(&log, "concurrent-group", topic, 2).await;
    let mut found = BTreeSet::new();
    for partition in 0..2 {
        let mut reader = consumer.open(&TopicPartition::new(topic, partition), 0).await.unwrap();
        found.extend(read(reader.as_mut(), 160).await.iter().map(number));
    }
    assert_eq!(found, (0..320).collect());
}

async fn unknown_topics_and_partitions_are_refused(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "known");
    subject.create(&log, topic, 1).await;
    let rejected = |error: Error| assert_eq!(error.kind(), ErrorKind::Reject, "{error}");
    rejected(log.consume("group", &["no-such-topic".to_owned()]).await.err().unwrap());
    rejected(log.append(vec![NewRecord::new(topic, &b"x"[..]).to_partition(5)]).await.err().unwrap());
    rejected(log.bounds(&TopicPartition::new(topic, 5)).await.err().unwrap());
    rejected(log.ensure_topic("not/a name", 1).await.err().unwrap());
    if subject.creates_topics() {
        rejected(log.append(vec![record("no-such-topic", &b"x"[..])]).await.err().unwrap());
    }
    assert_eq!(log.bounds(&TopicPartition::new(topic, 0)).await.unwrap(), (0, 0), "nothing was written");
}

async fn too_big_a_record_is_refused(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "too-big");
    subject.create(&log, topic, 1).await;
    let error =
        log.append(vec![record(topic, &b"fits"[..]), record(topic, vec![0; (64 << 20) + 1])]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Reject, "{error}");
    assert_eq!(log.bounds(&TopicPartition::new(topic, 0)).await.unwrap(), (0, 0), "nothing was written");
}

async fn two_consumers_of_a_group_divide_or_take_over(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "divided");
    subject.create(&log, topic, 4).await;
    let request =
        (0..40u32).map(|index| NewRecord::new(topic, index.to_be_bytes().to_vec()).to_partition((index % 4) as i32));
    log.append(request.collect()).await.unwrap();
    let mut first = join(&log, "divided-group", topic, 4).await;
    let mut lost_reader = Vec::new();
    for partition in 0..4 {
        let tp = TopicPartition::new(topic, partition);
        let mut reader = first.open(&tp, 0).await.unwrap();
        read(reader.as_mut(), 10).await;
        lost_reader.push((tp, reader));
    }
    let share = if subject.embedded() { 4 } else { 2 };
    let mut second = log.consume("divided-group", &[topic.to_owned()]).await.unwrap();
    let (mut of_first, mut of_second): (BTreeSet<_>, BTreeSet<_>) =
        ((0..4).map(|partition| TopicPartition::new(topic, partition)).collect(), BTreeSet::new());
    while of_second.len() < share {
        tokio::select! {
            change = assignment(first.as_mut()) => apply(&mut of_first, change),
            change = assignment(second.as_mut()) => apply(&mut of_second, change),
        }
    }
    while of_first.len() > 4 - share {
        apply(&mut of_first, assignment(first.as_mut()).await);
    }
    assert!(of_first.is_disjoint(&of_second));
    assert_eq!(of_first.len() + of_second.len(), 4);
    for (tp, mut reader) in lost_reader {
        let outcome = reader.read(10, 1 << 20, Duration::ZERO).await;
        if of_second.contains(&tp) {
            assert_eq!(outcome.err().unwrap().kind(), ErrorKind::Fenced, "{tp} has moved");
            let mut reader = second.open(&tp, 5).await.unwrap();
            assert_eq!(read(reader.as_mut(), 5).await.len(), 5);
        } else {
            assert!(outcome.unwrap().is_empty(), "{tp} has stayed, and is read to the end");
        }
    }
    // The one that stays gets everything back.
    drop(second);
    if !subject.embedded() {
        while of_first.len() < 4 {
            apply(&mut of_first, assignment(first.as_mut()).await);
        }
    }
}

async fn everything_answered_is_there_after_reopening(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "reopened");
    subject.create(&log, topic, 1).await;
    log.append(numbered(topic, 0..100)).await.unwrap();
    drop(log);
    let log = subject.reopened().await;
    if subject.creates_topics() {
        assert_eq!(log.ensure_topic(topic, 9).await.unwrap(), 1);
    }
    let answers = log.append(numbered(topic, 100..110)).await.unwrap();
    let (_consumer, mut reader) = open(&log, topic, 0).await;
    let records = read(reader.as_mut(), 110).await;
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), (0..110).collect::<Vec<_>>());
    assert_eq!(records[100].offset, answers[0].1);
    assert!(!subject.embedded() || answers[0].1 == 100);
}

async fn topics_are_created_once(subject: &dyn Subject) {
    if !subject.creates_topics() {
        return;
    }
    let log = subject.log().await;
    let creations = (0..4).map(|_| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.ensure_topic("once", 3).await.unwrap() })
    });
    for creation in creations.collect::<Vec<_>>() {
        assert_eq!(creation.await.unwrap(), 3);
    }
    assert_eq!(log.ensure_topic("once", 8).await.unwrap(), 3, "an existing topic stays as it is");
}

async fn trimming_keeps_what_comes_after(subject: &dyn Subject) {
    let (log, topic) = (subject.log().await, "trimmed");
    subject.create(&log, topic, 1).await;
    let tp = TopicPartition::new(topic, 0);
    let answers = log.append(numbered(topic, 0..100)).await.unwrap();
    log.trim(&tp, answers[60].1).await.unwrap();
    let (first, next) = log.bounds(&tp).await.unwrap();
    assert_eq!(next, answers[99].1 + 1);
    assert_eq!(first, if subject.embedded() { 60 } else { 0 });
    let (_consumer, mut reader) = open(&log, topic, first).await;
    let expected: Vec<u32> = (first as u32..100).collect();
    assert_eq!(read(reader.as_mut(), expected.len()).await.iter().map(number).collect::<Vec<_>>(), expected);
}
