//! One worker of a consumer group, from outside: starting it, asking things of it, its end.
//!
//! What it does is in `worker/control.rs`.

use crate::commit::Committer;
use crate::failpoint::Failpoints;
use crate::health::Board;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::pipeline::{Gate, Shared};
use crate::{Config, Error, Health};
use control::Control;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use weft_env::{Clock, Shutdown};
use weft_log::{Consumer, Log};
use weft_model::ErrorKind;
use weft_table::Tables;
use weft_topology::Topology;
use weft_wasm::Engine;

mod control;
#[cfg(test)]
mod tests;

/// The components a worker stands on.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where records come from, and dead letters go.
    pub log: Arc<dyn Log>,
    /// Where rows go.
    pub tables: Tables,
    /// Runs modules.
    pub engine: Engine,
    /// Runtime for waiting: the worker's own loop.
    pub io: Handle,
    /// Runtime for decoding, modules and encoding.
    pub cpu: Handle,
    /// The time that modules are told.
    pub clock: Arc<dyn Clock>,
    /// Ends the worker in good order.
    pub shutdown: Shutdown,
}

/// Runs a topology over the partitions that its consumer group gives it.
#[derive(Debug)]
pub struct Worker;

/// A running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    id: Arc<str>,
    health: Board,
    requests: mpsc::UnboundedSender<Request>,
    control: JoinHandle<Result<(), Error>>,
}

/// Asks for things of a running worker; cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerControl {
    health: Board,
    requests: mpsc::UnboundedSender<Request>,
}

impl Worker {
    /// Loads the topology's modules, makes its topics where absent, joins the group and begins.
    ///
    /// # Errors
    /// When the configuration or a stage of the topology can't work: all that is wrong, at once.
    /// A log that can't be reached is no error: it is tried until it can.
    pub async fn start(
        config: Config,
        parts: Parts,
        topology: Topology,
        registry: &mut Registry,
    ) -> Result<WorkerHandle, Error> {
        let (engine, folder) = (parts.engine.clone(), config.modules.clone());
        // Compiling keeps a core busy for seconds.
        let loading = parts.cpu.spawn_blocking(move || Loaded::load(topology, &engine, &folder));
        let loaded = loading.await.map_err(|error| Error::Bug(error.to_string()))??;
        Self::start_loaded(config, parts, loaded, registry, Failpoints::default()).await
    }

    pub(crate) async fn start_loaded(
        config: Config,
        parts: Parts,
        loaded: Loaded,
        registry: &mut Registry,
        failpoints: Failpoints,
    ) -> Result<WorkerHandle, Error> {
        config.check()?;
        let loaded = Arc::new(loaded);
        let epoch_bytes = loaded.topology.epoch.bytes.unwrap_or(config.epoch_bytes);
        if config.hot_bytes <= epoch_bytes {
            return Err(Error::Config(format!(
                "the topology's epoch.bytes ({epoch_bytes}) must be below the worker's hot_bytes ({})",
                config.hot_bytes
            )));
        }
        let shared = Arc::new(Shared {
            gate: Gate::new(epoch_bytes, config.hot_bytes),
            metrics: Metrics::register(registry),
            health: Board::default(),
            tables: parts.tables.clone(),
            clock: Arc::clone(&parts.clock),
            config,
        });
        let id: Arc<str> = weft_env::ids::worker_id().into();
        let (requests, inbox) = mpsc::unbounded_channel();
        let health = shared.health.clone();
        let committer = Committer { shared, loaded, log: Arc::clone(&parts.log), failpoints };
        let consumer = match join(&committer).await {
            Ok(consumer) => Some(consumer),
            Err(error) if error.kind() == ErrorKind::Retry => None,
            Err(error) => return Err(error),
        };
        let control = Control::new(committer, &parts, Arc::clone(&id), requests.clone(), inbox);
        let control = parts.io.spawn(control.run(consumer));
        Ok(WorkerHandle { id, health, requests, control })
    }
}

impl WorkerHandle {
    /// The worker's id for this run.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its condition now.
    pub fn health(&self) -> Health {
        self.health.health()
    }

    /// A handle to ask for things with, to be passed around.
    pub fn control(&self) -> WorkerControl {
        WorkerControl { health: self.health.clone(), requests: self.requests.clone() }
    }

    /// See [`WorkerControl::flush`].
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn flush(&self) -> Result<(), Error> {
        self.control().flush().await
    }

    /// Waits for the worker's end, which [`Shutdown`] brings about.
    ///
    /// # Errors
    /// Why it ended, when not by an orderly shutdown.
    pub async fn join(self) -> Result<(), Error> {
        self.control.await.map_err(|error| Error::Bug(error.to_string()))?
    }

    /// Ends it as if the process were killed.
    #[cfg(test)]
    pub(crate) async fn kill(self) {
        self.control.abort();
        // Cancelled or done: both are dead.
        let _ = self.control.await;
    }
}

impl WorkerControl {
    /// Its condition now.
    pub fn health(&self) -> Health {
        self.health.health()
    }

    /// Processes every record that its partitions hold now, ends the epoch, and returns once it is
    /// committed and published. Waits for as long as that takes.
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn flush(&self) -> Result<(), Error> {
        let (answer, done) = oneshot::channel();
        self.requests.send(Request::Flush(answer)).map_err(|_| Error::Stopped)?;
        done.await.map_err(|_| Error::Stopped)
    }
}

type Answer = oneshot::Sender<()>;

#[derive(Debug)]
enum Request {
    /// Process what there is, then commit.
    Flush(Answer),
    /// What there was is processed.
    CaughtUp(Answer),
}

/// Makes the topology's topics and joins the group.
async fn join(committer: &Committer) -> Result<Box<dyn Consumer>, Error> {
    let topology = &committer.loaded.topology;
    for source in &topology.sources {
        committer.log.ensure_topic(&source.topic, source.partitions).await?;
    }
    committer.log.ensure_topic(&topology.dead_letters.topic, topology.dead_letters.partitions).await?;
    let topics: Vec<String> = topology.sources.iter().map(|source| source.topic.clone()).collect();
    Ok(committer.log.consume(&committer.shared.config.group, &topics).await?)
}
