//! A live module: calls into the guest, what may go wrong in them, and what came of them.

use crate::Fault;
use crate::bindings::TelemetryModulePre;
use crate::config::EPOCH_TICK;
use crate::engine::Parts;
use crate::host::State;
use crate::host::batch::Batch;
use crate::module::{Description, Guest};
use crate::snapshot::{Header, Snapshot};
use arrow::array::RecordBatch;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::Resource;
use wasmtime::{Store, Trap};
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

impl Output {
    fn rows(&self) -> usize {
        let others = self.released.iter().chain(&self.emitted).map(|(_, batch)| batch.num_rows());
        self.batch.as_ref().map_or(0, RecordBatch::num_rows) + others.sum::<usize>()
    }
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
    /// Linear memory it holds.
    pub memory_bytes: u64,
}

/// A store with its guest: calls it, and tells how a call ended.
pub(crate) struct Runner {
    store: Store<State>,
    guest: Option<Guest>,
    parts: Parts,
    /// Why it can't be called any more.
    dead: Option<String>,
}

/// Most bytes of a trap's message, backtrace included.
const TRAP_BYTES: usize = 8 << 10;

impl Runner {
    pub(crate) fn new(store: Store<State>, parts: Parts) -> Self {
        Self { store, guest: None, parts, dead: None }
    }

    pub(crate) fn instantiate(&mut self, pre: &TelemetryModulePre<State>) -> Result<(), (wasmtime::Error, Fault)> {
        arm(&mut self.store, &self.parts);
        match pre.instantiate(&mut self.store) {
            Ok(guest) => {
                self.guest = Some(guest);
                Ok(())
            }
            Err(error) => {
                let fault = self.fault(&error);
                Err((error, fault))
            }
        }
    }

    /// Calls the guest. A fault ends it.
    pub(crate) fn call<R>(
        &mut self,
        now_ns: i64,
        works: bool,
        call: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.store.data_mut().begin(now_ns, works);
        self.resume(call)
    }

    /// Calls the guest in a call that was begun.
    fn resume<R>(&mut self, call: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<R>) -> Result<R, Fault> {
        if let Some(why) = &self.dead {
            return Err(Fault::Trapped(format!("the instance is dead since an earlier fault: {why}")));
        }
        let Some(guest) = &self.guest else {
            return Err(Fault::Trapped("the instance was never started".into()));
        };
        arm(&mut self.store, &self.parts);
        let started = Instant::now();
        let answer = call(guest, &mut self.store);
        let spent = started.elapsed();
        self.store.data_mut().stats.busy_ns += u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        answer.map_err(|error| self.fault(&error))
    }

    /// What an error of wasmtime means. It ends the instance.
    fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        let text = describe(error);
        let fault = if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
            Fault::Limit(format!("the call took longer than {:?} (call_timeout_ms)", self.parts.config.call_timeout))
        } else if let Some(denied) = self.store.data().limiter.denied() {
            Fault::Limit(denied.to_owned())
        } else if text.contains("fuel allocated for hostcalls has been exhausted") {
            let limit = self.parts.config.hostcall_bytes;
            Fault::Limit(format!("one host call may carry {limit} bytes (hostcall_bytes)"))
        } else {
            Fault::Trapped(text)
        };
        self.dead = Some(fault.to_string());
        fault
    }
}

/// Starts the clock of a call.
fn arm(store: &mut Store<State>, parts: &Parts) {
    let ticks = parts.config.call_timeout.as_nanos().div_ceil(EPOCH_TICK.as_nanos());
    // One more: the tick under way may end at once.
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2) + 1);
}

/// The chain of causes, with the Wasm backtrace that wasmtime puts among them.
fn describe(error: &wasmtime::Error) -> String {
    crate::host::log::cut(&format!("{error:?}"), TRAP_BYTES).to_owned()
}

/// A live module, owned by one partition task.
pub struct Instance {
    runner: Runner,
    description: Arc<Description>,
    digest: Arc<str>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("module", &self.description.name)
            .field("dead", &self.runner.dead)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) fn new(runner: Runner, description: Arc<Description>, digest: Arc<str>) -> Self {
        Self { runner, description, digest }
    }

    fn state(&self) -> &State {
        self.runner.store.data()
    }

    /// Runs a batch of `signal` (in that signal's schema) through the module. `now_ns`: Unix time.
    ///
    /// # Errors
    /// [`Fault::Rejected`] leaves the instance as usable as before, the others end it.
    pub fn process(&mut self, signal: Signal, batch: RecordBatch, now_ns: i64) -> Result<Output, Fault> {
        if !self.description.accepts.contains(&signal) {
            let name = &self.description.name;
            return Err(Fault::Rejected(format!("module '{name}' doesn't accept {signal}")));
        }
        let schema = signal.schema();
        if !Arc::ptr_eq(&batch.schema(), &schema) && batch.schema().fields() != schema.fields() {
            return Err(Fault::Rejected(format!("the batch is not in the schema of {signal}")));
        }
        let rows = batch.num_rows() as u64;
        let state = self.runner.store.data_mut();
        state.begin(now_ns, true);
        state.stats.calls += 1;
        state.stats.rows_in += rows;
        let handle = state.call.open(Batch::of(signal, batch, now_ns));
        let now = u64::try_from(now_ns).unwrap_or(0);
        let answer = self.runner.resume(|guest, store| {
            guest.weft_telemetry_module().call_process(store, Resource::new_borrow(handle), now)
        });
        self.conclude(answer, Some(handle))
    }

    /// Lets the module act on time: about once a second, and before every snapshot.
    ///
    /// # Errors
    /// As [`Self::process`].
    pub fn tick(&mut self, now_ns: i64) -> Result<Output, Fault> {
        self.runner.store.data_mut().stats.calls += 1;
        let now = u64::try_from(now_ns).unwrap_or(0);
        let answer = self.runner.call(now_ns, true, |guest, store| guest.weft_telemetry_module().call_tick(store, now));
        self.conclude(answer, None)
    }

    /// Makes the call's effects true, if it succeeded.
    fn conclude(&mut self, answer: Result<Result<(), String>, Fault>, handle: Option<u32>) -> Result<Output, Fault> {
        let state = self.runner.store.data_mut();
        let result = match answer {
            Ok(Ok(())) => state.take(handle).map_err(|error| Fault::Rejected(error.to_string())),
            Ok(Err(reason)) => Err(Fault::Rejected(reason)),
            Err(fault) => Err(fault),
        };
        // Whatever is left of the call holds columns: they go now, not at the next call.
        state.begin(0, false);
        if let Ok(output) = &result {
            state.stats.rows_out += output.rows() as u64;
        }
        result
    }

    /// The guest's state and the parked rows, as one blob for [`Self::restore`].
    ///
    /// # Errors
    /// As [`Self::process`].
    pub fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        let state = self.runner.call(0, false, |guest, store| guest.weft_telemetry_module().call_snapshot(store))?;
        let deferred = self.state().deferred.parts().map_err(|error| Fault::Rejected(error.to_string()))?;
        let header = Header::new(&self.description.name, &self.description.version, &self.digest);
        Snapshot { header, state, deferred }.encode().map_err(Fault::Rejected)
    }

    /// Takes over from a snapshot; call it on a fresh instance. A snapshot of another build of the
    /// same module is the guest's to accept or refuse.
    ///
    /// # Errors
    /// [`Fault::Rejected`] for a blob that is damaged, from a newer weft, of another module, or
    /// refused by the guest: this instance then should not be used.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        let Snapshot { header, state, deferred } = Snapshot::decode(snapshot).map_err(Fault::Rejected)?;
        let Description { name, version, stateful, .. } = &*self.description;
        if header.module != *name {
            return Err(Fault::Rejected(format!("the snapshot is of module '{}', this is '{name}'", header.module)));
        }
        if *stateful || !state.is_empty() {
            let answer =
                self.runner.call(0, false, |guest, store| guest.weft_telemetry_module().call_restore(store, &state))?;
            if let Err(reason) = answer {
                return Err(Fault::Rejected(if *header.digest == *self.digest {
                    format!("module '{name}' refuses its snapshot: {reason}")
                } else {
                    format!("module '{name}' {version} refuses the snapshot of version {}: {reason}", header.version)
                }));
            }
        }
        let parked = &mut self.runner.store.data_mut().deferred;
        *parked = crate::host::defer::Deferred::default();
        for (signal, batch, keys) in deferred {
            parked.park(signal, batch, keys);
        }
        Ok(())
    }

    /// The module's own counters, by name, since the instance was made.
    pub fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.state().counters.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats { memory_bytes: state.limiter.used() as u64, ..state.stats }
    }

    /// Rows parked now.
    pub fn deferred_rows(&self) -> usize {
        self.state().deferred.rows()
    }

    /// Bytes parked now.
    pub fn deferred_bytes(&self) -> usize {
        self.state().deferred.bytes()
    }

    /// Whether a fault has ended it.
    pub fn is_dead(&self) -> bool {
        self.runner.dead.is_some()
    }
}

#[cfg(test)]
mod tests;
