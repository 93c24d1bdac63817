//! Binary operators: on numbers, on a vector and a number, on two vectors matched by labels.

use super::{Operand, Series, Vector, group_labels};
use crate::answer::Labels;
use crate::ast::{Binary, BinaryOp, Compare, Group, Grouping, Matching};
use crate::check::apply;
use crate::error::Error;
use std::collections::HashMap;

/// Applies an operator.
pub(crate) fn binary(operation: &Binary, left: Operand, right: Operand, steps: usize) -> Result<Operand, Error> {
    let op = operation.op;
    Ok(Operand::Vector(match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => return Ok(Operand::Number(apply(op, left, right))),
        (Operand::Vector(vector), Operand::Number(number)) => with_number(operation, vector, |value| (value, number)),
        (Operand::Number(number), Operand::Vector(vector)) => with_number(operation, vector, |value| (number, value)),
        (Operand::Vector(left), Operand::Vector(right)) if op.is_set() => {
            set(op, left, right, &operation.matching, steps)
        }
        (Operand::Vector(left), Operand::Vector(right)) => vectors(operation, &left, &right, steps)?,
    }))
}

/// Every value with a number; the order of the series stays.
fn with_number(operation: &Binary, mut vector: Vector, sides: impl Fn(f64) -> (f64, f64)) -> Vector {
    for series in &mut vector.series {
        for slot in &mut series.values {
            *slot = slot.and_then(|value| {
                let (left, right) = sides(value);
                result(operation, left, right, value)
            });
        }
    }
    vector.series.retain(|series| series.values.iter().any(Option::is_some));
    vector
}

/// A comparison keeps `kept` or nothing unless it returns a bool.
fn result(operation: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    match operation.op {
        BinaryOp::Compare(compare) if !operation.returns_bool => Compare::holds(compare, &left, &right).then_some(kept),
        op => Some(apply(op, left, right)),
    }
}

/// The labels that two series must share to match.
fn signature(labels: &Labels, matching: &Matching) -> Labels {
    match &matching.labels {
        None => labels.clone(),
        Some(names) => {
            let grouping = Grouping { labels: names.clone(), without: !matching.on };
            let mut part = group_labels(labels, &grouping);
            // An absent label and an empty one match.
            part.0.retain(|(_, value)| !value.is_empty());
            part
        }
    }
}

fn signatures(vector: &Vector, matching: &Matching) -> HashMap<Labels, Vec<usize>> {
    let mut groups: HashMap<Labels, Vec<usize>> = HashMap::new();
    for (index, series) in vector.series.iter().enumerate() {
        groups.entry(signature(&series.labels, matching)).or_default().push(index);
    }
    groups
}

/// Gathers values by label set.
#[derive(Default)]
struct Builder {
    places: HashMap<Labels, usize>,
    series: Vec<Series>,
}

impl Builder {
    fn values(&mut self, labels: Labels, steps: usize) -> &mut Vec<Option<f64>> {
        let series = &mut self.series;
        let place = *self.places.entry(labels).or_insert_with_key(|labels| {
            series.push(Series { labels: labels.clone(), values: vec![None; steps] });
            series.len() - 1
        });
        &mut self.series[place].values
    }

    fn finish(mut self, ordered: bool) -> Vector {
        self.series.retain(|series| series.values.iter().any(Option::is_some));
        Vector { series: self.series, ordered }
    }
}

fn set(op: BinaryOp, left: Vector, right: Vector, matching: &Matching, steps: usize) -> Vector {
    let (lefts, rights) = (signatures(&left, matching), signatures(&right, matching));
    let present = |vector: &Vector, members: Option<&Vec<usize>>, step: usize| {
        members.is_some_and(|members| members.iter().any(|index| vector.series[*index].values[step].is_some()))
    };
    let mut builder = Builder::default();
    for series in &left.series {
        let members = rights.get(&signature(&series.labels, matching));
        let out = builder.values(series.labels.clone(), steps);
        for (step, (slot, value)) in out.iter_mut().zip(&series.values).enumerate() {
            let kept = match op {
                BinaryOp::Or => true,
                BinaryOp::And => present(&right, members, step),
                _ => !present(&right, members, step),
            };
            if kept {
                *slot = *value;
            }
        }
    }
    if op == BinaryOp::Or {
        for series in &right.series {
            let members = lefts.get(&signature(&series.labels, matching));
            let out = builder.values(series.labels.clone(), steps);
            for (step, (slot, value)) in out.iter_mut().zip(&series.values).enumerate() {
                if slot.is_none() && !present(&left, members, step) {
                    *slot = *value;
                }
            }
        }
    }
    builder.finish(left.ordered)
}

fn vectors(operation: &Binary, left: &Vector, right: &Vector, steps: usize) -> Result<Vector, Error> {
    let matching = &operation.matching;
    // "Many" is the side whose series may share a signature; with one-to-one, the left by convention.
    let swapped = matching.group == Group::Right;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let one_side = if swapped { "left" } else { "right" };
    let groups = signatures(one, matching);
    for (labels, members) in &groups {
        for step in 0..steps {
            if members.iter().filter(|index| one.series[**index].values[step].is_some()).count() > 1 {
                return Err(Error::Execution(format!(
                    "found duplicate series on the {one_side} hand-side for the match group {labels}; many-to-many matching not allowed: matching labels must be unique on one side"
                )));
            }
        }
    }
    let mut builder = Builder::default();
    let mut matched: HashMap<(Labels, usize), ()> = HashMap::new();
    for series in &many.series {
        let key = signature(&series.labels, matching);
        let Some(partners) = groups.get(&key) else { continue };
        for step in 0..steps {
            let Some(value) = series.values[step] else { continue };
            let partner = partners.iter().find(|index| one.series[**index].values[step].is_some());
            let Some(partner) = partner.map(|index| &one.series[*index]) else { continue };
            let Some(other) = partner.values[step] else { continue };
            let one_to_one = matching.group == Group::None;
            if one_to_one && matched.insert((key.clone(), step), ()).is_some() {
                return Err(Error::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        .to_owned(),
                ));
            }
            let (left, right) = if swapped { (other, value) } else { (value, other) };
            let Some(result) = result(operation, left, right, left) else { continue };
            let labels = result_labels(&series.labels, &partner.labels, matching);
            let slot = &mut builder.values(labels, steps)[step];
            if slot.is_some() {
                return Err(Error::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
                ));
            }
            *slot = Some(result);
        }
    }
    Ok(builder.finish(left.ordered))
}

fn result_labels(many: &Labels, one: &Labels, matching: &Matching) -> Labels {
    if matching.group == Group::None {
        return match &matching.labels {
            None => many.clone(),
            Some(names) => group_labels(many, &Grouping { labels: names.clone(), without: !matching.on }),
        };
    }
    let mut labels = many.clone();
    for name in &matching.include {
        labels.set(name, one.get(name).unwrap_or(""));
    }
    labels
}
