//! Aggregations that fold the series of a group into one.

use super::{Series, Vector, group_labels};
use crate::ast::{Grouping, VectorOp};
use crate::plan::window::mean;
use std::collections::HashMap;

pub(crate) fn aggregate(op: VectorOp, vector: Vector, grouping: &Grouping, steps: usize) -> Vector {
    let mut groups: Vec<(crate::answer::Labels, Vec<usize>)> = Vec::new();
    let mut places = HashMap::new();
    for (index, series) in vector.series.iter().enumerate() {
        let labels = group_labels(&series.labels, grouping);
        let place = *places.entry(labels).or_insert_with_key(|labels: &crate::answer::Labels| {
            groups.push((labels.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(index);
    }
    let mut values = Vec::new();
    let series = groups
        .into_iter()
        .map(|(labels, members)| {
            let folded = (0..steps).map(|step| {
                values.clear();
                values.extend(members.iter().filter_map(|member| vector.series[*member].values[step]));
                fold(op, &values)
            });
            Series { labels, values: folded.collect() }
        })
        .collect();
    Vector { series, ordered: false }
}

fn fold(op: VectorOp, values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 series")]
    let count = values.len() as f64;
    let each = values.iter().copied();
    Some(match op {
        VectorOp::Sum => each.sum(),
        VectorOp::Avg => mean(each),
        VectorOp::Min => each.fold(f64::NAN, f64::min),
        VectorOp::Max => each.fold(f64::NAN, f64::max),
        VectorOp::Stdvar | VectorOp::Stddev => {
            let mean = each.clone().sum::<f64>() / count;
            let variance = each.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            if op == VectorOp::Stddev { variance.sqrt() } else { variance }
        }
        // The others select series and don't come here.
        _ => count,
    })
}
