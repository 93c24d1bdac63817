//! `include` and `exclude`: which rows a stage is about.

use crate::{Scope, Value, path};
use serde::Deserialize;
use weft_guest::{Batch, Error, Mask, Nulls, Signal, Text};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MatchConfig {
    match_type: MatchType,
    services: Vec<String>,
    span_names: Vec<String>,
    span_kinds: Vec<String>,
    log_bodies: Vec<String>,
    log_severity_texts: Vec<String>,
    metric_names: Vec<String>,
    attributes: Vec<AttributeMatch>,
    resources: Vec<AttributeMatch>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MatchType {
    #[default]
    Strict,
    Regexp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeMatch {
    key: String,
    value: Option<Value>,
}

/// Rows that match all of its conditions.
#[derive(Debug)]
pub(crate) struct Matcher {
    regexp: bool,
    texts: Vec<(Column, Vec<String>)>,
    kinds: Vec<i64>,
    attributes: Vec<(Scope, AttributeMatch)>,
}

/// A text that a condition is about.
#[derive(Debug, Clone, Copy)]
enum Column {
    Service,
    SpanName,
    LogBody,
    LogSeverity,
    MetricName,
}

impl Column {
    /// Its path; `None` where the signal has no such thing, which no row matches.
    fn path(self, signal: Signal) -> Option<&'static str> {
        match (self, signal) {
            (Self::Service, Signal::Spans | Signal::Logs) => Some("resource.service.name"),
            (Self::SpanName, Signal::Spans) | (Self::MetricName, Signal::Metrics) => Some("name"),
            (Self::LogBody, Signal::Logs) => Some("body"),
            (Self::LogSeverity, Signal::Logs) => Some("severity_text"),
            _ => None,
        }
    }
}

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

impl Matcher {
    pub(crate) fn new(field: &str, config: MatchConfig) -> Result<Self, Error> {
        let texts = [
            (Column::Service, config.services),
            (Column::SpanName, config.span_names),
            (Column::LogBody, config.log_bodies),
            (Column::LogSeverity, config.log_severity_texts),
            (Column::MetricName, config.metric_names),
        ];
        let kind = |(index, name): (usize, &String)| {
            let lower = name.to_ascii_lowercase();
            let known = KINDS.iter().position(|kind| *kind == lower.strip_prefix("span_kind_").unwrap_or(&lower));
            known.map(|kind| kind as i64).ok_or_else(|| {
                Error::config(
                    format!("{field}.span_kinds.{index}"),
                    format!("'{name}' is none of {}", KINDS.join(", ")),
                )
            })
        };
        let matcher = Self {
            regexp: config.match_type == MatchType::Regexp,
            texts: texts.into_iter().filter(|(_, values)| !values.is_empty()).collect(),
            kinds: config.span_kinds.iter().enumerate().map(kind).collect::<Result<_, _>>()?,
            attributes: config
                .attributes
                .into_iter()
                .map(|attribute| (Scope::Attributes, attribute))
                .chain(config.resources.into_iter().map(|attribute| (Scope::Resource, attribute)))
                .collect(),
        };
        if matcher.texts.is_empty() && matcher.kinds.is_empty() && matcher.attributes.is_empty() {
            return Err(Error::config(field, "says nothing to match"));
        }
        Ok(matcher)
    }

    pub(crate) fn rows(&self, batch: &Batch) -> Result<Mask, Error> {
        let rows = batch.rows();
        let mut chosen = Mask::new(rows, true);
        for (column, values) in &self.texts {
            match column.path(batch.signal()) {
                Some(path) => chosen.and(&self.texts(batch, path, values)?),
                None => return Ok(Mask::new(rows, false)),
            }
        }
        if !self.kinds.is_empty() {
            if batch.signal() != Signal::Spans {
                return Ok(Mask::new(rows, false));
            }
            let kinds = batch.ints("kind")?;
            chosen.and(&Mask::of(kinds.iter().map(|kind| kind.is_some_and(|kind| self.kinds.contains(&kind)))));
        }
        for (scope, attribute) in &self.attributes {
            chosen.and(&self.attribute(batch, &path(batch.signal(), *scope, &attribute.key), attribute)?);
        }
        Ok(chosen)
    }

    fn texts(&self, batch: &Batch, path: &str, values: &[String]) -> Result<Mask, Error> {
        if self.regexp {
            return batch.matches(path, &format!("(?:{})", values.join(")|(?:")));
        }
        let column = batch.dictionary(path)?;
        let wanted: Vec<bool> =
            column.values().iter().map(|v| v.is_some_and(|v| values.iter().any(|wanted| wanted == v))).collect();
        Ok(Mask::of((0..column.len()).map(|row| column.key(row).is_some_and(|key| wanted[key as usize]))))
    }

    fn attribute(&self, batch: &Batch, path: &str, wanted: &AttributeMatch) -> Result<Mask, Error> {
        let rows = 0..batch.rows();
        let labels = batch.signal() == Signal::Metrics;
        Ok(match &wanted.value {
            Some(Value::Text(text)) => self.texts(batch, path, std::slice::from_ref(text))?,
            Some(value) if labels => self.texts(batch, path, &[value.text()])?,
            Some(Value::Int(value)) => {
                let column = batch.ints(path)?;
                Mask::of(rows.map(|row| column.get(row) == Some(*value)))
            }
            Some(Value::Float(value)) => {
                let column = batch.floats(path)?;
                Mask::of(rows.map(|row| column.get(row) == Some(*value)))
            }
            Some(Value::Bool(value)) => {
                let column = batch.bools(path)?;
                Mask::of(rows.map(|row| column.get(row) == Some(*value)))
            }
            None => {
                let (texts, ints, floats, bools) =
                    (batch.dictionary(path)?, batch.ints(path)?, batch.floats(path)?, batch.bools(path)?);
                Mask::of(rows.map(|row| {
                    texts.key(row).is_some()
                        || ints.get(row).is_some()
                        || floats.get(row).is_some()
                        || bools.get(row).is_some()
                }))
            }
        })
    }
}

/// Which of some texts match a pattern. The module has no regular expressions of its own: the host
/// matches them, as an attribute of the batch's rows that is there for a moment.
pub(crate) fn matching_texts(batch: &Batch, map: &str, texts: &[String], pattern: &str) -> Result<Mask, Error> {
    let aside = format!("{map}.__weft_texts");
    let mut matching = Mask::default();
    for chunk in texts.chunks(batch.rows().max(1)) {
        let column: Text = (0..batch.rows()).map(|row| chunk.get(row).map(String::as_str)).collect();
        batch.set_text(&aside, &column, Nulls::Clear)?;
        let mask = batch.matches(&aside, pattern)?;
        mask.iter().take(chunk.len()).for_each(|matches| matching.push(matches));
    }
    batch.remove(&aside)?;
    Ok(matching)
}
