//! `weft bench ingest`: from encoded bytes in the log to committed Parquet, for each signal, through
//! the default topology with its modules.
//!
//! The log is filled first. Then a worker starts, and the CPU time counts until every row is
//! published in the Delta tables: reading the log, decoding, modules, sorting, Parquet, the ledger.

use super::{Report, Row, generate, usage};
use crate::cli::BenchArgs;
use crate::settings::{default_modules, load_topology};
use anyhow::{Context, Result};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weft_env::{Runtimes, Shutdown, SystemClock};
use weft_log::{EmbeddedConfig, EmbeddedLog, Log, NewRecord};
use weft_model::Table;
use weft_stream::{Parts, Worker};
use weft_table::{Location, Tables};

/// What is sent, to which topic, and where its rows end.
struct Load {
    what: &'static str,
    topic: &'static str,
    table: Table,
    messages: Box<dyn Iterator<Item = generate::Encoded> + Send>,
    content_type: Option<&'static str>,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts of work, checked to be positive")]
fn loads(scale: f64) -> Vec<Load> {
    let amount = |rows: f64| (rows * scale).max(1.0) as usize;
    vec![
        Load {
            what: "samples (remote write)",
            topic: "prometheus_write",
            table: Table::Metrics,
            messages: Box::new(generate::samples(amount(240.0))),
            content_type: Some("application/x-protobuf"),
        },
        Load {
            what: "log records (OTLP)",
            topic: "otlp_logs",
            table: Table::Logs,
            messages: Box::new(generate::logs(amount(600_000.0))),
            content_type: None,
        },
        Load {
            what: "spans (OTLP)",
            topic: "otlp_spans",
            table: Table::Spans,
            messages: Box::new(generate::spans(amount(400_000.0))),
            content_type: None,
        },
    ]
}

/// Fills a log, runs a worker over it, says what that took.
pub(super) fn run(args: &BenchArgs) -> Result<Report> {
    let modules = match &args.modules {
        Some(folder) => folder.clone(),
        None => default_modules()?,
    };
    let mut report = Report::new("ingest");
    for load in loads(args.scale) {
        // A runtime and a folder of its own for each signal: nothing warm, nothing left over.
        let runtimes = Runtimes::start(0)?;
        let folder = Scratch::new()?;
        let row = runtimes.io().block_on(measure(load, &runtimes, &folder.0, modules.clone()))?;
        report.row(row);
    }
    Ok(report)
}

/// A folder that goes away.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("weft-bench-{}", weft_env::ids::worker_id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn measure(load: Load, runtimes: &Runtimes, folder: &Path, modules: PathBuf) -> Result<Row> {
    let topology = load_topology("default")?;
    let log = EmbeddedLog::open(folder.join("log"), EmbeddedConfig::default())?;
    let partitions = topology.source(load.topic).map_or(1, |source| source.partitions);
    let partitions = log.ensure_topic(load.topic, partitions).await?;
    let (mut rows, mut bytes, mut turn) = (0, 0, 0);
    let mut pending = Vec::new();
    for message in load.messages {
        rows += message.rows;
        bytes += message.body.len() as u64;
        // As the receivers do: a trace request is split over partitions, the others take turns.
        let parts = if load.table == Table::Spans {
            weft_codec::split_traces(message.body.into(), partitions)?
        } else {
            turn = (turn + 1) % partitions;
            vec![(turn, Bytes::from(message.body))]
        };
        for (partition, body) in parts {
            let mut record = NewRecord::new(load.topic, body).to_partition(partition);
            if let Some(content_type) = load.content_type {
                record.headers.push(("content-type".into(), Bytes::from_static(content_type.as_bytes())));
            }
            pending.push(record);
        }
        if pending.len() >= 64 {
            log.append(std::mem::take(&mut pending)).await?;
        }
    }
    log.append(pending).await?;

    let location: Location = folder.join("tables").display().to_string().parse()?;
    let tables = Tables::open(&location, weft_table::Config::default(), SystemClock::shared()).await?;
    let shutdown = Shutdown::new();
    let log: Arc<dyn Log> = Arc::new(log);
    let parts = Parts {
        log: Arc::clone(&log),
        tables: tables.clone(),
        // Compiling is paid once per machine: the cache is warmed by a first load.
        engine: weft_wasm::Engine::new(weft_wasm::Config {
            cache_dir: Some(std::env::temp_dir().join("weft-bench-cache")),
            ..weft_wasm::Config::default()
        })?,
        io: runtimes.io(),
        cpu: runtimes.cpu(),
        clock: SystemClock::shared(),
        shutdown: shutdown.clone(),
    };
    for module in topology.modules() {
        parts.engine.load(&modules.join(format!("{module}.wasm")))?;
    }
    // The bench's time is that of its data: no epoch may end early for it.
    let config = weft_stream::Config { modules, ..weft_stream::Config::default() };
    usage::reset_peak_memory();
    let before = usage::cpu_time();
    let worker = Worker::start(config, parts, topology, &mut Registry::default()).await?;
    while !worker.health().ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.flush().await?;
    let cpu = (usage::cpu_time() - before).as_secs_f64();
    let peak = usage::peak_memory()?;
    shutdown.begin();
    worker.join().await?;

    let view = tables.view(load.table).await?;
    let stored: u64 = view.files.iter().map(|file| file.size).sum();
    let (rows, bytes) = (rows as f64, bytes as f64);
    Ok(Row {
        what: load.what.to_owned(),
        figures: vec![
            ("rows per CPU-second", rows / cpu),
            ("MB of messages per CPU-second", bytes / 1e6 / cpu),
            ("bytes a row in the log", bytes / rows),
            ("bytes a row on disk", stored as f64 / rows),
            ("MiB peak memory", peak as f64 / f64::from(1 << 20)),
            ("CPU-seconds", cpu),
            ("rows", rows),
        ],
    })
}
