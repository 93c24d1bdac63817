//! Which traces a query may match: those where, for each side of `&&` and of structural operators,
//! some span satisfies the side's filter.

use super::predicate::{predicate, weaken};
use super::{plan_error, unexpected_types};
use crate::answer::Value;
use crate::ast::{self, Pipeline, Spanset, SpansetOp, Stage, StructuralKind};
use crate::error::Error;
use datafusion::arrow::array::AsArray;
use datafusion::functions_aggregate::bool_and_or::bool_or;
use datafusion::functions_aggregate::min_max::max;
use datafusion::logical_expr::{Expr, and, col, ident, lit, or};
use weft_model::{Table, spans};
use weft_query::Session;

/// What must hold of a trace's spans.
#[derive(Debug, Clone, PartialEq)]
enum Formula {
    /// Nothing that spans by themselves could tell.
    True,
    /// Some span satisfies this condition.
    Some(usize),
    And(Box<Formula>, Box<Formula>),
    Or(Box<Formula>, Box<Formula>),
}

impl Formula {
    fn both(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, other) | (other, Self::True) => other,
            (left, right) => Self::And(Box::new(left), Box::new(right)),
        }
    }

    fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (left, right) => Self::Or(Box::new(left), Box::new(right)),
        }
    }

    fn having(&self) -> Expr {
        match self {
            Self::True => lit(true),
            Self::Some(index) => ident(condition(*index)),
            Self::And(left, right) => and(left.having(), right.having()),
            Self::Or(left, right) => or(left.having(), right.having()),
        }
    }
}

fn condition(index: usize) -> String {
    format!("condition{index}")
}

/// Conditions met on the way.
#[derive(Debug, Default)]
struct Conditions(Vec<Expr>);

impl Conditions {
    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Formula, Error> {
        let mut formula = Formula::True;
        for stage in &pipeline.stages {
            if let Stage::Spanset(spanset) = stage {
                formula = formula.both(self.spanset(spanset)?);
            }
        }
        Ok(formula)
    }

    fn spanset(&mut self, spanset: &Spanset) -> Result<Formula, Error> {
        Ok(match spanset {
            Spanset::Filter(filter) => match weaken(filter) {
                Some(weakened) => {
                    self.0.push(predicate(&weakened)?);
                    Formula::Some(self.0.len() - 1)
                }
                None => Formula::True,
            },
            Spanset::Pipeline(pipeline) => self.pipeline(pipeline)?,
            Spanset::Binary { op, left, right } => match op {
                SpansetOp::And => self.spanset(left)?.both(self.spanset(right)?),
                SpansetOp::Or => {
                    let before = self.0.len();
                    let formula = self.spanset(left)?.either(self.spanset(right)?);
                    if formula == Formula::True {
                        self.0.truncate(before);
                    }
                    formula
                }
                // The negated forms hold without any left span.
                SpansetOp::Structural { kind: StructuralKind::Negated, .. } => self.spanset(right)?,
                SpansetOp::Structural { .. } => self.spanset(left)?.both(self.spanset(right)?),
            },
        })
    }
}

/// The time range of a search: spans that overlap it, ns.
pub(crate) fn overlapping(start: i64, end: i64, margin: i64) -> Expr {
    and(
        and(col(spans::START_TIME).lt(lit(end)), col(spans::END_TIME).gt_eq(lit(start))),
        // Implied but for spans longer than the margin; it is what statistics of files can answer.
        col(spans::START_TIME).gt_eq(lit(start.saturating_sub(margin))),
    )
}

/// Whether every candidate matches: a single filter that spans by themselves can tell.
fn exact(pipeline: &Pipeline) -> bool {
    match pipeline.stages.as_slice() {
        [Stage::Spanset(Spanset::Filter(filter))] => {
            weaken(filter).as_ref() == Some(filter) || *filter == ast::Expr::Static(Value::Bool(true))
        }
        _ => false,
    }
}

/// Ids of candidate traces, those with the newest matching span first; no more than `limit` when that
/// many are sure to match.
pub(crate) async fn candidates(
    session: &Session,
    pipeline: &Pipeline,
    (start, end): (i64, i64),
    margin: i64,
    limit: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut conditions = Conditions::default();
    let formula = conditions.pipeline(pipeline)?;
    let conditions = conditions.0;
    let mut filter = overlapping(start, end, margin);
    if formula != Formula::True
        && let Some(any) = conditions.iter().cloned().reduce(or)
    {
        filter = and(filter, any);
    }
    let latest = || max(col(spans::START_TIME)).alias("latest");
    let scan = session.scan(Table::Spans)?;
    let build = || {
        let plan = scan.filter(filter)?;
        let plan = if conditions.len() > 1 && formula != Formula::True {
            let held = conditions.iter().enumerate().map(|(index, expr)| expr.clone().alias(condition(index)));
            let columns: Vec<Expr> = [col(spans::TRACE_ID), col(spans::START_TIME)].into_iter().chain(held).collect();
            let any = (0..conditions.len()).map(|index| bool_or(ident(condition(index))).alias(condition(index)));
            plan.project(columns)?
                .aggregate(vec![col(spans::TRACE_ID)], std::iter::once(latest()).chain(any).collect::<Vec<_>>())?
                .filter(formula.having())?
        } else {
            plan.aggregate(vec![col(spans::TRACE_ID)], vec![latest()])?
        };
        let limit = exact(pipeline).then_some(limit);
        plan.sort_with_limit(vec![ident("latest").sort(false, false)], limit)?
            .project(vec![col(spans::TRACE_ID)])?
            .build()
    };
    let plan = build().map_err(plan_error)?;
    let batches = session.collect(session.frame(plan)).await?;
    let mut ids = Vec::new();
    for batch in &batches {
        let column = batch.column(0).as_binary_opt::<i32>().ok_or_else(unexpected_types)?;
        ids.extend(column.iter().flatten().map(<[u8]>::to_vec));
    }
    Ok(ids)
}
