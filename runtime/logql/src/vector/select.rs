//! `topk`, `bottomk`, `sort`, `sort_desc`: series are chosen or ordered, not folded.

use super::{Vector, group_labels};
use crate::ast::Grouping;
use std::cmp::Ordering;
use std::collections::HashMap;

/// By value, no number last in either direction, then by labels.
fn by_value(vector: &Vector, step: usize, ascending: bool) -> impl Fn(&usize, &usize) -> Ordering {
    move |a, b| {
        let value = |index: &usize| vector.series[*index].values[step].unwrap_or(f64::NAN);
        let (left, right) = (value(a), value(b));
        let order = match (left.is_nan(), right.is_nan()) {
            (false, false) if ascending => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
            (false, false) => right.partial_cmp(&left).unwrap_or(Ordering::Equal),
            (left, right) => left.cmp(&right),
        };
        order.then_with(|| vector.series[*a].labels.cmp(&vector.series[*b].labels))
    }
}

/// The `k` largest (or smallest) of each group at each step.
pub(crate) fn topk(vector: Vector, k: usize, grouping: &Grouping, largest: bool) -> Vector {
    let mut groups: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, series) in vector.series.iter().enumerate() {
        groups.entry(group_labels(&series.labels, grouping)).or_default().push(index);
    }
    let steps = vector.series.first().map_or(0, |series| series.values.len());
    let mut kept: Vec<Vec<bool>> = vector.series.iter().map(|_| vec![false; steps]).collect();
    let (mut order, mut ordered) = (Vec::new(), vec![false; vector.series.len()]);
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, members) in groups {
        #[allow(clippy::needless_range_loop, reason = "the step indexes other series as well")]
        for step in 0..steps {
            let mut present: Vec<usize> =
                members.iter().copied().filter(|index| vector.series[*index].values[step].is_some()).collect();
            present.sort_by(by_value(&vector, step, !largest));
            for index in present.into_iter().take(k) {
                kept[index][step] = true;
                if !std::mem::replace(&mut ordered[index], true) {
                    order.push(index);
                }
            }
        }
    }
    let mut series: Vec<Option<_>> = vector.series.into_iter().map(Some).collect();
    let series = order.into_iter().filter_map(|index| {
        let mut chosen = series[index].take()?;
        for (value, kept) in chosen.values.iter_mut().zip(&kept[index]) {
            *value = value.filter(|_| *kept);
        }
        Some(chosen)
    });
    Vector { series: series.collect(), ordered: true }
}

/// Orders an instant vector; of a range, the answer is sorted by labels anyway.
pub(crate) fn sort(vector: Vector, ascending: bool) -> Vector {
    let mut order: Vec<usize> = (0..vector.series.len()).collect();
    if vector.series.first().is_some_and(|series| !series.values.is_empty()) {
        order.sort_by(by_value(&vector, 0, ascending));
    }
    let series = order.into_iter().map(|index| vector.series[index].clone()).collect();
    Vector { series, ordered: true }
}
