//! `attributes`: edits attributes of spans and logs, their resources, and labels of metrics, with
//! the actions of OpenTelemetry's attributes and resource processors, and `rename`.
//!
//! Nearly all of it is kernels of the host: nothing crosses. With `include` or `exclude`
//! ([`matching`]) an action runs on all rows and is then undone on those that weren't meant
//! ([`edit`]), which needs no types and no copies in the guest.
//!
//! Unlike the Collector's processors it hashes with SHA-256, and its patterns are unanchored RE2.
//! `from_context` is not supported: a log record of a topic has no client connection.
//!
//! Source: opentelemetry-collector-contrib, processor/attributesprocessor, internal/coreinternal/attraction.

mod edit;
mod matching;

use edit::Edit;
use matching::{MatchConfig, Matcher};
use serde::Deserialize;
use weft_guest::{Batch, Description, Error, Mask, Module, Rows, Scalar, Signal, Source};

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    scope: Scope,
    include: Option<MatchConfig>,
    exclude: Option<MatchConfig>,
    actions: Vec<ActionConfig>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    #[default]
    Attributes,
    Resource,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionConfig {
    action: Action,
    key: Option<String>,
    value: Option<Value>,
    from_attribute: Option<String>,
    pattern: Option<String>,
    converted_type: Option<Type>,
    new_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Insert,
    Update,
    Upsert,
    Delete,
    Hash,
    Extract,
    Convert,
    Rename,
}

/// A constant as YAML or JSON has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Value {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Float(v) => v.to_string(),
            Self::Text(v) => v.clone(),
        }
    }

    fn scalar(&self) -> Scalar {
        match self {
            Self::Bool(v) => Scalar::Bool(*v),
            Self::Int(v) => Scalar::Int(*v),
            Self::Float(v) => Scalar::Float(*v),
            Self::Text(v) => Scalar::Text(v.clone()),
        }
    }
}

/// What `convert` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    Int,
    Double,
    String,
}

/// An action, checked.
#[derive(Debug)]
enum Step {
    Set { key: String, value: Value, rows: RowsOf },
    Copy { key: String, from: String, rows: RowsOf },
    Delete(Keys),
    Hash(Keys),
    Extract { key: String, pattern: String },
    Convert { key: String, to: Type },
    Rename { key: String, to: String },
}

/// [`Rows`] by the action's name.
#[derive(Debug, Clone, Copy)]
enum RowsOf {
    Insert,
    Update,
    Upsert,
}

impl From<RowsOf> for Rows {
    fn from(rows: RowsOf) -> Self {
        match rows {
            RowsOf::Insert => Self::Missing,
            RowsOf::Update => Self::Present,
            RowsOf::Upsert => Self::All,
        }
    }
}

/// One key, and those that match a pattern.
#[derive(Debug)]
struct Keys {
    key: Option<String>,
    pattern: Option<String>,
}

/// See the crate.
#[derive(Debug)]
pub struct Attributes {
    scope: Scope,
    include: Option<Matcher>,
    exclude: Option<Matcher>,
    steps: Vec<Step>,
}

impl Step {
    fn new(field: &str, config: ActionConfig) -> Result<Self, Error> {
        let missing = |name: &str| Error::config(format!("{field}.{name}"), "is missing, and the action needs it");
        let key = |key: Option<String>| key.filter(|key| !key.is_empty()).ok_or_else(|| missing("key"));
        let rows = match config.action {
            Action::Insert => RowsOf::Insert,
            Action::Update => RowsOf::Update,
            Action::Upsert => RowsOf::Upsert,
            Action::Delete | Action::Hash => {
                if config.key.is_none() && config.pattern.is_none() {
                    return Err(missing("key"));
                }
                let keys = Keys { key: config.key, pattern: config.pattern };
                return Ok(if config.action == Action::Delete { Self::Delete(keys) } else { Self::Hash(keys) });
            }
            Action::Extract => {
                let pattern = config.pattern.ok_or_else(|| missing("pattern"))?;
                if !pattern.contains("(?P<") && !pattern.contains("(?<") {
                    return Err(Error::config(format!("{field}.pattern"), "has no named group, as (?P<name>…)"));
                }
                return Ok(Self::Extract { key: key(config.key)?, pattern });
            }
            Action::Convert => {
                let to = config.converted_type.ok_or_else(|| missing("converted_type"))?;
                return Ok(Self::Convert { key: key(config.key)?, to });
            }
            Action::Rename => {
                let to = config.new_key.filter(|key| !key.is_empty()).ok_or_else(|| missing("new_key"))?;
                return Ok(Self::Rename { key: key(config.key)?, to });
            }
        };
        let key = key(config.key)?;
        match (config.value, config.from_attribute) {
            (Some(value), None) => Ok(Self::Set { key, value, rows }),
            (None, Some(from)) => Ok(Self::Copy { key, from, rows }),
            _ => Err(Error::config(field, "needs either value or from_attribute")),
        }
    }
}

/// Where a key of the configuration lives in a batch.
pub(crate) fn path(signal: Signal, scope: Scope, key: &str) -> String {
    let (scope, key) = match key.split_once('.') {
        Some(("resource", key)) => (Scope::Resource, key),
        Some(("attributes", key)) => (Scope::Attributes, key),
        Some(("label", key)) => return format!("label.{key}"),
        _ => (scope, key),
    };
    match (signal, scope) {
        (Signal::Metrics, _) => format!("label.{key}"),
        (_, Scope::Attributes) => format!("attributes.{key}"),
        (_, Scope::Resource) => format!("resource.{key}"),
    }
}

impl Attributes {
    /// The rows to edit; `None` is all.
    fn selected(&self, batch: &Batch) -> Result<Option<Mask>, Error> {
        let mut selected = match &self.include {
            Some(include) => Some(include.rows(batch)?),
            None => None,
        };
        if let Some(exclude) = &self.exclude {
            let mut others = exclude.rows(batch)?;
            others.not();
            match &mut selected {
                Some(selected) => selected.and(&others),
                None => selected = Some(others),
            }
        }
        Ok(selected.filter(|mask| mask.count() < batch.rows()))
    }

    /// The paths of all keys that an action names.
    fn paths(&self, batch: &Batch, keys: &Keys) -> Result<Vec<String>, Error> {
        let signal = batch.signal();
        let mut paths: Vec<String> = keys.key.iter().map(|key| path(signal, self.scope, key)).collect();
        if let Some(pattern) = &keys.pattern {
            let map = match (signal, self.scope) {
                (Signal::Metrics, _) => "label",
                (_, Scope::Attributes) => "attributes",
                (_, Scope::Resource) => "resource",
            };
            let known = batch.keys(map)?;
            let matching = matching::matching_texts(batch, map, &known, pattern)?;
            let chosen = known.iter().zip(matching.iter()).filter(|(_, matches)| *matches);
            paths.extend(chosen.map(|(key, _)| format!("{map}.{key}")));
        }
        Ok(paths)
    }

    fn apply(&self, edit: &Edit<'_>, step: &Step) -> Result<(), Error> {
        let batch = edit.batch();
        let signal = batch.signal();
        let at = |key: &str| path(signal, self.scope, key);
        match step {
            Step::Set { key, value, rows } => {
                let target = at(key);
                let value = if signal == Signal::Metrics { Scalar::Text(value.text()) } else { value.scalar() };
                edit.change(&target, || batch.set_constant(&target, &value, (*rows).into()))
            }
            Step::Copy { key, from, rows } => {
                let (source, target) = (at(from), at(key));
                edit.change(&target, || batch.copy(&source, &target, (*rows).into()))
            }
            Step::Delete(keys) => {
                for target in self.paths(batch, keys)? {
                    edit.change(&target, || batch.remove(&target))?;
                }
                Ok(())
            }
            Step::Hash(keys) => {
                for target in self.paths(batch, keys)? {
                    edit.change(&target, || {
                        edit::convert(batch, &target, Type::String)?;
                        batch.hash(&target, &target)
                    })?;
                }
                Ok(())
            }
            Step::Extract { key, pattern } => {
                let source = at(key);
                let map = source.split('.').next().unwrap_or_default().to_owned();
                edit.with_selected(&source, |source| batch.extract(source, pattern, &map))
            }
            Step::Convert { key, to } => {
                let target = at(key);
                edit.change(&target, || edit::convert(batch, &target, *to))
            }
            Step::Rename { key, to } => {
                let (source, target) = (at(key), at(to));
                if source == target {
                    return Ok(());
                }
                edit.change(&target, || batch.copy(&source, &target, Rows::All))?;
                edit.change(&source, || batch.remove(&source))
            }
        }
    }
}

impl Module for Attributes {
    type Config = Config;

    fn describe() -> Description {
        Description::new("attributes", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans, Signal::Logs, Signal::Metrics])
            .reads(["attributes.*", "resource.*", "label.*", "name", "kind", "body", "severity_text"])
            .writes(["attributes.*", "resource.*", "label.*"])
            .schema(include_str!("../schema.json"))
    }

    fn configure(config: Config, _source: Source) -> Result<Self, Error> {
        let matcher = |field, config: Option<MatchConfig>| config.map(|config| Matcher::new(field, config)).transpose();
        let steps = config.actions.into_iter().enumerate();
        Ok(Self {
            scope: config.scope,
            include: matcher("include", config.include)?,
            exclude: matcher("exclude", config.exclude)?,
            steps: steps
                .map(|(index, action)| Step::new(&format!("actions.{index}"), action))
                .collect::<Result<_, _>>()?,
        })
    }

    fn process(&mut self, batch: &Batch, _now: u64) -> Result<(), Error> {
        if batch.rows() == 0 || self.steps.is_empty() {
            return Ok(());
        }
        let edit = Edit::new(batch, self.selected(batch)?);
        if edit.nothing() {
            return Ok(());
        }
        self.steps.iter().try_for_each(|step| self.apply(&edit, step))
    }
}

weft_guest::export!(Attributes);

#[cfg(test)]
mod tests;
