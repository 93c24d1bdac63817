//! `rate`, `increase`, `delta` and their kin, with Prometheus's extrapolation to the window's edges.
//! Source: prometheus/promql/functions.go, `extrapolatedRate` and `instantValue`.

use super::Samples;

pub(crate) fn rate(samples: &Samples<'_>) -> Option<f64> {
    extrapolated(samples, true).map(|increase| increase / samples.seconds(samples.end - samples.start))
}

pub(crate) fn increase(samples: &Samples<'_>) -> Option<f64> {
    extrapolated(samples, true)
}

pub(crate) fn delta(samples: &Samples<'_>) -> Option<f64> {
    extrapolated(samples, false)
}

fn extrapolated(samples: &Samples<'_>, counter: bool) -> Option<f64> {
    let (first_time, last_time) = (*samples.times.first()?, *samples.times.last()?);
    let (first, last) = (*samples.values.first()?, *samples.values.last()?);
    let count = samples.values.len();
    if count < 2 {
        return None;
    }
    let mut result = last - first;
    if counter {
        for pair in samples.values.windows(2) {
            if pair[1] < pair[0] {
                result += pair[0];
            }
        }
    }
    let mut to_start = samples.seconds(first_time - samples.start);
    let mut to_end = samples.seconds(samples.end - last_time);
    let sampled = samples.seconds(last_time - first_time);
    let average = sampled / (count - 1) as f64;
    // A gap to the edge much longer than between samples: the series starts or ends inside the window.
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if counter && result > 0.0 && first >= 0.0 {
        // A counter isn't extrapolated below zero.
        let to_zero = sampled * (first / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let factor = (sampled + to_start + to_end) / sampled;
    Some(result * factor)
}

pub(crate) fn irate(samples: &Samples<'_>) -> Option<f64> {
    let [.., before, last] = samples.values else { return None };
    let [.., earlier, later] = samples.times else { return None };
    let elapsed = samples.seconds(later - earlier);
    if elapsed == 0.0 {
        return None;
    }
    let grown = if last < before { *last } else { last - before };
    Some(grown / elapsed)
}

pub(crate) fn idelta(samples: &Samples<'_>) -> Option<f64> {
    let [.., before, last] = samples.values else { return None };
    let [.., earlier, later] = samples.times else { return None };
    (later != earlier).then_some(last - before)
}

pub(crate) fn resets(samples: &Samples<'_>) -> Option<f64> {
    Some(samples.values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64)
}

pub(crate) fn changes(samples: &Samples<'_>) -> Option<f64> {
    let changed = |pair: &&[f64]| pair[1] != pair[0] && !(pair[0].is_nan() && pair[1].is_nan());
    Some(samples.values.windows(2).filter(changed).count() as f64)
}
