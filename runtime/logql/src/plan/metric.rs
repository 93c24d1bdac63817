//! Metric queries: range aggregations as DataFusion plans, then operators on the resulting vectors.

use super::pipeline::{Counters, KEY, Output, PipelineFunction, SampleValue, VALUE, Windows};
use super::window::WindowFunction;
use super::{engine_error, kept_only, lines, plan_error, source, streams};
use crate::answer::Labels;
use crate::ast::{Grouping, MatchOp, MetricExpr, RangeAggregation, RangeOp, Stage, VectorAggregation, VectorOp};
use crate::error::Error;
use crate::vector::{Operand, Series, Vector, aggregate, binary, label_replace, select};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::Column;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{LogicalPlan, and, col, ident};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use weft_model::{Table, logs};
use weft_query::Session;

/// The times of a query, ns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) steps: usize,
    pub(crate) instant: bool,
}

/// One query's evaluation.
pub(crate) struct Evaluation<'a> {
    pub(crate) session: &'a Session,
    pub(crate) grid: Grid,
    pub(crate) counters: &'a Arc<Counters>,
}

const SAMPLE: &str = "sample";
const VALUES: &str = "values";

impl<'a> Evaluation<'a> {
    /// Evaluates an expression.
    pub(crate) fn run<'s>(
        &'s self,
        expr: &'s MetricExpr,
    ) -> Pin<Box<dyn Future<Output = Result<Operand, Error>> + Send + 's>> {
        Box::pin(async move {
            let steps = self.grid.steps;
            match expr {
                MetricExpr::Literal(value) => Ok(Operand::Number(*value)),
                MetricExpr::Vector(value) => Ok(Operand::Vector(Vector::constant(*value, steps))),
                MetricExpr::Range(range) => self.range(range, range.grouping.as_ref()).await.map(Operand::Vector),
                MetricExpr::Aggregate(aggregation) => self.aggregate(aggregation).await.map(Operand::Vector),
                MetricExpr::Binary(operation) => {
                    let left = self.run(&operation.left).await?;
                    let right = self.run(&operation.right).await?;
                    binary::binary(operation, left, right, steps)
                }
                MetricExpr::LabelReplace(replace) => {
                    let operand = self.run(&replace.operand).await?.into_vector(steps);
                    label_replace::label_replace(operand, replace).map(Operand::Vector)
                }
            }
        })
    }

    async fn aggregate(&self, aggregation: &VectorAggregation) -> Result<Vector, Error> {
        let VectorAggregation { op, parameter, operand, grouping } = aggregation;
        if *op == VectorOp::ApproxTopK && !self.grid.instant {
            return Err(Error::Invalid("approx_topk is only supported on instant queries".to_owned()));
        }
        let all = Grouping { labels: Vec::new(), without: false };
        let grouping = grouping.as_ref().unwrap_or(&all);
        // A sum of sums: lines go to their group at once, which also tells parsers what is needed.
        if let (VectorOp::Sum, MetricExpr::Range(range)) = (op, operand)
            && range.grouping.is_none()
            && matches!(range.op, RangeOp::Count | RangeOp::Rate | RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Sum)
        {
            return self.range(range, Some(grouping)).await;
        }
        let vector = self.run(operand).await?.into_vector(self.grid.steps);
        Ok(match op {
            VectorOp::TopK | VectorOp::ApproxTopK => select::topk(vector, *parameter, grouping, true),
            VectorOp::BottomK => select::topk(vector, *parameter, grouping, false),
            VectorOp::Sort => select::sort(vector, true),
            VectorOp::SortDesc => select::sort(vector, false),
            _ => aggregate::aggregate(*op, vector, grouping, self.grid.steps),
        })
    }

    async fn range(&self, range: &RangeAggregation, grouping: Option<&Grouping>) -> Result<Vector, Error> {
        let plan = self.range_plan(range, grouping)?;
        let batches = self.session.collect(self.session.frame(plan)).await.map_err(engine_error)?;
        let mut series = Vec::new();
        for batch in &batches {
            let (keys, values) = (batch.column(0).as_binary_opt::<i32>(), batch.column(1).as_list_opt::<i32>());
            let (Some(keys), Some(values)) = (keys, values) else {
                return Err(Error::Query(weft_query::Error::Engine("series have unexpected types".to_owned())));
            };
            for row in 0..batch.num_rows() {
                let values = values.value(row);
                let values: Vec<Option<f64>> = values.as_primitive::<Float64Type>().iter().collect();
                if values.iter().any(Option::is_some) {
                    series.push(Series { labels: streams::decode(keys.value(row))?, values });
                }
            }
        }
        if range.op == RangeOp::Absent {
            return Ok(self.absent(range, &series));
        }
        Ok(Vector { series, ordered: false })
    }

    fn range_plan(&self, range: &RangeAggregation, grouping: Option<&Grouping>) -> Result<LogicalPlan, Error> {
        let stages = &range.selector.stages;
        let Grid { start, step, steps, .. } = self.grid;
        let windows = Windows { start, step, steps, range: range.range, offset: range.offset };
        let unwrapped = stages.iter().any(|stage| matches!(stage, Stage::Unwrap(_)));
        let value = match range.op {
            RangeOp::Bytes | RangeOp::BytesRate => SampleValue::Bytes,
            _ if unwrapped => SampleValue::Unwrapped,
            _ => SampleValue::One,
        };
        let none = Grouping { labels: Vec::new(), without: false };
        let grouping = if range.op == RangeOp::Absent { Some(&none) } else { grouping };
        // Absence looks at whether there are samples: a failing stage matters to it as it does elsewhere.
        let needed = grouping
            .filter(|grouping| !grouping.without && range.op != RangeOp::Absent)
            .map(|grouping| grouping.labels.as_slice());
        let metadata = !(grouping.is_some_and(|grouping| !grouping.without && grouping.labels.is_empty())
            && stages.iter().all(|stage| matches!(stage, Stage::LineFilter(_))));
        let output = Output::Sample { value, grouping: grouping.cloned(), windows };
        let function =
            PipelineFunction::udf(stages, needed, output, Arc::clone(self.counters)).map_err(Error::Invalid)?;
        let window = WindowFunction { op: range.op, windows, parameter: range.parameter, unwrapped }.udaf();
        let last = start.saturating_add(step.saturating_mul(i64::try_from(steps.saturating_sub(1)).unwrap_or(0)));
        let times = source::within(
            start.saturating_sub(range.range).saturating_sub(range.offset),
            last.saturating_sub(range.offset),
        );
        let filter = [source::selector(&range.selector.matchers), source::line_filters(stages)]
            .into_iter()
            .flatten()
            .fold(times, and);
        let field = |name: &str| get_field(ident(SAMPLE), name.to_owned());
        let scan = self.session.scan(Table::Logs).map_err(engine_error)?;
        let build = || {
            scan.filter(filter)?
                .project(vec![col(logs::TIME), function.call(lines::columns(metadata)).alias(SAMPLE)])?
                .unnest_column_with_options(Column::new_unqualified(SAMPLE), kept_only())?
                .project(vec![col(logs::TIME), field(KEY).alias(KEY), field(VALUE).alias(VALUE)])?
                .aggregate(vec![ident(KEY)], vec![window.call(vec![col(logs::TIME), ident(VALUE)]).alias(VALUES)])?
                .build()
        };
        build().map_err(plan_error)
    }

    /// 1 at each step without a sample, with the labels that the selector fixes.
    fn absent(&self, range: &RangeAggregation, present: &[Series]) -> Vector {
        let matchers = &range.selector.matchers;
        let fixed = matchers.iter().filter(|matcher| {
            matcher.op == MatchOp::Equal && matchers.iter().filter(|other| other.name == matcher.name).count() == 1
        });
        let labels = Labels::from_pairs(fixed.map(|matcher| (matcher.name.as_str(), matcher.value.as_str())));
        let values: Vec<Option<f64>> = (0..self.grid.steps)
            .map(|step| (!present.iter().any(|series| series.values[step].is_some())).then_some(1.0))
            .collect();
        let series = if values.iter().any(Option::is_some) { vec![Series { labels, values }] } else { Vec::new() };
        Vector { series, ordered: false }
    }
}
