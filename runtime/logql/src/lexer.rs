//! Query text → tokens.
//!
//! Function and keyword names come out as identifiers: whether `rate` is a function or a label is the
//! parser's business. Units are decided here: a number directly followed by a duration unit is a
//! duration (`1mb` is one minute, then `b`), by a byte unit a size, otherwise a plain number.

use crate::error::{Error, Position};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A name.
    Ident(String),
    /// A quoted text, unescaped.
    Text(String),
    /// A number.
    Number(f64),
    /// A duration, ns.
    Duration(i64),
    /// A size, bytes.
    Bytes(f64),
    /// `--strict` and the like, without the dashes.
    Flag(String),
    /// Punctuation or an operator.
    Symbol(&'static str),
    /// The end of the query.
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
const SYMBOLS: [&str; 28] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "==", "=~", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "=", ">", "<", "|",
    "+", "-", "*", "/", "%", "^", ".",
];

/// Units of durations in ns, longest name first.
const DURATION_UNITS: [(&str, f64); 11] = [
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

/// Units of sizes, longest name first.
const BYTE_UNITS: [(&str, f64); 17] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
    ("EiB", 1_152_921_504_606_846_976.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("PB", 1e15),
    ("EB", 1e18),
    ("Kb", 1e3),
    ("Mb", 1e6),
    ("Gb", 1e9),
    ("B", 1.0),
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
        if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let fail = |message: String| Error::Parse { position: Position::of(query, at), message };
        let (kind, length) = match first {
            '"' | '\'' => quoted(rest, first).map_err(fail)?,
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| fail("literal not terminated".to_owned()))?;
                (Kind::Text(rest[1..=end].to_owned()), end + 2)
            }
            '0'..='9' => number(rest).map_err(fail)?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest).map_err(fail)?,
            '-' if rest.starts_with("--") && rest[2..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let end =
                    rest[2..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-').map_or(rest.len(), |end| end + 2);
                (Kind::Flag(rest[2..end].to_owned()), end)
            }
            c if c == '_' || c.is_alphabetic() => {
                let end = rest.find(|c: char| c != '_' && c != ':' && !c.is_alphanumeric()).unwrap_or(rest.len());
                (Kind::Ident(rest[..end].to_owned()), end)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| fail(format!("syntax error: unexpected character {first:?}")))?;
                (Kind::Symbol(symbol), symbol.len())
            }
        };
        tokens.push(Token { kind, at });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at: query.len() });
    Ok(tokens)
}

/// A quoted text with Go's escapes, and how many bytes of `rest` it takes.
fn quoted(rest: &str, quote: char) -> Result<(Kind, usize), String> {
    let mut bytes = Vec::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                let text = String::from_utf8(bytes).map_err(|_| "literal is not valid UTF-8".to_owned())?;
                return Ok((Kind::Text(text), at + 1));
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
            let digit = chars.next().and_then(|(_, c)| c.to_digit(radix)).ok_or_else(invalid)?;
            value = value * radix + digit;
        }
        Ok(value)
    };
    let mut scalar = |code: u32| -> Result<(), String> {
        let c = char::from_u32(code).ok_or_else(invalid)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    };
    match c {
        'a' => out.push(7),
        'b' => out.push(8),
        'f' => out.push(12),
        'n' => out.push(b'\n'),
        'r' => out.push(b'\r'),
        't' => out.push(b'\t'),
        'v' => out.push(11),
        '\\' | '\'' | '"' | '`' => scalar(u32::from(c))?,
        'x' => out.push(u8::try_from(digits(None, 2, 16)?).map_err(|_| invalid())?),
        '0'..='7' => out.push(u8::try_from(digits(Some(c), 2, 8)?).map_err(|_| invalid())?),
        'u' => scalar(digits(None, 4, 16)?)?,
        'U' => scalar(digits(None, 8, 16)?)?,
        _ => return Err(invalid()),
    }
    Ok(())
}

/// How many bytes of `text` are a decimal number without exponent.
fn decimal(text: &str) -> usize {
    let whole = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if !text[whole..].starts_with('.') {
        return whole;
    }
    let fraction = &text[whole + 1..];
    whole + 1 + fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len())
}

fn number(rest: &str) -> Result<(Kind, usize), String> {
    if let Some((nanos, length)) = duration(rest) {
        return Ok((Kind::Duration(nanos), length));
    }
    let float_error = || "unable to parse literal as a float".to_owned();
    let prefix = rest.get(..2).unwrap_or_default().to_ascii_lowercase();
    if ["0x", "0b", "0o"].contains(&prefix.as_str()) {
        let mut exponent = false;
        let end = rest
            .char_indices()
            .find(|&(at, c)| {
                let sign = matches!(c, '+' | '-') && exponent && rest[..at].ends_with(['p', 'P']);
                exponent |= matches!(c, 'p' | 'P');
                !(c.is_ascii_alphanumeric() || c == '.' || sign)
            })
            .map_or(rest.len(), |(at, _)| at);
        let value = hex_float(&rest[..end]).ok_or_else(float_error)?;
        return Ok((Kind::Number(value), end));
    }
    let mut length = decimal(rest);
    for (unit, factor) in BYTE_UNITS {
        if rest[length..].starts_with(unit) {
            let value: f64 = rest[..length].parse().map_err(|_| float_error())?;
            return Ok((Kind::Bytes(value * factor), length + unit.len()));
        }
    }
    let after = &rest[length..];
    if after.starts_with(['e', 'E']) {
        let sign = usize::from(after[1..].starts_with(['+', '-']));
        let digits = after[1 + sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len() - 1 - sign);
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    let value = rest[..length].parse().map_err(|_| float_error())?;
    Ok((Kind::Number(value), length))
}

/// A duration at the start of `text`: one or more numbers with units. Fractions need Go's units.
fn duration(text: &str) -> Option<(i64, usize)> {
    let (mut at, mut total, mut fractions, mut days) = (0, 0.0, false, false);
    loop {
        let length = decimal(&text[at..]);
        let unit = DURATION_UNITS.into_iter().find(|(unit, _)| text[at + length..].starts_with(unit));
        let Some((unit, factor)) = unit.filter(|_| length > 0) else { break };
        fractions |= text[at..at + length].contains('.');
        days |= matches!(unit, "d" | "w" | "y");
        let value: f64 = text[at..at + length].parse().ok()?;
        total += value * factor;
        at += length + unit.len();
    }
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates, and the range is checked")]
    (at > 0 && !(fractions && days) && total < 9.2e18).then_some((total.round() as i64, at))
}

/// Go's hexadecimal floats, which always have a binary exponent: `0x1.8p3` is 12.
fn hex_float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let (mantissa, exponent) = digits.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars() {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let mut weight = 1.0 / 16.0;
    for c in fraction.chars() {
        value += f64::from(c.to_digit(16)?) * weight;
        weight /= 16.0;
    }
    Some(value * 2f64.powi(exponent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Kind, tokens};

    fn kinds(text: &str) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = tokens(text).unwrap().into_iter().map(|token| token.kind).collect();
        kinds.pop();
        kinds
    }

    #[test]
    fn units_decide_what_a_number_is() {
        assert_eq!(kinds("1h30m"), [Kind::Duration(5_400_000_000_000)]);
        assert_eq!(kinds("1.5s"), [Kind::Duration(1_500_000_000)]);
        assert_eq!(kinds("1mb"), [Kind::Duration(60_000_000_000), Kind::Ident("b".to_owned())]);
        assert_eq!(kinds("1MB"), [Kind::Bytes(1e6)]);
        assert_eq!(kinds("1.5e3"), [Kind::Number(1500.0)]);
        assert_eq!(kinds("0x1.8p3"), [Kind::Number(12.0)]);
        assert!(tokens("0x1A").is_err());
    }

    #[test]
    fn quoted_texts_unescape_and_raw_ones_do_not() {
        assert_eq!(kinds(r#""a\n\x41\u00e9" `\d`"#), [Kind::Text("a\nAé".to_owned()), Kind::Text("\\d".to_owned())]);
        assert!(tokens(r#""\d""#).is_err());
        assert!(tokens("\"open").is_err());
    }

    #[test]
    fn comments_and_flags_are_told_from_operators() {
        assert_eq!(kinds("1 # x\n--strict"), [Kind::Number(1.0), Kind::Flag("strict".to_owned())]);
        assert_eq!(kinds("1--1").len(), 4);
    }
}
