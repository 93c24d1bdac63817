//! Runs modules: the only user of wasmtime in weft.
//!
//! [`Engine`] holds the settings and compiles files into [`Module`]s (with a cache on disk);
//! a module makes [`Instance`]s, one for each partition; an instance takes batches and gives
//! [`Output`]s. The contract with the guest is `guest-sdk/wit/weft.wit`, whose host side is in
//! `host/`. Calls are synchronous and never wait for anything but the guest.
//!
//! Not here: which module gets which batch, derived columns, when to snapshot (weft-stream, codec).

mod bindings;
mod cache;
mod config;
mod engine;
mod error;
#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod fixtures;
mod host;
mod instance;
mod limits;
#[cfg(test)]
mod measurements;
mod module;
mod snapshot;

pub use config::Config;
pub use engine::Engine;
pub use error::{Error, Fault};
pub use instance::{Instance, Output, Stats};
pub use module::{Description, Module};
