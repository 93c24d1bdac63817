//! Text → tokens.

use super::ast::Span;
use super::{Fault, strings};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A word: keyword, label, function or metric name.
    Word(String),
    /// A number.
    Number(f64),
    /// A duration, as seconds.
    Duration(f64),
    /// A string's content.
    String(String),
    /// Punctuation or an operator.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// Longest first.
const SYMBOLS: [&str; 26] = [
    "==", "!=", "=~", "!~", "<=", ">=", "</", ">/", "(", ")", "{", "}", "[", "]", ",", "=", "<", ">", "+", "-", "*",
    "/", "%", "^", "@", ":",
];

/// All tokens, the last being [`Token::End`].
///
/// # Errors
/// At the first thing that is no token.
pub fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Fault> {
    let mut out = Vec::new();
    let mut at = 0;
    // Inside brackets a colon parts range and step; inside braces too it starts no name.
    let mut brackets = 0usize;
    loop {
        at = skip(text, at);
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            out.push((Token::End, Span { start: text.len(), end: text.len() }));
            return Ok(out);
        };
        let (token, len) = match first {
            '"' | '\'' | '`' => {
                let (content, len) = strings::unquote(rest)
                    .map_err(|(offset, message)| Fault::new(Span { start: at + offset, end: text.len() }, message))?;
                (Token::String(content), len)
            }
            '0'..='9' => number(rest).map_err(|message| Fault::new(Span { start: at, end: at + 1 }, message))?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                number(rest).map_err(|message| Fault::new(Span { start: at, end: at + 1 }, message))?
            }
            _ if is_word_start(first) || (first == ':' && brackets == 0) => word(rest, brackets == 0),
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => {
                    let span = Span { start: at, end: at + first.len_utf8() };
                    return Err(Fault::new(span, format!("unexpected character: {first:?}")));
                }
            },
        };
        match token {
            Token::Symbol("[") => brackets += 1,
            Token::Symbol("]") => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        out.push((token, Span { start: at, end: at + len }));
        at += len;
    }
}

fn skip(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        if let Some(comment) = rest.strip_prefix('#') {
            at += 1 + comment.find('\n').unwrap_or(comment.len());
        } else if rest.starts_with([' ', '\t', '\n', '\r']) {
            at += 1;
        } else {
            return at;
        }
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn word(rest: &str, colons: bool) -> (Token, usize) {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
    (Token::Word(rest[..len].to_owned()), len)
}

/// A number or a duration at the start of `rest`, and its length.
fn number(rest: &str) -> Result<(Token, usize), String> {
    if let Some((seconds, len)) = super::durations::literal(rest)? {
        return Ok((Token::Duration(seconds), len));
    }
    let bytes = rest.as_bytes();
    let bad = |len: usize| format!("bad number or duration syntax: {:?}", &rest[..len]);
    let (value, len) = if rest.starts_with("0x") || rest.starts_with("0X") {
        let len = 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit() || **byte == b'_').count();
        let digits = rest[2..len].replace('_', "");
        (u64::from_str_radix(&digits, 16).map_err(|_| bad(len))? as f64, len)
    } else {
        let mut len = bytes.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_')).count();
        if bytes.get(len).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
            let sign = usize::from(bytes.get(len + 1).is_some_and(|byte| matches!(byte, b'+' | b'-')));
            let digits = bytes[len + 1 + sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 {
                len += 1 + sign + digits;
            }
        }
        let text = rest[..len].replace('_', "");
        let octal = text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let value =
            if octal { i64::from_str_radix(&text, 8).ok().map(|value| value as f64) } else { text.parse().ok() };
        (value.ok_or_else(|| bad(len))?, len)
    };
    match rest[len..].chars().next() {
        Some(c) if c.is_ascii_alphanumeric() || c == '_' => Err(bad(len + 1)),
        _ => Ok((Token::Number(value), len)),
    }
}
