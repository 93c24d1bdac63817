//! A module's code, and what the chain asks of an instance: Wasm in production, native in tests.

use arrow::array::RecordBatch;
use std::fmt::Debug;
use std::sync::Arc;
use weft_model::{Signal, TopicPartition};
use weft_wasm::{Description, Error, Fault, Instance, Module, Output};

/// A live module. Calls don't wait; after a fatal fault it is dead.
pub(crate) trait Transform: Send + Debug {
    /// See [`Instance::process`].
    fn process(&mut self, signal: Signal, batch: RecordBatch, now_ns: i64) -> Result<Output, Fault>;
    /// See [`Instance::tick`].
    fn tick(&mut self, now_ns: i64) -> Result<Output, Fault>;
    /// See [`Instance::snapshot`].
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault>;
    /// See [`Instance::restore`].
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault>;
    /// Rows parked now.
    fn deferred_rows(&self) -> usize;
    /// Time inside all calls, ns.
    fn busy_ns(&self) -> u64;
    /// The module's own counters.
    fn counters(&self) -> Vec<(String, u64)>;
}

impl Transform for Instance {
    fn process(&mut self, signal: Signal, batch: RecordBatch, now_ns: i64) -> Result<Output, Fault> {
        Self::process(self, signal, batch, now_ns)
    }

    fn tick(&mut self, now_ns: i64) -> Result<Output, Fault> {
        Self::tick(self, now_ns)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Self::snapshot(self)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        Self::restore(self, snapshot)
    }

    fn deferred_rows(&self) -> usize {
        Self::deferred_rows(self)
    }

    fn busy_ns(&self) -> u64 {
        self.stats().busy_ns
    }

    fn counters(&self) -> Vec<(String, u64)> {
        Self::counters(self).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

/// What instances are made of.
#[derive(Debug, Clone)]
pub(crate) enum Code {
    /// A compiled module.
    Wasm(Arc<Module>),
    /// A test's own.
    #[cfg(test)]
    Native(Arc<Native>),
}

impl Code {
    pub(crate) fn digest(&self) -> &str {
        match self {
            Self::Wasm(module) => module.digest(),
            #[cfg(test)]
            Self::Native(_) => "native",
        }
    }

    pub(crate) fn description(&self) -> &Description {
        match self {
            Self::Wasm(module) => module.description(),
            #[cfg(test)]
            Self::Native(native) => &native.description,
        }
    }

    pub(crate) fn instantiate(&self, config: &str, source: &TopicPartition) -> Result<Box<dyn Transform>, Error> {
        match self {
            Self::Wasm(module) => Ok(Box::new(module.instantiate(config, source)?)),
            #[cfg(test)]
            Self::Native(native) => Ok((native.make)(config)),
        }
    }
}

/// Makes an instance from its configuration.
#[cfg(test)]
pub(crate) type Make = Box<dyn Fn(&str) -> Box<dyn Transform> + Send + Sync>;

/// A module of a test.
#[cfg(test)]
pub(crate) struct Native {
    pub(crate) description: Description,
    pub(crate) make: Make,
}

#[cfg(test)]
impl Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description.name)
    }
}
