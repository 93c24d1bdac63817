//! A host in memory: runs a module natively, so that its logic is unit-tested without Wasm.
//!
//! [`Harness`] plays weft's part for one instance; [`Rows`] is a batch to give it, or one that came
//! out. Under the feature `testing`, [`crate::Batch`] leads here instead of to the generated
//! bindings, with the same meaning of paths, kernels, defer and emit as the real host. It is simple
//! rather than fast: a cell per value.

pub(crate) mod batches;
pub(crate) mod host;
mod rows;

use crate::{Batch, Error, Module, Source};
use std::collections::BTreeMap;

pub use rows::{Rows, Value};

/// A module's instance with a host of its own.
#[derive(Debug)]
pub struct Harness<M> {
    module: M,
    state: host::State,
}

/// What one call gave.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Output {
    /// The batch as it goes on; `None` for a tick.
    pub batch: Option<Rows>,
    /// Parked rows that were released.
    pub released: Vec<Rows>,
    /// Batches that the module started and sent.
    pub emitted: Vec<Rows>,
}

/// A module's state with its parked rows.
#[derive(Debug, Clone)]
pub struct Snapshot {
    state: Vec<u8>,
    parked: Vec<([u8; 16], Rows)>,
}

impl<M: Module> Harness<M> {
    /// Configures a module from JSON for partition 0 of topic `test`.
    pub fn new(config: &str) -> Result<Self, Error> {
        Self::with_source(config, Source { topic: "test".into(), partition: 0 })
    }

    /// Configures a module from JSON.
    pub fn with_source(config: &str, source: Source) -> Result<Self, Error> {
        Ok(Self { module: M::configure(crate::parse_config(config)?, source)?, state: host::State::default() })
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut M) -> R) -> R {
        host::enter(&mut self.state);
        let result = call(&mut self.module);
        host::leave(&mut self.state);
        result
    }

    fn output(&mut self, batch: Option<Rows>) -> Output {
        Output {
            batch,
            released: std::mem::take(&mut self.state.released),
            emitted: std::mem::take(&mut self.state.emitted),
        }
    }

    /// Gives a batch; `now` in ns since the Unix epoch.
    pub fn process(&mut self, rows: Rows, now: u64) -> Result<Output, Error> {
        let batch = Batch::in_memory(batches::Batch::new(rows));
        self.call(|module| module.process(&batch, now))?;
        let rows = batch.into_inner().into_rows();
        Ok(self.output(Some(rows)))
    }

    /// Ticks; `now` in ns since the Unix epoch.
    pub fn tick(&mut self, now: u64) -> Result<Output, Error> {
        self.call(|module| module.tick(now))?;
        Ok(self.output(None))
    }

    /// The state, as an epoch would keep it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.module.snapshot(), parked: self.state.parked.clone() }
    }

    /// Takes up a state, as after a crash.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        self.state.parked = snapshot.parked.clone();
        self.call(|module| module.restore(&snapshot.state))
    }

    /// Gives the module any bytes as its state, as a damaged store might.
    pub fn call_restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.call(|module| module.restore(state))
    }

    /// Rows that are parked.
    pub fn parked(&self) -> usize {
        self.state.parked.len()
    }

    /// The module's counters.
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.state.counters
    }

    /// What the module logged.
    pub fn logged(&self) -> &[String] {
        &self.state.logged
    }

    /// The module itself.
    pub fn module(&self) -> &M {
        &self.module
    }
}

impl Snapshot {
    /// The module's own part.
    pub fn state(&self) -> &[u8] {
        &self.state
    }
}
