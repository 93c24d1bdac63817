//! From flags, environment and config file to what a role runs with. Two types: [`File`] is what may
//! be written down, [`Settings`] is complete.

use crate::cli::Common;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The config file. Everything is optional; unknown names are errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) data: Option<PathBuf>,
    pub(crate) http: Option<String>,
    pub(crate) otlp_grpc: Option<String>,
    pub(crate) otlp_http: Option<String>,
    pub(crate) topology: Option<String>,
    pub(crate) modules: Option<PathBuf>,
    pub(crate) kafka: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) object_store: Option<String>,
    pub(crate) flush_interval: Option<String>,
    /// Properties of librdkafka, by its own names.
    pub(crate) kafka_properties: BTreeMap<String, String>,
    /// Limits of the sockets.
    pub(crate) api: weft_api::Config,
    /// The embedded log.
    pub(crate) log: weft_log::EmbeddedConfig,
    /// Limits of modules.
    pub(crate) wasm: weft_wasm::Config,
    /// Tables.
    pub(crate) table: weft_table::Config,
    /// Workers.
    pub(crate) stream: weft_stream::Config,
    /// Queries.
    pub(crate) query: weft_query::Config,
    /// PromQL.
    pub(crate) promql: weft_promql::Config,
    /// LogQL.
    pub(crate) logql: weft_logql::Config,
    /// TraceQL.
    pub(crate) traceql: weft_traceql::Config,
    /// Compaction, retention and the sweep.
    pub(crate) maintenance: Maintenance,
}

/// How often the tables are tidied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Maintenance {
    /// Time between two rounds.
    #[serde(with = "span")]
    pub(crate) interval: Duration,
    /// How old a file must be that nothing names before it is deleted. Longer than
    /// `table.commit_within`.
    #[serde(with = "span")]
    pub(crate) sweep_after: Duration,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), sweep_after: Duration::from_secs(3600) }
    }
}

/// `"10s"` and back, for serde's `with`.
mod span {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| D::Error::custom(format!("'{text}' is no duration: {error}")))
    }
}

/// All that a role needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) http: String,
    pub(crate) otlp_grpc: String,
    pub(crate) otlp_http: String,
    pub(crate) topology: String,
    /// `None`: beside the binary.
    pub(crate) modules: Option<PathBuf>,
    /// `None`: the embedded log.
    pub(crate) kafka: Option<weft_log::KafkaConfig>,
    pub(crate) group: String,
    /// `None`: a folder of `data`.
    pub(crate) object_store: Option<String>,
    /// The parts' own settings, the flush interval put in.
    pub(crate) parts: File,
}

impl Settings {
    /// Settles flags (which already hold the environment) and the file they name.
    pub(crate) fn resolve(flags: &Common) -> Result<Self> {
        let mut file = match &flags.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                serde_saphyr::from_str::<File>(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?
            }
        };
        let pick = |flag: &Option<String>, file: &Option<String>, default: &str| {
            flag.clone().or_else(|| file.clone()).unwrap_or_else(|| default.to_owned())
        };
        if let Some(interval) = flags.flush_interval.as_ref().or(file.flush_interval.as_ref()) {
            file.stream.epoch_interval = duration("flush-interval", interval)?;
        }
        let kafka = flags.kafka.clone().or_else(|| file.kafka.clone()).map(|brokers| weft_log::KafkaConfig {
            brokers,
            properties: file.kafka_properties.clone(),
            ..weft_log::KafkaConfig::default()
        });
        let data = flags.data.clone().or_else(|| file.data.clone()).unwrap_or_else(|| PathBuf::from("data"));
        if file.wasm.cache_dir.is_none() {
            file.wasm.cache_dir = Some(data.join("cache/wasm"));
        }
        let modules = flags.modules.clone().or_else(|| file.modules.clone());
        let group = pick(&flags.group, &file.group, "weft");
        file.stream.group.clone_from(&group);
        Ok(Self {
            http: pick(&flags.http, &file.http, "127.0.0.1:9090"),
            otlp_grpc: pick(&flags.otlp_grpc, &file.otlp_grpc, "127.0.0.1:4317"),
            otlp_http: pick(&flags.otlp_http, &file.otlp_http, "127.0.0.1:4318"),
            topology: pick(&flags.topology, &file.topology, "default"),
            object_store: flags.object_store.clone().or_else(|| file.object_store.clone()),
            group,
            data,
            modules,
            kafka,
            parts: file,
        })
    }

    /// Where the tables are.
    pub(crate) fn tables(&self) -> String {
        self.object_store.clone().unwrap_or_else(|| self.data.join("tables").display().to_string())
    }

    /// The modules folder. Only roles that run modules ask for it.
    pub(crate) fn modules(&self) -> Result<PathBuf> {
        self.modules.clone().map_or_else(default_modules, Ok)
    }

    /// The topology's file or built-in, loaded.
    pub(crate) fn load_topology(&self) -> Result<weft_topology::Topology> {
        load_topology(&self.topology)
    }
}

/// `default`, `fabric` or a file.
pub(crate) fn load_topology(name: &str) -> Result<weft_topology::Topology> {
    let host = weft_topology::Host::detect();
    let topology = match name {
        "default" => weft_topology::Topology::parse("default", weft_topology::DEFAULT_YAML, &host),
        "fabric" => weft_topology::Topology::parse("fabric", weft_topology::FABRIC_YAML, &host),
        path => weft_topology::Topology::load(Path::new(path), &host),
    };
    topology.map_err(|error| anyhow::anyhow!("{error}"))
}

/// The folder `modules` beside the binary or beside the binary's folder.
pub(crate) fn default_modules() -> Result<PathBuf> {
    let binary = std::env::current_exe().context("finding the modules: where is this binary?")?;
    let mut tried = Vec::new();
    for folder in binary.ancestors().skip(1).take(2) {
        let modules = folder.join("modules");
        if modules.is_dir() {
            return Ok(modules);
        }
        tried.push(modules.display().to_string());
    }
    bail!(
        "no modules folder at {}: name one with --modules (`make modules` builds the standard ones)",
        tried.join(" or ")
    )
}

/// A duration such as `10s` or `1m30s`, above zero.
pub(crate) fn duration(name: &str, text: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(text)
        .with_context(|| format!("--{name} '{text}' is not a duration like 10s or 500ms"))?;
    if duration.is_zero() {
        bail!("--{name} must be above 0");
    }
    Ok(duration)
}
