//! Times as log lines write them.

/// Reads a time in ns since the Unix epoch: RFC 3339 (`T` or a space between date and time, `,` or
/// `.` before the fraction, zone `Z`, `±hh:mm`, `±hhmm` or none, which is UTC), or a number of
/// seconds, ms, µs or ns since the epoch, told apart by its size (years 2001 to 2286).
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() >= 19 && bytes[4] == b'-' {
        return rfc3339(bytes);
    }
    number(text)
}

fn number(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        // Exponents, as of floats printed by a machine.
        let value: f64 = text.parse().ok().filter(|value: &f64| (1e9..1e19).contains(value))?;
        return number(&format!("{value:.9}"));
    }
    let scale = match whole.len() {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1000,
        19 => 1,
        _ => return None,
    };
    let mut nanos: i64 = 0;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        nanos += i64::from(digit - b'0') * unit;
    }
    whole.parse::<i64>().ok()?.checked_mul(scale)?.checked_add(nanos)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn rfc3339(bytes: &[u8]) -> Option<i64> {
    let separators =
        bytes[7] == b'-' && matches!(bytes[10], b'T' | b't' | b' ') && bytes[13] == b':' && bytes[16] == b':';
    if !separators {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?);
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut nanos = 0;
    if let Some((b'.' | b',', fraction)) = rest.split_first() {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let mut unit = 1_000_000_000;
        for digit in &fraction[..length] {
            unit /= 10;
            nanos += i64::from(digit - b'0') * unit;
        }
        rest = &fraction[length..];
    }
    let offset = match rest {
        b"" | b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let (hours, minutes) = match zone.len() {
                2 => (digits(zone)?, 0),
                4 => (digits(&zone[..2])?, digits(&zone[2..])?),
                5 if zone[2] == b':' => (digits(&zone[..2])?, digits(&zone[3..])?),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01. Source: Howard Hinnant, chrono-compatible low-level date algorithms.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_of_every_form_are_read() {
        let base = 1_700_000_000_000_000_000;
        for (text, expected) in [
            ("2023-11-14T22:13:20Z", base),
            ("2023-11-14T22:13:20.5Z", base + 500_000_000),
            ("2023-11-14 22:13:20,123", base + 123_000_000),
            ("2023-11-14T23:13:20.000000001+01:00", base + 1),
            ("2023-11-14T20:13:20-0200", base),
            ("1700000000", base),
            ("1700000000.25", base + 250_000_000),
            ("1700000000123", base + 123_000_000),
            ("1700000000123456", base + 123_456_000),
            ("1700000000123456789", base + 123_456_789),
            ("1.7e9", base),
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "17",
            "2023-13-14T22:13:20Z",
            "2023-02-30T22:13:20Z",
            "2023-11-14T25:13:20Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20X",
            "9999-12-31T23:59:59Z",
            "2023-11-14",
            "NaN",
            "-1700000000",
            "2023-11-14T22:13:20+99:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
