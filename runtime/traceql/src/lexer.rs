//! Query text → tokens.
//!
//! The name of an attribute runs to the next white space or bracket, comparison or logical operator:
//! `.a+1` is one attribute. Parts of it may be quoted.

use crate::answer::Value;
use crate::ast::AttributeScope;
use crate::error::{Error, Position};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A keyword, function or intrinsic (`span:duration`).
    Word(String),
    /// `.x`, `span.x`, …
    Attribute(AttributeScope, String),
    /// `parent.x`, `parent.span.x`, …, as it is written.
    ParentAttribute(String),
    /// A text, number or duration.
    Static(Value),
    Symbol(&'static str),
    End,
}

/// A token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Byte offset in the query.
    pub(crate) at: usize,
}

/// Longest first, so that the first match is the right one.
const SYMBOLS: [&str; 35] = [
    "&>>", "&<<", "!>>", "!<<", "&&", "||", ">>", "<<", "&>", "&<", "&~", "!>", "!<", "!~", "!=", ">=", "<=", "=~",
    "{", "}", "(", ")", ",", "|", "~", "=", ">", "<", "!", "+", "-", "*", "/", "%", "^",
];

const SCOPES: [(&str, AttributeScope); 6] = [
    (".", AttributeScope::Any),
    ("span.", AttributeScope::Span),
    ("resource.", AttributeScope::Resource),
    ("event.", AttributeScope::Event),
    ("link.", AttributeScope::Link),
    ("instrumentation.", AttributeScope::Instrumentation),
];

/// Units of durations in ns, longest name first.
const UNITS: [(&str, f64); 11] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
    ("d", 8.64e13),
    ("w", 6.048e14),
    ("y", 3.1536e16),
];

/// The tokens of a query, the last of them [`Kind::End`].
pub(crate) fn tokens(query: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = query[at..].chars().next() {
        let rest = &query[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let fail = |message: String| Error::Parse { position: Position::of(query, at), message };
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            at += comment.find("*/").ok_or_else(|| fail("comment not terminated".to_owned()))? + 4;
            continue;
        }
        let (kind, length) = next(rest, first).map_err(fail)?;
        tokens.push(Token { kind, at });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at: query.len() });
    Ok(tokens)
}

fn next(rest: &str, first: char) -> Result<(Kind, usize), String> {
    if let Some((prefix, scope)) = SCOPES.into_iter().find(|(prefix, _)| rest.starts_with(prefix)) {
        let (name, length) = attribute_name(&rest[prefix.len()..])?;
        return Ok((Kind::Attribute(scope, name), prefix.len() + length));
    }
    if let Some(inner) = rest.strip_prefix("parent.") {
        let (name, length) = attribute_name(inner)?;
        return Ok((Kind::ParentAttribute(format!("parent.{name}")), "parent.".len() + length));
    }
    match first {
        '"' => quoted(rest),
        '`' => {
            let end = rest[1..].find('`').ok_or("literal not terminated")?;
            Ok((Kind::Static(Value::String(rest[1..=end].to_owned())), end + 2))
        }
        '0'..='9' => number(rest),
        c if c == '_' || c.is_alphabetic() => {
            let part = |c: char| c == '_' || c.is_alphanumeric();
            let mut end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let scoped = ["span", "trace", "event", "link", "instrumentation"].contains(&&rest[..end]);
            if scoped && rest[end..].starts_with(':') && rest[end + 1..].starts_with(part) {
                let tail = &rest[end + 1..];
                end += 1 + tail.find(|c| !part(c)).unwrap_or(tail.len());
            }
            Ok((Kind::Word(rest[..end].to_owned()), end))
        }
        _ => {
            let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
            let symbol = symbol.ok_or_else(|| format!("syntax error: unexpected {first:?}"))?;
            Ok((Kind::Symbol(symbol), symbol.len()))
        }
    }
}

/// The name of an attribute at the head of `text`, unquoted, and how many bytes it takes.
fn attribute_name(text: &str) -> Result<(String, usize), String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() || "{}()=~!<>&|^,".contains(c) {
            return if name.is_empty() {
                Err("syntax error: an attribute has no name".to_owned())
            } else {
                Ok((name, at))
            };
        }
        if c != '"' {
            name.push(c);
            continue;
        }
        loop {
            match chars.next() {
                Some((_, '"')) => break,
                Some((_, '\\')) => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => name.push(escaped),
                    _ => return Err("invalid escape in a quoted attribute: only \\\" and \\\\ are escapes".to_owned()),
                },
                Some((_, c)) => name.push(c),
                None => return Err("unterminated quoted attribute".to_owned()),
            }
        }
    }
    if name.is_empty() { Err("syntax error: an attribute has no name".to_owned()) } else { Ok((name, text.len())) }
}

fn quoted(rest: &str) -> Result<(Kind, usize), String> {
    let mut bytes = Vec::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let text = String::from_utf8(bytes).map_err(|_| "literal is not valid UTF-8".to_owned())?;
                return Ok((Kind::Static(Value::String(text)), at + 1));
            }
            '\n' => return Err("literal not terminated".to_owned()),
            '\\' => escape(&mut chars, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("literal not terminated".to_owned())
}

fn escape(chars: &mut impl Iterator<Item = (usize, char)>, out: &mut Vec<u8>) -> Result<(), String> {
    let invalid = || "invalid char escape".to_owned();
    let (_, c) = chars.next().ok_or_else(invalid)?;
    let mut digits = |first: Option<char>, count: usize, radix: u32| -> Result<u32, String> {
        let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
        for _ in 0..count {
            value = value * radix + chars.next().and_then(|(_, c)| c.to_digit(radix)).ok_or_else(invalid)?;
        }
        Ok(value)
    };
    let code = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '\\' | '"' | '\'' => u32::from(c),
        'u' => digits(None, 4, 16)?,
        'U' => digits(None, 8, 16)?,
        'x' | '0'..='7' => {
            let byte = if c == 'x' { digits(None, 2, 16)? } else { digits(Some(c), 2, 8)? };
            out.push(u8::try_from(byte).map_err(|_| invalid())?);
            return Ok(());
        }
        _ => return Err(invalid()),
    };
    let c = char::from_u32(code).ok_or_else(invalid)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

/// How many bytes of `text` are a decimal number without exponent.
fn decimal(text: &str) -> usize {
    let whole = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text[whole..].strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            whole + 1 + fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len())
        }
        _ => whole,
    }
}

fn number(rest: &str) -> Result<(Kind, usize), String> {
    if let Some((nanos, length)) = duration(rest) {
        return Ok((Kind::Static(Value::Duration(nanos)), length));
    }
    let mut length = decimal(rest);
    let after = &rest[length..];
    if after.starts_with(['e', 'E']) {
        let sign = usize::from(after[1..].starts_with(['+', '-']));
        let digits = after[1 + sign..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    let text = &rest[..length];
    let invalid = |_| format!("syntax error: {text} is no number that fits");
    let value = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Value::Int(text.parse().map_err(|_| format!("syntax error: {text} is no number that fits"))?)
    } else {
        Value::Float(text.parse().map_err(invalid)?)
    };
    Ok((Kind::Static(value), length))
}

/// A duration at the start of `text`: one or more numbers with units. Fractions need Go's units.
pub(crate) fn duration(text: &str) -> Option<(i64, usize)> {
    let (mut at, mut total, mut fractions, mut days) = (0, 0.0, false, false);
    loop {
        let length = decimal(&text[at..]);
        let unit = UNITS.into_iter().find(|(unit, _)| text[at + length..].starts_with(unit));
        let Some((unit, factor)) = unit.filter(|_| length > 0) else { break };
        fractions |= text[at..at + length].contains('.');
        days |= matches!(unit, "d" | "w" | "y");
        total += text[at..at + length].parse::<f64>().ok()? * factor;
        at += length + unit.len();
    }
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates, and the range is checked")]
    (at > 0 && !(fractions && days) && total < 9.2e18).then_some((total.round() as i64, at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{AttributeScope, Kind, Value, tokens};

    fn kinds(text: &str) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = tokens(text).unwrap().into_iter().map(|token| token.kind).collect();
        kinds.pop();
        kinds
    }

    #[test]
    fn attribute_names_run_to_brackets_and_comparisons() {
        let attribute = |scope, name: &str| Kind::Attribute(scope, name.to_owned());
        assert_eq!(
            kinds(".a+1=2"),
            [attribute(AttributeScope::Any, "a+1"), Kind::Symbol("="), Kind::Static(Value::Int(2))]
        );
        assert_eq!(kinds(r#"span."a b\"".c"#), [attribute(AttributeScope::Span, "a b\".c")]);
        assert!(tokens("{ . }").is_err() && tokens("{ span. }").is_err());
    }

    #[test]
    fn numbers_and_durations_are_told_apart() {
        assert_eq!(
            kinds("1h30m 1.5s 7 1.5 2d"),
            [
                Kind::Static(Value::Duration(5_400_000_000_000)),
                Kind::Static(Value::Duration(1_500_000_000)),
                Kind::Static(Value::Int(7)),
                Kind::Static(Value::Float(1.5)),
                Kind::Static(Value::Duration(172_800_000_000_000)),
            ]
        );
        assert!(tokens("100000000000000000000000000000").is_err());
    }

    #[test]
    fn comments_are_skipped_and_scoped_intrinsics_are_one_word() {
        assert_eq!(kinds("/* x */ span:duration // y"), [Kind::Word("span:duration".to_owned())]);
    }
}
