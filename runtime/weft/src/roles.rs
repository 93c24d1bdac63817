//! What each kind of process is put together from.
//!
//! ```text
//! up      log + worker + receivers + query APIs     embedded log, or Kafka
//! run     worker                                    Kafka and a shared object store
//! query   query APIs                                a shared object store
//! ```
//! All are the same parts; a role says which. The parts know nothing of one another's processes.

use crate::cli::{Common, DemoArgs};
use crate::demo;
use crate::settings::{self, Settings};
use anyhow::{Context, Result, bail};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use weft_api::{Engines, Health, Ingest, Readiness, Route, Routes};
use weft_codec::Codec;
use weft_env::{Clock, Runtimes, Shutdown, SystemClock};
use weft_log::{EmbeddedLog, KafkaLog, Log};
use weft_stream::{Worker, WorkerHandle};
use weft_table::{Location, Tables};
use weft_topology::Topology;

/// What every role has.
struct Base {
    settings: Settings,
    runtimes: Runtimes,
    shutdown: Shutdown,
    clock: Arc<dyn Clock>,
}

impl Base {
    fn start(flags: &Common) -> Result<Self> {
        let settings = Settings::resolve(flags)?;
        let runtimes = Runtimes::start(0).context("starting threads")?;
        Ok(Self { settings, runtimes, shutdown: Shutdown::new(), clock: SystemClock::shared() })
    }

    /// Runs a role on the io runtime. An interrupt or SIGTERM begins the shutdown.
    fn run<F: Future<Output = Result<()>>>(self, role: impl FnOnce(Arc<Self>) -> F) -> Result<()> {
        let first_to_stop = self.shutdown.clone();
        self.run_stopping(first_to_stop, role)
    }

    /// As [`Self::run`], but a signal begins `first_to_stop`; the role begins the shutdown itself.
    fn run_stopping<F: Future<Output = Result<()>>>(
        self,
        first_to_stop: Shutdown,
        role: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<()> {
        let io = self.runtimes.io();
        io.spawn(stop_on_signal(first_to_stop));
        io.block_on(role(Arc::new(self)))
    }

    async fn tables(&self) -> Result<Tables> {
        let place = self.settings.tables();
        let location: Location = place.parse()?;
        let config = self.settings.parts.table.clone();
        Tables::open(&location, config, Arc::clone(&self.clock))
            .await
            .with_context(|| format!("opening the tables at {place}"))
    }

    async fn log(&self) -> Result<Arc<dyn Log>> {
        match &self.settings.kafka {
            Some(kafka) => {
                let log = KafkaLog::connect(kafka.clone())
                    .await
                    .with_context(|| format!("connecting to Kafka at {}", kafka.brokers))?;
                Ok(Arc::new(log))
            }
            None => {
                let folder = self.settings.data.join("log");
                let log = EmbeddedLog::open(&folder, self.settings.parts.log.clone())
                    .with_context(|| format!("opening the log in {}", folder.display()))?;
                Ok(Arc::new(log))
            }
        }
    }

    async fn worker(
        &self,
        log: &Arc<dyn Log>,
        tables: &Tables,
        topology: Topology,
        registry: &mut Registry,
    ) -> Result<WorkerHandle> {
        let mut config = self.settings.parts.stream.clone();
        config.modules = self.settings.modules()?;
        let parts = weft_stream::Parts {
            log: Arc::clone(log),
            tables: tables.clone(),
            engine: weft_wasm::Engine::new(self.settings.parts.wasm.clone())?,
            io: self.runtimes.io(),
            cpu: self.runtimes.cpu(),
            clock: Arc::clone(&self.clock),
            shutdown: self.shutdown.clone(),
        };
        let handle = Worker::start(config, parts, topology, registry).await?;
        self.runtimes.io().spawn(maintain(
            tables.clone(),
            self.settings.parts.maintenance.clone(),
            self.shutdown.clone(),
        ));
        Ok(handle)
    }

    fn engines(&self, tables: &Tables) -> Result<Engines> {
        let parts = &self.settings.parts;
        let query = weft_query::Engine::on(tables.clone(), parts.query.clone(), self.runtimes.cpu())?;
        Ok(Engines {
            promql: weft_promql::Engine::new(query.clone(), parts.promql.clone()),
            logql: weft_logql::Engine::new(query.clone(), parts.logql.clone()),
            traceql: weft_traceql::Engine::new(query.clone(), parts.traceql.clone()),
            query,
            clock: Arc::clone(&self.clock),
            config: parts.api.clone(),
        })
    }
}

async fn stop_on_signal(shutdown: Shutdown) {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            // Without a handler SIGTERM ends the process at once, which the ledger survives as well.
            Err(error) => {
                tracing::warn!(%error, "SIGTERM can't be caught");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    tracing::info!("stopping: committing what is pending");
    shutdown.begin();
}

/// Compaction, retention and the sweep, until shutdown begins. Failures are tried again next time.
async fn maintain(tables: Tables, config: settings::Maintenance, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(config.interval) => {}
            () = shutdown.wait() => return,
        }
        match tables.maintenance().await {
            Ok(done) => tracing::debug!(?done, "maintained"),
            Err(error) => tracing::warn!(%error, "maintenance failed and will be tried again"),
        }
        match tables.sweep(config.sweep_after).await {
            Ok(swept) => tracing::debug!(?swept, "swept"),
            Err(error) => tracing::warn!(%error, "sweeping failed and will be tried again"),
        }
    }
}

fn worker_readiness(worker: &WorkerHandle) -> Readiness {
    let health = worker.control();
    Arc::new(move || {
        let health = health.health();
        if health.ready {
            Ok(())
        } else if health.problems.is_empty() {
            Err("waiting for partitions".to_owned())
        } else {
            Err(health.problems.join("; "))
        }
    })
}

/// Where the receivers put each codec: the first source of the topology that takes it as it is.
async fn routes(log: &Arc<dyn Log>, topology: &Topology) -> Result<Routes> {
    let mut routes = Routes::new();
    for source in &topology.sources {
        let partitions = log
            .ensure_topic(&source.topic, source.partitions)
            .await
            .with_context(|| format!("making sure of the topic {}", source.topic))?;
        let codec: Codec = source.codec.parse().map_err(|error: String| anyhow::anyhow!(error))?;
        if source.rekey.is_none() && codec != Codec::Raw {
            routes.entry(codec).or_insert(Route { topic: source.topic.as_str().into(), partitions });
        }
    }
    Ok(routes)
}

/// Serves `routers` (name, address, router) until shutdown begins, and says where.
async fn serve(
    base: &Base,
    routers: Vec<(&'static str, String, axum::Router)>,
) -> Result<(Serving, BTreeMap<&'static str, String>)> {
    let mut servers = Vec::new();
    let mut addresses = BTreeMap::new();
    for (name, address, router) in routers {
        let server = weft_api::bind(&address, router).await?;
        addresses.insert(name, server.address()?.to_string());
        servers.push(server);
    }
    // Bound all: now serve. Scripts find the addresses in a file, also those the system picked.
    let tasks = servers.into_iter().map(|server| tokio::spawn(server.serve(base.shutdown.clone()))).collect();
    write_addresses(&base.settings.data, &addresses)?;
    Ok((Serving(tasks), addresses))
}

struct Serving(Vec<tokio::task::JoinHandle<std::io::Result<()>>>);

impl Serving {
    /// Waits until all requests are answered.
    async fn finish(self) -> Result<()> {
        for task in self.0 {
            // A client that never ends its request must not hold up the stop.
            match tokio::time::timeout(std::time::Duration::from_secs(10), task).await {
                Ok(served) => served??,
                Err(_) => tracing::warn!("requests still open after ten seconds were cut off"),
            }
        }
        Ok(())
    }
}

fn write_addresses(data: &Path, addresses: &BTreeMap<&'static str, String>) -> Result<()> {
    let file = data.join("addresses.json");
    let written = data.join("addresses.json.new");
    std::fs::create_dir_all(data)
        .and_then(|()| std::fs::write(&written, serde_json::json!(addresses).to_string()))
        .and_then(|()| std::fs::rename(&written, &file))
        .with_context(|| format!("writing {}", file.display()))
}

fn operations(parts: Vec<(&'static str, Readiness)>, registry: Registry, routes: axum::Router) -> axum::Router {
    weft_api::operations_router(Health { parts, registry: Arc::new(registry) }, routes)
}

/// `weft up`.
pub(crate) fn up(flags: &Common) -> Result<()> {
    Base::start(flags)?.run(|base| async move { everything(&base, |_| Ok(())).await })
}

/// All parts; `started` is told the addresses once they are served.
async fn everything(base: &Base, started: impl FnOnce(&BTreeMap<&'static str, String>) -> Result<()>) -> Result<()> {
    let topology = base.settings.load_topology()?;
    let tables = base.tables().await?;
    let log = base.log().await?;
    let routes = routes(&log, &topology).await?;
    let mut registry = Registry::default();
    let worker = base.worker(&log, &tables, topology, &mut registry).await?;
    let ingest = Ingest::new(log, routes, base.settings.parts.api.clone(), base.runtimes.cpu(), &mut registry);
    let engines = base.engines(&tables)?;
    let main = weft_api::ingest_router(&ingest).merge(weft_api::query_router(&engines));
    let main = operations(vec![("worker", worker_readiness(&worker))], registry, main);
    let settings = &base.settings;
    let (serving, addresses) = serve(
        base,
        vec![
            ("http", settings.http.clone(), main),
            ("otlp_grpc", settings.otlp_grpc.clone(), weft_api::receivers::otlp_grpc::router(Arc::clone(&ingest))),
            ("otlp_http", settings.otlp_http.clone(), weft_api::receivers::otlp_http::router(ingest)),
        ],
    )
    .await?;
    greet(settings, &addresses);
    started(&addresses)?;
    let worked = worker.join().await;
    base.shutdown.begin();
    serving.finish().await?;
    worked?;
    Ok(())
}

/// What a person who started it wants to know.
fn greet(settings: &Settings, addresses: &BTreeMap<&'static str, String>) {
    let address = |name| addresses.get(name).map_or("", String::as_str);
    let (http, grpc, otlp) = (address("http"), address("otlp_grpc"), address("otlp_http"));
    let log = settings
        .kafka
        .as_ref()
        .map_or_else(|| settings.data.join("log").display().to_string(), |kafka| format!("Kafka at {}", kafka.brokers));
    // Nobody may be listening (a closed pipe, a full disk): that is no reason to stop.
    let _ = writeln!(
        std::io::stdout(),
        "weft {version} is up: topology {topology}, log {log}, tables {tables}

  send    OTLP/gRPC              {grpc}
          OTLP/HTTP              http://{otlp}/v1/{{traces,metrics,logs}}
          Prometheus             remote_write: [{{url: http://{http}/api/v1/write}}]
          Promtail, Alloy        http://{http}/loki/api/v1/push
  ask     PromQL, LogQL, TraceQL http://{http}   (Grafana: add it as Prometheus, Loki and Tempo)
          SQL                    weft query 'select service_name, count(*) from spans group by 1'
  look    health and metrics     http://{http}/ready  http://{http}/metrics

Try: OTEL_EXPORTER_OTLP_ENDPOINT=http://{grpc} <your program with an OpenTelemetry SDK>
 or: weft demo --send-to {http}
Stop with Ctrl-C.",
        version = env!("CARGO_PKG_VERSION"),
        topology = settings.topology,
        tables = settings.tables(),
    );
}

/// `weft run`.
pub(crate) fn worker(flags: &Common) -> Result<()> {
    let base = Base::start(flags)?;
    if base.settings.kafka.is_none() {
        bail!(
            "weft run shares partitions with other workers over Kafka: name the brokers with --kafka (weft up needs none)"
        );
    }
    base.run(|base| async move {
        let topology = base.settings.load_topology()?;
        let tables = base.tables().await?;
        let log = base.log().await?;
        routes(&log, &topology).await?;
        let mut registry = Registry::default();
        let worker = base.worker(&log, &tables, topology, &mut registry).await?;
        let router = operations(vec![("worker", worker_readiness(&worker))], registry, axum::Router::new());
        let (serving, addresses) = serve(&base, vec![("http", base.settings.http.clone(), router)]).await?;
        tracing::info!(?addresses, group = base.settings.group, "worker started");
        let worked = worker.join().await;
        base.shutdown.begin();
        serving.finish().await?;
        worked?;
        Ok(())
    })
}

/// `weft query --serve`.
pub(crate) fn query(flags: &Common) -> Result<()> {
    Base::start(flags)?.run(|base| async move {
        let tables = base.tables().await?;
        let engines = base.engines(&tables)?;
        let router = operations(Vec::new(), Registry::default(), weft_api::query_router(&engines));
        let (serving, addresses) = serve(&base, vec![("http", base.settings.http.clone(), router)]).await?;
        tracing::info!(?addresses, tables = base.settings.tables(), "serving queries");
        base.shutdown.wait().await;
        serving.finish().await
    })
}

/// `weft demo`.
pub(crate) fn demo(args: &DemoArgs) -> Result<()> {
    let base = Base::start(&args.common)?;
    let limit = args.duration.as_deref().map(|text| settings::duration("for", text)).transpose()?;
    let (rate, send_to) = (args.rate, args.send_to.clone());
    if !(rate.is_finite() && rate > 0.0) {
        bail!("--rate must be above 0");
    }
    // The services stop before the weft that takes their last batches.
    let services = Shutdown::new();
    base.run_stopping(services.clone(), |base| async move {
        if let Some(limit) = limit {
            let services = services.clone();
            tokio::spawn(async move {
                tokio::time::sleep(limit).await;
                services.begin();
            });
        }
        if let Some(address) = send_to {
            let target = demo::Target { otlp_http: address.clone(), http: address };
            return demo::run(&target, rate, services).await;
        }
        let shutdown = base.shutdown.clone();
        let mut running = None;
        let served = everything(&base, |addresses| {
            let address = |name| addresses.get(name).cloned().unwrap_or_default();
            let target = demo::Target { otlp_http: address("otlp_http"), http: address("http") };
            running = Some(tokio::spawn(async move {
                let ran = demo::run(&target, rate, services).await;
                shutdown.begin();
                ran
            }));
            Ok(())
        })
        .await;
        match running {
            Some(task) => served.and(task.await?),
            None => served,
        }
    })
}

/// `weft topology check`.
#[allow(clippy::print_stdout, reason = "the command's output")]
pub(crate) fn check_topology(name: &str, modules: Option<&Path>) -> Result<()> {
    let topology = settings::load_topology(name)?;
    for source in &topology.sources {
        let pipeline = &topology.pipelines[source.pipeline];
        println!("{} ({}) → {}", source.topic, source.codec, pipeline.name);
    }
    for pipeline in &topology.pipelines {
        println!("{}: {}", pipeline.name, pipeline.signal);
        for stage in &pipeline.stages {
            println!("  {} (module {})", stage.id, stage.module);
        }
    }
    if let Some(folder) = modules {
        let engine = weft_wasm::Engine::new(weft_wasm::Config::default())?;
        for module in topology.modules() {
            let loaded = engine.load(&folder.join(format!("{module}.wasm")))?;
            println!("{module} {}: {}", loaded.description().version, loaded.digest());
        }
    }
    Ok(())
}
