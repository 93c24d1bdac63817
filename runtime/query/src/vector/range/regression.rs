//! Least squares and smoothing over a window. Source: prometheus/promql/functions.go,
//! `linearRegression` and `funcDoubleExponentialSmoothing`.

use super::Samples;
use crate::vector::compensated::Sum;

/// Slope per second and value at `origin`.
fn line(samples: &Samples<'_>, origin: i64) -> (f64, f64) {
    let first = samples.values[0];
    if samples.values.iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut n, mut sum_x, mut sum_y, mut sum_xy, mut sum_x2) =
        (0.0, Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (time, value) in samples.times.iter().zip(samples.values) {
        n += 1.0;
        let x = samples.seconds(time - origin);
        sum_x.add(x);
        sum_y.add(*value);
        sum_xy.add(x * value);
        sum_x2.add(x * x);
    }
    let corrected = |sum: Sum| sum.sum + sum.error;
    let (sum_x, sum_y, sum_xy, sum_x2) = (corrected(sum_x), corrected(sum_y), corrected(sum_xy), corrected(sum_x2));
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

pub(crate) fn deriv(samples: &Samples<'_>) -> Option<f64> {
    if samples.values.len() < 2 {
        return None;
    }
    // The first sample's time as origin keeps the products small.
    Some(line(samples, samples.times[0]).0)
}

pub(crate) fn predict_linear(samples: &Samples<'_>) -> Option<f64> {
    if samples.values.len() < 2 {
        return None;
    }
    let ahead = samples.numbers.first()?;
    let (slope, intercept) = line(samples, samples.now);
    Some(slope * ahead + intercept)
}

pub(crate) fn double_exponential_smoothing(samples: &Samples<'_>) -> Option<f64> {
    let [smoothing, trend_factor] = samples.numbers else { return None };
    let [first, second, ..] = samples.values else { return None };
    let (mut before, mut smoothed, mut trend) = (0.0, *first, second - first);
    for (at, value) in samples.values.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
        }
        before = smoothed;
        smoothed = smoothing * value + (1.0 - smoothing) * (smoothed + trend);
    }
    Some(smoothed)
}
