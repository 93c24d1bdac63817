//! What a module is and how it describes itself.

use crate::{Batch, Error};
use serde::de::DeserializeOwned;

pub use crate::bindings::weft::telemetry::types::Signal;

/// The partition of the input log that an instance serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Topic name.
    pub topic: String,
    /// Partition number, from 0.
    pub partition: u32,
}

/// A Wasm module: one instance serves one stage of a topology for one partition of the input log.
///
/// Everything that happens must follow from the calls alone: `now` is the only clock. Then what an
/// instance restored from a snapshot does with the same batches is the same again, which is what
/// exactly-once stands on.
pub trait Module: Sized + 'static {
    /// The stage's `config:`, as JSON. An absent one is read as `{}`. Give it
    /// `#[serde(deny_unknown_fields)]`, so that a misspelt field is an error.
    type Config: DeserializeOwned;

    /// Name, version, signals, columns and configuration schema.
    fn describe() -> Description;

    /// Makes the instance. An error stops the topology from loading; [`Error::config`] names the field.
    fn configure(config: Self::Config, source: Source) -> Result<Self, Error>;

    /// Handles one batch in place. `now`: ns since the Unix epoch. An error sends the batch to the
    /// dead letters.
    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error>;

    /// Called about once a second, and before every snapshot. `now`: ns since the Unix epoch.
    fn tick(&mut self, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The state to be kept, see [`crate::snapshot`]. Empty for a module without.
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes up a state that [`Self::snapshot`] of this or an earlier version gave.
    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        if state.is_empty() {
            return Ok(());
        }
        Err(Error::Snapshot("this module keeps no state, so it can't take over another's".into()))
    }
}

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name, as topologies and metrics show it.
    pub name: String,
    /// Version.
    pub version: String,
    /// Signals that it takes.
    pub accepts: Vec<Signal>,
    /// Signals that it may emit.
    pub emits: Vec<Signal>,
    /// Paths that it reads; a trailing `*` stands for any key.
    pub reads: Vec<String>,
    /// Paths that it writes.
    pub writes: Vec<String>,
    /// JSON schema of its configuration.
    pub config_schema: String,
    /// Whether [`Module::snapshot`] returns state worth keeping.
    pub stateful: bool,
}

impl Description {
    /// A module that takes, emits, reads and writes nothing yet.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            accepts: Vec::new(),
            emits: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            config_schema: r#"{"type":"object"}"#.into(),
            stateful: false,
        }
    }

    /// Signals that it takes.
    pub fn accepts<const N: usize>(mut self, signals: [Signal; N]) -> Self {
        self.accepts = signals.to_vec();
        self
    }

    /// Signals that it may emit.
    pub fn emits<const N: usize>(mut self, signals: [Signal; N]) -> Self {
        self.emits = signals.to_vec();
        self
    }

    /// Paths that it reads.
    pub fn reads<const N: usize>(mut self, paths: [&str; N]) -> Self {
        self.reads = paths.iter().map(ToString::to_string).collect();
        self
    }

    /// Paths that it writes.
    pub fn writes<const N: usize>(mut self, paths: [&str; N]) -> Self {
        self.writes = paths.iter().map(ToString::to_string).collect();
        self
    }

    /// JSON schema of its configuration.
    pub fn schema(mut self, schema: &str) -> Self {
        self.config_schema = schema.into();
        self
    }

    /// That it keeps state.
    pub fn stateful(mut self) -> Self {
        self.stateful = true;
        self
    }
}
