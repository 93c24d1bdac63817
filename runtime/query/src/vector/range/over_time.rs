//! `*_over_time`: what a window's samples amount to. Source: prometheus/promql/functions.go.

use super::Samples;
use crate::vector::compensated::{Mean, Sum};
use crate::vector::select::quantile_of;

pub(crate) fn sum(samples: &Samples<'_>) -> Option<f64> {
    let mut sum = Sum::default();
    samples.values.iter().for_each(|value| sum.add(*value));
    Some(sum.total())
}

pub(crate) fn avg(samples: &Samples<'_>) -> Option<f64> {
    let mut mean = Mean::default();
    samples.values.iter().for_each(|value| mean.add(*value));
    Some(mean.mean())
}

pub(crate) fn min(samples: &Samples<'_>) -> Option<f64> {
    samples.values.iter().copied().reduce(|held, value| if value < held || held.is_nan() { value } else { held })
}

pub(crate) fn max(samples: &Samples<'_>) -> Option<f64> {
    samples.values.iter().copied().reduce(|held, value| if value > held || held.is_nan() { value } else { held })
}

pub(crate) fn count(samples: &Samples<'_>) -> Option<f64> {
    Some(samples.values.len() as f64)
}

pub(crate) fn stdvar(samples: &Samples<'_>) -> Option<f64> {
    // Welford, compensated as Prometheus does it.
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for value in samples.values {
        count += 1.0;
        let delta = value - (mean.sum + mean.error);
        mean.add(delta / count);
        squares.add(delta * (value - (mean.sum + mean.error)));
    }
    Some((squares.sum + squares.error) / count)
}

pub(crate) fn stddev(samples: &Samples<'_>) -> Option<f64> {
    stdvar(samples).map(f64::sqrt)
}

pub(crate) fn last(samples: &Samples<'_>) -> Option<f64> {
    samples.values.last().copied()
}

pub(crate) fn first(samples: &Samples<'_>) -> Option<f64> {
    samples.values.first().copied()
}

pub(crate) fn present(_: &Samples<'_>) -> Option<f64> {
    Some(1.0)
}

pub(crate) fn quantile(samples: &Samples<'_>) -> Option<f64> {
    let rank = samples.numbers.first()?;
    Some(quantile_of(*rank, &mut samples.values.to_vec()))
}

/// Median absolute deviation.
pub(crate) fn mad(samples: &Samples<'_>) -> Option<f64> {
    if samples.values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let median = quantile_of(0.5, &mut samples.values.to_vec());
    let mut deviations: Vec<f64> = samples.values.iter().map(|value| (value - median).abs()).collect();
    Some(quantile_of(0.5, &mut deviations))
}

pub(crate) fn ts_of_first(samples: &Samples<'_>) -> Option<f64> {
    samples.times.first().map(|time| samples.seconds(*time))
}

pub(crate) fn ts_of_last(samples: &Samples<'_>) -> Option<f64> {
    samples.times.last().map(|time| samples.seconds(*time))
}

pub(crate) fn ts_of_min(samples: &Samples<'_>) -> Option<f64> {
    time_of(samples, |value, held| value <= held)
}

pub(crate) fn ts_of_max(samples: &Samples<'_>) -> Option<f64> {
    time_of(samples, |value, held| value >= held)
}

/// The time of the last sample that is as good as any before it.
fn time_of(samples: &Samples<'_>, better: impl Fn(f64, f64) -> bool) -> Option<f64> {
    let mut held = *samples.values.first()?;
    let mut at = *samples.times.first()?;
    for (time, value) in samples.times.iter().zip(samples.values) {
        if better(*value, held) || held.is_nan() {
            (held, at) = (*value, *time);
        }
    }
    Some(samples.seconds(at))
}

/// Samples per second of the window: LogQL's `rate`.
pub(crate) fn count_per_second(samples: &Samples<'_>) -> Option<f64> {
    Some(samples.values.len() as f64 / samples.seconds(samples.end - samples.start))
}

/// Sum per second of the window: LogQL's `rate` of an unwrapped value, and `bytes_rate`.
pub(crate) fn sum_per_second(samples: &Samples<'_>) -> Option<f64> {
    Some(sum(samples)? / samples.seconds(samples.end - samples.start))
}
