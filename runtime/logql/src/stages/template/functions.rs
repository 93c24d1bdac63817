//! The functions of templates: Go's builtins, Loki's own, and its part of the sprig library.

use super::format::{parse_time, sprintf, time};
use super::value::Value;
use crate::stages::json::{Reader, Value as Json, unescape};
use crate::stages::line_filter::regex;
use crate::stages::row::Row;
use crate::stages::units::{parse_bytes, parse_duration};
use std::cmp::Ordering;

/// Name, fewest and most arguments.
const FUNCTIONS: [(&str, usize, usize); 95] = [
    ("__line__", 0, 0),
    ("__timestamp__", 0, 0),
    ("and", 1, 99),
    ("or", 1, 99),
    ("not", 1, 1),
    ("len", 1, 1),
    ("index", 1, 99),
    ("slice", 1, 3),
    ("print", 0, 99),
    ("printf", 1, 99),
    ("println", 0, 99),
    ("eq", 2, 99),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("regexReplaceAll", 3, 3),
    ("regexReplaceAllLiteral", 3, 3),
    ("count", 2, 2),
    ("urlencode", 1, 1),
    ("urldecode", 1, 1),
    ("bytes", 1, 1),
    ("duration", 1, 1),
    ("duration_seconds", 1, 1),
    ("unixEpoch", 1, 1),
    ("unixEpochMillis", 1, 1),
    ("unixEpochNanos", 1, 1),
    ("unixToTime", 1, 1),
    ("toDate", 2, 2),
    ("toDateInZone", 3, 3),
    ("date", 2, 2),
    ("now", 0, 0),
    ("alignLeft", 2, 2),
    ("alignRight", 2, 2),
    ("b64enc", 1, 1),
    ("b64dec", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("title", 1, 1),
    ("trunc", 2, 2),
    ("substr", 3, 3),
    ("contains", 2, 2),
    ("hasPrefix", 2, 2),
    ("hasSuffix", 2, 2),
    ("indent", 2, 2),
    ("nindent", 2, 2),
    ("replace", 3, 3),
    ("repeat", 2, 2),
    ("trim", 1, 1),
    ("trimAll", 2, 2),
    ("trimSuffix", 2, 2),
    ("trimPrefix", 2, 2),
    ("int", 1, 1),
    ("float64", 1, 1),
    ("add", 1, 99),
    ("sub", 2, 2),
    ("mul", 1, 99),
    ("div", 2, 2),
    ("mod", 2, 2),
    ("addf", 1, 99),
    ("subf", 1, 99),
    ("mulf", 1, 99),
    ("divf", 1, 99),
    ("max", 1, 99),
    ("maxf", 1, 99),
    ("min", 1, 99),
    ("minf", 1, 99),
    ("ceil", 1, 1),
    ("floor", 1, 1),
    ("round", 2, 3),
    ("fromJson", 1, 1),
    ("default", 1, 2),
    ("ToLower", 1, 1),
    ("ToUpper", 1, 1),
    ("Replace", 4, 4),
    ("Trim", 2, 2),
    ("TrimLeft", 2, 2),
    ("TrimRight", 2, 2),
    ("TrimPrefix", 2, 2),
    ("TrimSuffix", 2, 2),
    ("TrimSpace", 1, 1),
    ("toString", 1, 1),
    ("quote", 1, 1),
    ("empty", 1, 1),
    ("coalesce", 0, 99),
    ("ternary", 3, 3),
    ("list", 0, 99),
    ("join", 2, 2),
    ("splitList", 2, 2),
    ("first", 1, 1),
    ("last", 1, 1),
    ("html", 1, 1),
    ("urlquery", 1, 1),
    ("js", 1, 1),
];

/// Whether there is such a function.
pub(super) fn known(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, ..)| *known == name) && !matches!(name, "html" | "js" | "now")
}

/// Why a name can't be called.
pub(super) fn unknown(name: &str) -> String {
    match name {
        // A query's answer would depend on when each line is read.
        "now" | "html" | "js" => format!("function {name:?} is not supported yet"),
        _ => format!("function {name:?} not defined"),
    }
}

/// Calls a function; the piped value is the last argument.
pub(super) fn call(name: &str, arguments: Vec<Value>, row: &Row<'_>) -> Result<Value, String> {
    let (_, fewest, most) = FUNCTIONS.iter().find(|(known, ..)| *known == name).ok_or_else(|| unknown(name))?;
    if arguments.len() < *fewest || arguments.len() > *most {
        return Err(format!("wrong number of args for {name}: want {fewest} got {}", arguments.len()));
    }
    let a = |at: usize| arguments.get(at).unwrap_or(&Value::Nil);
    let text = |at: usize| a(at).text();
    let fold = |start: fn(&Value) -> f64, op: fn(f64, f64) -> f64| {
        let mut values = arguments.iter().map(start);
        let first = values.next().unwrap_or(0.0);
        Value::Float(values.fold(first, op))
    };
    let fold_int = |op: fn(i64, i64) -> i64| {
        let mut values = arguments.iter().map(Value::int);
        let first = values.next().unwrap_or(0);
        Value::Int(values.fold(first, op))
    };
    Ok(match name {
        "__line__" => Value::Text(row.line().to_owned()),
        "__timestamp__" => Value::Time(row.timestamp()),
        "and" | "or" => arguments.last().cloned().unwrap_or(Value::Nil),
        "not" => Value::Bool(!a(0).truthy()),
        "len" => Value::Int(length(match a(0) {
            Value::Text(text) => text.len(),
            Value::List(items) => items.len(),
            Value::Map(items) => items.len(),
            _ => return Err("len of a value that has none".to_owned()),
        })),
        "index" => index(arguments)?,
        "slice" => slice(&arguments)?,
        "print" => Value::Text(arguments.iter().map(Value::text).collect()),
        "println" => Value::Text(arguments.iter().map(Value::text).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => Value::Text(sprintf(&text(0), &arguments[1..])?),
        "eq" => {
            let mut equal = false;
            for other in &arguments[1..] {
                equal |= compare(a(0), other)? == Ordering::Equal;
            }
            Value::Bool(equal)
        }
        "ne" => Value::Bool(compare(a(0), a(1))? != Ordering::Equal),
        "lt" => Value::Bool(compare(a(0), a(1))? == Ordering::Less),
        "le" => Value::Bool(compare(a(0), a(1))? != Ordering::Greater),
        "gt" => Value::Bool(compare(a(0), a(1))? == Ordering::Greater),
        "ge" => Value::Bool(compare(a(0), a(1))? != Ordering::Less),
        "regexReplaceAll" => Value::Text(regex(&text(0))?.replace_all(&text(1), text(2).as_str()).into_owned()),
        "regexReplaceAllLiteral" => {
            Value::Text(regex(&text(0))?.replace_all(&text(1), regex::NoExpand(&text(2))).into_owned())
        }
        "count" => Value::Int(length(regex(&text(0))?.find_iter(&text(1)).count())),
        "urlencode" | "urlquery" => Value::Text(url_encode(&text(0))),
        "urldecode" => Value::Text(url_decode(&text(0))?),
        "bytes" => Value::Float(parse_bytes(&text(0))?),
        #[allow(clippy::cast_precision_loss, reason = "seconds are a float by definition")]
        "duration" | "duration_seconds" => Value::Float(parse_duration(&text(0))? as f64 / 1e9),
        "unixEpoch" => Value::Text((instant(a(0))?.div_euclid(1_000_000_000)).to_string()),
        "unixEpochMillis" => Value::Text((instant(a(0))?.div_euclid(1_000_000)).to_string()),
        "unixEpochNanos" => Value::Text(instant(a(0))?.to_string()),
        "unixToTime" => Value::Time(unix_to_time(&text(0))?),
        "toDate" => Value::Time(parse_time(&text(0), &text(1)).unwrap_or(0)),
        "toDateInZone" if matches!(text(1).as_str(), "" | "UTC" | "GMT") => {
            Value::Time(parse_time(&text(0), &text(2)).unwrap_or(0))
        }
        "toDateInZone" => {
            return Err(format!("toDateInZone with the zone {:?} is not supported yet: use UTC", text(1)));
        }
        "date" => Value::Text(time(instant(a(1))?, &text(0))),
        "alignLeft" => align(&text(1), a(0).int(), true),
        "alignRight" => align(&text(1), a(0).int(), false),
        "b64enc" => Value::Text(base64_encode(text(0).as_bytes())),
        "b64dec" => Value::Text(base64_decode(&text(0))?),
        "lower" | "ToLower" => Value::Text(text(0).to_lowercase()),
        "upper" | "ToUpper" => Value::Text(text(0).to_uppercase()),
        "title" => Value::Text(title(&text(0))),
        "trunc" => Value::Text(truncate(&text(1), a(0).int())),
        "substr" => Value::Text(substring(&text(2), a(0).int(), a(1).int())),
        "contains" => Value::Bool(text(1).contains(&text(0))),
        "hasPrefix" => Value::Bool(text(1).starts_with(&text(0))),
        "hasSuffix" => Value::Bool(text(1).ends_with(&text(0))),
        "indent" => Value::Text(indent(&text(1), a(0).int())),
        "nindent" => Value::Text(format!("\n{}", indent(&text(1), a(0).int()))),
        "replace" => Value::Text(text(2).replace(&text(0), &text(1))),
        "Replace" => {
            let (value, from, to) = (text(0), text(1), text(2));
            Value::Text(
                usize::try_from(a(3).int())
                    .map_or_else(|_| value.replace(&from, &to), |most| value.replacen(&from, &to, most)),
            )
        }
        "repeat" => {
            let times = usize::try_from(a(0).int()).unwrap_or(0);
            let unit = text(1);
            if times.saturating_mul(unit.len()) > 1 << 20 {
                return Err("repeat: the result is larger than 1 MiB".to_owned());
            }
            Value::Text(unit.repeat(times))
        }
        "trim" | "TrimSpace" => Value::Text(text(0).trim().to_owned()),
        "trimAll" => Value::Text(trim(&text(1), &text(0), true, true)),
        "Trim" => Value::Text(trim(&text(0), &text(1), true, true)),
        "TrimLeft" => Value::Text(trim(&text(0), &text(1), true, false)),
        "TrimRight" => Value::Text(trim(&text(0), &text(1), false, true)),
        "trimPrefix" => Value::Text(text(1).strip_prefix(text(0).as_str()).map_or_else(|| text(1), str::to_owned)),
        "trimSuffix" => Value::Text(text(1).strip_suffix(text(0).as_str()).map_or_else(|| text(1), str::to_owned)),
        "TrimPrefix" => Value::Text(text(0).strip_prefix(text(1).as_str()).map_or_else(|| text(0), str::to_owned)),
        "TrimSuffix" => Value::Text(text(0).strip_suffix(text(1).as_str()).map_or_else(|| text(0), str::to_owned)),
        "int" => Value::Int(a(0).int()),
        "float64" => Value::Float(a(0).float()),
        "add" => fold_int(i64::wrapping_add),
        "sub" => fold_int(i64::wrapping_sub),
        "mul" => fold_int(i64::wrapping_mul),
        "div" => Value::Int(a(0).int().checked_div(a(1).int()).ok_or("div: division by zero")?),
        "mod" => Value::Int(a(0).int().checked_rem(a(1).int()).ok_or("mod: division by zero")?),
        "max" => fold_int(i64::max),
        "min" => fold_int(i64::min),
        "addf" => fold(Value::float, |x, y| x + y),
        "subf" => fold(Value::float, |x, y| x - y),
        "mulf" => fold(Value::float, |x, y| x * y),
        "divf" => fold(Value::float, |x, y| x / y),
        "maxf" => fold(Value::float, f64::max),
        "minf" => fold(Value::float, f64::min),
        "ceil" => Value::Float(a(0).float().ceil()),
        "floor" => Value::Float(a(0).float().floor()),
        "round" => {
            let scale = 10f64.powi(i32::try_from(a(1).int()).unwrap_or(0));
            let threshold = if arguments.len() > 2 { a(2).float() } else { 0.5 };
            let scaled = a(0).float() * scale;
            let rounded =
                if scaled.fract().abs() >= threshold { scaled.trunc() + scaled.signum() } else { scaled.trunc() };
            Value::Float(rounded / scale)
        }
        "fromJson" => from_json(&text(0))?,
        "default" => {
            if a(1).truthy() {
                a(1).clone()
            } else {
                a(0).clone()
            }
        }
        "toString" => Value::Text(text(0)),
        "quote" => Value::Text(format!("{:?}", text(0))),
        "empty" => Value::Bool(!a(0).truthy()),
        "coalesce" => arguments.iter().find(|value| value.truthy()).cloned().unwrap_or(Value::Nil),
        "ternary" => {
            if a(2).truthy() {
                a(0).clone()
            } else {
                a(1).clone()
            }
        }
        "list" => Value::List(arguments),
        "join" => match a(1) {
            Value::List(items) => Value::Text(items.iter().map(Value::text).collect::<Vec<_>>().join(&text(0))),
            other => Value::Text(other.text()),
        },
        "splitList" => Value::List(text(1).split(text(0).as_str()).map(|part| Value::Text(part.to_owned())).collect()),
        "first" | "last" => match a(0) {
            Value::List(items) => {
                (if name == "first" { items.first() } else { items.last() }).cloned().unwrap_or(Value::Nil)
            }
            _ => return Err(format!("{name} of a value that is no list")),
        },
        _ => return Err(unknown(name)),
    })
}

fn length(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, String> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) | (Value::Time(left), Value::Time(right)) => Ok(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right).unwrap_or(Ordering::Less)),
        (Value::Nil, Value::Nil) => Ok(Ordering::Equal),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn index(arguments: Vec<Value>) -> Result<Value, String> {
    let mut arguments = arguments.into_iter();
    let mut value = arguments.next().unwrap_or(Value::Nil);
    for at in arguments {
        value = match value {
            Value::List(items) => {
                let at = usize::try_from(at.int()).map_err(|_| "index out of range")?;
                items.into_iter().nth(at).ok_or("index out of range")?
            }
            Value::Map(items) => {
                let wanted = at.text();
                items.into_iter().find(|(key, _)| *key == wanted).map_or(Value::Nil, |(_, value)| value)
            }
            Value::Text(text) => {
                let at = usize::try_from(at.int()).map_err(|_| "index out of range")?;
                Value::Int(i64::from(*text.as_bytes().get(at).ok_or("index out of range")?))
            }
            _ => return Err("can't index this value".to_owned()),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let bound = |at: usize, otherwise: usize| match arguments.get(at) {
        Some(value) => usize::try_from(value.int()).map_err(|_| "slice: index out of range".to_owned()),
        None => Ok(otherwise),
    };
    match arguments.first() {
        Some(Value::Text(text)) => {
            let part = text.get(bound(1, 0)?..bound(2, text.len())?);
            Ok(Value::Text(part.ok_or("slice: index out of range")?.to_owned()))
        }
        Some(Value::List(items)) => {
            let part = items.get(bound(1, 0)?..bound(2, items.len())?);
            Ok(Value::List(part.ok_or("slice: index out of range")?.to_vec()))
        }
        _ => Err("can't slice this value".to_owned()),
    }
}

/// ns of a time, or of a number of seconds.
fn instant(value: &Value) -> Result<i64, String> {
    match value {
        Value::Time(nanos) => Ok(*nanos),
        Value::Int(seconds) => Ok(seconds.saturating_mul(1_000_000_000)),
        _ => Err("a time is needed here".to_owned()),
    }
}

/// Days, seconds, ms, µs or ns, by how many digits there are.
fn unix_to_time(text: &str) -> Result<i64, String> {
    let value: i64 = text.parse().map_err(|_| format!("unable to parse time '{text}'"))?;
    let factor = match text.len() {
        5 => 86_400_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("unable to parse time '{text}': 5, 10, 13, 16 or 19 digits are needed")),
    };
    Ok(value.saturating_mul(factor))
}

fn align(text: &str, width: i64, left: bool) -> Value {
    let width = usize::try_from(width).unwrap_or(0).min(1 << 20);
    let length = text.chars().count();
    if length >= width {
        let skip = if left { 0 } else { length - width };
        return Value::Text(text.chars().skip(skip).take(width).collect());
    }
    let padding = " ".repeat(width - length);
    Value::Text(if left { format!("{text}{padding}") } else { format!("{padding}{text}") })
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !c.is_alphanumeric() && c != '_' && c != '\'';
    }
    out
}

fn truncate(text: &str, length: i64) -> String {
    let size = text.chars().count();
    match usize::try_from(length) {
        Ok(length) => text.chars().take(length).collect(),
        Err(_) => text
            .chars()
            .skip(size.saturating_sub(usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX)))
            .collect(),
    }
}

fn substring(text: &str, start: i64, end: i64) -> String {
    let size = text.chars().count();
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).map_or(size, |end| end.min(size));
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

fn indent(text: &str, spaces: i64) -> String {
    let pad = " ".repeat(usize::try_from(spaces).unwrap_or(0).min(1024));
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}

fn trim(text: &str, cut: &str, left: bool, right: bool) -> String {
    let mut rest = text;
    if left {
        rest = rest.trim_start_matches(|c| cut.contains(c));
    }
    if right {
        rest = rest.trim_end_matches(|c| cut.contains(c));
    }
    rest.to_owned()
}

fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn url_decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let (Some(high), Some(low)) = (high, low) else { return Err("invalid URL escape".to_owned()) };
                u8::try_from(high * 16 + low).map_err(|_| "invalid URL escape".to_owned())?
            }
            other => other,
        });
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (group >> (18 - 6 * place)) & 63;
            out.push(if place <= chunk.len() { char::from(BASE64[sextet as usize]) } else { '=' });
        }
    }
    out
}

fn base64_decode(text: &str) -> Result<String, String> {
    let invalid = || "illegal base64 data".to_owned();
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let sextet = BASE64.iter().position(|known| *known == byte).ok_or_else(invalid)?;
        group = group << 6 | u32::try_from(sextet).map_err(|_| invalid())?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(group >> bits & 0xff).map_err(|_| invalid())?);
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn from_json(text: &str) -> Result<Value, String> {
    fn convert(value: Json<'_>, depth: usize) -> Result<Value, String> {
        Ok(match value {
            Json::Null => Value::Nil,
            Json::Scalar("true") => Value::Bool(true),
            Json::Scalar("false") => Value::Bool(false),
            Json::Scalar(number) => Value::Float(number.parse().map_err(|_| "invalid JSON number")?),
            Json::String(text) => {
                let mut out = String::with_capacity(text.len());
                unescape(text, &mut out);
                Value::Text(out)
            }
            Json::Array(text) => {
                let mut items = Vec::new();
                let mut failed = None;
                Reader::new(text).elements(depth, |item| match convert(item, depth + 1) {
                    Ok(item) => {
                        items.push(item);
                        true
                    }
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                })?;
                failed.map_or(Ok(Value::List(items)), Err)?
            }
            Json::Object(text) => {
                let mut items = Vec::new();
                Reader::new(text).members(depth, |key, item| {
                    let mut name = String::with_capacity(key.len());
                    unescape(key, &mut name);
                    items.push((name, convert(item, depth + 1).map_err(|_| "invalid JSON")?));
                    Ok(true)
                })?;
                items.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Map(items)
            }
        })
    }
    convert(Reader::new(text).value(0)?, 0)
}
