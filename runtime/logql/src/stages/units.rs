//! Numbers with units as they occur in log data: Go's durations and human sizes.

use std::fmt::Write;

/// Nanoseconds of a Go duration like `1h2m3.5s`; the message is Go's.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let factor = match &rest[..end] {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += value * factor;
        rest = &rest[end..];
    }
    if total >= 9.3e18 {
        return Err(invalid());
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the range is checked, and a part of a nanosecond is dropped on purpose"
    )]
    let nanos = (total + 1e-6) as i64;
    Ok(if negative { -nanos } else { nanos })
}

/// Bytes of a size like `1.5KB`, `2 MiB`, `2,048`; the case doesn't matter, a part of a byte is dropped.
pub(crate) fn parse_bytes(text: &str) -> Result<f64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let digits = text[..end].replace(',', "");
    let value: f64 = digits.parse().map_err(|_| format!("strconv.ParseFloat: parsing {digits:?}: invalid syntax"))?;
    let unit = text[end..].trim().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "p" | "pb" => 1e15,
        "e" | "eb" => 1e18,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1_048_576.0,
        "gi" | "gib" => 1_073_741_824.0,
        "ti" | "tib" => 1_099_511_627_776.0,
        "pi" | "pib" => 1_125_899_906_842_624.0,
        "ei" | "eib" => 1_152_921_504_606_846_976.0,
        other => return Err(format!("unhandled size name: {other}")),
    };
    let bytes = (value * factor).trunc();
    if bytes >= 1.844_674_407_370_955_2e19 { Err(format!("too large: {text}")) } else { Ok(bytes) }
}

/// A number as Go's `strconv.ParseFloat` reads it.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
}

/// A number as Go prints it by default (`%v`).
pub(crate) fn write_number(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
    } else {
        let _ = write!(out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{parse_bytes, parse_duration, write_number};

    #[test]
    fn durations_take_gos_units_only() {
        assert_eq!(parse_duration("1h30m").unwrap(), 5_400_000_000_000);
        assert_eq!(parse_duration("-1.5s").unwrap(), -1_500_000_000);
        assert!(parse_duration("1d").unwrap_err().contains("unknown unit"));
        assert!(parse_duration("90").unwrap_err().contains("missing unit"));
        assert!(parse_duration("oops").unwrap_err().contains("invalid duration"));
    }

    #[test]
    fn sizes_ignore_case_and_drop_parts_of_a_byte() {
        assert_eq!(parse_bytes("2Kb").unwrap(), 2000.0);
        assert_eq!(parse_bytes("2,048").unwrap(), 2048.0);
        assert_eq!(parse_bytes("1.5B").unwrap(), 1.0);
        assert_eq!(parse_bytes("1 MiB").unwrap(), 1_048_576.0);
        assert!(parse_bytes("oops").unwrap_err().contains("parsing \"\": invalid syntax"));
    }

    #[test]
    fn numbers_print_as_gos_do() {
        let mut out = String::new();
        for value in [1.0, 1.5, 1e21, 1e-7, f64::INFINITY] {
            write_number(value, &mut out);
            out.push(' ');
        }
        assert_eq!(out, "1 1.5 1e+21 1e-07 +Inf ");
    }
}
