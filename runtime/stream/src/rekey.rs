//! Spreading a topic anew: each message's spans go on by trace id into the partitions of another
//! topic, so that one partition sees a whole trace whoever produced it.
//!
//! # Exactly once, over a log without transactions
//! A record written says where it came from ([`FROM`]) and up to which offset its source was
//! committed when it was written ([`FLOOR`]). Writing may be repeated, after a crash or by a worker that
//! lost its partition, so the reading side ([`Seen`]) drops what it has had: everything below the
//! floor (all of that was durably written before the floor was), and the offsets above it that it
//! remembers. That memory is a snapshot of the target's partition like a module's, and as long as an
//! epoch. A message's spans for one target partition are one record, so an offset is enough.
//!
//! The number of the target's partitions must not change while there is something to repeat: a trace
//! would then be written to another partition the second time.

use crate::dead_letters::{DECODE, Letter, Verdict};
use crate::pipeline::{self, Command, Part, Shared, Stopped, Waiting};
use crate::sink::Sink;
use crate::transform::Snapshot;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use weft_log::{Log, NewRecord, PartitionReader, Record};
use weft_model::{Offset, TopicPartition};

/// Header: `topic/partition/offset` of the message a record was made of.
pub(crate) const FROM: &str = "weft-rekeyed-from";
/// Header: the offset below which the source was committed.
pub(crate) const FLOOR: &str = "weft-rekeyed-floor";
/// The name of the reading side's state among the snapshots. No stage can have it: theirs have a dot.
pub(crate) const STATE: &str = "rekey";

/// Spreads one partition of the source topic.
pub(crate) struct Rekeyer {
    pub(crate) sink: Sink,
    pub(crate) reader: Box<dyn PartitionReader>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) to: Arc<str>,
    /// Of the target topic.
    pub(crate) partitions: i32,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) position: Arc<AtomicI64>,
    /// Up to where the ledger has the source.
    pub(crate) committed: Arc<AtomicI64>,
    pub(crate) lost: bool,
    /// Split and not yet known to be written, with the offset to go on at.
    pub(crate) pending: Option<(Vec<NewRecord>, Offset)>,
    pub(crate) waiting: Waiting,
}

impl Rekeyer {
    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) -> Result<(), Stopped> {
        loop {
            let shared = Arc::clone(&self.sink.shared);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Seal { next, answer }) => {
                        let last = next.is_none();
                        let to = self.position.load(Ordering::Relaxed);
                        let (has_rows, letters) = self.sink.turn(next);
                        // Whoever asked may be gone; then this task is about to be stopped as well.
                        let _ = answer.send(Part { source: self.sink.source.clone(), to, has_rows, snapshots: Vec::new(), letters });
                        if last { return Ok(()) }
                    }
                    Some(Command::CatchUp { to, answer }) => self.waiting.add(to, answer),
                    None => return Ok(()),
                },
                // Cut off in between, it is written again: the reading side drops the second.
                written = Self::write(&self.log, &shared, &self.sink.source, self.pending.as_ref()), if self.pending.is_some() => {
                    if written && let Some((_, next)) = self.pending.take() {
                        self.position.store(next, Ordering::Relaxed);
                    }
                }
                records = pipeline::read(&mut self.reader, &shared, &self.sink.source, &mut self.lost), if self.pending.is_none() => {
                    self.split(&records)?;
                }
            }
            self.waiting.tell(self.position.load(Ordering::Relaxed));
        }
    }

    async fn write(
        log: &Arc<dyn Log>,
        shared: &Shared,
        source: &TopicPartition,
        pending: Option<&(Vec<NewRecord>, Offset)>,
    ) -> bool {
        const FAILED: Duration = Duration::from_millis(500);
        let Some((records, _)) = pending else { return true };
        let part = format!("re-keying {source}");
        match log.append(records.clone()).await {
            Ok(_) => {
                shared.health.clear(&part);
                true
            }
            Err(error) => {
                shared.health.problem(&part, error);
                tokio::time::sleep(FAILED).await;
                false
            }
        }
    }

    fn split(&mut self, records: &[Record]) -> Result<(), Stopped> {
        let Some(next) = records.last().map(|record| record.offset + 1) else { return Ok(()) };
        pipeline::count_read(&self.sink, records);
        let floor = Bytes::from(self.committed.load(Ordering::Relaxed).to_string());
        let mut written = Vec::with_capacity(records.len());
        for record in records {
            match weft_codec::split_traces(record.value.clone(), self.partitions) {
                Ok(split) => written.extend(split.into_iter().map(|(partition, value)| {
                    let mut headers = record.headers.clone();
                    headers.push((FROM.into(), format!("{}/{}", self.sink.source, record.offset).into()));
                    headers.push((FLOOR.into(), floor.clone()));
                    NewRecord {
                        topic: Arc::clone(&self.to),
                        partition: Some(partition),
                        key: None,
                        value,
                        headers,
                        timestamp_ms: Some(record.timestamp_ms),
                    }
                })),
                Err(error) => {
                    let verdict = Verdict { stage: DECODE.to_owned(), reason: error.to_string(), module: None };
                    self.sink.give_up(&[Letter::of_message(record, verdict)])?;
                }
            }
        }
        self.pending = Some((written, next));
        Ok(())
    }
}

impl Drop for Rekeyer {
    fn drop(&mut self) {
        self.sink.shared.health.clear(&format!("re-keying {}", self.sink.source));
        pipeline::forget(&self.sink);
    }
}

/// What a target's partition has had from each partition it was re-keyed from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    sources: BTreeMap<String, SeenOf>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct SeenOf {
    floor: Offset,
    offsets: BTreeSet<Offset>,
}

impl Seen {
    /// From a snapshot.
    pub(crate) fn restore(snapshot: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(snapshot).map_err(|error| error.to_string())
    }

    /// Drops the records that were had before. Records of other producers all stay.
    pub(crate) fn retain_new(&mut self, records: &mut Vec<Record>) {
        records.retain(|record| self.is_new(record).unwrap_or(true));
    }

    fn is_new(&mut self, record: &Record) -> Option<bool> {
        let header = |name: &str| {
            let (_, value) = record.headers.iter().find(|(header, _)| &**header == name)?;
            std::str::from_utf8(value).ok()
        };
        let (source, offset) = header(FROM)?.rsplit_once('/')?;
        let (offset, floor): (Offset, Offset) = (offset.parse().ok()?, header(FLOOR)?.parse().ok()?);
        if !self.sources.contains_key(source) {
            self.sources.insert(source.to_owned(), SeenOf::default());
        }
        let seen = self.sources.get_mut(source)?;
        if floor > seen.floor {
            seen.floor = floor;
            seen.offsets = seen.offsets.split_off(&floor);
        }
        Some(offset >= seen.floor && seen.offsets.insert(offset))
    }

    /// The state, to be kept with the partition's offset.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, String> {
        let bytes = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        Ok(Snapshot { stage: STATE.to_owned(), module: String::new(), digest: String::new(), bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn record(from: &str, floor: i64) -> Record {
        let headers = vec![(FROM.into(), from.to_owned().into()), (FLOOR.into(), floor.to_string().into())];
        Record { offset: 0, timestamp_ms: 0, key: None, value: Bytes::new(), headers }
    }

    fn kept(seen: &mut Seen, records: &[(&str, i64)]) -> usize {
        let mut records = records.iter().map(|(from, floor)| record(from, *floor)).collect();
        seen.retain_new(&mut records);
        records.len()
    }

    #[test]
    fn what_is_written_twice_is_had_once_whatever_the_order() {
        let mut seen = Seen::default();
        assert_eq!(kept(&mut seen, &[("in/0/6", 5), ("in/0/7", 5)]), 2);
        // 5 failed the first time; all three are written again.
        assert_eq!(kept(&mut seen, &[("in/0/5", 5), ("in/0/6", 5), ("in/0/7", 5)]), 1);
        assert_eq!(kept(&mut seen, &[("in/1/5", 0)]), 1, "another partition's offsets are others");
        let mut seen = Seen::restore(&seen.snapshot().unwrap().bytes).unwrap();
        assert_eq!(kept(&mut seen, &[("in/0/8", 8)]), 1);
        assert_eq!(kept(&mut seen, &[("in/0/6", 5), ("in/0/3", 0)]), 0, "a worker that lost its partition comes late");
        assert_eq!(seen.sources["in/0"].offsets.len(), 1, "nothing below the floor is remembered");
    }

    #[test]
    fn records_of_other_producers_all_stay() {
        let mut seen = Seen::default();
        let plain = Record { offset: 0, timestamp_ms: 0, key: None, value: Bytes::new(), headers: Vec::new() };
        let mut records = vec![plain.clone(), plain];
        seen.retain_new(&mut records);
        assert_eq!(records.len(), 2);
    }
}
