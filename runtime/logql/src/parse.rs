//! Tokens → syntax tree: the whole grammar of LogQL, with winnow on the token stream.
//!
//! The grammar needs one token of look-ahead nearly everywhere, so the functions here branch on the
//! next token and fail for good (`Cut`) where it doesn't fit: the message then names the token that
//! is really wrong. What a well-formed query means, and whether it can, is `check`'s business.

mod metric;
mod pipeline;

use crate::ast::Expr;
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
const MAX_DEPTH: usize = 96;

/// Parses a query.
pub(crate) fn parse(query: &str) -> Result<Expr, Error> {
    let tokens = tokens(query)?;
    let mut depth = 0usize;
    for token in &tokens {
        match token.kind {
            Kind::Symbol("(") => depth += 1,
            Kind::Symbol(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let message = format!("expressions nest deeper than {MAX_DEPTH} levels");
            return Err(Error::Parse { position: Position::of(query, token.at), message });
        }
    }
    let mut input = TokenSlice::new(&tokens);
    let parsed = whole(&mut input);
    parsed.map_err(|error| {
        let (ErrMode::Backtrack(failure) | ErrMode::Cut(failure)) = error else {
            return Error::Parse {
                position: Position::of(query, query.len()),
                message: "syntax error: unexpected end".into(),
            };
        };
        Error::Parse { position: Position::of(query, failure.at), message: failure.message }
    })
}

/// Parses a stream selector with or without a pipeline, as the label APIs take it.
pub(crate) fn parse_selector(query: &str) -> Result<crate::ast::LogExpr, Error> {
    match parse(query)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(Error::Invalid("a stream selector is needed here, not a metric query".to_owned())),
    }
}

fn whole(input: &mut Input<'_>) -> Parsed<Expr> {
    if matches!(peek(input), Kind::End) {
        return Err(unexpected(input, ""));
    }
    let expr = metric::expr(input, 0)?;
    match peek(input) {
        Kind::End => Ok(expr),
        _ => Err(unexpected(input, "")),
    }
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
        Kind::Ident(name) => match name.as_str() {
            "ip" | "bool" | "by" | "without" | "and" | "or" | "unless" | "on" | "ignoring" | "offset" | "unwrap" => {
                name.clone()
            }
            _ => "IDENTIFIER".to_owned(),
        },
        Kind::Text(_) => "STRING".to_owned(),
        Kind::Number(_) => "NUMBER".to_owned(),
        Kind::Duration(_) => "DURATION".to_owned(),
        Kind::Bytes(_) => "BYTES".to_owned(),
        Kind::Flag(_) => "PARSER_FLAG".to_owned(),
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

fn is_word(input: &Input<'_>, word: &str) -> bool {
    matches!(peek(input), Kind::Ident(next) if next == word)
}

fn eat(input: &mut Input<'_>, symbol: &str) -> bool {
    let found = is(input, symbol);
    if found {
        skip(input);
    }
    found
}

fn eat_word(input: &mut Input<'_>, word: &str) -> bool {
    let found = is_word(input, word);
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

fn ident(input: &mut Input<'_>) -> Parsed<String> {
    match peek(input) {
        Kind::Ident(name) => {
            skip(input);
            Ok(name.clone())
        }
        _ => Err(unexpected(input, "IDENTIFIER")),
    }
}

fn text(input: &mut Input<'_>) -> Parsed<String> {
    match peek(input) {
        Kind::Text(value) => {
            skip(input);
            Ok(value.clone())
        }
        _ => Err(unexpected(input, "STRING")),
    }
}

/// A number with an optional sign.
fn number(input: &mut Input<'_>) -> Parsed<f64> {
    let negative = is(input, "-");
    if negative || is(input, "+") {
        skip(input);
    }
    match peek(input) {
        Kind::Number(value) => {
            skip(input);
            Ok(if negative { -value } else { *value })
        }
        _ => Err(unexpected(input, "NUMBER")),
    }
}

#[cfg(test)]
mod tests;
