//! The topology resolved: every default filled in, every name checked, pipelines referred to by
//! position. This is what `weft-stream` runs.

use std::collections::BTreeMap;
use std::time::Duration;
use weft_model::{Signal, Table};

/// A usable topology.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The file it came from, or `default` / `fabric`.
    pub name: String,
    /// Topics that are read.
    pub sources: Vec<Source>,
    /// Chains of stages. A pipeline comes before every pipeline that it can send rows to.
    pub pipelines: Vec<Pipeline>,
    /// Where the records go that nothing could be made of.
    pub dead_letters: DeadLetters,
    /// How messages become rows.
    pub decode: Decode,
    /// When an epoch ends, where the file says so.
    pub epoch: Epoch,
}

/// One topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Topic.
    pub topic: String,
    /// What its messages are: a name of `weft_codec::Codec`.
    pub codec: &'static str,
    /// The signal of its rows.
    pub signal: Signal,
    /// Partitions to create the topic with where it doesn't exist.
    pub partitions: i32,
    /// Where a partition starts that the ledger doesn't know yet.
    pub start: Start,
    /// Position in [`Topology::pipelines`] of the pipeline its rows enter.
    pub pipeline: usize,
    /// Set when its messages are not processed but spread anew over another topic.
    pub rekey: Option<Rekey>,
}

/// Sends the content of a topic on to another one, split by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekey {
    /// What decides the new partition.
    pub by: RekeyBy,
    /// The topic written; it is a source of its own.
    pub to: String,
}

/// A key that rows can be spread by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RekeyBy {
    /// The trace id of spans: every span of a trace lands in one partition.
    TraceId,
}

/// Where to start in a partition seen for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that the log still has.
    Earliest,
    /// Behind the newest one.
    Latest,
}

/// An ordered chain of stages for one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name in the file.
    pub name: String,
    /// What flows through it.
    pub signal: Signal,
    /// Its stages, in order. After the last one, rows land in the signal's table.
    pub stages: Vec<Stage>,
}

/// One module at work in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `pipeline.stage`: names its snapshots, metrics and dead letters. Unique in the topology;
    /// renaming it abandons its state.
    pub id: String,
    /// The module: the file `<name>.wasm` in the modules folder.
    pub module: String,
    /// The module's configuration as JSON.
    pub config: String,
    /// Where what it emits goes; signals that aren't named go to their table.
    pub emits: BTreeMap<Signal, Route>,
}

/// Where emitted rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Straight to a table.
    Table(Table),
    /// Into a pipeline (position in [`Topology::pipelines`]).
    Pipeline(usize),
}

/// The dead-letter topic. The dead-letter table needs no setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// Topic, created where absent.
    pub topic: String,
    /// Partitions to create it with.
    pub partitions: i32,
}

/// Options of decoding. `None` leaves the codec's own default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decode {
    /// How OTLP metric names become Prometheus names: one of [`METRIC_NAMES`], Prometheus's own
    /// `translation_strategy` in lower case.
    pub metric_names: &'static str,
    /// Resource attributes that become labels of OTLP metrics.
    pub promote_resource_attributes: Vec<String>,
    /// Resource attributes that become stream labels of OTLP logs.
    pub log_stream_attributes: Option<Vec<String>>,
}

/// The naming strategies, as Prometheus names them (lower case, words apart).
pub const METRIC_NAMES: [&str; 4] = [
    "underscore_escaping_with_suffixes",
    "underscore_escaping_without_suffixes",
    "no_utf8_escaping_with_suffixes",
    "no_translation",
];

/// When an epoch ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Epoch {
    /// At the latest after this time.
    pub interval: Option<Duration>,
    /// At the latest when this many bytes wait.
    pub bytes: Option<u64>,
}

impl Topology {
    /// The source that reads `topic`.
    pub fn source(&self, topic: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.topic == topic)
    }

    /// All stages with their pipelines.
    pub fn stages(&self) -> impl Iterator<Item = (&Pipeline, &Stage)> {
        self.pipelines.iter().flat_map(|pipeline| pipeline.stages.iter().map(move |stage| (pipeline, stage)))
    }

    /// The modules it needs, each once, sorted.
    pub fn modules(&self) -> Vec<&str> {
        let mut modules: Vec<&str> = self.stages().map(|(_, stage)| stage.module.as_str()).collect();
        modules.sort_unstable();
        modules.dedup();
        modules
    }
}
