//! Tokens → syntax tree: the whole grammar of TraceQL, with winnow on the token stream.
//!
//! What a parenthesis holds (spansets, a pipeline, a number of a metrics query …) shows only at its
//! end, so operands are parsed into a [`query::Node`] of any of these, and operators say which they take.

mod field;
mod query;

use crate::answer::Value;
use crate::ast::Query;
use crate::error::{Error, Position};
use crate::lexer::{Kind, Token, tokens};
use winnow::Parser;
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{Stream, TokenSlice};
use winnow::token::any;

type Input<'t> = TokenSlice<'t, Token>;
type Parsed<T> = Result<T, ErrMode<Failure>>;

/// Why parsing stopped, and at which byte of the query.
#[derive(Debug, Clone)]
struct Failure {
    at: usize,
    message: String,
}

impl<'t> ParserError<Input<'t>> for Failure {
    type Inner = Self;

    fn from_input(input: &Input<'t>) -> Self {
        Self { at: position(input), message: format!("syntax error: unexpected {}", describe(peek(input))) }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// How deep expressions may nest: recursion on a hostile query must not exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Parses a query.
pub(crate) fn parse(query: &str) -> Result<Query, Error> {
    run(query, query::query)
}

/// Parses a field as the tag-values API names it.
pub(crate) fn parse_field(text: &str) -> Result<crate::ast::Field, Error> {
    run(text, field::field)
}

fn run<T>(text: &str, parser: impl Fn(&mut Input<'_>) -> Parsed<T>) -> Result<T, Error> {
    let tokens = tokens(text)?;
    let mut depth = 0usize;
    let mut prefixes = 0usize;
    for token in &tokens {
        match token.kind {
            Kind::Symbol("(" | "{") => depth += 1,
            Kind::Symbol(")" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        // Every `!`, `-` and `^` of a chain is one level of recursion as well.
        prefixes = if matches!(token.kind, Kind::Symbol("!" | "-" | "^")) { prefixes + 1 } else { prefixes };
        if depth > MAX_DEPTH || prefixes > 4 * MAX_DEPTH {
            let message = format!("expressions nest deeper than {MAX_DEPTH} levels");
            return Err(Error::Parse { position: Position::of(text, token.at), message });
        }
    }
    let mut input = TokenSlice::new(&tokens);
    let parsed = parser(&mut input).and_then(|parsed| match peek(&input) {
        Kind::End => Ok(parsed),
        _ => Err(unexpected(&input, "")),
    });
    parsed.map_err(|error| {
        let (ErrMode::Backtrack(failure) | ErrMode::Cut(failure)) = error else {
            return Error::Parse {
                position: Position::of(text, text.len()),
                message: "syntax error: unexpected end".to_owned(),
            };
        };
        Error::Parse { position: Position::of(text, failure.at), message: failure.message }
    })
}

fn peek<'t>(input: &Input<'t>) -> &'t Kind {
    input.peek_token().map_or(&Kind::End, |token| &token.kind)
}

/// The token after the next.
fn peek_second<'t>(input: &Input<'t>) -> &'t Kind {
    let mut ahead = input.clone();
    let _next = ahead.next_token();
    peek(&ahead)
}

fn position(input: &Input<'_>) -> usize {
    input.peek_token().map_or(usize::MAX, |token| token.at)
}

fn skip(input: &mut Input<'_>) {
    let _skipped = input.next_token();
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Word(word) => format!("IDENTIFIER {word}"),
        Kind::Attribute(_, name) | Kind::ParentAttribute(name) => format!("attribute {name}"),
        Kind::Static(Value::String(_)) => "STRING".to_owned(),
        Kind::Static(Value::Duration(_)) => "DURATION".to_owned(),
        Kind::Static(Value::Float(_)) => "FLOAT".to_owned(),
        Kind::Static(_) => "INTEGER".to_owned(),
        Kind::Symbol(symbol) => (*symbol).to_owned(),
        Kind::End => "$end".to_owned(),
    }
}

fn unexpected(input: &Input<'_>, expecting: &str) -> ErrMode<Failure> {
    let mut failure = Failure::from_input(input);
    if !expecting.is_empty() {
        failure.message.push_str(", expecting ");
        failure.message.push_str(expecting);
    }
    ErrMode::Cut(failure)
}

fn failure(at: usize, message: impl Into<String>) -> ErrMode<Failure> {
    ErrMode::Cut(Failure { at, message: message.into() })
}

fn is(input: &Input<'_>, symbol: &str) -> bool {
    matches!(peek(input), Kind::Symbol(next) if *next == symbol)
}

fn eat(input: &mut Input<'_>, symbol: &str) -> bool {
    let found = is(input, symbol);
    if found {
        skip(input);
    }
    found
}

/// A symbol as a parser for winnow's combinators: the one place that backtracks.
fn symbol<'t>(symbol: &'static str) -> impl Parser<Input<'t>, (), ErrMode<Failure>> {
    any.verify(move |token: &&Token| token.kind == Kind::Symbol(symbol)).void()
}

fn expect(input: &mut Input<'_>, symbol: &'static str) -> Parsed<()> {
    if eat(input, symbol) { Ok(()) } else { Err(unexpected(input, symbol)) }
}

#[cfg(test)]
mod tests;
