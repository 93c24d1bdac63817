//! Classic histograms: `steps_histogram_quantile(series, q)` and `steps_histogram_fraction(series, low,
//! high)` over the buckets of one histogram, which are told apart by their `le` label.
//! Source: prometheus/promql/quantile.go, `BucketQuantile` and `BucketFraction`.

use super::collect::SeriesLists;
use super::columns::{FloatListBuilder, FloatLists, Operand, values_type};
use crate::functions::maps::Labels;
use crate::functions::{Columnar, column};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF};
use std::sync::{Arc, LazyLock};

/// The label that holds a bucket's upper bound.
pub const BOUND: &str = "le";

/// Counts that differ by less, relative to their sum, are taken as equal.
const NOISE: f64 = 1e-12;

static QUANTILE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "steps_histogram_quantile",
        |_| Ok(values_type()),
        |arguments| evaluate(arguments, |buckets, numbers| quantile(numbers[0], buckets)),
    )
});
static FRACTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf(
        "steps_histogram_fraction",
        |_| Ok(values_type()),
        |arguments| evaluate(arguments, |buckets, numbers| fraction(numbers[0], numbers[1], buckets)),
    )
});

/// Everything up to `bound`, and how often it was seen.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

fn evaluate(arguments: &ScalarFunctionArgs, function: impl Fn(&mut Vec<Bucket>, &[f64]) -> f64) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let series = SeriesLists::of(&array)?;
    let (labels, values) = (Labels::of(series.labels)?, FloatLists::of(series.values)?);
    let numbers: Vec<Operand> =
        (1..arguments.args.len()).map(|at| Operand::read(arguments, at)).collect::<Result<_>>()?;
    let operands = numbers.iter().map(Operand::rows).collect::<Result<Vec<_>>>()?;
    let mut out = FloatListBuilder::with_capacity(series.len(), 0);
    let mut bounds: Vec<(f64, usize)> = Vec::new();
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut at_step = vec![0.0; operands.len()];
    for row in 0..series.len() {
        bounds.clear();
        // A series whose bound is missing or no number is no bucket.
        bounds.extend(series.row(row).filter_map(|at| Some((bound_of(labels.get(at, BOUND))?, at))));
        bounds.sort_by(|left, right| left.0.total_cmp(&right.0));
        let steps = series.row(row).next().map_or(0, |at| values.row(at).values.len());
        for step in 0..steps {
            buckets.clear();
            buckets.extend(
                bounds
                    .iter()
                    .filter_map(|(bound, at)| Some(Bucket { bound: *bound, count: values.row(*at).get(step)? })),
            );
            for (number, operand) in at_step.iter_mut().zip(&operands) {
                *number = operand.row(row).get(step).unwrap_or(f64::NAN);
            }
            out.push(if buckets.is_empty() { None } else { Some(function(&mut buckets, &at_step)) });
        }
        out.finish_row();
    }
    Ok(out.finish())
}

/// A bucket's upper bound as Go's `ParseFloat` reads it.
pub fn bound_of(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn merge_equal_bounds(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, held| {
        let same = next.bound == held.bound;
        if same {
            held.count += next.count;
        }
        same
    });
}

/// Counts are cumulative, so they can't fall; where they do (scrapes aren't atomic) they are raised.
fn make_monotonic(buckets: &mut [Bucket]) {
    let Some((first, rest)) = buckets.split_first_mut() else { return };
    let mut before = first.count;
    for bucket in rest {
        if bucket.count < before || almost_equal(before, bucket.count) {
            bucket.count = before;
        }
        before = bucket.count;
    }
}

fn almost_equal(left: f64, right: f64) -> bool {
    if left == right {
        return true;
    }
    let (sum, difference) = (left.abs() + right.abs(), (left - right).abs());
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < NOISE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < NOISE
}

fn quantile(rank: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if rank.is_nan() {
        return f64::NAN;
    }
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    if rank > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    merge_equal_bounds(buckets);
    make_monotonic(buckets);
    let [first, .., last_finite, last] = match buckets.as_slice() {
        [only_finite, last] => [*only_finite, *only_finite, *only_finite, *last],
        [first, .., last_finite, last] => [*first, *first, *last_finite, *last],
        _ => return f64::NAN,
    };
    let seen = last.count;
    if seen == 0.0 {
        return f64::NAN;
    }
    let mut rank = rank * seen;
    let finite = buckets.len() - 1;
    let at = buckets[..finite].partition_point(|bucket| bucket.count < rank || bucket.count.is_nan());
    if at == finite {
        return last_finite.bound;
    }
    if at == 0 && first.bound <= 0.0 {
        return first.bound;
    }
    let end = buckets[at].bound;
    let (mut start, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    start + (end - start) * (rank / count)
}

fn fraction(low: f64, high: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    merge_equal_bounds(buckets);
    make_monotonic(buckets);
    let Some(seen) = buckets.last().map(|last| last.count) else { return f64::NAN };
    if seen == 0.0 || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let (low, high) = (rank_of(low, buckets).min(seen), rank_of(high, buckets).min(seen));
    (high - low).max(0.0) / seen
}

/// How many observations lie below `value`, linear within a bucket. In a bucket of infinite width all
/// are taken to lie at its finite bound.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let mut rank = 0.0;
    let mut lower = if buckets[0].bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    for bucket in buckets {
        if lower >= value {
            return rank;
        }
        if bucket.bound > value {
            if bucket.bound.is_infinite() {
                return rank;
            }
            if lower.is_infinite() {
                return bucket.count;
            }
            return rank + (bucket.count - rank) * (value - lower) / (bucket.bound - lower);
        }
        rank = bucket.count;
        lower = bucket.bound;
    }
    rank
}

/// The quantile of collected buckets at each step.
pub fn quantile_call(series: Expr, rank: Expr) -> Expr {
    QUANTILE.call(vec![series, rank])
}

/// The share of observations between two bounds at each step.
pub fn fraction_call(series: Expr, low: Expr, high: Expr) -> Expr {
    FRACTION.call(vec![series, low, high])
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&QUANTILE), Arc::clone(&FRACTION)]
}

#[cfg(test)]
mod tests {
    use super::{Bucket, quantile};

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn a_quantile_is_linear_within_its_bucket() {
        let mut histogram = buckets(&[(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)]);
        assert_eq!(quantile(0.75, &mut histogram), 1.5);
    }

    #[test]
    fn a_histogram_without_a_last_bucket_has_no_quantile() {
        assert!(quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 20.0)])).is_nan());
        assert!(quantile(0.5, &mut buckets(&[(f64::INFINITY, 20.0)])).is_nan());
    }

    #[test]
    fn a_quantile_in_the_last_bucket_is_the_highest_bound() {
        let mut histogram = buckets(&[(1.0, 1.0), (2.0, 2.0), (f64::INFINITY, 20.0)]);
        assert_eq!(quantile(0.9, &mut histogram), 2.0);
    }
}
