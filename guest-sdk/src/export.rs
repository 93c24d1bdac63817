//! The bridge between a [`Module`] and the generated bindings; [`crate::export!`] expands to it.

use crate::bindings::exports::weft::telemetry::module as wit;
use crate::bindings::weft::telemetry::batches;
use crate::{Batch, Module, Source};
use std::cell::RefCell;

/// Where the one instance of a component lives.
pub type Slot<M> = RefCell<Option<M>>;

/// [`Module::describe`] in the contract's terms.
pub fn describe<M: Module>() -> wit::Description {
    let description = M::describe();
    wit::Description {
        name: description.name,
        version: description.version,
        accepts: description.accepts,
        emits: description.emits,
        reads: description.reads,
        writes: description.writes,
        config_schema: description.config_schema,
        stateful: description.stateful,
    }
}

/// [`Module::configure`] from JSON.
pub fn configure<M: Module>(slot: &Slot<M>, config: &str, source: wit::Source) -> Result<(), String> {
    let source = Source { topic: source.topic, partition: source.partition };
    let module =
        crate::parse_config(config).and_then(|config| M::configure(config, source)).map_err(|e| e.to_string())?;
    *slot.borrow_mut() = Some(module);
    Ok(())
}

/// [`Module::process`] on a batch of the host's.
pub fn process<M: Module>(slot: &Slot<M>, batch: &batches::Batch, now: u64) -> Result<(), String> {
    with(slot, |module| Batch::borrowed(batch, |batch| module.process(batch, now)).map_err(|e| e.to_string()))
}

/// [`Module::tick`].
pub fn tick<M: Module>(slot: &Slot<M>, now: u64) -> Result<(), String> {
    with(slot, |module| module.tick(now).map_err(|e| e.to_string()))
}

/// [`Module::snapshot`]; nothing before configuration.
pub fn snapshot<M: Module>(slot: &Slot<M>) -> Vec<u8> {
    slot.borrow().as_ref().map(Module::snapshot).unwrap_or_default()
}

/// [`Module::restore`].
pub fn restore<M: Module>(slot: &Slot<M>, state: &[u8]) -> Result<(), String> {
    with(slot, |module| module.restore(state).map_err(|e| e.to_string()))
}

fn with<M: Module>(slot: &Slot<M>, call: impl FnOnce(&mut M) -> Result<(), String>) -> Result<(), String> {
    match slot.borrow_mut().as_mut() {
        Some(module) => call(module),
        None => Err("configure has not been called".into()),
    }
}
