//! The conformance suite on the embedded log, and what only it promises: recovery after SIGKILL, a
//! full disk, trimming, reading back from disk, one process at a time.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;
use weft_env::ManualClock;
use weft_model::{ErrorKind, TopicPartition};

use super::{EmbeddedConfig, EmbeddedLog};
use crate::conformance::{self, Subject};
use crate::{Error, Log, NewRecord, Record};

fn small() -> EmbeddedConfig {
    EmbeddedConfig { memory_bytes: 8 << 20, reserve_bytes: 0, ..EmbeddedConfig::default() }
}

struct Embedded {
    dir: TempDir,
    log: Mutex<Option<Arc<dyn Log>>>,
}

#[async_trait]
impl Subject for Embedded {
    async fn log(&self) -> Arc<dyn Log> {
        let mut log = self.log.lock();
        Arc::clone(log.get_or_insert_with(|| Arc::new(EmbeddedLog::open(self.dir.path(), small()).unwrap())))
    }

    async fn reopened(&self) -> Arc<dyn Log> {
        *self.log.lock() = None;
        self.log().await
    }

    fn embedded(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_behaves_as_every_log() {
    conformance::run(&Embedded { dir: tempfile::tempdir().unwrap(), log: Mutex::default() }).await;
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![(number % 251) as u8; bytes.max(8)];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value
}

fn number(record: &Record) -> u64 {
    u64::from_be_bytes(record.value[..8].try_into().unwrap())
}

async fn append(log: &EmbeddedLog, number: u64, bytes: usize) -> Result<i64, Error> {
    let answers = log.append(vec![NewRecord::new("t", value(number, bytes)).to_partition(0)]).await?;
    Ok(answers[0].1)
}

/// Every record from `from` to the end.
async fn read_all(log: &EmbeddedLog, from: i64) -> Vec<Record> {
    let tp = TopicPartition::new("t", 0);
    let mut consumer = log.consume("test", &["t".to_owned()]).await.unwrap();
    let mut reader = consumer.open(&tp, from).await.unwrap();
    let end = log.bounds(&tp).await.unwrap().1;
    let mut records: Vec<Record> = Vec::new();
    while records.last().map_or(from, |record| record.offset + 1) < end {
        records.extend(reader.read(100, 4 << 20, Duration::ZERO).await.unwrap());
    }
    records
}

fn files(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path())
            } else {
                allocated(&entry.metadata().unwrap())
            }
        })
        .sum()
}

fn allocated(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[tokio::test]
async fn what_no_longer_fits_in_memory_is_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    for number in 0..40 {
        append(&log, number, 1 << 20).await.unwrap();
    }
    let check = |records: Vec<Record>| {
        assert_eq!(records.iter().map(number).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        assert!(records.iter().all(|record| record.value == value(number(record), 1 << 20)));
    };
    check(read_all(&log, 0).await);
    drop(log);
    check(read_all(&EmbeddedLog::open(dir.path(), small()).unwrap(), 0).await);
}

#[tokio::test]
async fn trimming_frees_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    // Ten times what is ever kept at once; a worker trims what it has committed.
    for number in 0..400 {
        let offset = append(&log, number, 1 << 20).await.unwrap();
        if number % 10 == 9 {
            log.trim(&TopicPartition::new("t", 0), offset - 5).await.unwrap();
        }
    }
    let on_disk = files(dir.path());
    assert!(on_disk < 200 << 20, "{on_disk} bytes for the last 6 of 400 MiB");
    let first = log.bounds(&TopicPartition::new("t", 0)).await.unwrap().0;
    assert_eq!(read_all(&log, first).await.len(), 6);
}

#[tokio::test]
async fn a_partition_trimmed_empty_counts_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    let tp = TopicPartition::new("t", 0);
    for number in 0..20 {
        append(&log, number, 1 << 20).await.unwrap();
    }
    // More than there is means all there is.
    log.trim(&tp, 1_000_000).await.unwrap();
    assert_eq!(log.bounds(&tp).await.unwrap(), (20, 20));
    drop(log);
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    assert_eq!(log.bounds(&tp).await.unwrap(), (20, 20));
    assert_eq!(append(&log, 20, 8).await.unwrap(), 20);
    // A worker that restarts from before the trim reads from the first record kept.
    assert_eq!(read_all(&log, 0).await.iter().map(number).collect::<Vec<_>>(), [20]);
}

#[tokio::test]
async fn a_second_process_is_told_that_the_folder_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    let error = EmbeddedLog::open(dir.path(), small()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(log);
    EmbeddedLog::open(dir.path(), small()).unwrap();
}

#[tokio::test]
async fn records_without_a_time_get_the_clocks() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open_with_clock(dir.path(), small(), ManualClock::at(5_000_000)).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    append(&log, 0, 8).await.unwrap();
    assert_eq!(read_all(&log, 0).await[0].timestamp_ms, 5);
}

#[tokio::test]
async fn more_than_may_wait_for_the_disk_is_refused_for_now() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), EmbeddedConfig { queue_bytes: 1 << 20, ..small() }).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    let appends = (0..64).map(|number| {
        let log = log.clone();
        async move { append(&log, number, 256 << 10).await }
    });
    let outcomes = futures::future::join_all(appends).await;
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect::<Vec<_>>();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Retry), "{refused:?}");
    assert_eq!(read_all(&log, 0).await.len(), 64 - refused.len(), "what was refused was not written");
    append(&log, 64, 2 << 20).await.expect("one request alone is taken, whatever its size");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for config in [EmbeddedConfig { memory_bytes: 1, ..small() }, EmbeddedConfig { record_bytes: 0, ..small() }] {
        assert_eq!(EmbeddedLog::open(dir.path(), config).err().unwrap().kind(), ErrorKind::Config);
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(EmbeddedLog::open(&file, small()).err().unwrap().kind(), ErrorKind::Config);
}

/// The environment variable that tells the child where its log is.
const CHILD_DIR: &str = "WEFT_LOG_TEST_CHILD_DIR";

#[test]
#[ignore = "the child process of the kill test; does nothing on its own"]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = EmbeddedLog::open(dir, small()).unwrap();
        log.ensure_topic("t", 1).await.unwrap();
        let mut next = log.bounds(&TopicPartition::new("t", 0)).await.unwrap().1 as u64;
        loop {
            // Several at once, so that groups are written; sizes from tiny to a page of pages.
            let request =
                (0..8).map(|index| NewRecord::new("t", value(next + index, 40_000 * index as usize)).to_partition(0));
            log.append(request.collect()).await.unwrap();
            next += 8;
            let mut out = std::io::stdout().lock();
            writeln!(out, "answered {next}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test]
async fn a_process_killed_while_appending_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered = 0;
    for (round, lines) in [1, 40, 3, 25, 60].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::tests::child_that_appends_until_it_is_killed", "--ignored", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < lines {
            let line = out.next().expect("the child died by itself").unwrap();
            if let Some(count) = line.split("answered ").nth(1) {
                answered = count.trim().parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts.
        for line in out.map_while(Result::ok) {
            if let Some(count) = line.split("answered ").nth(1).and_then(|count| count.trim().parse().ok()) {
                answered = count;
            }
        }
        let log = EmbeddedLog::open(dir.path(), small()).unwrap();
        let records = read_all(&log, 0).await;
        assert!(records.len() as u64 >= answered, "round {round}: {} records of {answered} answered", records.len());
        assert_eq!(records.len() % 8, 0, "round {round}: a request is kept whole or not at all");
        for (index, record) in records.iter().enumerate() {
            assert_eq!((record.offset, number(record)), (index as i64, index as u64), "round {round}");
            assert!(record.value == value(index as u64, 40_000 * (index % 8)), "round {round}: record {index} differs");
        }
    }
}

/// Writes three records, one synced after another, then damages the middle of one of them in the
/// journal, as when a page of it never reached the disk.
async fn damaged(dir: &Path, victim: u64) {
    let log = EmbeddedLog::open(dir, small()).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    for number in 1..4 {
        append(&log, number, 100_000).await.unwrap();
    }
    drop(log);
    let mut journals: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    journals.retain(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let [journal] = &journals[..] else { unreachable!("more than one journal: {journals:?}") };
    let mut bytes = std::fs::read(journal).unwrap();
    let run = vec![victim as u8; 50_000];
    let at = bytes.windows(run.len()).position(|window| window == run).unwrap();
    bytes[at + 8192..at + 12288].fill(0);
    std::fs::write(journal, bytes).unwrap();
}

#[tokio::test]
async fn a_last_write_torn_by_a_power_failure_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path(), 3).await;
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    assert_eq!(read_all(&log, 0).await.iter().map(number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(append(&log, 4, 100_000).await.unwrap(), 2);
    drop(log);
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    assert_eq!(read_all(&log, 0).await.iter().map(number).collect::<Vec<_>>(), [1, 2, 4]);
}

#[tokio::test]
async fn damage_to_what_was_answered_is_an_error_and_nothing_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path(), 2).await;
    for _ in 0..2 {
        let error = EmbeddedLog::open(dir.path(), small()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// A small file system of its own, if this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(megabytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }

    /// Takes up space until only about `left` bytes are free.
    fn fill(&self, left: u64) {
        let stat = rustix::fs::statvfs(self.0.path()).unwrap();
        let size = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
        // The log may be writing too, so that less fits: then the disk is fuller still.
        match std::fs::write(self.ballast(), vec![1; size as usize]) {
            Err(error) if error.kind() != std::io::ErrorKind::StorageFull => unreachable!("{error}"),
            _ => {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// `None`, said on stderr, where mounting is not allowed.
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
fn small_disk(megabytes: usize) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(megabytes);
    if disk.is_none() {
        eprintln!("skipped: this process may not mount a small file system");
    }
    disk
}

async fn appends_again(log: &EmbeddedLog, number: u64) -> i64 {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match append(log, number, 1 << 20).await {
            Ok(offset) => return offset,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                assert!(tokio::time::Instant::now() < deadline, "still {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_refuses_appends_until_there_is_space() {
    let Some(disk) = small_disk(128) else { return };
    let log =
        EmbeddedLog::open(disk.0.path().join("log"), EmbeddedConfig { reserve_bytes: 16 << 20, ..small() }).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    append(&log, 0, 1 << 20).await.unwrap();
    disk.fill(10 << 20);
    let error = append(&log, 1, 1 << 20).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("is full"), "{error}");
    assert_eq!(read_all(&log, 0).await.len(), 1, "reading goes on");
    disk.free();
    assert_eq!(append(&log, 1, 1 << 20).await.unwrap(), 1);
    assert_eq!(read_all(&log, 0).await.iter().map(number).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_write_loses_nothing_that_was_answered() {
    let Some(disk) = small_disk(192) else { return };
    let dir = disk.0.path().join("log");
    let log = EmbeddedLog::open(&dir, small()).unwrap();
    log.ensure_topic("t", 1).await.unwrap();
    let mut answered = Vec::new();
    for round in 0..3u64 {
        disk.fill(6 << 20);
        let mut failures = 0;
        for number in (round * 1000).. {
            match append(&log, number, 1 << 20).await {
                Ok(offset) => answered.push((offset, number)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    failures += 1;
                    if failures == 3 {
                        break;
                    }
                }
            }
            assert!(number < round * 1000 + 50, "the disk never filled up");
        }
        disk.free();
        answered.push((appends_again(&log, round * 1000 + 999).await, round * 1000 + 999));
    }
    let check = |records: Vec<Record>| {
        for (offset, expected) in &answered {
            let found = records.iter().find(|record| record.offset == *offset).expect("an answered record is gone");
            assert!(found.value == value(*expected, 1 << 20), "record {offset} differs");
        }
        assert!(records.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset));
    };
    check(read_all(&log, 0).await);
    drop(log);
    check(read_all(&EmbeddedLog::open(&dir, small()).unwrap(), 0).await);
}
