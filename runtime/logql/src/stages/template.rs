//! Go's text/template, as `line_format` and `label_format` use it: text, `{{ pipelines }}`, variables,
//! `if`, `range`, `with`, and the functions of `functions`. Compiled once, run on each line.
//!
//! The dot is the label set; a missing label is the empty string.

mod eval;
mod format;
mod functions;
mod parse;
mod value;

use super::row::Row;
use eval::Context;

/// Value of `__error__` when a template fails on a line.
pub(crate) const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<parse::Node>,
    /// Labels it names, so that parsers know what is needed; `None` when it may read any.
    fields: Option<Vec<String>>,
}

impl Template {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let nodes = parse::parse(text).map_err(|message| format!("template: {message}"))?;
        let fields = parse::fields(&nodes);
        Ok(Self { nodes, fields })
    }

    /// Labels it reads; `None` when it may read any.
    pub(crate) fn fields(&self) -> Option<&[String]> {
        self.fields.as_deref()
    }

    /// Appends the text for a line.
    pub(crate) fn run(&self, row: &Row<'_>, out: &mut String) -> Result<(), String> {
        Context::new(row).run(&self.nodes, out)
    }
}

#[cfg(test)]
mod tests;
