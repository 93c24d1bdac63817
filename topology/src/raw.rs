//! The topology as typed: what the file says, with lines, before defaults and cross-checks.
//!
//! Reading never stops at a mistake: it notes it in [`Problems`] and goes on, so that a user fixes a
//! file in one go. What the names mean to each other is `resolve.rs`.

use crate::error::Problem;
use crate::host::{Host, interpolate};
use crate::node::{Key, Node, Value};

/// A value and its line.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) line: u64,
    pub(crate) value: T,
}

/// The whole file.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) sources: Vec<Source>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) decode: Decode,
    pub(crate) epoch: Epoch,
}

/// `sources:` entry.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) topic: Option<At<String>>,
    pub(crate) codec: Option<At<String>>,
    pub(crate) partitions: Option<At<i64>>,
    pub(crate) start: Option<At<String>>,
    pub(crate) pipeline: Option<At<String>>,
    pub(crate) rekey: Option<Rekey>,
}

/// `rekey:` of a source.
#[derive(Debug)]
pub(crate) struct Rekey {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) by: Option<At<String>>,
    pub(crate) to: Option<At<String>>,
}

/// `pipelines:` entry.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) path: String,
    pub(crate) name: At<String>,
    pub(crate) signal: Option<At<String>>,
    pub(crate) stages: Vec<Stage>,
}

/// `stages:` entry.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) name: Option<At<String>>,
    pub(crate) module: Option<At<String>>,
    pub(crate) config: serde_json::Value,
    pub(crate) emits: Vec<(At<String>, At<String>)>,
}

/// `dead_letters:`.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    pub(crate) topic: Option<At<String>>,
    pub(crate) partitions: Option<At<i64>>,
}

/// `decode:`.
#[derive(Debug, Default)]
pub(crate) struct Decode {
    pub(crate) metric_names: Option<At<String>>,
    pub(crate) promote_resource_attributes: Option<Vec<String>>,
    pub(crate) log_stream_attributes: Option<Vec<String>>,
}

/// `epoch:`.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) interval: Option<At<String>>,
    pub(crate) bytes: Option<At<i64>>,
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, line: u64, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { line, path: path.into(), message: message.into() });
    }
}

/// The fields of one map, taken out one by one; what is left over is unknown.
struct Fields<'a> {
    path: String,
    entries: Vec<(Key, Node)>,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    fn of(node: Node, path: &str, problems: &'a mut Problems) -> Self {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            _ => {
                problems.add(node.line, path, format!("must be a map, but is {}", node.kind()));
                Vec::new()
            }
        };
        Self { path: path.to_owned(), entries, known: Vec::new(), problems }
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn take(&mut self, name: &'static str) -> Option<Node> {
        self.known.push(name);
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        let (_, node) = self.entries.remove(at);
        if matches!(node.value, Value::Null) { None } else { Some(node) }
    }

    fn text(&mut self, name: &'static str) -> Option<At<String>> {
        let node = self.take(name)?;
        let path = self.path(name);
        as_text(node, &path, self.problems)
    }

    fn int(&mut self, name: &'static str) -> Option<At<i64>> {
        let node = self.take(name)?;
        match node.value {
            Value::Int(value) => Some(At { line: node.line, value }),
            _ => {
                let path = self.path(name);
                self.problems.add(node.line, path, format!("must be a whole number, but is {}", node.kind()));
                None
            }
        }
    }

    fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let node = self.take(name)?;
        let path = self.path(name);
        let items = as_list(node, &path, self.problems);
        Some(
            items
                .into_iter()
                .enumerate()
                .filter_map(|(at, item)| as_text(item, &format!("{path}[{at}]"), self.problems))
                .map(|text| text.value)
                .collect(),
        )
    }

    /// Notes what nobody asked for.
    fn finish(self) {
        for (key, _) in &self.entries {
            let known = self.known.join(", ");
            self.problems.add(key.line, self.path(&key.name), format!("is not a setting here; there are {known}"));
        }
    }
}

fn as_text(node: Node, path: &str, problems: &mut Problems) -> Option<At<String>> {
    let value = match node.value {
        Value::Text(text) => text,
        Value::Int(value) => value.to_string(),
        _ => {
            problems.add(node.line, path, format!("must be a text, but is {}", node.kind()));
            return None;
        }
    };
    Some(At { line: node.line, value })
}

fn as_list(node: Node, path: &str, problems: &mut Problems) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        _ => {
            problems.add(node.line, path, format!("must be a list, but is {}", node.kind()));
            Vec::new()
        }
    }
}

/// Reads a topology out of a document, `${…}` replaced.
pub(crate) fn read(mut document: Node, host: &Host, problems: &mut Problems) -> Raw {
    substitute(&mut document, "", host, problems);
    let mut raw = Raw::default();
    let mut fields = Fields::of(document, "", problems);
    let version = fields.int("version");
    let (sources, pipelines) = (fields.take("sources"), fields.take("pipelines"));
    let (dead_letters, decode, epoch) = (fields.take("dead_letters"), fields.take("decode"), fields.take("epoch"));
    fields.finish();
    if let Some(version) = version
        && version.value != 1
    {
        problems.add(version.line, "version", format!("{} is not known: this weft reads version 1", version.value));
    }
    if let Some(node) = sources {
        for (at, item) in as_list(node, "sources", problems).into_iter().enumerate() {
            raw.sources.push(source(item, format!("sources[{at}]"), problems));
        }
    }
    if let Some(node) = pipelines {
        raw.pipelines = read_pipelines(node, problems);
    }
    if let Some(node) = dead_letters {
        let mut fields = Fields::of(node, "dead_letters", problems);
        raw.dead_letters = DeadLetters { topic: fields.text("topic"), partitions: fields.int("partitions") };
        fields.finish();
    }
    if let Some(node) = decode {
        let mut fields = Fields::of(node, "decode", problems);
        raw.decode = Decode {
            metric_names: fields.text("metric_names"),
            promote_resource_attributes: fields.texts("promote_resource_attributes"),
            log_stream_attributes: fields.texts("log_stream_attributes"),
        };
        fields.finish();
    }
    if let Some(node) = epoch {
        let mut fields = Fields::of(node, "epoch", problems);
        raw.epoch = Epoch { interval: fields.text("interval"), bytes: fields.int("bytes") };
        fields.finish();
    }
    raw
}

fn source(node: Node, path: String, problems: &mut Problems) -> Source {
    let line = node.line;
    let mut fields = Fields::of(node, &path, problems);
    let mut source = Source {
        line,
        topic: fields.text("topic"),
        codec: fields.text("codec"),
        partitions: fields.int("partitions"),
        start: fields.text("start"),
        pipeline: fields.text("pipeline"),
        rekey: None,
        path: path.clone(),
    };
    let rekey = fields.take("rekey");
    fields.finish();
    if let Some(node) = rekey {
        let (line, path) = (node.line, format!("{path}.rekey"));
        let mut fields = Fields::of(node, &path, problems);
        source.rekey = Some(Rekey { line, by: fields.text("by"), to: fields.text("to"), path: path.clone() });
        fields.finish();
    }
    source
}

fn read_pipelines(node: Node, problems: &mut Problems) -> Vec<Pipeline> {
    let Value::Map(entries) = node.value else {
        problems.add(node.line, "pipelines", format!("must be a map of name to pipeline, but is {}", node.kind()));
        return Vec::new();
    };
    let mut pipelines = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let path = format!("pipelines.{}", key.name);
        let mut fields = Fields::of(node, &path, problems);
        let signal = fields.text("signal");
        let stages = fields.take("stages");
        fields.finish();
        let stages = stages.map_or_else(Vec::new, |node| as_list(node, &format!("{path}.stages"), problems));
        let stages = stages
            .into_iter()
            .enumerate()
            .map(|(at, node)| stage(node, format!("{path}.stages[{at}]"), problems))
            .collect();
        pipelines.push(Pipeline { path, name: At { line: key.line, value: key.name }, signal, stages });
    }
    pipelines
}

fn stage(node: Node, path: String, problems: &mut Problems) -> Stage {
    let line = node.line;
    // `- redact` alone names a module without configuration.
    if let Value::Text(module) = node.value {
        let module = Some(At { line, value: module });
        return Stage { path, line, name: None, module, config: serde_json::json!({}), emits: Vec::new() };
    }
    let mut fields = Fields::of(node, &path, problems);
    let (name, module) = (fields.text("name"), fields.text("module"));
    let (config, emits) = (fields.take("config"), fields.take("emits"));
    fields.finish();
    let config = match config {
        None => serde_json::json!({}),
        Some(node) if matches!(node.value, Value::Map(_)) => node.to_json(),
        Some(node) => {
            problems.add(node.line, format!("{path}.config"), format!("must be a map, but is {}", node.kind()));
            serde_json::json!({})
        }
    };
    let emits = match emits {
        None => Vec::new(),
        Some(Node { value: Value::Map(entries), .. }) => entries
            .into_iter()
            .filter_map(|(key, node)| {
                let target = as_text(node, &format!("{path}.emits.{}", key.name), problems)?;
                Some((At { line: key.line, value: key.name }, target))
            })
            .collect(),
        Some(node) => {
            let message = format!("must be a map of signal to 'table' or a pipeline's name, but is {}", node.kind());
            problems.add(node.line, format!("{path}.emits"), message);
            Vec::new()
        }
    };
    Stage { path, line, name, module, config, emits }
}

/// Replaces `${…}` in every text; answers whether the entry stays.
fn substitute(node: &mut Node, path: &str, host: &Host, problems: &mut Problems) -> bool {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => match interpolate(text, host) {
            Ok(Some(value)) => *text = value,
            Ok(None) => return false,
            Err(message) => problems.add(node.line, path, message),
        },
        Value::List(items) => {
            let mut at = 0;
            items.retain_mut(|item| {
                at += 1;
                substitute(item, &format!("{path}[{}]", at - 1), host, problems)
            });
        }
        Value::Map(entries) => entries.retain_mut(|(key, value)| {
            let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
            substitute(value, &path, host, problems)
        }),
        _ => {}
    }
    true
}
