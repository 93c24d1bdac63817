//! PromQL text → syntax tree, with the place of every node.
//!
//! Written for weft: the published parser crate keeps no positions (which parse errors and annotations
//! must name) and knows no duration expressions. No types are checked here: [`crate::check`] does.

pub mod ast;
pub mod durations;
pub mod grammar;
pub mod lexer;
pub mod strings;

use crate::error::Error;
use ast::{Expr, Span};

/// Parses a query.
///
/// # Errors
/// [`Error::Parse`] with line and column.
pub fn parse(text: &str) -> Result<Expr, Error> {
    let tokens = lexer::tokens(text).map_err(|fault| fault.at(text))?;
    grammar::Parser::new(text, tokens).query().map_err(|fault| fault.at(text))
}

/// Parses a lone series selector, as `match[]` takes one.
///
/// # Errors
/// [`Error::Parse`], also when it is any other expression.
pub fn parse_selector(text: &str) -> Result<ast::Selector, Error> {
    let expr = parse(text)?;
    match expr.kind {
        ast::Kind::Selector(selector) if selector.modifiers == ast::Modifiers::default() => Ok(selector),
        _ => Err(Fault::new(expr.span, "expected a series selector").at(text)),
    }
}

/// Something wrong at a place of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// With line and column in `text`.
    pub fn at(self, text: &str) -> Error {
        let (line, column) = position(text, self.span.start);
        Error::Parse { line, column, message: self.message }
    }
}

/// Line and column of a byte offset, both from 1; columns count bytes.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
