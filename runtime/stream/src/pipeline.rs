//! One partition's way from the log to hot rows: read this first.
//!
//! ```text
//! read      records of the partition, in order                   log::PartitionReader
//! decode    bytes → a batch of the source's signal               codec::Decoder     (decode.rs)
//! modules   the chain of instances; emitted rows branch off      transform.rs
//! derive    columns computed after the last module               codec::derive      (transform.rs)
//! hot       rows visible to queries at once                      table::Hot
//! seal      at an epoch's end: tick, snapshots, offset           → worker.rs, commit.rs
//! ```
//! The task owns its instances and never waits for a write: after sealing one epoch it goes on with
//! the next. It stops reading while hot rows hold too much memory ([`Gate`]).
//! What it can't get over (a trap in a stateful module) it reports and stops: the worker starts it
//! anew from the ledger.

use crate::config::Config;
use crate::dead_letters::Letter;
use crate::decode::{Grouper, Step};
use crate::health::Board;
use crate::metrics::{Metrics, PartitionLabels, TopicLabels};
use crate::poison::{Blame, Poison};
use crate::rekey::Seen;
use crate::sink::Sink;
use crate::transform::{Chain, Fault, Kind, Output, Snapshot, Trap};
use arrow::array::{ArrayRef, RecordBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use weft_env::Clock;
use weft_log::{PartitionReader, Record};
use weft_model::{Epoch, ErrorKind, Offset, TopicPartition};
use weft_table::Tables;

/// What the worker asks of a partition task.
#[derive(Debug)]
pub(crate) enum Command {
    /// End the epoch; go on with `next`, or stop where there is none.
    Seal { next: Option<Epoch>, answer: oneshot::Sender<Part> },
    /// Say when everything below `to` is processed.
    CatchUp { to: Offset, answer: oneshot::Sender<()> },
}

/// A partition's part of an epoch. Its rows are in the hot buffer.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) source: TopicPartition,
    pub(crate) to: Offset,
    /// Rows were pushed, with or without progress.
    pub(crate) has_rows: bool,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) letters: Vec<Letter>,
}

/// Why a task stopped by itself.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The partition's modules have to be taken back to the ledger's state.
    Trapped(Trap),
    /// Something of ours is broken.
    Broken(String),
}

impl From<Trap> for Stopped {
    fn from(trap: Trap) -> Self {
        Self::Trapped(trap)
    }
}

/// What all partition tasks of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tables: Tables,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Board,
    pub(crate) gate: Gate,
}

/// Back-pressure: closed while hot rows hold too much.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Bytes at which an epoch is full.
    pub(crate) epoch_bytes: u64,
    /// Bytes at which reading stops.
    pub(crate) hot_bytes: u64,
    /// Told when an epoch is full.
    pub(crate) full: Notify,
    /// Bytes of the open epoch's rows.
    pushed: AtomicU64,
}

impl Gate {
    pub(crate) fn new(epoch_bytes: u64, hot_bytes: u64) -> Self {
        Self { epoch_bytes, hot_bytes, full: Notify::new(), pushed: AtomicU64::new(0) }
    }

    /// A new epoch has begun.
    pub(crate) fn reset(&self) {
        self.pushed.store(0, Ordering::Relaxed);
    }

    fn is_closed(&self, tables: &Tables) -> bool {
        tables.hot().bytes() as u64 >= self.hot_bytes
    }

    pub(crate) fn pushed(&self, rows: &RecordBatch) {
        let column = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes = rows.columns().iter().map(column).sum::<usize>() as u64;
        let before = self.pushed.fetch_add(bytes, Ordering::Relaxed);
        if before < self.epoch_bytes && before + bytes >= self.epoch_bytes {
            self.full.notify_one();
        }
    }
}

/// Who waits for the partition to get somewhere.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<(Offset, oneshot::Sender<()>)>);

impl Waiting {
    pub(crate) fn add(&mut self, to: Offset, answer: oneshot::Sender<()>) {
        self.0.push((to, answer));
    }

    /// Tells those that wait for nothing beyond `position`.
    pub(crate) fn tell(&mut self, position: Offset) {
        for at in (0..self.0.len()).rev() {
            if self.0[at].0 <= position {
                // The asker may have given up.
                let _ = self.0.swap_remove(at).1.send(());
            }
        }
    }
}

/// A partition task.
pub(crate) struct Partition {
    pub(crate) sink: Sink,
    pub(crate) reader: Box<dyn PartitionReader>,
    pub(crate) grouper: Grouper,
    pub(crate) chain: Chain,
    /// Where other partitions are re-keyed into this one.
    pub(crate) seen: Option<Seen>,
    pub(crate) poison: Poison,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Where reading goes on; shared with whoever computes lag.
    pub(crate) position: Arc<AtomicI64>,
    /// Where the epoch began.
    pub(crate) from: Offset,
    pub(crate) waiting: Waiting,
    /// The partition was taken away: nothing more can be read.
    pub(crate) lost: bool,
}

impl Partition {
    /// Runs until it is told to stop, or can't go on.
    pub(crate) async fn run(mut self) -> Result<(), Stopped> {
        let shared = Arc::clone(&self.sink.shared);
        let tick = shared.config.tick;
        let mut ticks = interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Seal { next, answer }) => {
                        let last = next.is_none();
                        // Whoever asked may be gone; then this task is about to be stopped as well.
                        let _ = answer.send(self.seal(next)?);
                        if last { return Ok(()) }
                    }
                    Some(Command::CatchUp { to, answer }) => self.waiting.add(to, answer),
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.tick()?,
                records = read(&mut self.reader, &shared, &self.sink.source, &mut self.lost) => {
                    self.take(records)?;
                    // Modules and decoding don't wait: give the other partitions of this thread a turn.
                    tokio::task::yield_now().await;
                }
            }
            self.waiting.tell(self.position.load(Ordering::Relaxed));
        }
    }

    /// Takes records all the way to the hot buffer.
    fn take(&mut self, mut records: Vec<Record>) -> Result<(), Stopped> {
        let Some(next) = records.last().map(|record| record.offset + 1) else { return Ok(()) };
        count_read(&self.sink, &records);
        if let Some(seen) = &mut self.seen {
            seen.retain_new(&mut records);
        }
        let mut at = 0;
        while at < records.len() {
            match self.grouper.next(&self.sink.source, &records[at..], &self.poison).map_err(Stopped::Broken)? {
                Step::Undecodable { taken, verdict } => {
                    self.sink.give_up(&[Letter::of_message(&records[at + taken - 1], verdict)])?;
                    at += taken;
                }
                Step::Batch { taken, batch } => {
                    self.modules(&records[at..at + taken], batch)?;
                    at += taken;
                }
            }
        }
        self.position.store(next, Ordering::Relaxed);
        Ok(())
    }

    /// Runs a decoded batch of `records` through the modules; message by message where that is the
    /// only way to know which one a module fails on.
    fn modules(&mut self, records: &[Record], batch: RecordBatch) -> Result<(), Stopped> {
        let now = self.sink.shared.clock.now_nanos();
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let kind = if records.len() == 1 { Kind::One(first.offset) } else { Kind::Many(first.offset..last.offset + 1) };
        match self.chain.run(batch, kind, &self.poison, now) {
            Ok(output) => self.keep(output, Some(first)),
            Err(Fault::Rollback(trap)) => Err(trap.into()),
            Err(Fault::Singly) => {
                for record in records {
                    match self.grouper.single(&self.sink.source, record).map_err(Stopped::Broken)? {
                        Step::Undecodable { verdict, .. } => {
                            self.sink.give_up(&[Letter::of_message(record, verdict)])?
                        }
                        Step::Batch { batch, .. } => self.modules(std::slice::from_ref(record), batch)?,
                    }
                }
                Ok(())
            }
        }
    }

    /// Makes a run's rows visible, and its failures dead letters. `record` is the message of a run of one.
    fn keep(&mut self, output: Output, record: Option<&Record>) -> Result<(), Stopped> {
        for (table, rows) in output.rows {
            self.sink.push(table, rows)?;
        }
        let arrow = |error: arrow::error::ArrowError| Stopped::Broken(error.to_string());
        let mut letters = Vec::new();
        if let Some(record) = record {
            letters.extend(output.rejected.into_iter().map(|verdict| Letter::of_message(record, verdict)));
        }
        let (offset, now_ms) = (self.position.load(Ordering::Relaxed), self.sink.shared.clock.now_millis());
        for (signal, rows, verdict) in output.rejected_rows {
            letters.push(Letter::of_rows(signal, &rows, offset, now_ms, verdict).map_err(arrow)?);
        }
        for (rows, verdict) in output.unparsed {
            letters.extend(Letter::of_raw(&rows, &verdict).map_err(arrow)?);
        }
        self.sink.give_up(&letters)
    }

    fn tick(&mut self) -> Result<(), Stopped> {
        match self.chain.tick(self.sink.shared.clock.now_nanos()) {
            Ok(output) => self.keep(output, None),
            Err(Fault::Rollback(trap)) => Err(trap.into()),
            Err(Fault::Singly) => Err(Stopped::Broken("a tick has no messages to run by themselves".to_owned())),
        }
    }

    /// Ends the epoch: what the modules hold back is given its chance, then their state is taken.
    fn seal(&mut self, next: Option<Epoch>) -> Result<Part, Stopped> {
        self.tick()?;
        let to = self.position.load(Ordering::Relaxed);
        // Without progress and rows the partition has no part in the epoch, nor has its state: ticks
        // alone are repeated from the state before.
        let mut snapshots = Vec::new();
        if to > self.from || self.sink.has_rows() {
            snapshots = self.chain.snapshots().map_err(|fault| match fault {
                Fault::Rollback(trap) => Stopped::Trapped(trap),
                Fault::Singly => Stopped::Broken("a snapshot has no messages".to_owned()),
            })?;
            if let Some(seen) = &self.seen {
                snapshots.push(seen.snapshot().map_err(Stopped::Broken)?);
            }
        }
        self.from = to;
        self.poison.forget_below(to);
        let (has_rows, letters) = self.sink.turn(next);
        Ok(Part { source: self.sink.source.clone(), to, has_rows, snapshots, letters })
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        forget(&self.sink);
    }
}

/// The next records; none when there are none, or while more may not be taken.
pub(crate) async fn read(
    reader: &mut Box<dyn PartitionReader>,
    shared: &Shared,
    source: &TopicPartition,
    lost: &mut bool,
) -> Vec<Record> {
    const PAUSE: Duration = Duration::from_millis(20);
    const FAILED: Duration = Duration::from_millis(500);
    if *lost || shared.gate.is_closed(&shared.tables) {
        tokio::time::sleep(PAUSE).await;
        return Vec::new();
    }
    let part = format!("reading {source}");
    match reader.read(shared.config.read_records, shared.config.read_bytes, shared.config.read_wait).await {
        Ok(records) => {
            shared.health.clear(&part);
            records
        }
        Err(error) if error.kind() == ErrorKind::Fenced => {
            *lost = true;
            Vec::new()
        }
        Err(error) => {
            shared.health.problem(&part, error);
            tokio::time::sleep(FAILED).await;
            Vec::new()
        }
    }
}

/// Accounts for what was read.
pub(crate) fn count_read(sink: &Sink, records: &[Record]) {
    let labels = TopicLabels { topic: sink.source.topic.to_string() };
    sink.shared.metrics.records_read.get_or_create(&labels).inc_by(records.len() as u64);
    let bytes = records.iter().map(Record::bytes).sum::<usize>() as u64;
    sink.shared.metrics.bytes_read.get_or_create(&labels).inc_by(bytes);
}

/// Takes back what is said of a partition that isn't read any more.
pub(crate) fn forget(sink: &Sink) {
    sink.shared.health.clear(&format!("reading {}", sink.source));
    let labels = PartitionLabels { topic: sink.source.topic.to_string(), partition: sink.source.partition };
    sink.shared.metrics.lag.remove(&labels);
}

/// For the log: whom a trap is blamed on.
pub(crate) fn blamed(blame: &Blame) -> String {
    match blame {
        Blame::OneOf(range) => format!("one of the messages at {} to {}", range.start, range.end - 1),
        Blame::Message(offset) => format!("the message at {offset}"),
        Blame::Nobody => "no message".to_owned(),
    }
}
