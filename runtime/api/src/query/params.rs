//! Request parameters: of the URL and, for a POST, of a form body; times and durations in the forms
//! that each API takes.

use crate::{Error, body};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use http::Method;

/// Parameters in the order given; the form's after the URL's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

/// Largest form body: a query text of that size is no query.
const FORM_BYTES: usize = 10 << 20;

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (parts, request_body) = request.into_parts();
        let mut pairs = Self::parse(parts.uri.query().unwrap_or_default().as_bytes()).0;
        let form = body::media_type(&parts.headers)
            .is_some_and(|media_type| media_type == "application/x-www-form-urlencoded");
        if parts.method == Method::POST && form {
            let read = body::read(&parts.headers, request_body, FORM_BYTES)
                .await
                .map_err(|error| (error.status(), error.to_string()).into_response())?;
            pairs.extend(Self::parse(&read).0);
        }
        Ok(Self(pairs))
    }
}

impl Params {
    fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first non-empty value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, value)| given == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A value that must be given.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| invalid(name, "it is missing"))
    }

    /// All values of `name`.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    }

    /// A whole number, or `default` when absent.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Error> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| invalid(name, &format!("'{text}' is not a whole number in range"))),
        }
    }

    /// A time through `parse`, `None` when absent.
    pub(crate) fn time(&self, name: &str, parse: fn(&str) -> Option<i64>) -> Result<Option<i64>, Error> {
        self.get(name)
            .map(|text| {
                parse(text).ok_or_else(|| invalid(name, &format!("cannot parse '{text}' to a valid timestamp")))
            })
            .transpose()
    }

    /// A span of time through [`duration_ms`], `None` when absent.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<i64>, Error> {
        self.get(name)
            .map(|text| {
                duration_ms(text).ok_or_else(|| invalid(name, &format!("cannot parse '{text}' to a valid duration")))
            })
            .transpose()
    }
}

/// As Prometheus words it.
pub(crate) fn invalid(name: &str, why: &str) -> Error {
    Error::Bad(format!("invalid parameter \"{name}\": {why}"))
}

fn rfc3339_ns(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

#[allow(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn seconds(text: &str, per_second: f64) -> Option<i64> {
    let scaled = text.parse::<f64>().ok()? * per_second;
    // i64::MAX as a float is 2^63, which itself does not fit.
    (scaled.is_finite() && scaled.abs() < 9.2e18).then(|| scaled.round() as i64)
}

/// Prometheus: Unix seconds with a fraction, or RFC 3339. Milliseconds.
pub(crate) fn prometheus_time(text: &str) -> Option<i64> {
    seconds(text, 1e3).or_else(|| rfc3339_ns(text).map(|nanos| nanos.div_euclid(1_000_000)))
}

/// Loki: with a `.` seconds, up to ten digits seconds, else nanoseconds; or RFC 3339. Nanoseconds.
pub(crate) fn loki_time(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        return if text.trim_start_matches('-').len() <= 10 { whole.checked_mul(1_000_000_000) } else { Some(whole) };
    }
    seconds(text, 1e9).or_else(|| rfc3339_ns(text))
}

/// Tempo: Unix seconds, or nanoseconds, or RFC 3339. Nanoseconds.
pub(crate) fn tempo_time(text: &str) -> Option<i64> {
    loki_time(text)
}

/// `15`, `0.5` (seconds) or a duration such as `1h30m`, `250ms`. Milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    if let Some(ms) = seconds(text, 1e3) {
        return Some(ms);
    }
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += value
            * match &rest[..unit] {
                "ns" => 1e-6,
                "us" | "µs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3_600e3,
                "d" => 86_400e3,
                "w" => 7.0 * 86_400e3,
                "y" => 365.0 * 86_400e3,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    seconds(&total.to_string(), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_reads_times_its_own_way() {
        assert_eq!(prometheus_time("1435781430.781"), Some(1_435_781_430_781));
        assert_eq!(prometheus_time("2015-07-01T20:10:51.781Z"), Some(1_435_781_451_781));
        assert_eq!(loki_time("1435781430"), Some(1_435_781_430_000_000_000));
        assert_eq!(loki_time("1435781430781000000"), Some(1_435_781_430_781_000_000));
        assert_eq!(loki_time("1435781430.5"), Some(1_435_781_430_500_000_000));
        for wrong in ["", "yesterday", "1e300", "NaN"] {
            assert_eq!((prometheus_time(wrong), loki_time(wrong)), (None, None), "{wrong}");
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        assert_eq!(duration_ms("15"), Some(15_000));
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms("250ms"), Some(250));
        assert_eq!((duration_ms("5x"), duration_ms("m"), duration_ms("")), (None, None, None));
    }
}
