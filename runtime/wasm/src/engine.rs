//! The engine: wasmtime set up for modules, and the way from a file to a [`Module`].
//!
//! Instances come from a pool: their memories are reserved address space, made and freed without
//! going to the kernel for each. Where that much address space can't be had (a container with a
//! limit on it), memories are allocated one by one, and a warning says so.

use crate::bindings::TelemetryModulePre;
use crate::bindings::weft::telemetry;
use crate::cache::Cache;
use crate::config::Config;
use crate::host::State;
use crate::limits::Ticker;
use crate::module::{Description, Module};
use crate::{Error, Fault};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Compiles and holds modules. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    config: Arc<Config>,
    cache: Option<Cache>,
    ticker: Arc<Ticker>,
    /// Modules that are in use, by digest: a file that is named twice is compiled once.
    loaded: Mutex<HashMap<String, Weak<Module>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Core modules of a component that was wrapped by us: the module, and what adapts its imports.
const CORE_INSTANCES: u32 = 8;

impl Engine {
    /// An engine with these settings.
    ///
    /// # Errors
    /// A setting out of its range, or a cache folder that can't be made.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let engine = match wasmtime::Engine::new(&settings(&config, true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!("no pool of Wasm instances (address space?), allocating one by one: {error:#}");
                wasmtime::Engine::new(&settings(&config, false)).map_err(|error| Error::Config(format!("{error:#}")))?
            }
        };
        let mut linker = Linker::new(&engine);
        telemetry::batches::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .and_then(|()| telemetry::host::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state))
            .map_err(|error| Error::Config(format!("{error:#}")))?;
        let cache = config.cache_dir.as_deref().map(|dir| Cache::open(dir, &engine)).transpose()?;
        let ticker =
            Ticker::start(&engine).map_err(|error| Error::Config(format!("no thread for timeouts: {error}")))?;
        Ok(Self(Arc::new(Inner {
            engine,
            linker,
            config: Arc::new(config),
            cache,
            ticker: Arc::new(ticker),
            loaded: Mutex::new(HashMap::new()),
        })))
    }

    /// Loads a component, or a plain core module built for wasm32-unknown-unknown, from a file.
    /// The same bytes give the same module, while it is in use.
    ///
    /// # Errors
    /// The file can't be read, is not a module of weft's contract (the reason says what it is
    /// instead), or fails to describe itself.
    pub fn load(&self, path: &Path) -> Result<Arc<Module>, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let digest = hex(&Sha256::digest(&bytes));
        if let Some(module) = self.0.loaded.lock().get(&digest).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let module = Arc::new(self.compile(path, &bytes, digest)?);
        let mut loaded = self.0.loaded.lock();
        loaded.retain(|_, module| module.strong_count() > 0);
        loaded.insert(module.digest().to_owned(), Arc::downgrade(&module));
        Ok(module)
    }

    fn compile(&self, path: &Path, bytes: &[u8], digest: String) -> Result<Module, Error> {
        let refuse = |reason: String| Error::NotAModule { path: path.to_owned(), reason };
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get(&self.0.engine, &digest));
        let component = match cached {
            Some(component) => component,
            None => {
                let wrapped = match form(bytes).map_err(&refuse)? {
                    Form::Component => None,
                    Form::Core => Some(wrap(bytes).map_err(&refuse)?),
                };
                let component = Component::new(&self.0.engine, wrapped.as_deref().unwrap_or(bytes))
                    .map_err(|error| refuse(format!("it doesn't compile: {error:#}")))?;
                if let Some(cache) = &self.0.cache {
                    cache.put(&digest, &component);
                }
                component
            }
        };
        check_imports(&self.0.engine, &component).map_err(&refuse)?;
        let pre = self
            .0
            .linker
            .instantiate_pre(&component)
            .map_err(|error| refuse(format!("its imports are not those of weft:telemetry@0.1.0: {error:#}")))?;
        let pre = TelemetryModulePre::new(pre)
            .map_err(|error| refuse(format!("it doesn't export weft:telemetry/module@0.1.0: {error:#}")))?;
        let parts = Parts {
            engine: self.0.engine.clone(),
            config: Arc::clone(&self.0.config),
            _ticker: Arc::clone(&self.0.ticker),
        };
        let describe = |reason: String| Error::Describe { path: path.to_owned(), reason };
        let description = Module::describe(&parts, &pre).map_err(|fault| describe(say(fault)))?;
        let description = Description::check(description).map_err(describe)?;
        Ok(Module::new(parts, pre, digest, description))
    }
}

fn say(fault: Fault) -> String {
    fault.to_string()
}

/// What a module needs of its engine, which it keeps alive.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) config: Arc<Config>,
    _ticker: Arc<Ticker>,
}

fn settings(config: &Config, pooled: bool) -> wasmtime::Config {
    let mut settings = wasmtime::Config::new();
    settings.wasm_component_model(true);
    settings.epoch_interruption(true);
    // Modules are called synchronously: what async components need would cost each call.
    settings.concurrency_support(false);
    settings.max_wasm_stack(config.stack_bytes);
    // A batch that is replayed elsewhere gives the same rows.
    settings.relaxed_simd_deterministic(true);
    settings.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    if pooled {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(config.instances);
        pool.total_core_instances(config.instances.saturating_mul(CORE_INSTANCES));
        pool.max_core_instances_per_component(CORE_INSTANCES.max(32));
        pool.total_memories(config.instances);
        pool.total_tables(config.instances.saturating_mul(4));
        pool.max_memory_size(config.memory_bytes);
        pool.max_component_instance_size(4 << 20);
        pool.max_core_instance_size(4 << 20);
        settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    settings
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Component,
    Core,
}

/// What the first eight bytes say: magic, then version and layer.
fn form(bytes: &[u8]) -> Result<Form, String> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Ok(Form::Core),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(Form::Component),
        Some([0, b'a', b's', b'm', rest @ ..]) => Err(format!("WebAssembly of an unknown version {rest:?}")),
        _ => Err("it is not WebAssembly: name a .wasm file".into()),
    }
}

/// Makes a component of a core module that wit-bindgen built: its contract is in a custom section.
fn wrap(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let encoded =
        wit_component::ComponentEncoder::default().validate(true).module(bytes).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        let reason = format!("{error:#}");
        if reason.contains("wasi") {
            format!("{reason}. {WASI}")
        } else {
            format!(
                "a core module that can't be made a component (is it built on weft-guest or wit-bindgen?): {reason}"
            )
        }
    })
}

const WASI: &str = "WASI isn't supported yet: build for wasm32-unknown-unknown";

/// Says which import is one too many, which wasmtime's own error does less plainly.
fn check_imports(engine: &wasmtime::Engine, component: &Component) -> Result<(), String> {
    for (name, _) in component.component_type().imports(engine) {
        if name.starts_with("weft:telemetry/") {
            continue;
        }
        if name.starts_with("wasi:") {
            return Err(format!("it imports {name}. {WASI}"));
        }
        return Err(format!("it imports {name}, and modules get nothing but weft:telemetry"));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
