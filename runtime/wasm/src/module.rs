//! A compiled module, and what it says of itself.

use crate::bindings::{TelemetryModule, TelemetryModulePre, exports::weft::telemetry::module as wit};
use crate::engine::Parts;
use crate::host::State;
use crate::instance::{Instance, Runner};
use crate::{Error, Fault};
use std::sync::Arc;
use wasmtime::Store;
use weft_model::{Signal, TopicPartition};

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Signals it takes.
    pub accepts: Vec<Signal>,
    /// Signals it may emit.
    pub emits: Vec<Signal>,
    /// Paths it reads; a trailing `*` stands for any key.
    pub reads: Vec<String>,
    /// Paths it writes.
    pub writes: Vec<String>,
    /// JSON schema of its configuration.
    pub config_schema: String,
    /// Whether its snapshot is worth keeping.
    pub stateful: bool,
}

impl Description {
    /// The guest's words, if they make sense.
    pub(crate) fn check(given: wit::Description) -> Result<Self, String> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // The name is part of metrics, logs and paths.
        if given.name.is_empty() || given.name.len() > 64 || !given.name.bytes().all(sound) {
            return Err(format!("its name '{}' is not 1 to 64 letters, digits, '-', '_' and '.'", given.name));
        }
        if given.accepts.is_empty() {
            return Err("it accepts no signal".into());
        }
        if !given.config_schema.is_empty()
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&given.config_schema)
        {
            return Err(format!("its config-schema is not JSON: {error}"));
        }
        Ok(Self {
            name: given.name,
            version: given.version,
            accepts: given.accepts.into_iter().map(Signal::from).collect(),
            emits: given.emits.into_iter().map(Signal::from).collect(),
            reads: given.reads,
            writes: given.writes,
            config_schema: given.config_schema,
            stateful: given.stateful,
        })
    }
}

/// A compiled module.
pub struct Module {
    parts: Parts,
    pre: TelemetryModulePre<State>,
    digest: Arc<str>,
    description: Arc<Description>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Module {
    pub(crate) fn new(parts: Parts, pre: TelemetryModulePre<State>, digest: String, description: Description) -> Self {
        Self { parts, pre, digest: digest.into(), description: Arc::new(description) }
    }

    /// The name it gives itself.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// SHA-256 of the file, lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A fresh, configured instance for one partition. `config_json` is the module's own
    /// configuration; an empty text stands for `{}`.
    ///
    /// # Errors
    /// No room for another instance, a refused configuration, or a fault while it starts.
    pub fn instantiate(&self, config_json: &str, source: &TopicPartition) -> Result<Instance, Error> {
        let name: Arc<str> = self.name().into();
        let mut runner = start(&self.parts, &self.pre, name, self.description.emits.clone()).map_err(|start| {
            let module = self.name().to_owned();
            match start {
                StartFault::NoRoom(reason) => Error::Instances { module, reason },
                StartFault::Fault(fault) => Error::Start { module, fault },
            }
        })?;
        let config = if config_json.trim().is_empty() { "{}" } else { config_json };
        let from =
            wit::Source { topic: source.topic.to_string(), partition: u32::try_from(source.partition).unwrap_or(0) };
        let answer =
            runner.call(0, false, |guest, store| guest.weft_telemetry_module().call_configure(store, config, &from));
        match answer {
            Ok(Ok(())) => Ok(Instance::new(runner, Arc::clone(&self.description), Arc::clone(&self.digest))),
            Ok(Err(reason)) => Err(Error::Configure { module: self.name().to_owned(), reason }),
            Err(fault) => Err(Error::Start { module: self.name().to_owned(), fault }),
        }
    }

    /// Asks a fresh instance what it is.
    pub(crate) fn describe(parts: &Parts, pre: &TelemetryModulePre<State>) -> Result<wit::Description, Fault> {
        let mut runner = start(parts, pre, "?".into(), Vec::new()).map_err(|start| match start {
            StartFault::NoRoom(reason) => Fault::Limit(reason),
            StartFault::Fault(fault) => fault,
        })?;
        runner.call(0, false, |guest, store| guest.weft_telemetry_module().call_describe(store))
    }
}

enum StartFault {
    NoRoom(String),
    Fault(Fault),
}

fn start(
    parts: &Parts,
    pre: &TelemetryModulePre<State>,
    name: Arc<str>,
    emits: Vec<Signal>,
) -> Result<Runner, StartFault> {
    let state = State::new(name, Arc::clone(&parts.config), emits);
    let mut store = Store::new(&parts.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(parts.config.hostcall_bytes);
    let mut runner = Runner::new(store, parts.clone());
    match runner.instantiate(pre) {
        Ok(()) => Ok(runner),
        Err((error, _)) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            Err(StartFault::NoRoom(format!("{error:#}")))
        }
        Err((_, fault)) => Err(StartFault::Fault(fault)),
    }
}

/// The guest's exports.
pub(crate) type Guest = TelemetryModule;
