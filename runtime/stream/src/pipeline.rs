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
use crate::dead_letters::{self, Letter};
use crate::decode::{Grouper, Step};
use crate::health::Board;
use crate::metrics::{Metrics, PartitionLabels, TableLabel, TopicLabels};
use crate::poison::{Blame, Poison};
use crate::transform::{Chain, Fault, Kind, Output, Snapshot, Trap};
use arrow::array::{ArrayRef, RecordBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use weft_env::Clock;
use weft_log::{PartitionReader, Record};
use weft_model::{Epoch, ErrorKind, Offset, Table, TopicPartition};
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

    fn pushed(&self, rows: &RecordBatch) {
        let column = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes = rows.columns().iter().map(column).sum::<usize>() as u64;
        let before = self.pushed.fetch_add(bytes, Ordering::Relaxed);
        if before < self.epoch_bytes && before + bytes >= self.epoch_bytes {
            self.full.notify_one();
        }
    }
}

/// A partition task.
pub(crate) struct Partition {
    pub(crate) source: TopicPartition,
    pub(crate) shared: Arc<Shared>,
    pub(crate) reader: Box<dyn PartitionReader>,
    pub(crate) grouper: Grouper,
    pub(crate) chain: Chain,
    pub(crate) poison: Poison,
    pub(crate) epoch: Epoch,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Where reading goes on; shared with whoever computes lag.
    pub(crate) position: Arc<AtomicI64>,
    /// Where the epoch began.
    pub(crate) from: Offset,
    pub(crate) has_rows: bool,
    pub(crate) letters: Vec<Letter>,
    pub(crate) waiting: Vec<(Offset, oneshot::Sender<()>)>,
    /// The partition was taken away: nothing more can be read.
    pub(crate) lost: bool,
}

impl Partition {
    /// Runs until it is told to stop, or can't go on.
    pub(crate) async fn run(mut self) -> Result<(), Stopped> {
        let tick = self.shared.config.tick;
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
                    Some(Command::CatchUp { to, answer }) => self.waiting.push((to, answer)),
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.tick()?,
                records = Self::read(&mut self.reader, &self.shared, &self.source, &mut self.lost) => {
                    self.take(records)?;
                    // Modules and decoding don't wait: give the other partitions of this thread a turn.
                    tokio::task::yield_now().await;
                }
            }
            self.tell_waiting();
        }
    }

    /// The next records; none when there are none, or while more may not be taken.
    async fn read(
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

    /// Takes records all the way to the hot buffer.
    fn take(&mut self, records: Vec<Record>) -> Result<(), Stopped> {
        let Some(next) = records.last().map(|record| record.offset + 1) else { return Ok(()) };
        let labels = TopicLabels { topic: self.source.topic.to_string() };
        self.shared.metrics.records_read.get_or_create(&labels).inc_by(records.len() as u64);
        let bytes = records.iter().map(Record::bytes).sum::<usize>() as u64;
        self.shared.metrics.bytes_read.get_or_create(&labels).inc_by(bytes);
        let mut at = 0;
        while at < records.len() {
            match self.grouper.next(&self.source, &records[at..], &self.poison).map_err(Stopped::Broken)? {
                Step::Undecodable { taken, verdict } => {
                    self.letters_of(&[Letter::of_message(&records[at + taken - 1], verdict)])?;
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
        let now = self.shared.clock.now_nanos();
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let kind = if records.len() == 1 { Kind::One(first.offset) } else { Kind::Many(first.offset..last.offset + 1) };
        match self.chain.run(batch, kind, &self.poison, now) {
            Ok(output) => self.keep(output, Some(first)),
            Err(Fault::Rollback(trap)) => Err(trap.into()),
            Err(Fault::Singly) => {
                for record in records {
                    match self.grouper.single(&self.source, record).map_err(Stopped::Broken)? {
                        Step::Undecodable { verdict, .. } => self.letters_of(&[Letter::of_message(record, verdict)])?,
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
            self.push(table, rows)?;
        }
        let arrow = |error: arrow::error::ArrowError| Stopped::Broken(error.to_string());
        let mut letters = Vec::new();
        if let Some(record) = record {
            letters.extend(output.rejected.into_iter().map(|verdict| Letter::of_message(record, verdict)));
        }
        let (offset, now_ms) = (self.position.load(Ordering::Relaxed), self.shared.clock.now_millis());
        for (signal, rows, verdict) in output.rejected_rows {
            letters.push(Letter::of_rows(signal, &rows, offset, now_ms, verdict).map_err(arrow)?);
        }
        for (rows, verdict) in output.unparsed {
            letters.extend(Letter::of_raw(&rows, &verdict).map_err(arrow)?);
        }
        self.letters_of(&letters)
    }

    fn push(&mut self, table: Table, rows: RecordBatch) -> Result<(), Stopped> {
        self.has_rows = true;
        self.shared.gate.pushed(&rows);
        self.shared.metrics.rows_stored.get_or_create(&TableLabel { table: table.name() }).inc_by(rows.num_rows() as u64);
        self.shared.tables.hot().push(&self.epoch, table, rows).map_err(|error| Stopped::Broken(error.to_string()))
    }

    fn letters_of(&mut self, letters: &[Letter]) -> Result<(), Stopped> {
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters {
            let stage = crate::metrics::StageLabel { stage: letter.verdict.stage.clone() };
            self.shared.metrics.dead_letters.get_or_create(&stage).inc();
        }
        let rows = dead_letters::to_rows(&self.source, letters, self.shared.clock.now_nanos());
        self.push(Table::DeadLetters, rows.map_err(|error| Stopped::Broken(error.to_string()))?)?;
        self.letters.extend_from_slice(letters);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), Stopped> {
        match self.chain.tick(self.shared.clock.now_nanos()) {
            Ok(output) => self.keep(output, None),
            Err(Fault::Rollback(trap)) => Err(trap.into()),
            Err(Fault::Singly) => Err(Stopped::Broken("a tick has no messages to run by themselves".to_owned())),
        }
    }

    /// Ends the epoch: what the modules hold back is given its chance, then their state is taken.
    fn seal(&mut self, next: Option<Epoch>) -> Result<Part, Stopped> {
        self.tick()?;
        let to = self.position.load(Ordering::Relaxed);
        let has_rows = std::mem::take(&mut self.has_rows);
        // Without progress and rows the partition has no part in the epoch, nor has its state: ticks
        // alone are repeated from the state before.
        let snapshots = if to > self.from || has_rows {
            self.chain.snapshots().map_err(|fault| match fault {
                Fault::Rollback(trap) => Stopped::Trapped(trap),
                Fault::Singly => Stopped::Broken("a snapshot has no messages".to_owned()),
            })?
        } else {
            Vec::new()
        };
        self.from = to;
        if let Some(next) = next {
            self.epoch = next;
        }
        self.poison.forget_below(self.from);
        Ok(Part { source: self.source.clone(), to, has_rows, snapshots, letters: std::mem::take(&mut self.letters) })
    }

    fn tell_waiting(&mut self) {
        let position = self.position.load(Ordering::Relaxed);
        for at in (0..self.waiting.len()).rev() {
            if self.waiting[at].0 <= position {
                // The asker may have given up.
                let _ = self.waiting.swap_remove(at).1.send(());
            }
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.shared.health.clear(&format!("reading {}", self.source));
        let labels =
            PartitionLabels { topic: self.source.topic.to_string(), partition: self.source.partition };
        self.shared.metrics.lag.remove(&labels);
    }
}

/// For the log: whom a trap is blamed on.
pub(crate) fn blamed(blame: &Blame) -> String {
    match blame {
        Blame::OneOf(range) => format!("one of the messages at {} to {}", range.start, range.end - 1),
        Blame::Message(offset) => format!("the message at {offset}"),
        Blame::Nobody => "no message".to_owned(),
    }
}
