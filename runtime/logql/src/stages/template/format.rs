//! `printf`, and times in Go's layouts (UTC).

use super::value::Value;
use crate::stages::units::write_number;
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use std::fmt::Write;

/// Go's `fmt.Sprintf`, for the verbs that make sense on what templates hold.
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut out = String::with_capacity(format.len() + 16);
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            flags.push(flag);
        }
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let width = digits.parse::<usize>().unwrap_or(0).min(10_000);
        let precision = chars.next_if_eq(&'.').map(|_| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().unwrap_or(0).min(1_000)
        });
        let verb = chars.next().ok_or("printf: the format ends in %")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = arguments.next() else {
            let _ = write!(out, "%!{verb}(MISSING)");
            continue;
        };
        let text = verb_text(verb, precision, &flags, value);
        pad(&mut out, &text, width, &flags);
    }
    Ok(out)
}

fn verb_text(verb: char, precision: Option<usize>, flags: &str, value: &Value) -> String {
    let plus = if flags.contains('+') { "+" } else { "" };
    let signed = |text: String| if text.starts_with('-') { text } else { format!("{plus}{text}") };
    let wrong = || format!("%!{verb}({})", value.text());
    match (verb, value) {
        ('v', _) => {
            let mut text = String::new();
            value.write(&mut text);
            text
        }
        ('s', _) => {
            let text = value.text();
            match precision {
                Some(length) => text.chars().take(length).collect(),
                None => text,
            }
        }
        ('q', _) => format!("{:?}", value.text()),
        ('t', Value::Bool(value)) => value.to_string(),
        ('d', Value::Int(value)) => signed(value.to_string()),
        ('x', Value::Int(value)) => format!("{value:x}"),
        ('X', Value::Int(value)) => format!("{value:X}"),
        ('o', Value::Int(value)) => format!("{value:o}"),
        ('b', Value::Int(value)) => format!("{value:b}"),
        ('c', Value::Int(value)) => {
            u32::try_from(*value).ok().and_then(char::from_u32).map_or_else(wrong, String::from)
        }
        ('x', Value::Text(text)) => text.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        }),
        ('f' | 'F', Value::Float(value)) => signed(format!("{value:.*}", precision.unwrap_or(6))),
        ('e', Value::Float(value)) => {
            let text = format!("{value:.*e}", precision.unwrap_or(6));
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        ('g', Value::Float(value)) => {
            let mut text = String::new();
            write_number(*value, &mut text);
            text
        }
        _ => wrong(),
    }
}

fn pad(out: &mut String, text: &str, width: usize, flags: &str) {
    let missing = width.saturating_sub(text.chars().count());
    if flags.contains('-') {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.contains('0') {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

/// Elements of Go's layouts, longest first where one begins with another.
const ELEMENTS: [&str; 33] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00",
    "-0700",
    "Z07:00",
    "Z0700",
    ".000000000",
    ".999999999",
    ".000000",
    ".999999",
    ".000",
    ".999",
    ",000",
    ",999",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "1",
    "_2",
    "2",
    "3",
    "4",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A time in a Go layout, UTC.
pub(super) fn time(nanos: i64, layout: &str) -> String {
    let at = DateTime::from_timestamp_nanos(nanos).naive_utc();
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    'outer: while let Some(first) = rest.chars().next() {
        for element in ELEMENTS.into_iter().chain(["5"]) {
            let Some(after) = rest.strip_prefix(element) else { continue };
            let _ = match element {
                "January" => write!(out, "{}", at.format("%B")),
                "Jan" => write!(out, "{}", at.format("%b")),
                "Monday" => write!(out, "{}", at.format("%A")),
                "Mon" => write!(out, "{}", at.format("%a")),
                "MST" => write!(out, "UTC"),
                "2006" => write!(out, "{:04}", at.year()),
                "06" => write!(out, "{:02}", at.year() % 100),
                "-07:00" => write!(out, "+00:00"),
                "-0700" => write!(out, "+0000"),
                "Z07:00" | "Z0700" => write!(out, "Z"),
                "002" => write!(out, "{:03}", at.ordinal()),
                "01" => write!(out, "{:02}", at.month()),
                "1" => write!(out, "{}", at.month()),
                "02" => write!(out, "{:02}", at.day()),
                "_2" => write!(out, "{:2}", at.day()),
                "2" => write!(out, "{}", at.day()),
                "15" => write!(out, "{:02}", at.hour()),
                "03" => write!(out, "{:02}", at.hour12().1),
                "3" => write!(out, "{}", at.hour12().1),
                "04" => write!(out, "{:02}", at.minute()),
                "4" => write!(out, "{}", at.minute()),
                "05" => write!(out, "{:02}", at.second()),
                "5" => write!(out, "{}", at.second()),
                "PM" => write!(out, "{}", if at.hour() < 12 { "AM" } else { "PM" }),
                "pm" => write!(out, "{}", if at.hour() < 12 { "am" } else { "pm" }),
                fraction => {
                    let digits = format!("{:09}", at.nanosecond());
                    let shown = &digits[..fraction.len() - 1];
                    let shown = if fraction.ends_with('9') { shown.trim_end_matches('0') } else { shown };
                    if shown.is_empty() { Ok(()) } else { write!(out, "{}{shown}", &fraction[..1]) }
                }
            };
            rest = after;
            continue 'outer;
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// The time that `text` in a Go layout says; UTC unless it says otherwise.
pub(super) fn parse_time(layout: &str, text: &str) -> Option<i64> {
    let (mut year, mut month, mut day, mut hour, mut minute, mut second) = (1, 1, 1, 0, 0, 0);
    let (mut nanos, mut offset, mut afternoon) = (0i64, 0i64, None);
    let (mut layout, mut rest) = (layout, text);
    'outer: while let Some(first) = layout.chars().next() {
        for element in ELEMENTS.into_iter().chain(["5"]) {
            let Some(after) = layout.strip_prefix(element) else { continue };
            layout = after;
            let mut take = |most: usize| -> Option<u32> {
                let end = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                let value = rest[..end].parse().ok();
                rest = &rest[end..];
                value
            };
            match element {
                "2006" => year = i32::try_from(take(4)?).ok()?,
                "06" => year = 2000 + i32::try_from(take(2)?).ok()?,
                "01" | "1" => month = take(2)?,
                "02" | "2" => day = take(2)?,
                "_2" => {
                    rest = rest.trim_start();
                    let end = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                    day = rest[..end].parse().ok()?;
                    rest = &rest[end..];
                }
                "15" | "03" | "3" => hour = take(2)?,
                "04" | "4" => minute = take(2)?,
                "05" | "5" => {
                    second = take(2)?;
                    // A fraction is read even where the layout has none.
                    if !layout.starts_with(['.', ',']) && rest.starts_with('.') {
                        nanos = fraction(&mut rest)?;
                    }
                }
                "January" | "Jan" => {
                    let found = MONTHS.iter().zip(1u32..).find_map(|(name, number)| {
                        let name = if element == "Jan" { &name[..3] } else { name };
                        rest.strip_prefix(name).map(|after| (number, after))
                    });
                    (month, rest) = found?;
                }
                "Monday" | "Mon" | "MST" => rest = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
                "PM" | "pm" => {
                    afternoon = Some(rest.get(..2)?.eq_ignore_ascii_case("pm"));
                    rest = rest.get(2..)?;
                }
                "Z07:00" | "Z0700" | "-07:00" | "-0700" => {
                    if let Some(after) = rest.strip_prefix('Z') {
                        rest = after;
                    } else {
                        let sign = if rest.starts_with('-') { -1 } else { 1 };
                        let digits: String =
                            rest.get(1..)?.chars().take_while(|c| c.is_ascii_digit() || *c == ':').collect();
                        rest = rest.get(1 + digits.len()..)?;
                        let digits = digits.replace(':', "");
                        let (hours, minutes): (i64, i64) =
                            (digits.get(..2)?.parse().ok()?, digits.get(2..4)?.parse().ok()?);
                        offset = sign * (hours * 3600 + minutes * 60);
                    }
                }
                _ if rest.starts_with(['.', ',']) => nanos = fraction(&mut rest)?,
                _ => {}
            }
            continue 'outer;
        }
        rest = rest.strip_prefix(first)?;
        layout = &layout[first.len_utf8()..];
    }
    if !rest.is_empty() {
        return None;
    }
    let hour = match afternoon {
        Some(true) if hour < 12 => hour + 12,
        Some(false) if hour == 12 => 0,
        _ => hour,
    };
    let at = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second)?.and_utc();
    (at.timestamp() - offset).checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// `.123`, as ns.
fn fraction(rest: &mut &str) -> Option<i64> {
    let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    let text = format!("{:0<9}", &rest[1..=digits]);
    *rest = &rest[1 + digits..];
    text.get(..9)?.parse().ok()
}
