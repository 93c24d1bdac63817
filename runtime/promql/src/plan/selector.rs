//! Selectors: rows of `metrics` that match, their samples, and the window each step sees of them.

use super::{Names, Operand, PER_SECOND, Planner, Vector};
use crate::error::Error;
use crate::parse::ast::{At, Duration, Expr, Kind, MatchOp, Matcher, Modifiers, Selector, Span};
use datafusion::logical_expr::{Expr as Column, LogicalPlan, LogicalPlanBuilder, ident, lit};
use weft_model::{Table, metrics};
use weft_query::functions::maps::METRIC_NAME;
use weft_query::functions::{label_matches, regexes, text_matches};
use weft_query::vector::{Grid, TIMESTAMPS, Window, plan, range};

/// Samples of series, and the windows over them.
#[derive(Debug, Clone)]
pub struct Ranged {
    /// Relation of `labels`, `timestamps`, `values`.
    pub plan: LogicalPlan,
    /// What each step sees.
    pub window: Window,
    /// What is known of the series' names.
    pub names: Names,
}

/// The condition on a row of `metrics` that a matcher is.
pub fn condition(matcher: &Matcher) -> Column {
    if matcher.label != METRIC_NAME {
        let arguments = vec![
            ident(metrics::LABELS),
            lit(matcher.label.as_str()),
            lit(matcher.op.symbol()),
            lit(matcher.value.as_str()),
        ];
        return label_matches::label_matches().call(arguments);
    }
    let name = ident(metrics::NAME);
    match (matcher.op, regexes::alternatives(&matcher.value)) {
        (MatchOp::Equal, _) => name.eq(lit(matcher.value.as_str())),
        // Statistics, page indexes and bloom filters can answer these.
        (MatchOp::Regex, Some(names)) => name.in_list(names.into_iter().map(lit).collect(), false),
        _ => text_matches::text_matches().call(vec![name, lit(matcher.op.symbol()), lit(matcher.value.as_str())]),
    }
}

/// Conditions of all matchers on rows that have samples in `(after, until]`.
pub fn conditions(matchers: &[Matcher], after: i64, until: i64) -> Column {
    let times = ident(metrics::MAX_TIME).gt(lit(after)).and(ident(metrics::MIN_TIME).lt_eq(lit(until)));
    // Names first: they are what a file is sorted and pruned by.
    let (names, others): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.label == METRIC_NAME);
    names.into_iter().chain(others).map(condition).fold(times, Column::and)
}

fn names_of(selector: &Selector) -> Names {
    let exact = |matcher: &Matcher| matcher.label == METRIC_NAME && matcher.op == MatchOp::Equal;
    if selector.matchers.iter().any(exact) { Names::Same } else { Names::Many }
}

impl Planner<'_> {
    /// A duration of the query in ms.
    pub(super) fn millis(&self, span: Span, duration: &Duration) -> Result<i64, Error> {
        duration.millis(self.durations).map_err(|message| self.parse_error(span, message))
    }

    fn positive_millis(&self, span: Span, duration: &Duration) -> Result<i64, Error> {
        match self.millis(span, duration)? {
            millis if millis > 0 => Ok(millis),
            _ => Err(self.parse_error(span, "duration must be greater than 0")),
        }
    }

    fn window(&self, span: Span, modifiers: &Modifiers, range: i64, grid: &Grid) -> Result<Window, Error> {
        if let Some(word) = modifiers.extended {
            return Err(self.unsupported(span, format!("the modifier {word} is")));
        }
        let at = match modifiers.at {
            None => None,
            Some(At::Time(millis)) => Some(millis),
            Some(At::Start) => Some(self.query.start),
            Some(At::End) => Some(self.query.end()),
        };
        let offset = match &modifiers.offset {
            Some(offset) => self.millis(span, offset)?,
            None => 0,
        };
        Ok(Window { grid: *grid, at, offset, range, per_second: PER_SECOND })
    }

    fn samples(&self, selector: &Selector, window: Window, cumulative: bool) -> Result<Ranged, Error> {
        let (after, until) = window.bounds();
        let rows = self.session.scan(Table::Metrics)?.filter(conditions(&selector.matchers, after, until))?.build()?;
        Ok(Ranged { plan: plan::gather_rows(rows, after, until, cumulative)?, window, names: names_of(selector) })
    }

    /// The newest sample within the lookback, at each step; `function` is "instant" or "timestamp".
    pub(super) fn newest(
        &self,
        expr: &Expr,
        selector: &Selector,
        function: &str,
        grid: &Grid,
    ) -> Result<Vector, Error> {
        let window = self.window(expr.span, &selector.modifiers, self.lookback, grid)?;
        let samples = self.samples(selector, window, false)?;
        let newest = range::call(function, ident(TIMESTAMPS), super::values(), &window, [])?;
        Ok(Vector::new(plan::map_values(samples.plan, newest)?, samples.names))
    }

    pub(super) fn instant_selector(&mut self, expr: &Expr, selector: &Selector, grid: &Grid) -> Result<Vector, Error> {
        self.newest(expr, selector, "instant", grid)
    }

    /// A range vector as a query's result.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn samples_of(&mut self, expr: &Expr, grid: &Grid) -> Result<Ranged, Error> {
        self.ranged(expr, grid, false)
    }

    /// A range vector: a selector's samples, or the steps of a subquery.
    /// `cumulative` as for [`plan::gather_rows`].
    pub(super) fn ranged(&mut self, expr: &Expr, grid: &Grid, cumulative: bool) -> Result<Ranged, Error> {
        match &expr.kind {
            Kind::Paren(inner) => self.ranged(inner, grid, cumulative),
            Kind::Range { selector, range } => {
                let range = self.positive_millis(expr.span, range)?;
                let window = self.window(expr.span, &selector.modifiers, range, grid)?;
                self.samples(selector, window, cumulative)
            }
            Kind::Subquery { expr: inner, range, step, modifiers } => {
                let range = self.positive_millis(expr.span, range)?;
                let step = match step {
                    Some(step) => self.positive_millis(expr.span, step)?,
                    None => self.config.evaluation_interval_ms,
                };
                let window = self.window(expr.span, modifiers, range, grid)?;
                let (after, until) = window.bounds();
                // Steps of a subquery are multiples of its step, whatever time it is asked at.
                let first = after.div_euclid(step).saturating_add(1).saturating_mul(step);
                let inner_grid = Grid::new(first, until, step);
                let vector = match self.plan(inner, &inner_grid)? {
                    Operand::Vector(vector) => vector,
                    Operand::Scalar(scalar) => Vector::new(scalar.relation(&inner_grid)?, Names::None),
                    Operand::String(_) => {
                        return Err(self.parse_error(inner.span, "subquery is only allowed on instant vector"));
                    }
                };
                Ok(Ranged { plan: plan::as_samples(vector.plan, &inner_grid)?, window, names: vector.names })
            }
            _ => Err(self.parse_error(expr.span, "expected a range vector")),
        }
    }
}

/// A scan of series that match any of several selectors, with rows in a time range.
///
/// # Errors
/// Only by a fault of the engine.
pub fn series_rows(
    scan: LogicalPlanBuilder,
    selectors: &[Selector],
    start: i64,
    end: i64,
) -> Result<LogicalPlanBuilder, Error> {
    let any = selectors
        .iter()
        .map(|selector| conditions(&selector.matchers, start.saturating_sub(1), end))
        .reduce(Column::or);
    let times = || ident(metrics::MAX_TIME).gt_eq(lit(start)).and(ident(metrics::MIN_TIME).lt_eq(lit(end)));
    Ok(scan.filter(any.unwrap_or_else(times))?)
}
