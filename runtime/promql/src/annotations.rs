//! Warnings and infos that come with a result.

use crate::parse::ast::Span;
use crate::parse::position;

/// Most of each kind that are told.
const MOST: usize = 10;

/// What there is to say about a query, in order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    warnings: Vec<String>,
    infos: Vec<String>,
    /// Said only of a result that isn't empty: they concern series that were found.
    if_found: Vec<String>,
}

impl Annotations {
    /// A warning about a part of the query.
    pub fn warn(&mut self, text: &str, span: Span, message: impl AsRef<str>) {
        push(&mut self.warnings, "warning", text, span, message.as_ref());
    }

    /// An info about a part of the query.
    pub fn info(&mut self, text: &str, span: Span, message: impl AsRef<str>) {
        push(&mut self.infos, "info", text, span, message.as_ref());
    }

    /// An info about the series a part of the query selects, if there are any.
    pub fn info_if_found(&mut self, text: &str, span: Span, message: impl AsRef<str>) {
        push(&mut self.if_found, "info", text, span, message.as_ref());
    }

    /// Warnings and infos of a result.
    pub fn finish(mut self, found: bool) -> (Vec<String>, Vec<String>) {
        if found {
            self.infos.extend(self.if_found);
        }
        self.warnings.truncate(MOST);
        self.infos.truncate(MOST);
        (self.warnings, self.infos)
    }
}

fn push(to: &mut Vec<String>, kind: &str, text: &str, span: Span, message: &str) {
    let (line, column) = position(text, span.start);
    let note = format!("PromQL {kind}: {message} ({line}:{column})");
    if !to.contains(&note) {
        to.push(note);
    }
}
