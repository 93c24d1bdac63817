//! `| label = "x" and size > 1MB or …`.
//!
//! A missing label is empty to a text comparison and drops the line in any other. A value that
//! doesn't convert keeps the line and marks it.

use super::ip::IpMatcher;
use super::line_filter::anchored;
use super::row::{ERROR, Row};
use super::units::{parse_bytes, parse_duration, parse_number};
use crate::ast::{Compare, LabelFilter, MatchOp};
use regex::Regex;

/// Value of `__error__` when a value doesn't convert.
const FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled filter.
#[derive(Debug)]
pub(crate) enum CompiledLabelFilter {
    Equal { name: String, value: String, negated: bool },
    Regex { name: String, regex: Regex, negated: bool },
    Number { name: String, op: Compare, value: f64 },
    Duration { name: String, op: Compare, value: i64 },
    Bytes { name: String, op: Compare, value: f64 },
    Ip { name: String, ip: IpMatcher, negated: bool },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl CompiledLabelFilter {
    pub(crate) fn new(filter: &LabelFilter) -> Result<Self, String> {
        Ok(match filter {
            LabelFilter::Text(matcher) => {
                let (name, negated) = (matcher.name.clone(), matcher.op.negated());
                match matcher.op {
                    MatchOp::Equal | MatchOp::NotEqual => Self::Equal { name, value: matcher.value.clone(), negated },
                    MatchOp::Regex | MatchOp::NotRegex => {
                        Self::Regex { name, regex: anchored(&matcher.value)?, negated }
                    }
                }
            }
            LabelFilter::Number { name, op, value } => Self::Number { name: name.clone(), op: *op, value: *value },
            LabelFilter::Duration { name, op, value } => Self::Duration { name: name.clone(), op: *op, value: *value },
            LabelFilter::Bytes { name, op, value } => Self::Bytes { name: name.clone(), op: *op, value: *value },
            LabelFilter::Ip { name, negated, pattern } => {
                Self::Ip { name: name.clone(), ip: IpMatcher::new(pattern)?, negated: *negated }
            }
            LabelFilter::And(left, right) => Self::And(Box::new(Self::new(left)?), Box::new(Self::new(right)?)),
            LabelFilter::Or(left, right) => Self::Or(Box::new(Self::new(left)?), Box::new(Self::new(right)?)),
        })
    }

    /// Whether the line stays.
    pub(crate) fn passes(&self, row: &mut Row<'_>) -> bool {
        match self {
            Self::Equal { name, value, negated } => (row.get(name).unwrap_or("") == value) != *negated,
            Self::Regex { name, regex, negated } => regex.is_match(row.get(name).unwrap_or("")) != *negated,
            Self::Number { name, op, value } => convert(row, name, parse_number, |number| op.holds(&number, value)),
            Self::Duration { name, op, value } => convert(row, name, parse_duration, |nanos| op.holds(&nanos, value)),
            Self::Bytes { name, op, value } => convert(row, name, parse_bytes, |bytes| op.holds(&bytes, value)),
            Self::Ip { name, ip, negated } => {
                if !row.error().is_empty() {
                    return true;
                }
                row.get(name).is_some_and(|value| ip.found_in(value) != *negated)
            }
            Self::And(left, right) => {
                // Both sides run: each may mark the line, and the first mark stays.
                let left = left.passes(row);
                let right = right.passes(row);
                left && right
            }
            Self::Or(left, right) => left.passes(row) || right.passes(row),
        }
    }

    /// Names of the labels it reads.
    pub(crate) fn names<'f>(&'f self, names: &mut Vec<&'f str>) {
        match self {
            Self::Equal { name, .. }
            | Self::Regex { name, .. }
            | Self::Number { name, .. }
            | Self::Duration { name, .. }
            | Self::Bytes { name, .. }
            | Self::Ip { name, .. } => names.push(name),
            Self::And(left, right) | Self::Or(left, right) => {
                left.names(names);
                right.names(names);
            }
        }
    }
}

fn convert<T>(
    row: &mut Row<'_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    holds: impl Fn(T) -> bool,
) -> bool {
    if name == ERROR {
        return false;
    }
    let Some(text) = row.get(name) else { return false };
    match parse(text) {
        Ok(value) => holds(value),
        Err(details) => {
            row.fail(FILTER_ERROR, &details);
            true
        }
    }
}
