//! skeleton
use crate::Fault;
use arrow::array::RecordBatch;
use weft_model::Signal;

/// What came of a call.
#[derive(Debug, Default)]
pub struct Output {
    /// The batch as the module left it; `None` when no rows are left, and after a tick.
    pub batch: Option<RecordBatch>,
    /// Parked rows that the module released, in the order they were parked, and their signal.
    pub released: Vec<(Signal, RecordBatch)>,
    /// New batches that the module emitted, in the order it sent them.
    pub emitted: Vec<(Signal, RecordBatch)>,
}

/// What an instance has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of process and tick.
    pub calls: u64,
    /// Time inside all calls, ns. A call never waits, so this is CPU time but for preemption.
    pub busy_ns: u64,
    /// Rows given to process.
    pub rows_in: u64,
    /// Rows of all outputs: kept, released and emitted.
    pub rows_out: u64,
    /// Bytes that the guest pulled from batches.
    pub bytes_in: u64,
    /// Bytes that the guest pushed.
    pub bytes_out: u64,
}

/// A live module, owned by one partition task.
#[derive(Debug)]
pub struct Instance {}

impl Instance {
    /// Runs a batch through the module.
    pub fn process(&mut self, signal: Signal, batch: RecordBatch, now_ns: i64) -> Result<Output, Fault> {
        let _ = (signal, batch, now_ns);
        Err(Fault::Rejected("not built yet".into()))
    }
    /// Lets time pass.
    pub fn tick(&mut self, now_ns: i64) -> Result<Output, Fault> {
        let _ = now_ns;
        Err(Fault::Rejected("not built yet".into()))
    }
    /// State of the module and its parked rows.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Err(Fault::Rejected("not built yet".into()))
    }
    /// Takes a snapshot's place.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        let _ = snapshot;
        Err(Fault::Rejected("not built yet".into()))
    }
    /// The module's own counters, by name, since the instance was made.
    pub fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        std::iter::empty()
    }
    /// What it has done.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    /// Rows parked now.
    pub fn deferred_rows(&self) -> usize {
        0
    }
    /// Bytes parked now.
    pub fn deferred_bytes(&self) -> usize {
        0
    }
    /// Whether a fault has ended it.
    pub fn is_dead(&self) -> bool {
        false
    }
}
