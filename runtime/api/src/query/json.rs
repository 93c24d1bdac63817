//! Number formats that all three APIs share.

/// A sample value as Prometheus prints it in JSON: shortest decimal, exponent below 1e-6 and from
/// 1e21 on, `NaN`, `+Inf`, `-Inf`. Source: prometheus, util/jsonutil/marshal.go.
pub(crate) fn sample(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // Rust writes 1e-7 and 1.5e22; Go writes 1e-07 and 1.5e+22.
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

/// Milliseconds as seconds, a JSON number with up to three decimals.
pub(crate) fn seconds(ms: i64) -> serde_json::Number {
    if ms % 1000 == 0 {
        return (ms / 1000).into();
    }
    // Every ms count of some 285,000 years is exact in a double's shortest form.
    #[allow(clippy::cast_precision_loss, reason = "see above")]
    serde_json::Number::from_f64(ms as f64 / 1e3).unwrap_or_else(|| (ms / 1000).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (1e-6, "0.000001"),
            (2.5e100, "2.5e+100"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(sample(value), text);
        }
    }

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(seconds(1_435_781_451_781).to_string(), "1435781451.781");
        assert_eq!(seconds(60_000).to_string(), "60");
    }
}
