//! Pipelines on one trace: each stage takes sets of spans and gives sets of spans.

use super::columns::Val;
use super::expr::{Compiled, number, order, to_value};
use super::structural::inverse;
use super::trace::Trace;
use crate::answer::Value;
use crate::ast::{AggregateOp, Expr, Field, Op, Pipeline, Scalar, Spanset, SpansetOp, Stage, StructuralKind};
use crate::error::Error;
use std::cmp::Ordering;

/// A pipeline ready to run.
#[derive(Debug)]
pub(crate) struct CompiledPipeline {
    stages: Vec<CompiledStage>,
}

#[derive(Debug)]
enum CompiledStage {
    Spanset(CompiledSpanset),
    /// The aggregate stands on the left, whichever side it was written on.
    Scalar {
        op: Op,
        aggregate: AggregateOp,
        argument: Option<Compiled>,
        name: String,
        value: Value,
    },
    By {
        expr: Compiled,
        name: String,
    },
    Coalesce,
    Select(Vec<Field>),
}

#[derive(Debug)]
enum CompiledSpanset {
    Filter(Compiled),
    Binary { op: SpansetOp, left: Box<Self>, right: Box<Self> },
    Pipeline(CompiledPipeline),
}

/// Spans of a trace that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    /// Indexes of spans, ascending.
    pub(crate) spans: Vec<usize>,
    pub(crate) attributes: Vec<(String, Value)>,
}

impl CompiledPipeline {
    pub(crate) fn new(pipeline: &Pipeline) -> Result<Self, Error> {
        Ok(Self { stages: pipeline.stages.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Fields that the query names, in order of appearance.
    pub(crate) fn fields(&self) -> Vec<&Field> {
        let mut found = Vec::new();
        self.collect_fields(&mut found);
        found
    }

    /// Runs on all spans of a trace.
    pub(crate) fn run(&self, trace: &Trace<'_>) -> Result<Vec<Set>, Error> {
        self.run_on(trace, vec![Set { spans: (0..trace.len()).collect(), attributes: Vec::new() }])
    }

    fn run_on(&self, trace: &Trace<'_>, mut sets: Vec<Set>) -> Result<Vec<Set>, Error> {
        for stage in &self.stages {
            let mut next = Vec::with_capacity(sets.len());
            match stage {
                CompiledStage::Select(_) => continue,
                CompiledStage::Coalesce => {
                    let spans = union(sets.iter().flat_map(|set| set.spans.iter().copied()));
                    next.push(Set { spans, attributes: Vec::new() });
                }
                CompiledStage::Spanset(spanset) => {
                    for set in sets {
                        next.extend(spanset.run(trace, set)?);
                    }
                }
                CompiledStage::By { expr, name } => {
                    for set in sets {
                        group(trace, &set, expr, name, &mut next)?;
                    }
                }
                CompiledStage::Scalar { op, aggregate: function, argument, name, value } => {
                    for mut set in sets {
                        if let Some(result) = aggregate(trace, &set, *function, argument.as_ref())?
                            && holds(*op, &result, value)
                        {
                            set.attributes.push((name.clone(), result));
                            next.push(set);
                        }
                    }
                }
            }
            next.retain(|set| !set.spans.is_empty());
            if next.is_empty() {
                return Ok(next);
            }
            sets = next;
        }
        Ok(sets)
    }
}

fn compile(stage: &Stage) -> Result<CompiledStage, Error> {
    Ok(match stage {
        Stage::Spanset(spanset) => CompiledStage::Spanset(compile_spanset(spanset)?),
        Stage::By(expr) => CompiledStage::By { expr: Compiled::new(expr)?, name: format!("by({expr})") },
        Stage::Coalesce => CompiledStage::Coalesce,
        Stage::Select(fields) => CompiledStage::Select(fields.clone()),
        Stage::Scalar(filter) => {
            let (op, scalar, value) = match (&filter.left, &filter.right) {
                (scalar, Scalar::Static(value)) => (filter.op, scalar, value),
                (Scalar::Static(value), scalar) => (filter.op.flipped(), scalar, value),
                _ => return Err(complex()),
            };
            let Scalar::Aggregate { op: function, argument } = scalar else { return Err(complex()) };
            let name = match argument {
                Some(argument) => format!("{}({argument})", function.name()),
                None => format!("{}()", function.name()),
            };
            let argument = argument.as_ref().map(|expr: &Expr| Compiled::new(expr)).transpose()?;
            CompiledStage::Scalar { op, aggregate: *function, argument, name, value: value.clone() }
        }
    })
}

fn complex() -> Error {
    Error::Unsupported("a scalar filter other than one aggregate compared with a number".to_owned())
}

fn compile_spanset(spanset: &Spanset) -> Result<CompiledSpanset, Error> {
    Ok(match spanset {
        Spanset::Filter(expr) => CompiledSpanset::Filter(Compiled::new(expr)?),
        Spanset::Pipeline(pipeline) => CompiledSpanset::Pipeline(CompiledPipeline::new(pipeline)?),
        Spanset::Binary { op, left, right } => CompiledSpanset::Binary {
            op: *op,
            left: Box::new(compile_spanset(left)?),
            right: Box::new(compile_spanset(right)?),
        },
    })
}

impl CompiledSpanset {
    fn collect_fields<'f>(&'f self, found: &mut Vec<&'f Field>) {
        match self {
            Self::Filter(expr) => expr.fields(&mut |field| found.push(field)),
            Self::Pipeline(pipeline) => pipeline.collect_fields(found),
            Self::Binary { left, right, .. } => {
                left.collect_fields(found);
                right.collect_fields(found);
            }
        }
    }

    fn run(&self, trace: &Trace<'_>, set: Set) -> Result<Vec<Set>, Error> {
        match self {
            Self::Filter(expr) => {
                let mut spans = Vec::with_capacity(set.spans.len());
                for span in set.spans {
                    if expr.passes(&|field: &Field| trace.field(field, span))? {
                        spans.push(span);
                    }
                }
                Ok(vec![Set { spans, attributes: set.attributes }])
            }
            Self::Pipeline(pipeline) => pipeline.run_on(trace, vec![set]),
            Self::Binary { op, left, right } => {
                let attributes = set.attributes.clone();
                let nonempty = |mut sets: Vec<Set>| {
                    sets.retain(|set| !set.spans.is_empty());
                    sets
                };
                let left = nonempty(left.run(trace, set.clone())?);
                let right = nonempty(right.run(trace, set)?);
                let all = |sets: &[Set]| union(sets.iter().flat_map(|set| set.spans.iter().copied()));
                let spans = match op {
                    SpansetOp::And if left.is_empty() || right.is_empty() => Vec::new(),
                    SpansetOp::And | SpansetOp::Or => union(all(&left).into_iter().chain(all(&right))),
                    SpansetOp::Structural { relation, kind } => {
                        if left.len() > 1 || right.len() > 1 {
                            return Err(Error::Execution(
                                "structural operators need a single set of spans on each side: use coalesce() first"
                                    .to_owned(),
                            ));
                        }
                        let (left, right) = (members(trace, &all(&left)), members(trace, &all(&right)));
                        let related = trace.tree.related(*relation, &left);
                        let back = match kind {
                            StructuralKind::Union => trace.tree.related(inverse(*relation), &right),
                            _ => Vec::new(),
                        };
                        let keep = |span: &usize| match kind {
                            StructuralKind::Plain => right[*span] && related[*span],
                            StructuralKind::Negated => right[*span] && !related[*span],
                            StructuralKind::Union => (right[*span] && related[*span]) || (left[*span] && back[*span]),
                        };
                        (0..trace.len()).filter(keep).collect()
                    }
                };
                Ok(vec![Set { spans, attributes }])
            }
        }
    }
}

impl CompiledPipeline {
    fn collect_fields<'f>(&'f self, found: &mut Vec<&'f Field>) {
        for stage in &self.stages {
            match stage {
                CompiledStage::Spanset(spanset) => spanset.collect_fields(found),
                CompiledStage::Scalar { argument, .. } => {
                    argument.iter().for_each(|argument| argument.fields(&mut |field| found.push(field)));
                }
                CompiledStage::By { expr, .. } => expr.fields(&mut |field| found.push(field)),
                CompiledStage::Coalesce => {}
                CompiledStage::Select(fields) => found.extend(fields),
            }
        }
    }
}

fn members(trace: &Trace<'_>, spans: &[usize]) -> Vec<bool> {
    let mut set = vec![false; trace.len()];
    spans.iter().for_each(|span| set[*span] = true);
    set
}

fn union(spans: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut all: Vec<usize> = spans.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// One set for each value; absent values are a group of their own.
fn group(trace: &Trace<'_>, set: &Set, expr: &Compiled, name: &str, out: &mut Vec<Set>) -> Result<(), Error> {
    let mut groups: Vec<(Value, Vec<usize>)> = Vec::new();
    for &span in &set.spans {
        let value = to_value(expr.value(&|field: &Field| trace.field(field, span))?);
        match groups.iter_mut().find(|(held, _)| *held == value) {
            Some((_, spans)) => spans.push(span),
            None => groups.push((value, vec![span])),
        }
    }
    out.extend(groups.into_iter().map(|(value, spans)| {
        let mut attributes = set.attributes.clone();
        attributes.push((name.to_owned(), value));
        Set { spans, attributes }
    }));
    Ok(())
}

/// An aggregate of a set; absent values are left out, and without any there is no result.
fn aggregate(
    trace: &Trace<'_>,
    set: &Set,
    op: AggregateOp,
    argument: Option<&Compiled>,
) -> Result<Option<Value>, Error> {
    let Some(argument) = argument else {
        return Ok(Some(Value::Int(i64::try_from(set.spans.len()).unwrap_or(i64::MAX))));
    };
    let mut values: Vec<Val<'_>> = Vec::with_capacity(set.spans.len());
    for &span in &set.spans {
        let value = argument.value(&|field: &Field| trace.field(field, span))?;
        if number(&value).is_some() {
            values.push(value);
        }
    }
    let Some(first) = values.first().cloned() else { return Ok(None) };
    Ok(Some(match op {
        AggregateOp::Count => Value::Int(i64::try_from(values.len()).unwrap_or(i64::MAX)),
        AggregateOp::Min => to_value(extreme(values, Ordering::Less).unwrap_or(first)),
        AggregateOp::Max => to_value(extreme(values, Ordering::Greater).unwrap_or(first)),
        // Only values of the first one's type add up.
        AggregateOp::Sum | AggregateOp::Avg => {
            let same = |value: &&Val<'_>| std::mem::discriminant(*value) == std::mem::discriminant(&first);
            let count = values.iter().filter(same).count();
            #[allow(clippy::cast_precision_loss, reason = "averages are floats")]
            let average = |sum: f64| sum / count as f64;
            let whole = || {
                values.iter().filter(same).fold(0i64, |sum, value| match value {
                    Val::Int(value) | Val::Duration(value) => sum.wrapping_add(*value),
                    _ => sum,
                })
            };
            match (&first, op) {
                (Val::Duration(_), AggregateOp::Sum) => Value::Duration(whole()),
                (Val::Duration(_), _) => Value::Duration(whole() / i64::try_from(count).unwrap_or(i64::MAX).max(1)),
                (Val::Int(_), AggregateOp::Sum) => Value::Int(whole()),
                (_, op) => {
                    let sum: f64 = values.iter().filter(same).filter_map(number).sum();
                    Value::Float(if op == AggregateOp::Sum { sum } else { average(sum) })
                }
            }
        }
    }))
}

fn extreme<'a>(values: Vec<Val<'a>>, wanted: Ordering) -> Option<Val<'a>> {
    values.into_iter().reduce(|best, value| if order(&value, &best) == Some(wanted) { value } else { best })
}

fn holds(op: Op, result: &Value, value: &Value) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "comparisons between kinds of numbers are in floats")]
    let float = |value: &Value| match value {
        Value::Int(value) | Value::Duration(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    };
    let (Some(left), Some(right)) = (float(result), float(value)) else { return false };
    match op {
        Op::Equal => left == right,
        Op::NotEqual => left != right,
        Op::Greater => left > right,
        Op::GreaterEqual => left >= right,
        Op::Less => left < right,
        Op::LessEqual => left <= right,
        _ => false,
    }
}
