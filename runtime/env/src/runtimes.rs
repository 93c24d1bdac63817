//! Two tokio runtimes: sockets and timers on `io`, decoding, modules and query plans on `cpu`, so
//! that a heavy query never delays a heartbeat or an ingest answer.

use tokio::runtime::{Builder, Handle, Runtime};

/// The process's runtimes. Dropping it stops both without waiting.
#[derive(Debug)]
pub struct Runtimes {
    io: Option<Runtime>,
    cpu: Option<Runtime>,
}

impl Runtimes {
    /// Starts both; `cpu_threads` of 0 takes the machine's core count.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(cpu_threads: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpu_threads = if cpu_threads == 0 { cores } else { cpu_threads };
        let io = Builder::new_multi_thread()
            .worker_threads(cores.clamp(1, 4))
            .thread_name("weft-io")
            .enable_all()
            .build()?;
        let cpu =
            Builder::new_multi_thread().worker_threads(cpu_threads).thread_name("weft-cpu").enable_all().build()?;
        Ok(Self { io: Some(io), cpu: Some(cpu) })
    }

    /// For sockets, files and timers.
    pub fn io(&self) -> Handle {
        self.io.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// For work that keeps a core busy.
    pub fn cpu(&self) -> Handle {
        self.cpu.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in [self.io.take(), self.cpu.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
