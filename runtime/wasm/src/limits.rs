//! Memory limits of an instance, and the thread that moves the epoch on.

use crate::config::EPOCH_TICK;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use wasmtime::ResourceLimiter;

/// Table elements of an instance: far above what function tables need.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Keeps an instance's memories, together, within the limit.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    used: usize,
    denied: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: 0, denied: None }
    }

    /// Forgets what earlier calls were denied.
    pub(crate) fn begin(&mut self) {
        self.denied = None;
    }

    /// What the guest asked for in vain in this call.
    pub(crate) fn denied(&self) -> Option<&str> {
        self.denied.as_deref()
    }

    /// Linear memory it holds, bytes.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.denied = Some(format!("memory: the module wants {used} bytes, memory_bytes is {}", self.limit));
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = Some(format!("memory: {error}"));
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.denied = Some(format!("tables: the module wants {desired} elements, {TABLE_ELEMENTS} are allowed"));
            return Ok(false);
        }
        Ok(true)
    }
}

/// Moves the engine's epoch on about every 10 ms while it lives, which is what ends calls that
/// take too long.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (engine, signal) = (engine.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("weft-epoch".into()).spawn(move || {
            let (stopped, condition) = &*signal;
            let mut stopped = stopped.lock();
            while !*stopped {
                condition.wait_for(&mut stopped, EPOCH_TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}
