//! The labels of one OTLP data point: its attributes, renamed, with those of resource and scope.
//!
//! All text lies in one buffer whose front holds what is common to a resource and scope, so that a
//! point copies nothing but its own attributes and allocates nothing.

use crate::attributes::{Value, write_text};
use crate::columns::LabelMap;
use crate::prometheus_names::push_label_name;
use crate::wire::Result;
use std::ops::Range;

/// Which of several values of a label holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Promoted resource attributes: only where the point has no such label.
    Promoted,
    /// The point's attributes; those that fall on one name are joined by `;`.
    Attribute,
    /// job, instance, scope, type and unit: they replace attributes.
    Fixed,
}

#[derive(Debug, Clone)]
struct Label {
    key: Range<usize>,
    value: Range<usize>,
    rank: Rank,
}

/// Labels of a point under construction, and those common to its neighbours.
#[derive(Debug, Default)]
pub(crate) struct LabelSet {
    text: Vec<u8>,
    common: Vec<Label>,
    common_text: usize,
    labels: Vec<Label>,
}

impl LabelSet {
    /// Forgets the common labels after the first `count`.
    pub(crate) fn cut_common(&mut self, count: usize) {
        self.common.truncate(count);
        self.common_text = self.common.iter().map(|label| label.value.end).max().unwrap_or(0);
        self.text.truncate(self.common_text);
    }

    /// How many common labels there are.
    pub(crate) fn common_len(&self) -> usize {
        self.common.len()
    }

    /// Adds a common label whose name is as it shall be.
    pub(crate) fn common(&mut self, key: &str, value: &str, rank: Rank) {
        self.text.truncate(self.common_text);
        let label = write(
            &mut self.text,
            rank,
            |out| out.extend_from_slice(key.as_bytes()),
            |out| {
                out.extend_from_slice(value.as_bytes());
                Ok(())
            },
        );
        self.common_text = self.text.len();
        self.common.extend(label.ok());
    }

    /// Adds an attribute, its name translated, as a common label.
    pub(crate) fn common_attribute(
        &mut self,
        prefix: &str,
        key: &str,
        value: Value<'_>,
        rank: Rank,
        escapes: bool,
        limit: usize,
    ) -> Result<()> {
        self.text.truncate(self.common_text);
        let name = |out: &mut Vec<u8>| {
            if prefix.is_empty() {
                push_label_name(out, key, escapes);
            } else {
                push_label_name(out, &format!("{prefix}{key}"), escapes);
            }
        };
        let label = write(&mut self.text, rank, name, |out| write_text(out, value, out.len().saturating_add(limit)))?;
        self.common_text = self.text.len();
        self.common.push(label);
        Ok(())
    }

    /// Begins a point.
    pub(crate) fn begin(&mut self) {
        self.text.truncate(self.common_text);
        self.labels.clone_from(&self.common);
    }

    /// Adds an attribute of the point.
    pub(crate) fn attribute(&mut self, key: &str, value: Value<'_>, escapes: bool, limit: usize) -> Result<()> {
        if key.is_empty() || key == "__name__" {
            return Ok(());
        }
        let label = write(
            &mut self.text,
            Rank::Attribute,
            |out| push_label_name(out, key, escapes),
            |out| write_text(out, value, out.len().saturating_add(limit)),
        )?;
        if !label.value.is_empty() {
            self.labels.push(label);
        }
        Ok(())
    }

    /// Sorts the point's labels and settles which value each has. Attributes must have been added in
    /// the order of their own names.
    pub(crate) fn finish(&mut self) {
        let Self { text, labels, .. } = self;
        // Stable: attributes of one label stay in the order of their own names.
        labels.sort_by(|left, right| {
            text[left.key.clone()].cmp(&text[right.key.clone()]).then(left.rank.cmp(&right.rank))
        });
        let mut kept = 0;
        for index in 0..labels.len() {
            let label = labels[index].clone();
            if kept > 0 && text[labels[kept - 1].key.clone()] == text[label.key.clone()] {
                let last = &mut labels[kept - 1];
                if label.rank == Rank::Attribute && last.rank == Rank::Attribute {
                    let start = text.len();
                    text.extend_from_within(last.value.clone());
                    text.push(b';');
                    text.extend_from_within(label.value);
                    last.value = start..text.len();
                } else {
                    *last = label;
                }
                continue;
            }
            labels[kept] = label;
            kept += 1;
        }
        labels.truncate(kept);
        labels.retain(|label| !label.value.is_empty() && !label.key.is_empty());
    }

    /// Bytes that a row of these labels takes.
    pub(crate) fn bytes(&self) -> usize {
        self.labels.iter().map(|label| label.key.len() + label.value.len() + 8).sum()
    }

    /// Whether the point has this label.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.labels.iter().any(|label| &self.text[label.key.clone()] == key.as_bytes())
    }

    /// Appends the labels to the open row of a column, with one more where given, which replaces a
    /// label of the same name.
    pub(crate) fn write(&self, column: &mut LabelMap, extra: Option<(&str, &str)>) {
        let mut extra = extra;
        for label in &self.labels {
            let key = &self.text[label.key.clone()];
            if let Some((name, value)) = extra
                && name.as_bytes() <= key
            {
                column.label(name, value);
                extra = None;
                if name.as_bytes() == key {
                    continue;
                }
            }
            column.label_bytes(key, &self.text[label.value.clone()]);
        }
        if let Some((name, value)) = extra {
            column.label(name, value);
        }
    }
}

fn write(
    text: &mut Vec<u8>,
    rank: Rank,
    key: impl FnOnce(&mut Vec<u8>),
    value: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<Label> {
    let start = text.len();
    key(text);
    let middle = text.len();
    value(text)?;
    Ok(Label { key: start..middle, value: middle..text.len(), rank })
}
