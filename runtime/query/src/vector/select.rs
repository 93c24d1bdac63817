//! What needs a group's series side by side, step by step: `steps_topk(kind, series, k)`,
//! `steps_quantile(series, q)`, `steps_count_values(series, label, group_labels)`.

use super::collect::{SeriesLists, series_list, series_lists};
use super::columns::{FloatListBuilder, FloatLists, Operand, offset, values_type};
use crate::error::rejected;
use crate::functions::maps::{Labels, write_with};
use crate::functions::{Columnar, column, label_key, text};
use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF, lit};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::LabelMapBuilder;

static TOP: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Columnar::udf("steps_topk", |_| Ok(series_list()), top));
static QUANTILE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("steps_quantile", |_| Ok(values_type()), quantile));
static COUNT_VALUES: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("steps_count_values", |_| Ok(series_list()), count_values));

/// The `rank`-quantile of `values`, which are put in order: linear between neighbours, NaN lowest.
/// Ranks outside 0 to 1 give an infinity.
pub fn quantile_of(rank: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || rank.is_nan() {
        return f64::NAN;
    }
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    if rank > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|left, right| nan_lowest(*left, *right));
    let place = rank * (values.len() - 1) as f64;
    let lower = place.floor();
    let weight = place - lower;
    let lower = lower as usize;
    let upper = (lower + 1).min(values.len() - 1);
    values[lower] * (1.0 - weight) + values[upper] * weight
}

fn nan_lowest(left: f64, right: f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
    }
}

fn top(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let greatest = text(arguments, 0)? == "topk";
    let array = column(arguments, 1)?;
    let series = SeriesLists::of(&array)?;
    let (labels, values) = (Labels::of(series.labels)?, FloatLists::of(series.values)?);
    let counts = Operand::read(arguments, 2)?;
    let counts = counts.rows()?;
    let mut kept: Vec<u32> = Vec::new();
    let mut ends = vec![0];
    let mut out = FloatListBuilder::with_capacity(0, 0);
    let (mut order, mut found, mut chosen): (Vec<usize>, Vec<(f64, usize)>, Vec<bool>) = Default::default();
    for row in 0..series.len() {
        // By labels first, so that ties are broken the same way every time.
        order.clear();
        order.extend(series.row(row));
        order.sort_by_cached_key(|at| key_of(&labels, *at));
        let steps = order.first().map_or(0, |at| values.row(*at).values.len());
        chosen.clear();
        chosen.resize(order.len() * steps, false);
        for step in 0..steps {
            let count = whole(counts.row(row).get(step).unwrap_or(0.0))?;
            if count < 1 {
                continue;
            }
            found.clear();
            found.extend(order.iter().enumerate().filter_map(|(place, at)| Some((values.row(*at).get(step)?, place))));
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(found.len());
            let better = |left: &(f64, usize), right: &(f64, usize)| {
                // NaN is last in both directions.
                let by_value = match (left.0.is_nan(), right.0.is_nan()) {
                    (false, false) if greatest => right.0.partial_cmp(&left.0).unwrap_or(Ordering::Equal),
                    (false, false) => left.0.partial_cmp(&right.0).unwrap_or(Ordering::Equal),
                    (left, right) => left.cmp(&right),
                };
                by_value.then(left.1.cmp(&right.1))
            };
            if count > 0 && count < found.len() {
                found.select_nth_unstable_by(count - 1, better);
            }
            found[..count].iter().for_each(|(_, place)| chosen[place * steps + step] = true);
        }
        for (place, at) in order.iter().enumerate() {
            let picks = &chosen[place * steps..(place + 1) * steps];
            if picks.contains(&true) {
                let held = values.row(*at);
                picks.iter().enumerate().for_each(|(step, picked)| out.push(held.get(step).filter(|_| *picked)));
                out.finish_row();
                kept.push(u32::try_from(*at).unwrap_or(u32::MAX));
            }
        }
        ends.push(offset(kept.len()));
    }
    let labels = take(series.labels, &UInt32Array::from(kept), None)?;
    Ok(series_lists(ends, labels, out.finish()))
}

fn key_of(labels: &Labels<'_>, row: usize) -> Vec<u8> {
    let mut key = Vec::new();
    label_key::write(&mut key, labels.row(row));
    key
}

/// A count as PromQL takes one: truncated, an error where it is no number an integer can hold.
pub fn whole(value: f64) -> Result<i64> {
    if value.is_nan() {
        return Err(rejected("Parameter value is NaN"));
    }
    if value >= i64::MAX as f64 {
        return Err(rejected(format!("Scalar value {value} overflows int64")));
    }
    if value <= i64::MIN as f64 {
        return Err(rejected(format!("Scalar value {value} underflows int64")));
    }
    Ok(value as i64)
}

fn quantile(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let series = SeriesLists::of(&array)?;
    let values = FloatLists::of(series.values)?;
    let ranks = Operand::read(arguments, 1)?;
    let ranks = ranks.rows()?;
    let mut out = FloatListBuilder::with_capacity(series.len(), 0);
    let mut found = Vec::new();
    for row in 0..series.len() {
        let steps = series.row(row).next().map_or(0, |at| values.row(at).values.len());
        for step in 0..steps {
            found.clear();
            found.extend(series.row(row).filter_map(|at| values.row(at).get(step)));
            let rank = ranks.row(row).get(step).unwrap_or(f64::NAN);
            out.push((!found.is_empty()).then(|| quantile_of(rank, &mut found)));
        }
        out.finish_row();
    }
    Ok(out.finish())
}

fn count_values(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let series = SeriesLists::of(&array)?;
    let values = FloatLists::of(series.values)?;
    let name = text(arguments, 1)?;
    let groups = column(arguments, 2)?;
    let groups = Labels::of(&groups)?;
    let mut labels = LabelMapBuilder::new();
    let mut out = FloatListBuilder::with_capacity(0, 0);
    let (mut ends, mut rows) = (vec![0], 0);
    for row in 0..series.len() {
        let steps = series.row(row).next().map_or(0, |at| values.row(at).values.len());
        let mut counts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for at in series.row(row) {
            let held = values.row(at);
            for step in 0..steps {
                if let Some(value) = held.get(step) {
                    counts.entry(shortest(value)).or_insert_with(|| vec![0; steps])[step] += 1;
                }
            }
        }
        for (value, counts) in &counts {
            write_with(&mut labels, groups.row(row).filter(|(key, _)| *key != name), name, value);
            counts.iter().for_each(|count| out.push((*count > 0).then_some(f64::from(*count))));
            out.finish_row();
            rows += 1;
        }
        ends.push(offset(rows));
    }
    Ok(series_lists(ends, Arc::new(labels.finish()), out.finish()))
}

/// A number as Go's `strconv.FormatFloat(v, 'f', -1, 64)` writes it.
pub fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    format!("{value}")
}

/// The `k` greatest (`kind` "topk") or least ("bottomk") of collected series at each step.
pub fn topk(kind: &'static str, series: Expr, k: Expr) -> Expr {
    TOP.call(vec![lit(kind), series, k])
}

/// The quantile over collected series at each step.
pub fn quantile_call(series: Expr, rank: Expr) -> Expr {
    QUANTILE.call(vec![series, rank])
}

/// How many collected series have each value, as series of the group's labels and `label`.
pub fn count_values_call(series: Expr, label: &str, group_labels: Expr) -> Expr {
    COUNT_VALUES.call(vec![series, lit(label), group_labels])
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    [&TOP, &QUANTILE, &COUNT_VALUES].into_iter().map(|function| Arc::clone(function)).collect()
}

#[cfg(test)]
mod tests {
    use super::{quantile_of, shortest};

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile_of(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile_of(1.0, &mut [3.0, 1.0]), 3.0);
        assert_eq!(quantile_of(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert!(quantile_of(f64::NAN, &mut [1.0]).is_nan());
    }

    #[test]
    fn numbers_are_written_without_exponent() {
        assert_eq!(shortest(1e21), "1000000000000000000000");
        assert_eq!(shortest(0.1), "0.1");
        assert_eq!(shortest(f64::NEG_INFINITY), "-Inf");
    }
}
