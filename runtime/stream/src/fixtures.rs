//! Parts of tests: native modules with known faults, log messages, a rig with real log and tables.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::failpoint::Failpoints;
use crate::loaded::Loaded;
use crate::transform::{Code, Make, Native, Transform};
use crate::{Config, Parts, Worker, WorkerHandle};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use weft_env::{Shutdown, SystemClock};
use weft_log::{EmbeddedConfig, EmbeddedLog, Log, NewRecord};
use weft_model::{Signal, Table, logs};
use weft_table::{Location, Tables};
use weft_topology::{Host, Topology};
use weft_wasm::{Description, Fault, Output};

/// A message of OTLP logs with one record for each line.
pub(crate) fn message(lines: &[&str]) -> Vec<u8> {
    let records = lines.iter().enumerate().map(|(at, line)| {
        serde_json::json!({"timeUnixNano": format!("{}", 1_700_000_000_000_000_000u64 + at as u64), "body": {"stringValue": line}})
    });
    let resource = serde_json::json!({"attributes": [{"key": "service.name", "value": {"stringValue": "api"}}]});
    let body = serde_json::json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records.collect::<Vec<_>>()}]}]});
    body.to_string().into_bytes()
}

/// The lines of log rows.
pub(crate) fn bodies(rows: &RecordBatch) -> Vec<String> {
    let bodies = rows.column_by_name(logs::BODY).unwrap().as_string::<i32>();
    (0..rows.num_rows()).map(|row| bodies.value(row).to_owned()).collect()
}

fn has(rows: &RecordBatch, word: &str) -> bool {
    bodies(rows).iter().any(|body| body.contains(word))
}

fn kept(batch: RecordBatch) -> Output {
    Output { batch: Some(batch), ..Output::default() }
}

/// Passes rows on; rejects batches with a line that contains "reject", traps over "trap".
#[derive(Debug, Default)]
struct Picky {
    dead: bool,
}

impl Transform for Picky {
    fn process(&mut self, _: Signal, batch: RecordBatch, _: i64) -> Result<Output, Fault> {
        assert!(!self.dead, "a dead instance was called");
        if has(&batch, "trap") {
            self.dead = true;
            return Err(Fault::Trapped("over a line".to_owned()));
        }
        if has(&batch, "reject") {
            return Err(Fault::Rejected("a line it doesn't like".to_owned()));
        }
        Ok(kept(batch))
    }
    fn tick(&mut self, _: i64) -> Result<Output, Fault> {
        Ok(Output::default())
    }
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
    fn deferred_rows(&self) -> usize {
        0
    }
    fn busy_ns(&self) -> u64 {
        1
    }
    fn counters(&self) -> Vec<(String, u64)> {
        vec![("seen".to_owned(), 1)]
    }
}

/// Counts the rows it has let pass: its snapshot. Traps over "poison", after having counted.
#[derive(Debug, Default)]
struct Counter {
    rows: u64,
    dead: bool,
    traps_in_ticks: bool,
}

impl Transform for Counter {
    fn process(&mut self, _: Signal, batch: RecordBatch, _: i64) -> Result<Output, Fault> {
        assert!(!self.dead, "a dead instance was called");
        self.rows += batch.num_rows() as u64;
        if has(&batch, "poison") {
            self.dead = true;
            return Err(Fault::Trapped("over poison".to_owned()));
        }
        Ok(kept(batch))
    }
    fn tick(&mut self, _: i64) -> Result<Output, Fault> {
        if self.traps_in_ticks && self.rows > 0 {
            self.dead = true;
            return Err(Fault::Trapped("in a tick".to_owned()));
        }
        Ok(Output::default())
    }
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(self.rows.to_be_bytes().to_vec())
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        let bytes = snapshot.try_into().map_err(|_| Fault::Rejected("not 8 bytes".to_owned()))?;
        self.rows = u64::from_be_bytes(bytes);
        Ok(())
    }
    fn deferred_rows(&self) -> usize {
        0
    }
    fn busy_ns(&self) -> u64 {
        1
    }
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// Parks every row; lets them go at the next tick, but drops those with "drop".
#[derive(Debug, Default)]
struct Parker {
    rows: Vec<RecordBatch>,
}

impl Transform for Parker {
    fn process(&mut self, _: Signal, batch: RecordBatch, _: i64) -> Result<Output, Fault> {
        self.rows.push(batch);
        Ok(Output::default())
    }
    fn tick(&mut self, _: i64) -> Result<Output, Fault> {
        let released = self.rows.drain(..).map(|rows| {
            let mask: BooleanArray = bodies(&rows).iter().map(|body| Some(!body.contains("drop"))).collect();
            (Signal::Logs, filter_record_batch(&rows, &mask).unwrap())
        });
        Ok(Output { released: released.collect(), ..Output::default() })
    }
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(vec![u8::try_from(self.deferred_rows()).unwrap()])
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
    fn deferred_rows(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
    fn busy_ns(&self) -> u64 {
        1
    }
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// The native module of a name: `picky`, `counter`, `parker`, `lines`, `ticker` (a counter that traps in ticks).
pub(crate) fn code(name: &str) -> Code {
    let make: Make = match name {
        "counter" => Box::new(|_| Box::new(Counter::default())),
        "ticker" => Box::new(|_| Box::new(Counter { traps_in_ticks: true, ..Counter::default() })),
        "lines" => Box::new(|_| Box::new(Lines)),
        "parker" => Box::new(|_| Box::new(Parker::default())),
        _ => Box::new(|_| Box::new(Picky::default())),
    };
    let description = Description {
        name: name.to_owned(),
        version: "1".to_owned(),
        accepts: vec![Signal::Logs, Signal::Raw],
        emits: Vec::new(),
        reads: Vec::new(),
        writes: Vec::new(),
        config_schema: String::new(),
        stateful: !["picky", "lines"].contains(&name),
    };
    Code::Native(Arc::new(Native { description, make }))
}

/// A topology of one logs pipeline with these modules, of which epochs only end when told to.
pub(crate) fn loaded(modules: &[&str]) -> Loaded {
    let stages: String = modules.iter().map(|module| format!("\n      - {module}")).collect();
    let yaml = format!(
        "sources:\n  - {{topic: otlp_logs, codec: otlp_logs, partitions: 2}}\npipelines:\n  logs:\n    stages:{stages}\nepoch: {{interval: 1h}}\n"
    );
    parsed(&yaml)
}

/// A topology with native modules.
pub(crate) fn parsed(yaml: &str) -> Loaded {
    let topology = Topology::parse("test", yaml, &Host::default()).unwrap();
    Loaded::with(topology, |name| Ok(code(name))).unwrap()
}

/// Turns raw records into logs, one a record, except those that contain "unknown".
#[derive(Debug, Default)]
struct Lines;

impl Transform for Lines {
    fn process(&mut self, _: Signal, batch: RecordBatch, _: i64) -> Result<Output, Fault> {
        let values = batch.column_by_name(weft_model::raw::VALUE).unwrap().as_binary::<i32>();
        let texts: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.unwrap()).into_owned()).collect();
        let known: Vec<_> = texts.iter().filter(|text| !text.contains("unknown")).map(String::as_str).collect();
        let mask: BooleanArray = texts.iter().map(|text| Some(text.contains("unknown"))).collect();
        let left = filter_record_batch(&batch, &mask).unwrap();
        let mut decoder = weft_codec::Decoder::new(weft_codec::Codec::OtlpLogs, &weft_codec::Config::default());
        let body = message(&known);
        let message = weft_codec::Message {
            topic: "",
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
            key: None,
            value: &body,
            headers: &[],
        };
        decoder.push(&message).unwrap();
        Ok(Output { batch: Some(left), emitted: vec![(Signal::Logs, decoder.finish().unwrap())], ..Output::default() })
    }
    fn tick(&mut self, _: i64) -> Result<Output, Fault> {
        Ok(Output::default())
    }
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
    fn deferred_rows(&self) -> usize {
        0
    }
    fn busy_ns(&self) -> u64 {
        1
    }
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// A log and tables on disk that outlive workers.
pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) log: Arc<EmbeddedLog>,
}

/// A worker with what was made for it.
pub(crate) struct Running {
    pub(crate) worker: WorkerHandle,
    pub(crate) tables: Tables,
    pub(crate) shutdown: Shutdown,
    pub(crate) registry: Registry,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedConfig::default()).unwrap();
        Self { folder, log: Arc::new(log) }
    }

    /// The tables as a new process sees them.
    pub(crate) async fn tables(&self) -> Tables {
        let location = Location::Folder(self.folder.path().join("tables"));
        Tables::open(&location, weft_table::Config::default(), SystemClock::shared()).await.unwrap()
    }

    pub(crate) async fn start(&self, modules: &[&str]) -> Running {
        self.start_with(modules, self.tables().await, config(), Failpoints::default()).await
    }

    pub(crate) async fn start_with(
        &self,
        modules: &[&str],
        tables: Tables,
        config: Config,
        failpoints: Failpoints,
    ) -> Running {
        self.start_loaded(loaded(modules), tables, config, failpoints).await
    }

    pub(crate) async fn start_loaded(
        &self,
        loaded: Loaded,
        tables: Tables,
        config: Config,
        failpoints: Failpoints,
    ) -> Running {
        let mut registry = Registry::default();
        let parts = self.parts(&tables, 4);
        let shutdown = parts.shutdown.clone();
        let worker = Worker::start_loaded(config, parts, loaded, &mut registry, failpoints).await.unwrap();
        Running { worker, tables, shutdown, registry }
    }

    /// Everything real, the modules too.
    pub(crate) async fn start_real(&self, topology: Topology, config: Config) -> Running {
        let (mut registry, tables) = (Registry::default(), self.tables().await);
        let parts = self.parts(&tables, 200);
        let shutdown = parts.shutdown.clone();
        let worker = Worker::start(config, parts, topology, &mut registry).await.unwrap();
        Running { worker, tables, shutdown, registry }
    }

    fn parts(&self, tables: &Tables, instances: u32) -> Parts {
        let engine = weft_wasm::Config { instances, ..weft_wasm::Config::default() };
        Parts {
            log: Arc::<EmbeddedLog>::clone(&self.log),
            tables: tables.clone(),
            engine: weft_wasm::Engine::new(engine).unwrap(),
            io: tokio::runtime::Handle::current(),
            cpu: tokio::runtime::Handle::current(),
            clock: SystemClock::shared(),
            shutdown: Shutdown::new(),
        }
    }

    /// Appends messages of one line each, in turn to both partitions.
    pub(crate) async fn append(&self, lines: impl IntoIterator<Item = String>) {
        self.log.ensure_topic("otlp_logs", 2).await.unwrap();
        let records = lines
            .into_iter()
            .enumerate()
            .map(|(at, line)| NewRecord::new("otlp_logs", message(&[&line])).to_partition(i32::from(at % 2 == 1)));
        self.log.append(records.collect()).await.unwrap();
    }
}

impl Running {
    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.worker.join().await.unwrap();
    }

    /// The value of a metric's line that begins like this, summed; 0 when there is none.
    pub(crate) fn metric(&self, begins: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(begins));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Short waits.
pub(crate) fn config() -> Config {
    Config {
        retry_most: Duration::from_millis(100),
        read_wait: Duration::from_millis(20),
        tick: Duration::from_millis(50),
        ..Config::default()
    }
}

/// All rows of a table that a query would see.
pub(crate) async fn rows(tables: &Tables, table: Table) -> Vec<RecordBatch> {
    let view = tables.view(table).await.unwrap();
    let mut rows = view.hot.clone();
    for file in view.files.iter() {
        use object_store::ObjectStoreExt;
        let bytes = tables.store().get(&file.path).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        rows.extend(reader.map(Result::unwrap));
    }
    rows
}

/// The lines of the logs table, sorted.
pub(crate) async fn lines(tables: &Tables) -> Vec<String> {
    let mut lines: Vec<_> = rows(tables, Table::Logs).await.iter().flat_map(bodies).collect();
    lines.sort();
    lines
}

/// Values of a text column of the dead letters, sorted.
pub(crate) async fn letters(tables: &Tables, column: &str) -> Vec<String> {
    let mut values = Vec::new();
    for rows in rows(tables, Table::DeadLetters).await {
        let column = rows.column_by_name(column).unwrap();
        values.extend((0..rows.num_rows()).map(|row| {
            if column.as_any().is::<arrow::array::StringArray>() {
                column.as_string::<i32>().value(row).to_owned()
            } else {
                String::from_utf8_lossy(column.as_binary::<i32>().value(row)).into_owned()
            }
        }));
    }
    values.sort();
    values
}

/// Waits until something is so; the deadline is only there for when it never is.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is().await, "it never came to this: {what}");
}

/// `n` different lines.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|at| format!("line {at:05}"))
}
