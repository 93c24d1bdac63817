//! Plans of vectors: each function takes relations of `labels` and `values` and gives one.

use super::aggregate::Op;
use super::binary::{self, Keep, Operator};
use super::collect::collect;
use super::grid::Grid;
use super::histogram::BOUND;
use super::matching::{self, Cardinality, Matching, Operation};
use super::{LABELS, TIMESTAMPS, VALUES, gather, histogram, select, steps};
use crate::functions::label_key;
use crate::functions::maps::METRIC_NAME;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, ident, lit};
use std::sync::Arc;
use weft_model::attributes::LabelMapBuilder;
use weft_model::metrics;

const KEY: &str = "key";
const OTHER_KEY: &str = "other_key";
const SERIES: &str = "series";
const OTHER_SERIES: &str = "other_series";
const OTHER_VALUES: &str = "other_values";
const SAMPLES: &str = "samples";
const NUMBER: &str = "number";
const OTHER_NUMBER: &str = "other_number";

/// A number that a function of whole groups takes.
#[derive(Debug, Clone)]
pub enum Number {
    /// A literal: a float, or a list of one a step.
    Literal(Expr),
    /// A relation of one row of `values`.
    Relation(LogicalPlan),
}

impl Number {
    /// It as an expression beside the rows of `input`.
    fn beside(self, input: LogicalPlanBuilder, name: &str) -> Result<(LogicalPlanBuilder, Expr)> {
        match self {
            Self::Literal(literal) => Ok((input, literal)),
            Self::Relation(relation) => {
                Ok((LogicalPlanBuilder::from(beside(input.build()?, relation, name)?), ident(name)))
            }
        }
    }
}

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// These.
    By(Vec<String>),
    /// All others; the metric's name never.
    Without(Vec<String>),
}

impl Grouping {
    /// All series in one group.
    pub fn all() -> Self {
        Self::By(Vec::new())
    }

    /// A group's key, of a column of labels.
    pub fn key(&self, labels: Expr) -> Expr {
        let (kind, names) = match self {
            Self::By(names) => ("by", names),
            Self::Without(names) => ("without", names),
        };
        let mut arguments = vec![labels, lit(kind)];
        arguments.extend(names.iter().map(|name| lit(name.as_str())));
        if matches!(self, Self::Without(_)) {
            arguments.push(lit(METRIC_NAME));
        }
        label_key::label_key().call(arguments)
    }
}

fn labels() -> Expr {
    ident(LABELS)
}

fn values() -> Expr {
    ident(VALUES)
}

fn of_key(key: &str) -> Expr {
    label_key::labels_of_key().call(vec![ident(key)]).alias(LABELS)
}

/// Samples of each series of `metrics` in `(after, until]`, from rows that passed the selector's filters.
/// With `cumulative`, series of delta temporality are an error of the query: what is computed from them
/// takes each sample for a running total.
///
/// # Errors
/// When the input isn't a scan of `metrics`.
pub fn gather_rows(rows: LogicalPlan, after: i64, until: i64, cumulative: bool) -> Result<LogicalPlan> {
    let column = |name: &str| ident(name);
    let arguments = vec![
        column(metrics::NAME),
        column(metrics::LABELS),
        column(metrics::TIMESTAMPS),
        column(metrics::VALUES),
        column(metrics::INT_VALUES),
        lit(after),
        lit(until),
        // A column only where it matters: others need not read it.
        if cumulative { column(metrics::TEMPORALITY) } else { lit(0i32) },
    ];
    gathered(rows, ident(metrics::SERIES_ID), gather::gather_rows().call(arguments))
}

/// Samples of each label set, from rows of `labels` (a map), `time` (64-bit integer) and `value` (float).
///
/// # Errors
/// When the input lacks these columns.
pub fn gather_points(rows: LogicalPlan, labels: Expr, time: Expr, value: Expr) -> Result<LogicalPlan> {
    let key = label_key::label_key().call(vec![labels.clone()]);
    gathered(rows, key, gather::gather_points().call(vec![labels, time, value]))
}

fn gathered(rows: LogicalPlan, key: Expr, gather: Expr) -> Result<LogicalPlan> {
    let field = |name: &str| steps::part(ident(SAMPLES), name).alias(name);
    LogicalPlanBuilder::from(rows)
        .aggregate([key.alias(KEY)], [gather.alias(SAMPLES)])?
        .project([field(LABELS), field(TIMESTAMPS), field(VALUES)])?
        .build()
}

/// `values` of each series replaced. Series may come out without a value at any step; they count for
/// nothing and are left out of results. (A filter here would be moved below the projection by the
/// optimizer, and so evaluate the function twice.)
///
/// # Errors
/// When the expression doesn't fit the input.
pub fn map_values(input: LogicalPlan, new_values: Expr) -> Result<LogicalPlan> {
    map(input, labels(), new_values)
}

/// `labels` and `values` of each series replaced, as [`map_values`] does.
///
/// # Errors
/// When the expressions don't fit the input.
pub fn map(input: LogicalPlan, new_labels: Expr, new_values: Expr) -> Result<LogicalPlan> {
    projected(input, [new_labels.alias(LABELS), new_values.alias(VALUES)])
}

/// A projection on a vector. DataFusion 55 removes a projection that reads the same as the one below it
/// (`merge_consecutive_projections`), which turns `-(-x)` into `-x`: such two are made one here.
fn projected(input: LogicalPlan, columns: [Expr; 2]) -> Result<LogicalPlan> {
    let mut plan = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    loop {
        let LogicalPlan::Projection(outer) = &plan else { return Ok(plan) };
        let LogicalPlan::Projection(inner) = outer.input.as_ref() else { return Ok(plan) };
        if outer.expr != inner.expr {
            return Ok(plan);
        }
        let composed = outer.expr.iter().zip(outer.schema.fields()).map(|(expr, field)| {
            let whole = expr.clone().transform_up(|node| match &node {
                Expr::Column(column) => {
                    let at = inner.schema.index_of_column(column)?;
                    Ok(Transformed::yes(inner.expr[at].clone().unalias()))
                }
                _ => Ok(Transformed::no(node)),
            })?;
            Ok(whole.data.unalias().alias(field.name()))
        });
        plan =
            LogicalPlan::Projection(Projection::try_new(composed.collect::<Result<_>>()?, Arc::clone(&inner.input))?);
    }
}

/// `labels` of each series replaced.
///
/// # Errors
/// When the expression doesn't fit the input.
pub fn map_labels(input: LogicalPlan, new_labels: Expr) -> Result<LogicalPlan> {
    projected(input, [new_labels.alias(LABELS), values()])
}

/// Series of equal labels made one; a step at which two have a value is an error of the query.
///
/// # Errors
/// When the input is no vector.
pub fn merge_equal(input: LogicalPlan) -> Result<LogicalPlan> {
    grouped(input, label_key::label_key().call(vec![labels()]), Op::Only)
}

/// An aggregation over the series of each group.
///
/// # Errors
/// When the input is no vector.
pub fn aggregate(input: LogicalPlan, op: Op, grouping: &Grouping) -> Result<LogicalPlan> {
    grouped(input, grouping.key(labels()), op)
}

fn grouped(input: LogicalPlan, key: Expr, op: Op) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(input)
        .aggregate([key.alias(KEY)], [op.function().call(vec![values()]).alias(VALUES)])?
        .project([of_key(KEY), values()])?
        .build()
}

fn collected(input: LogicalPlan, key: Expr, key_name: &str, series_name: &str) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::from(input)
        .aggregate([key.alias(key_name)], [collect().call(vec![labels(), values()]).alias(series_name)])
}

/// Lists of series made rows again.
fn unnested(input: LogicalPlanBuilder) -> Result<LogicalPlan> {
    let options = UnnestOptions::new().with_preserve_nulls(false);
    let field = |name: &str| steps::part(ident(SERIES), name).alias(name);
    input
        .unnest_column_with_options(Column::from_name(SERIES), options)?
        .project([field(LABELS), field(VALUES)])?
        .build()
}

/// The `k` greatest ("topk") or least ("bottomk") series of each group at each step.
///
/// # Errors
/// When the input is no vector.
pub fn topk(input: LogicalPlan, kind: &'static str, k: Number, grouping: &Grouping) -> Result<LogicalPlan> {
    let (series, k) = k.beside(collected(input, grouping.key(labels()), KEY, SERIES)?, NUMBER)?;
    unnested(series.project([select::topk(kind, ident(SERIES), k).alias(SERIES)])?)
}

/// The quantile over the series of each group at each step.
///
/// # Errors
/// When the input is no vector.
pub fn quantile(input: LogicalPlan, rank: Number, grouping: &Grouping) -> Result<LogicalPlan> {
    let (series, rank) = rank.beside(collected(input, grouping.key(labels()), KEY, SERIES)?, NUMBER)?;
    series.project([of_key(KEY), select::quantile_call(ident(SERIES), rank).alias(VALUES)])?.build()
}

/// How many series of each group have each value, at each step.
///
/// # Errors
/// When the input is no vector.
pub fn count_values(input: LogicalPlan, label: &str, grouping: &Grouping) -> Result<LogicalPlan> {
    let series = collected(input, grouping.key(labels()), KEY, SERIES)?;
    let group = label_key::labels_of_key().call(vec![ident(KEY)]);
    let counted = unnested(series.project([select::count_values_call(ident(SERIES), label, group).alias(SERIES)])?)?;
    merge_equal(counted)
}

/// The quantile of each classic histogram: series that differ in nothing but `le`. With `named` the
/// metric's name tells histograms apart too, and stays on the result.
///
/// # Errors
/// When the input is no vector.
pub fn histogram_quantile(buckets: LogicalPlan, rank: Number, named: bool) -> Result<LogicalPlan> {
    let (series, rank) = rank.beside(histograms(buckets, named)?, NUMBER)?;
    histogram_results(series, histogram::quantile_call(ident(SERIES), rank))
}

/// The share of observations of each classic histogram that lie between two bounds; `named` as for
/// [`histogram_quantile`].
///
/// # Errors
/// When the input is no vector.
pub fn histogram_fraction(buckets: LogicalPlan, low: Number, high: Number, named: bool) -> Result<LogicalPlan> {
    let (series, low) = low.beside(histograms(buckets, named)?, NUMBER)?;
    let (series, high) = high.beside(series, OTHER_NUMBER)?;
    histogram_results(series, histogram::fraction_call(ident(SERIES), low, high))
}

fn histograms(buckets: LogicalPlan, named: bool) -> Result<LogicalPlanBuilder> {
    let key = if named {
        label_key::label_key().call(vec![labels(), lit("without"), lit(BOUND)])
    } else {
        Grouping::Without(vec![BOUND.to_owned()]).key(labels())
    };
    collected(buckets, key, KEY, SERIES)
}

fn histogram_results(series: LogicalPlanBuilder, result: Expr) -> Result<LogicalPlan> {
    series.project([of_key(KEY), result.alias(VALUES)])?.build()
}

/// An operator between each series and a number (a literal, or a literal list of one a step).
///
/// # Errors
/// When the input is no vector.
pub fn binary_constant(
    vector: LogicalPlan,
    operator: Operator,
    keep: Keep,
    constant: Expr,
    constant_left: bool,
    new_labels: Expr,
) -> Result<LogicalPlan> {
    let (left, right) = if constant_left { (constant, values()) } else { (values(), constant) };
    map(vector, new_labels, binary::call(operator, keep, left, right))
}

/// `column` of a one-row relation of `values` beside each series, for functions that take a scalar.
///
/// # Errors
/// When either input is no vector.
pub fn beside(vector: LogicalPlan, scalar: LogicalPlan, column: &str) -> Result<LogicalPlan> {
    let scalar = LogicalPlanBuilder::from(scalar).project([values().alias(column)])?.build()?;
    LogicalPlanBuilder::from(vector).cross_join(scalar)?.build()
}

/// An operator between the matching series of two vectors.
///
/// # Errors
/// When either input is no vector.
pub fn binary_vectors(
    left: LogicalPlan,
    right: LogicalPlan,
    operation: Operation,
    matching: &Matching,
) -> Result<LogicalPlan> {
    let left_one = matching.cardinality == Cardinality::OneToMany;
    let checked = |input, key_name: &str, series_name: &str, side, one: bool| -> Result<LogicalPlan> {
        let series = collected(input, matching.key(labels()), key_name, series_name)?;
        if one {
            let unique = matching::unique(ident(series_name), side, ident(key_name)).alias(series_name);
            return series.project([ident(key_name), unique])?.build();
        }
        series.build()
    };
    let left = checked(left, KEY, SERIES, "left", left_one)?;
    let right = checked(right, OTHER_KEY, OTHER_SERIES, "right", !left_one)?;
    let joined = LogicalPlanBuilder::from(left)
        .join(right, JoinType::Inner, (vec![Column::from_name(KEY)], vec![Column::from_name(OTHER_KEY)]), None)?
        .project([matching::matched(ident(SERIES), ident(OTHER_SERIES), operation, matching).alias(SERIES)])?;
    unnested(joined)
}

/// A set operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOperator {
    /// Left series at steps where the right side has their key.
    And,
    /// Left series, and right ones at steps where the left side lacks their key.
    Or,
    /// Left series at steps where the right side lacks their key.
    Unless,
}

/// A set operation between two vectors.
///
/// # Errors
/// When either input is no vector.
pub fn set_operation(
    left: LogicalPlan,
    right: LogicalPlan,
    operator: SetOperator,
    matching: &Matching,
) -> Result<LogicalPlan> {
    match operator {
        SetOperator::And => masked(left, right, true, matching),
        SetOperator::Unless => masked(left, right, false, matching),
        SetOperator::Or => {
            let rest = masked(right, left.clone(), false, matching)?;
            merge_equal(LogicalPlanBuilder::from(left).union(rest)?.build()?)
        }
    }
}

/// `kept` at the steps where `other` has (or lacks) a series of the same key.
fn masked(kept: LogicalPlan, other: LogicalPlan, present: bool, matching: &Matching) -> Result<LogicalPlan> {
    let presence = LogicalPlanBuilder::from(other)
        .aggregate(
            [matching.key(labels()).alias(OTHER_KEY)],
            [Op::Group.function().call(vec![values()]).alias(OTHER_VALUES)],
        )?
        .build()?;
    let join = if present { JoinType::Inner } else { JoinType::Left };
    let mask = if present { steps::masked_with } else { steps::masked_without };
    LogicalPlanBuilder::from(kept)
        .project([matching.key(labels()).alias(KEY), labels(), values()])?
        .join(presence, join, (vec![Column::from_name(KEY)], vec![Column::from_name(OTHER_KEY)]), None)?
        .project([labels(), mask(values(), ident(OTHER_VALUES)).alias(VALUES)])?
        .build()
}

/// One series of given labels and values.
///
/// # Errors
/// Only by a fault of the engine.
pub fn literal(series_labels: &[(&str, &str)], series_values: Expr) -> Result<LogicalPlan> {
    LogicalPlanBuilder::empty(true)
        .project([label_literal(series_labels)?.alias(LABELS), series_values.alias(VALUES)])?
        .build()
}

/// A literal label set; sorted here.
///
/// # Errors
/// Only by a fault of the engine.
pub fn label_literal(labels: &[(&str, &str)]) -> Result<Expr> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let mut out = LabelMapBuilder::new();
    sorted.iter().for_each(|(name, value)| out.label(name, value));
    out.finish_row();
    Ok(Expr::Literal(ScalarValue::Map(Arc::new(out.finish())), None))
}

/// 1 at each step at which no series of the input has a value: one series, of the given labels.
///
/// # Errors
/// When the input is no vector.
pub fn absent(input: LogicalPlan, series_labels: &[(&str, &str)], steps: usize) -> Result<LogicalPlan> {
    let all = one_row(input, Op::Group, steps)?;
    map(all, label_literal(series_labels)?, steps::inverted(values()))
}

/// The value of the only series at each step, NaN where there are none or several: always one row.
///
/// # Errors
/// When the input is no vector.
pub fn single(input: LogicalPlan, steps: usize) -> Result<LogicalPlan> {
    one_row(input, Op::Single, steps)
}

/// All series aggregated to one row, also when there are none.
fn one_row(input: LogicalPlan, op: Op, steps: usize) -> Result<LogicalPlan> {
    let base = literal(&[], steps::constants(&vec![None; steps]))?;
    aggregate(LogicalPlanBuilder::from(base).union(input)?.build()?, op, &Grouping::all())
}

/// The steps of a vector as samples, for windows over it.
///
/// # Errors
/// When the input is no vector.
pub fn as_samples(input: LogicalPlan, grid: &Grid) -> Result<LogicalPlan> {
    let field = |name: &str| steps::part(ident(SAMPLES), name).alias(name);
    LogicalPlanBuilder::from(input)
        .project([labels(), steps::samples(values(), grid).alias(SAMPLES)])?
        .project([labels(), field(TIMESTAMPS), field(VALUES)])?
        .build()
}
