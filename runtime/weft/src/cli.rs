//! The command line as typed. What it means is settled in `settings.rs`.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// WebAssembly-Extensible Fabric for Telemetry: metrics, logs and traces through one stream into one
/// open copy of the data, queried with PromQL, LogQL, TraceQL and SQL.
#[derive(Debug, Parser)]
#[command(name = "weft", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: log, stream, tables and query APIs.
    Up(Common),
    /// A worker only, over Kafka and a shared object store. Workers of one group share the partitions.
    Run(Common),
    /// Asks a running weft in SQL; with --serve, a process that only answers queries.
    Query(QueryArgs),
    /// Demo services that send real telemetry over real sockets, with a weft to receive it.
    Demo(DemoArgs),
    /// Measures work per CPU-second on this machine.
    Bench(BenchArgs),
    /// Looks at topology files.
    #[command(subcommand)]
    Topology(TopologyCommand),
}

/// Settings of every role. Each can also be given by environment or in the config file; a flag wins
/// over the environment, which wins over the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// A YAML file with any of these settings (names with underscores) and each part's own.
    #[arg(long, env = "WEFT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for the embedded log, local tables and caches [default: ./data].
    #[arg(long, env = "WEFT_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where queries, Prometheus, Loki and Tempo paths are served [default: 127.0.0.1:9090].
    #[arg(long, env = "WEFT_HTTP", value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Where OTLP/gRPC is received [default: 127.0.0.1:4317].
    #[arg(long, env = "WEFT_OTLP_GRPC", value_name = "ADDR")]
    pub(crate) otlp_grpc: Option<String>,
    /// Where OTLP/HTTP is received [default: 127.0.0.1:4318].
    #[arg(long, env = "WEFT_OTLP_HTTP", value_name = "ADDR")]
    pub(crate) otlp_http: Option<String>,
    /// The topology: a file, or one of the built-in `default` and `fabric` [default: default].
    #[arg(long, env = "WEFT_TOPOLOGY", value_name = "FILE")]
    pub(crate) topology: Option<String>,
    /// Folder of the .wasm modules that the topology names [default: beside the binary].
    #[arg(long, env = "WEFT_MODULES", value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// Kafka brokers to use as the log in place of the embedded one.
    #[arg(long, env = "WEFT_KAFKA", value_name = "BROKERS")]
    pub(crate) kafka: Option<String>,
    /// Consumer group of the workers [default: weft].
    #[arg(long, env = "WEFT_GROUP", value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Where the tables are: s3://…, gs://…, az://…, file://… or a path [default: DATA/tables].
    #[arg(long, env = "WEFT_OBJECT_STORE", value_name = "URL")]
    pub(crate) object_store: Option<String>,
    /// How often rows become durable in the tables, e.g. 10s [default: 10s].
    #[arg(long, env = "WEFT_FLUSH_INTERVAL", value_name = "DUR")]
    pub(crate) flush_interval: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The SQL to run on a running weft.
    #[arg(required_unless_present = "serve", conflicts_with = "serve")]
    pub(crate) sql: Option<String>,
    /// Serve the query APIs over the object store instead.
    #[arg(long)]
    pub(crate) serve: bool,
    /// The weft to ask [default: the --http address].
    #[arg(long, env = "WEFT_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// How rows are printed.
    #[arg(long, default_value = "table", value_parser = ["table", "json", "csv"])]
    pub(crate) format: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Send to the weft at this HTTP address, e.g. 127.0.0.1:9090, and start none.
    #[arg(long, value_name = "ADDR")]
    pub(crate) send_to: Option<String>,
    /// Root requests a second.
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    pub(crate) rate: f64,
    /// Stop after this time, e.g. 30s. Without it the demo runs until stopped.
    #[arg(long = "for", value_name = "DUR")]
    pub(crate) duration: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[arg(value_parser = ["ingest", "query", "wasm"])]
    pub(crate) what: String,
    /// Folder of the .wasm modules.
    #[arg(long, env = "WEFT_MODULES", value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// How much data: 1 is a few seconds of work for each measurement.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub(crate) scale: f64,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Checks a topology file and says what flows where.
    Check {
        /// The file, or `default` or `fabric`.
        topology: String,
        /// Folder of the .wasm modules; with it, modules are loaded and configured too.
        #[arg(long, env = "WEFT_MODULES", value_name = "DIR")]
        modules: Option<PathBuf>,
    },
}
