//! Function calls.

use super::{Names, Operand, Order, PER_SECOND, Planner, Scalar, Vector, values};
use crate::error::Error;
use crate::functions::{self, Type};
use crate::parse::ast::{Expr, Kind, MatchOp, Matcher, Selector};
use datafusion::logical_expr::{Expr as Column, LogicalPlan, ident, lit};
use weft_query::functions::maps::METRIC_NAME;
use weft_query::functions::{label_join, label_replace};
use weft_query::vector::{Grid, LABELS, TIMESTAMPS, plan, pointwise, range};

/// Functions that take samples for running totals.
const CUMULATIVE: [&str; 4] = ["rate", "increase", "irate", "resets"];
/// Functions of a window that keep the metric's name.
const KEEP_NAME: [&str; 2] = ["last_over_time", "first_over_time"];
/// Date functions: of the evaluation time without an argument.
const DATES: [&str; 8] =
    ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"];
/// Functions of native histograms only: floats have no part in their results.
const NATIVE: [&str; 5] = ["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"];

impl Planner<'_> {
    pub(super) fn call(&mut self, expr: &Expr, name: &str, arguments: &[Expr], grid: &Grid) -> Result<Operand, Error> {
        let Some(function) = functions::find(name) else {
            return Err(self.parse_error(expr.span, format!("unknown function with name {name:?}")));
        };
        if function.returns == Type::Scalar {
            return Ok(Operand::Scalar(self.scalar_call(expr, name, arguments, grid)?));
        }
        if function.arguments.contains(&Type::Matrix) {
            return Ok(Operand::Vector(self.range_call(expr, name, arguments, grid)?));
        }
        let vector = match (name, arguments) {
            ("vector", [inner]) => {
                let relation = self.scalar(inner, grid)?.relation(grid)?;
                Vector::new(plan::map_labels(relation, plan::label_literal(&[])?)?, Names::None)
            }
            ("absent", [inner]) => {
                let labels = absent_labels(inner);
                let input = self.vector(inner, grid)?.plan;
                Vector::new(plan::absent(input, &borrowed(&labels), grid.steps)?, Names::None)
            }
            ("timestamp", [inner]) => self.timestamp(inner, grid)?,
            ("sort" | "sort_desc", [inner]) => {
                if grid.steps > 1 {
                    self.note_sort(expr);
                }
                Vector { order: Order::Value { descending: name == "sort_desc" }, ..self.vector(inner, grid)? }
            }
            ("sort_by_label" | "sort_by_label_desc", [inner, labels @ ..]) => {
                if grid.steps > 1 {
                    self.note_sort(expr);
                }
                let names = labels.iter().map(|label| self.string(label, grid)).collect::<Result<_, _>>()?;
                let order = Order::Labels { names, descending: name == "sort_by_label_desc" };
                Vector { order, ..self.vector(inner, grid)? }
            }
            ("label_replace", [inner, rest @ ..]) => self.label_replace(inner, rest, grid)?,
            ("label_join", [inner, rest @ ..]) => self.label_join(inner, rest, grid)?,
            ("histogram_quantile", [rank, inner]) => {
                let rank_place = rank;
                let rank = self.scalar(rank, grid)?;
                self.check_quantile(rank_place, &rank, grid);
                let input = self.vector(inner, grid)?;
                let named = input.names == Names::Many;
                self.nameless_histograms(plan::histogram_quantile(input.plan, rank.number(), named)?, named)?
            }
            ("histogram_fraction", [low, high, inner]) => {
                let (low, high) = (self.scalar(low, grid)?.number(), self.scalar(high, grid)?.number());
                let input = self.vector(inner, grid)?;
                let named = input.names == Names::Many;
                self.nameless_histograms(plan::histogram_fraction(input.plan, low, high, named)?, named)?
            }
            (name, [inner]) if NATIVE.contains(&name) => {
                // Planned all the same: native histograms among the data are an error there, not nothing.
                let input = self.vector(inner, grid)?;
                let nothing = plan::map_values(input.plan, pointwise::call("clamp", values(), [lit(1.0), lit(0.0)]))?;
                Vector::new(nothing, Names::None)
            }
            (name, []) if DATES.contains(&name) => {
                let times =
                    Scalar::Steps(grid.times().map(|time| (time / PER_SECOND) as f64).collect()).relation(grid)?;
                Vector::new(plan::map_values(times, pointwise::call(name, values(), []))?, Names::None)
            }
            (name, [inner, rest @ ..]) if pointwise::kernel(name).is_some() => {
                let vector = self.vector(inner, grid)?;
                let numbers = rest.iter().map(|number| self.scalar(number, grid)).collect::<Result<Vec<_>, _>>()?;
                let (input, columns) = self.with_scalars(vector.plan.clone(), numbers)?;
                self.nameless(Vector { plan: input, ..vector }, pointwise::call(name, values(), columns))?
            }
            _ => return Err(self.unsupported(expr.span, format!("{name}() is"))),
        };
        Ok(Operand::Vector(vector))
    }

    /// Results of histograms without the names that told them apart.
    fn nameless_histograms(&self, results: LogicalPlan, named: bool) -> Result<Vector, Error> {
        self.nameless(Vector::new(results, if named { Names::Many } else { Names::None }), values())
    }

    fn scalar_call(&mut self, expr: &Expr, name: &str, arguments: &[Expr], grid: &Grid) -> Result<Scalar, Error> {
        let seconds = |time: i64| time as f64 / PER_SECOND as f64;
        Ok(match (name, arguments) {
            ("pi", []) => Scalar::Constant(std::f64::consts::PI),
            ("time", []) => Scalar::Steps(grid.times().map(seconds).collect()),
            ("start", []) => Scalar::Constant(seconds(self.query.start)),
            ("end", []) => Scalar::Constant(seconds(self.query.end())),
            ("step", []) => Scalar::Constant(seconds(self.durations.step)),
            ("range", []) => Scalar::Constant(seconds(self.durations.range)),
            ("scalar", [inner]) => {
                let input = self.vector(inner, grid)?;
                Scalar::Relation(plan::single(input.plan, grid.steps)?)
            }
            ("min_of" | "max_of", [left, right]) => {
                let (left, right) = (self.scalar(left, grid)?, self.scalar(right, grid)?);
                if matches!(left, Scalar::Relation(_)) || matches!(right, Scalar::Relation(_)) {
                    return Err(self.unsupported(expr.span, format!("{name}() of numbers that come from data is")));
                }
                let pick = |left: f64, right: f64| match (left.is_nan() || right.is_nan(), name) {
                    (true, _) => f64::NAN,
                    (false, "min_of") => left.min(right),
                    (false, _) => left.max(right),
                };
                let at = |scalar: &Scalar, step| scalar.at(step).unwrap_or(f64::NAN);
                Scalar::Steps((0..grid.steps).map(|step| pick(at(&left, step), at(&right, step))).collect())
            }
            _ => return Err(self.unsupported(expr.span, format!("{name}() is"))),
        })
    }

    fn range_call(&mut self, expr: &Expr, name: &str, arguments: &[Expr], grid: &Grid) -> Result<Vector, Error> {
        let is_matrix = |argument: &&Expr| crate::check::type_of(argument) == Type::Matrix;
        let Some(matrix) = arguments.iter().find(is_matrix) else {
            return Err(self.parse_error(expr.span, format!("{name}() needs a range vector")));
        };
        let ranged = self.ranged(matrix, grid, CUMULATIVE.contains(&name))?;
        let mut numbers = Vec::new();
        for argument in arguments.iter().filter(|argument| !is_matrix(argument)) {
            let number = self.scalar(argument, grid)?;
            match name {
                "quantile_over_time" => self.check_quantile(argument, &number, grid),
                "double_exponential_smoothing" => self.check_factor(numbers.is_empty(), &number, grid)?,
                _ => {}
            }
            numbers.push(number);
        }
        if name == "rate" || name == "increase" {
            self.note_possible_gauge(matrix);
        }
        if name == "absent_over_time" {
            let present = range::call("present_over_time", ident(TIMESTAMPS), values(), &ranged.window, [])?;
            let present = plan::map_values(ranged.plan, present)?;
            let labels = absent_labels(matrix);
            return Ok(Vector::new(plan::absent(present, &borrowed(&labels), grid.steps)?, Names::None));
        }
        if !range::NAMES.contains(&name) {
            return Err(self.unsupported(expr.span, format!("{name}() is")));
        }
        let (input, columns) = self.with_scalars(ranged.plan, numbers)?;
        let result = range::call(name, ident(TIMESTAMPS), values(), &ranged.window, columns)?;
        let vector = Vector::new(input, ranged.names);
        if KEEP_NAME.contains(&name) {
            return Ok(Vector::new(plan::map_values(vector.plan, result)?, vector.names));
        }
        self.nameless(vector, result)
    }

    fn check_factor(&self, smoothing: bool, factor: &Scalar, grid: &Grid) -> Result<(), Error> {
        let what = if smoothing { "smoothing" } else { "trend" };
        let wrong = (0..grid.steps).filter_map(|step| factor.at(step)).find(|factor| *factor <= 0.0 || *factor >= 1.0);
        match wrong {
            Some(found) => {
                let message = format!(
                    "invalid {what} factor. Expected: 0 < {} < 1, got: {found}",
                    if smoothing { "sf" } else { "tf" }
                );
                Err(weft_query::Error::Rejected(message).into())
            }
            None => Ok(()),
        }
    }

    fn note_sort(&mut self, expr: &Expr) {
        let message = "sort is ineffective for range queries since results are always ordered by labels";
        self.notes.warn(self.text, expr.span, message);
    }

    /// Says so where a counter's function is used on what isn't named like a counter.
    fn note_possible_gauge(&mut self, matrix: &Expr) {
        let Kind::Range { selector, .. } = &matrix.kind else { return };
        let name =
            selector.matchers.iter().find(|matcher| matcher.label == METRIC_NAME && matcher.op == MatchOp::Equal);
        let Some(name) = name.map(|matcher| matcher.value.as_str()) else { return };
        if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
            let message =
                format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}");
            self.notes.info_if_found(self.text, matrix.span, message);
        }
    }

    fn timestamp(&mut self, inner: &Expr, grid: &Grid) -> Result<Vector, Error> {
        let mut bare = inner;
        while let Kind::Paren(next) = &bare.kind {
            bare = next;
        }
        if let Kind::Selector(selector) = &bare.kind {
            let times = self.newest(bare, selector, "timestamp", grid)?;
            return self.nameless(times, values());
        }
        let vector = self.vector(inner, grid)?;
        let times = Scalar::Steps(grid.times().map(|time| time as f64 / PER_SECOND as f64).collect());
        let Some(times) = times.literal() else { return Ok(vector) };
        // The time where there is a value: the value drops out.
        let at_values = weft_query::vector::steps::masked_with(times, values());
        self.nameless(vector, at_values)
    }

    fn label_replace(&mut self, inner: &Expr, rest: &[Expr], grid: &Grid) -> Result<Vector, Error> {
        let texts = rest.iter().map(|text| self.string(text, grid)).collect::<Result<Vec<_>, _>>()?;
        let [target, _, _, pattern] = texts.as_slice() else {
            return Err(self.parse_error(inner.span, "label_replace() takes 5 arguments"));
        };
        weft_query::functions::regexes::anchored(pattern).map_err(|_| {
            weft_query::Error::Rejected(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        check_label(target, "label_replace")?;
        let vector = self.vector(inner, grid)?;
        let mut arguments: Vec<Column> = vec![ident(LABELS)];
        arguments.extend(texts.iter().map(|text| lit(text.as_str())));
        self.relabelled(vector, label_replace::label_replace().call(arguments), target)
    }

    fn label_join(&mut self, inner: &Expr, rest: &[Expr], grid: &Grid) -> Result<Vector, Error> {
        let texts = rest.iter().map(|text| self.string(text, grid)).collect::<Result<Vec<_>, _>>()?;
        let Some(target) = texts.first() else {
            return Err(self.parse_error(inner.span, "label_join() takes at least 3 arguments"));
        };
        check_label(target, "label_join")?;
        let vector = self.vector(inner, grid)?;
        let mut arguments: Vec<Column> = vec![ident(LABELS)];
        arguments.extend(texts.iter().map(|text| lit(text.as_str())));
        self.relabelled(vector, label_join::label_join().call(arguments), target)
    }

    fn relabelled(&self, vector: Vector, labels: Column, target: &str) -> Result<Vector, Error> {
        let names = if target == METRIC_NAME { Names::Many } else { vector.names };
        let plan = plan::merge_equal(plan::map_labels(vector.plan, labels)?)?;
        Ok(Vector::new(plan, names))
    }
}

fn check_label(name: &str, function: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(
            weft_query::Error::Rejected(format!("invalid destination label name in {function}(): {name}")).into()
        );
    }
    Ok(())
}

/// The labels of `absent`'s result: those a selector pins to one value, and no other matcher names.
fn absent_labels(expr: &Expr) -> Vec<(String, String)> {
    let selector: &Selector = match &expr.kind {
        Kind::Selector(selector) | Kind::Range { selector, .. } => selector,
        Kind::Paren(inner) => return absent_labels(inner),
        _ => return Vec::new(),
    };
    let once = |matcher: &&Matcher| selector.matchers.iter().filter(|other| other.label == matcher.label).count() == 1;
    selector
        .matchers
        .iter()
        .filter(|matcher| matcher.label != METRIC_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty())
        .filter(once)
        .map(|matcher| (matcher.label.clone(), matcher.value.clone()))
        .collect()
}

fn borrowed(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
