//! Line filters inside the pipeline. Those in front of any stage that rewrites the line also run as
//! native expressions on the column, before the pipeline sees a row.

use super::ip::IpMatcher;
use super::pattern::Pattern;
use crate::ast::{LineFilter, LineOp, LineOperand};
use regex::{Regex, RegexBuilder};

#[derive(Debug)]
enum Operand {
    Contains(String),
    Regex(Regex),
    Pattern(Pattern),
    Ip(IpMatcher),
}

/// A compiled filter.
#[derive(Debug)]
pub(crate) struct CompiledLineFilter {
    negated: bool,
    operands: Vec<Operand>,
}

/// A regular expression as LogQL's filters and parsers use it: unanchored, a dot stops at newlines.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(10 << 20).build().map_err(|error| {
        let reason = error.to_string();
        format!("error parsing regexp: {}: `{pattern}`", reason.lines().last().unwrap_or("").trim())
    })
}

/// As [`regex`], anchored at both ends and a dot matching newlines: matchers and label filters.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, String> {
    regex(pattern)?;
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .dot_matches_new_line(true)
        .size_limit(10 << 20)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}"))
}

impl CompiledLineFilter {
    pub(crate) fn new(filter: &LineFilter) -> Result<Self, String> {
        let operands = filter
            .operands
            .iter()
            .map(|operand| {
                Ok(match (operand, filter.op) {
                    (LineOperand::Ip(pattern), _) => Operand::Ip(IpMatcher::new(pattern)?),
                    (LineOperand::Text(text), LineOp::Contains) => Operand::Contains(text.clone()),
                    (LineOperand::Text(text), LineOp::Regex) => Operand::Regex(regex(text)?),
                    (LineOperand::Text(text), LineOp::Pattern) => Operand::Pattern(Pattern::filter(text)?),
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { negated: filter.negated, operands })
    }

    /// Whether the line stays.
    pub(crate) fn passes(&self, line: &str) -> bool {
        let matched = self.operands.iter().any(|operand| match operand {
            Operand::Contains(text) => line.contains(text.as_str()),
            Operand::Regex(regex) => regex.is_match(line),
            Operand::Pattern(pattern) => pattern.matches(line),
            Operand::Ip(ip) => ip.found_in(line),
        });
        matched != self.negated
    }
}
