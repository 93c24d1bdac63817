//! The host side of the contract: what a store holds, and what one call may do.
//!
//! One file per concern: `interface` answers the guest's calls and hands them on; `batch` is the
//! resource; `paths` says what a path names; `read`, `write`, `kernels` work on columns, `edits`
//! on maps, `samples` on a metric's samples; `emit` and `defer` are about other batches; `log` is
//! the `host` interface; `columns` has the records that cross.
//!
//! What a call sends, parks and releases takes effect when it succeeds: the instance asks for it then.

pub(crate) mod batch;
pub mod columns;
pub(crate) mod defer;
mod edits;
mod emit;
mod interface;
mod json;
mod kernels;
pub(crate) mod log;
mod paths;
mod read;
mod samples;
mod write;

use crate::config::Config;
use crate::instance::{Output, Stats};
use crate::limits::Limiter;
use arrow::array::RecordBatch;
use batch::Batch;
use columns::Error;
use defer::{Deferred, Operation};
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_model::Signal;

/// What a guest call reaches: the data of its store.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) module: Arc<str>,
    pub(crate) config: Arc<Config>,
    pub(crate) emits: Vec<Signal>,
    pub(crate) limiter: Limiter,
    pub(crate) call: Call,
    pub(crate) deferred: Deferred,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) regexes: kernels::Regexes,
    pub(crate) stats: Stats,
}

impl State {
    pub(crate) fn new(module: Arc<str>, config: Arc<Config>, emits: Vec<Signal>) -> Self {
        Self {
            limiter: Limiter::new(config.memory_bytes),
            call: Call::new(&config, 0, false, 0),
            module,
            config,
            emits,
            deferred: Deferred::default(),
            counters: BTreeMap::new(),
            regexes: kernels::Regexes::default(),
            stats: Stats::default(),
        }
    }

    /// Makes ready for a call. Only `works` calls (process, tick) have batches.
    pub(crate) fn begin(&mut self, now_ns: i64, works: bool) {
        let first = self.call.first.wrapping_add(self.call.batches.len() as u32);
        self.call = Call::new(&self.config, now_ns, works, first);
        self.limiter.begin();
    }
}

impl State {
    /// What a successful call made: the batch of `handle` as it was left, and its other effects.
    pub(crate) fn take(&mut self, handle: Option<u32>) -> Result<Output, Error> {
        let given = handle.and_then(|handle| self.call.slot(handle)).and_then(Option::take);
        let batch = match given {
            Some(batch) => batch.finish(&mut self.call.budget)?,
            None => None,
        };
        let released = self.deferred.run(std::mem::take(&mut self.call.operations))?;
        Ok(Output { batch, released, emitted: std::mem::take(&mut self.call.sent) })
    }
}

/// The running call: all that is forgotten if it fails.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) now_ns: i64,
    pub(crate) works: bool,
    /// The handle number of `batches[0]`. It counts on from call to call, so that a handle that a
    /// guest kept from an earlier call leads nowhere.
    first: u32,
    /// The batches the guest has handles of; in process, the first is the one given to it.
    batches: Vec<Option<Batch>>,
    pub(crate) sent: Vec<(Signal, RecordBatch)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) parked_rows: usize,
    pub(crate) parked_bytes: usize,
    pub(crate) emitted_rows: usize,
    pub(crate) budget: Budget,
    pub(crate) log_lines: usize,
}

impl Call {
    fn new(config: &Config, now_ns: i64, works: bool, first: u32) -> Self {
        Self {
            now_ns,
            works,
            first,
            batches: Vec::new(),
            sent: Vec::new(),
            operations: Vec::new(),
            parked_rows: 0,
            parked_bytes: 0,
            emitted_rows: 0,
            budget: Budget { left: config.output_bytes, limit: config.output_bytes },
            log_lines: 0,
        }
    }

    /// Adds a batch; the number of its handle.
    pub(crate) fn open(&mut self, batch: Batch) -> u32 {
        self.batches.push(Some(batch));
        self.first.wrapping_add(self.batches.len() as u32 - 1)
    }

    /// Batches opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.batches.len()
    }

    fn batch_and_budget(&mut self, handle: u32) -> (Option<&mut Batch>, &mut Budget) {
        let at = handle.wrapping_sub(self.first) as usize;
        (self.batches.get_mut(at).and_then(Option::as_mut), &mut self.budget)
    }

    /// The place of the batch with this handle number, empty when it was sent or dropped.
    pub(crate) fn slot(&mut self, handle: u32) -> Option<&mut Option<Batch>> {
        self.batches.get_mut(handle.wrapping_sub(self.first) as usize)
    }
}

/// The bytes that a call may still make the host hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    /// Takes `bytes` from it.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::Limit(format!("one call may push {} bytes (output_bytes)", self.limit))),
        }
    }
}
