//! From the file as typed to a plan: defaults, cross-checks, all mistakes at once.

use crate::plan::{
    DeadLetters, Decode, Epoch, METRIC_NAMES, Pipeline, Rekey, RekeyBy, Route, Source, Stage, Start, Topology,
};
use crate::raw::{self, At, Problems, Raw};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::Duration;
use weft_model::Signal;

/// What a topic's messages can be, with the signal of their rows: the names of `weft_codec::Codec`.
pub const CODECS: [(&str, Signal); 6] = [
    ("otlp_traces", Signal::Spans),
    ("otlp_metrics", Signal::Metrics),
    ("otlp_logs", Signal::Logs),
    ("remote_write", Signal::Metrics),
    ("loki_push", Signal::Logs),
    ("raw", Signal::Raw),
];

/// Partitions a topic is created with where the file doesn't say.
const PARTITIONS: i32 = 4;
/// More than a broker would accept in one go; a typo rather than a plan.
const MOST_PARTITIONS: i64 = 10_000;

/// Resource attributes that become labels of OTLP metrics unless the file says otherwise:
/// the list that Prometheus's guide to OTLP recommends, and `cloud.provider`.
pub const PROMOTED: [&str; 20] = [
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "cloud.provider",
    "cloud.availability_zone",
    "cloud.region",
    "container.name",
    "deployment.environment",
    "deployment.environment.name",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.daemonset.name",
    "k8s.deployment.name",
    "k8s.job.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
];

/// Checks and completes `raw`. Where `problems` has grown, the answer is not to be used.
pub(crate) fn resolve(name: &str, raw: Raw, problems: &mut Problems) -> Topology {
    let order = order(&raw, problems);
    let positions: HashMap<&str, usize> =
        order.iter().enumerate().map(|(position, &at)| (raw.pipelines[at].name.value.as_str(), position)).collect();
    let pipelines: Vec<Pipeline> =
        order.iter().map(|&at| pipeline(&raw.pipelines[at], &raw, &positions, problems)).collect();
    let sources = sources(&raw, &positions, &pipelines, problems);
    let dead_letters = DeadLetters {
        topic: match &raw.dead_letters.topic {
            None => "dead_letters".to_owned(),
            Some(topic) => {
                check_topic(topic, "dead_letters.topic", problems);
                topic.value.clone()
            }
        },
        partitions: partitions(raw.dead_letters.partitions.as_ref(), 1, "dead_letters.partitions", problems),
    };
    if let Some(source) = sources.iter().find(|source| source.topic == dead_letters.topic) {
        let message = "the dead-letter topic is read as a source: what fails would be read again without end";
        problems.add(0, "dead_letters.topic", format!("{message}; name another topic than '{}'", source.topic));
    }
    Topology {
        name: name.to_owned(),
        sources,
        pipelines,
        dead_letters,
        decode: decode(&raw.decode, problems),
        epoch: epoch(&raw.epoch, problems),
    }
}

/// The signal of a pipeline: as it says, or by its name.
fn signal_of(pipeline: &raw::Pipeline) -> Option<Signal> {
    Signal::from_str(pipeline.signal.as_ref().map_or(pipeline.name.value.as_str(), |signal| &signal.value)).ok()
}

/// Positions of the pipelines so that each comes before those it emits to.
fn order(raw: &Raw, problems: &mut Problems) -> Vec<usize> {
    let position = |name: &str| raw.pipelines.iter().position(|pipeline| pipeline.name.value == name);
    // Routes of the wrong signal are reported elsewhere.
    let targets = |at: usize| {
        let emits = raw.pipelines[at].stages.iter().flat_map(|stage| stage.emits.iter());
        emits.filter_map(|(signal, target)| {
            let at = position(&target.value)?;
            (signal_of(&raw.pipelines[at])?.name() == signal.value).then_some(at)
        })
    };
    // Depth first; 1 is on the path, 2 is done. A step back to the path is a cycle.
    fn visit(
        at: usize,
        targets: &dyn Fn(usize) -> Vec<usize>,
        marks: &mut [u8],
        done: &mut Vec<usize>,
    ) -> Result<(), usize> {
        match marks[at] {
            1 => return Err(at),
            2 => return Ok(()),
            _ => marks[at] = 1,
        }
        for target in targets(at) {
            visit(target, targets, marks, done)?;
        }
        marks[at] = 2;
        done.push(at);
        Ok(())
    }
    let mut marks = vec![0; raw.pipelines.len()];
    let mut done = Vec::new();
    for at in (0..raw.pipelines.len()).rev() {
        if let Err(at) = visit(at, &|at| targets(at).collect(), &mut marks, &mut done) {
            let pipeline = &raw.pipelines[at];
            let message = "its stages emit, directly or through others, into itself: rows would go round without end";
            problems.add(pipeline.name.line, &pipeline.path, message);
            return (0..raw.pipelines.len()).collect();
        }
    }
    done.reverse();
    done
}

fn pipeline(
    pipeline: &raw::Pipeline,
    raw: &Raw,
    positions: &HashMap<&str, usize>,
    problems: &mut Problems,
) -> Pipeline {
    check_name(&pipeline.name, &pipeline.path, problems);
    let signal = signal_of(pipeline).unwrap_or_else(|| {
        let (line, path) = pipeline.signal.as_ref().map_or((pipeline.name.line, pipeline.path.clone()), |signal| {
            (signal.line, format!("{}.signal", pipeline.path))
        });
        problems.add(line, path, "needs 'signal': raw, metrics, logs or spans (or name the pipeline after its signal)");
        Signal::Raw
    });
    if pipeline.stages.is_empty() && signal == Signal::Raw {
        let message =
            "a raw pipeline needs a stage with a module that turns records into a signal: raw records have no table";
        problems.add(pipeline.name.line, &pipeline.path, message);
    }
    let mut stages: Vec<Stage> = Vec::with_capacity(pipeline.stages.len());
    for stage in &pipeline.stages {
        let Some(module) = &stage.module else {
            problems.add(
                stage.line,
                &stage.path,
                "needs 'module': the name of a file in the modules folder, without .wasm",
            );
            continue;
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if module.value.is_empty() || module.value.len() > 64 || !module.value.chars().all(fits) {
            let message = format!(
                "'{}' is not a module's name: give the file's name in the modules folder, without folder and .wasm (up to 64 of a-z A-Z 0-9 _ -)",
                module.value
            );
            problems.add(module.line, format!("{}.module", stage.path), message);
        }
        let name = stage.name.as_ref().unwrap_or(module);
        if stage.name.is_some() {
            check_name(name, &format!("{}.name", stage.path), problems);
        }
        let id = format!("{}.{}", pipeline.name.value, name.value);
        if stages.iter().any(|other| other.id == id) {
            let message = format!("a second stage '{}' in this pipeline: give each a 'name' of its own", name.value);
            problems.add(name.line, format!("{}.name", stage.path), message);
        }
        let mut emits = BTreeMap::new();
        for (emitted, target) in &stage.emits {
            let path = format!("{}.emits.{}", stage.path, emitted.value);
            match Signal::from_str(&emitted.value) {
                Err(message) => problems.add(emitted.line, path, message),
                Ok(emitted) => {
                    if let Some(route) = route(emitted, target, raw, positions, &path, problems) {
                        emits.insert(emitted, route);
                    }
                }
            }
        }
        stages.push(Stage { id, module: module.value.clone(), config: stage.config.to_string(), emits });
    }
    Pipeline { name: pipeline.name.value.clone(), signal, stages }
}

fn route(
    signal: Signal,
    target: &At<String>,
    raw: &Raw,
    positions: &HashMap<&str, usize>,
    path: &str,
    problems: &mut Problems,
) -> Option<Route> {
    if target.value == "table" {
        let table = signal.table();
        if table.is_none() {
            problems.add(target.line, path, "raw rows have no table: send them to a raw pipeline");
        }
        return table.map(Route::Table);
    }
    let found = raw.pipelines.iter().find(|pipeline| pipeline.name.value == target.value);
    match found {
        None => {
            let names: Vec<_> = raw.pipelines.iter().map(|pipeline| pipeline.name.value.as_str()).collect();
            let message =
                format!("there is no pipeline '{}': say 'table' or one of {}", target.value, names.join(", "));
            problems.add(target.line, path, message);
        }
        Some(pipeline) if signal_of(pipeline).is_some_and(|takes| takes != signal) => {
            problems.add(target.line, path, format!("pipeline '{}' doesn't take {signal}", target.value));
        }
        Some(_) => return positions.get(target.value.as_str()).copied().map(Route::Pipeline),
    }
    None
}

fn sources(
    raw: &Raw,
    positions: &HashMap<&str, usize>,
    pipelines: &[Pipeline],
    problems: &mut Problems,
) -> Vec<Source> {
    if raw.sources.is_empty() {
        problems.add(0, "sources", "there is none: name at least one topic to read");
    }
    let mut sources: Vec<Source> = Vec::with_capacity(raw.sources.len());
    for source in &raw.sources {
        let (Some(topic), Some(codec)) = (&source.topic, &source.codec) else {
            let missing = if source.topic.is_none() { "topic" } else { "codec" };
            problems.add(source.line, &source.path, format!("needs '{missing}'"));
            continue;
        };
        check_topic(topic, &format!("{}.topic", source.path), problems);
        if sources.iter().any(|other| other.topic == topic.value) {
            let message = format!("topic '{}' is read by two sources: keep one", topic.value);
            problems.add(topic.line, format!("{}.topic", source.path), message);
        }
        let Some(&(codec, signal)) = CODECS.iter().find(|(name, _)| *name == codec.value) else {
            let names = CODECS.map(|(name, _)| name).join(", ");
            problems.add(
                codec.line,
                format!("{}.codec", source.path),
                format!("'{}' is not known; there are {names}", codec.value),
            );
            continue;
        };
        let start = match source.start.as_ref().map(|start| (start.line, start.value.as_str())) {
            None | Some((_, "earliest")) => Start::Earliest,
            Some((_, "latest")) => Start::Latest,
            Some((line, other)) => {
                problems.add(
                    line,
                    format!("{}.start", source.path),
                    format!("'{other}' is not known: say earliest or latest"),
                );
                Start::Earliest
            }
        };
        let rekey = source.rekey.as_ref().and_then(|rekey| resolve_rekey(rekey, topic, codec, raw, problems));
        let pipeline = match &source.pipeline {
            Some(name) => positions.get(name.value.as_str()).copied().or_else(|| {
                problems.add(
                    name.line,
                    format!("{}.pipeline", source.path),
                    format!("there is no pipeline '{}'", name.value),
                );
                None
            }),
            None => positions.get(signal.name()).copied().or_else(|| {
                let message = format!("needs 'pipeline': there is none named '{signal}' to take its rows");
                problems.add(source.line, &source.path, message);
                None
            }),
        };
        let Some(pipeline) = pipeline else { continue };
        if pipelines[pipeline].signal != signal {
            let message = format!(
                "codec {codec} gives {signal}, but pipeline '{}' takes {}",
                pipelines[pipeline].name, pipelines[pipeline].signal
            );
            problems.add(source.line, &source.path, message);
        }
        let partitions =
            partitions(source.partitions.as_ref(), PARTITIONS, &format!("{}.partitions", source.path), problems);
        sources.push(Source { topic: topic.value.clone(), codec, signal, partitions, start, pipeline, rekey });
    }
    sources
}

fn resolve_rekey(
    rekey: &raw::Rekey,
    topic: &At<String>,
    codec: &str,
    raw: &Raw,
    problems: &mut Problems,
) -> Option<Rekey> {
    match &rekey.by {
        Some(by) if by.value == "trace_id" => {}
        by => {
            let line = by.as_ref().map_or(rekey.line, |by| by.line);
            problems.add(line, format!("{}.by", rekey.path), "must be trace_id");
        }
    }
    if codec != "otlp_traces" {
        problems.add(rekey.line, &rekey.path, "only a topic of codec otlp_traces can be spread by trace id");
    }
    let Some(to) = &rekey.to else {
        problems.add(rekey.line, &rekey.path, "needs 'to': the topic to write, itself a source");
        return None;
    };
    let target = raw.sources.iter().find(|source| source.topic.as_ref().is_some_and(|topic| topic.value == to.value));
    let is_plain = target.is_some_and(|target| {
        target.rekey.is_none() && target.codec.as_ref().is_some_and(|codec| codec.value == "otlp_traces")
    });
    if to.value == topic.value || !is_plain {
        let message = format!(
            "'{}' must be another source of codec otlp_traces that isn't re-keyed itself: add it to the sources",
            to.value
        );
        problems.add(to.line, format!("{}.to", rekey.path), message);
    }
    Some(Rekey { by: RekeyBy::TraceId, to: to.value.clone() })
}

fn decode(raw: &raw::Decode, problems: &mut Problems) -> Decode {
    let metric_names = match &raw.metric_names {
        None => METRIC_NAMES[0],
        Some(given) => METRIC_NAMES.into_iter().find(|name| *name == given.value).unwrap_or_else(|| {
            let message = format!("'{}' is not known; there are {}", given.value, METRIC_NAMES.join(", "));
            problems.add(given.line, "decode.metric_names", message);
            METRIC_NAMES[0]
        }),
    };
    Decode {
        metric_names,
        promote_resource_attributes: raw
            .promote_resource_attributes
            .clone()
            .unwrap_or_else(|| PROMOTED.into_iter().map(str::to_owned).collect()),
        log_stream_attributes: raw.log_stream_attributes.clone(),
    }
}

fn epoch(raw: &raw::Epoch, problems: &mut Problems) -> Epoch {
    let interval = raw.interval.as_ref().and_then(|text| {
        let duration = duration(&text.value);
        if duration.is_none_or(|duration| duration.is_zero()) {
            problems.add(
                text.line,
                "epoch.interval",
                format!("'{}' is not a duration: say 500ms, 10s or 1m", text.value),
            );
        }
        duration
    });
    let bytes = raw.bytes.as_ref().and_then(|bytes| {
        let value = u64::try_from(bytes.value).ok().filter(|bytes| *bytes > 0);
        if value.is_none() {
            problems.add(bytes.line, "epoch.bytes", "must be above 0");
        }
        value
    });
    Epoch { interval, bytes }
}

/// `500ms`, `10s`, `1m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn partitions(given: Option<&At<i64>>, default: i32, path: &str, problems: &mut Problems) -> i32 {
    let Some(given) = given else { return default };
    if !(1..=MOST_PARTITIONS).contains(&given.value) {
        problems.add(given.line, path, format!("must be from 1 to {MOST_PARTITIONS}"));
    }
    i32::try_from(given.value).unwrap_or(default)
}

/// Kafka's rule for topic names.
fn check_topic(topic: &At<String>, path: &str, problems: &mut Problems) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.value.is_empty()
        || topic.value.len() > 249
        || !topic.value.chars().all(fits)
        || [".", ".."].contains(&topic.value.as_str())
    {
        problems.add(
            topic.line,
            path,
            format!("'{}' is not a topic's name: up to 249 of a-z A-Z 0-9 . _ -", topic.value),
        );
    }
}

/// Names of pipelines and stages become parts of object paths and label values.
fn check_name(name: &At<String>, path: &str, problems: &mut Problems) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(fits) {
        problems.add(name.line, path, format!("'{}' is not a name: up to 64 of a-z A-Z 0-9 _ -", name.value));
    }
}
