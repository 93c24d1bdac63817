//! Syntax tree → a query that means something, or the reason why it can't. Literals are folded here.

use crate::ast::{
    Binary, BinaryOp, Compare, Expr, LogExpr, MatchOp, MetricExpr, RangeAggregation, RangeOp, Stage, VectorAggregation,
};
use crate::error::Error;
use crate::stages::Pipeline;
use crate::stages::line_filter::anchored;

/// Checks a query and folds operations on two literals.
pub(crate) fn check(expr: Expr) -> Result<Expr, Error> {
    match expr {
        Expr::Log(log) => {
            self::log(&log)?;
            if log.stages.iter().any(|stage| matches!(stage, Stage::Unwrap(_))) {
                return Err(invalid("unwrap is for metric queries only"));
            }
            Ok(Expr::Log(log))
        }
        Expr::Metric(metric) => Ok(Expr::Metric(self::metric(metric)?)),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid(message.into())
}

/// Checks a selector as the label APIs take it.
pub(crate) fn selector(log: &LogExpr) -> Result<(), Error> {
    let mut selective = false;
    for matcher in &log.matchers {
        let matches_empty = match matcher.op {
            MatchOp::Equal => matcher.value.is_empty(),
            MatchOp::NotEqual => !matcher.value.is_empty(),
            MatchOp::Regex => anchored(&matcher.value).map_err(invalid)?.is_match(""),
            MatchOp::NotRegex => !anchored(&matcher.value).map_err(invalid)?.is_match(""),
        };
        selective |= !matches_empty;
    }
    if selective {
        return Ok(());
    }
    Err(invalid(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
    ))
}

fn log(log: &LogExpr) -> Result<(), Error> {
    selector(log)?;
    Pipeline::new(&log.stages, None).map_err(invalid)?;
    let unwrap = log.stages.iter().position(|stage| matches!(stage, Stage::Unwrap(_)));
    if let Some(at) = unwrap
        && !log.stages[at + 1..].iter().all(|stage| matches!(stage, Stage::LabelFilter(_)))
    {
        return Err(invalid("only label filters can stand behind unwrap"));
    }
    Ok(())
}

fn metric(expr: MetricExpr) -> Result<MetricExpr, Error> {
    Ok(match expr {
        MetricExpr::Literal(_) | MetricExpr::Vector(_) => expr,
        MetricExpr::Range(range) => {
            self::range(&range)?;
            MetricExpr::Range(range)
        }
        MetricExpr::Aggregate(aggregation) => {
            let VectorAggregation { op, parameter, operand, grouping } = *aggregation;
            let operand = metric(operand)?;
            if matches!(operand, MetricExpr::Literal(_)) {
                return Err(invalid(format!("{} needs a vector, not a number", op.name())));
            }
            MetricExpr::Aggregate(Box::new(VectorAggregation { op, parameter, operand, grouping }))
        }
        MetricExpr::Binary(binary) => self::binary(*binary)?,
        MetricExpr::LabelReplace(mut replace) => {
            anchored(&replace.regex).map_err(|error| invalid(format!("invalid regex in label_replace: {error}")))?;
            replace.operand = metric(replace.operand)?;
            if matches!(replace.operand, MetricExpr::Literal(_)) {
                return Err(invalid("label_replace needs a vector, not a number"));
            }
            MetricExpr::LabelReplace(replace)
        }
    })
}

fn range(range: &RangeAggregation) -> Result<(), Error> {
    log(&range.selector)?;
    let name = range.op.name();
    let unwraps = range.selector.stages.iter().any(|stage| matches!(stage, Stage::Unwrap(_)));
    match range.op {
        RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate if unwraps => {
            return Err(invalid(format!("invalid aggregation {name} with unwrap")));
        }
        RangeOp::RateCounter
        | RangeOp::Sum
        | RangeOp::Avg
        | RangeOp::Min
        | RangeOp::Max
        | RangeOp::Stddev
        | RangeOp::Stdvar
        | RangeOp::Quantile
        | RangeOp::First
        | RangeOp::Last
            if !unwraps =>
        {
            return Err(invalid(format!("invalid aggregation {name} without unwrap")));
        }
        _ => {}
    }
    let groups = matches!(
        range.op,
        RangeOp::Avg
            | RangeOp::Min
            | RangeOp::Max
            | RangeOp::Stddev
            | RangeOp::Stdvar
            | RangeOp::Quantile
            | RangeOp::First
            | RangeOp::Last
    );
    if range.grouping.is_some() && !groups {
        return Err(invalid(format!("grouping not allowed for {name} aggregation")));
    }
    Ok(())
}

fn binary(binary: Binary) -> Result<MetricExpr, Error> {
    let Binary { op, left, right, returns_bool, matching } = binary;
    let (left, right) = (metric(left)?, metric(right)?);
    if op.is_set() {
        for (side, operand) in [("left", &left), ("right", &right)] {
            if let MetricExpr::Literal(value) = operand {
                return Err(invalid(format!(
                    "unexpected literal for {side} leg of logical/set binary operation: {value}"
                )));
            }
        }
        if matching.group != crate::ast::Group::None {
            return Err(invalid("no grouping allowed for set operations"));
        }
    }
    if let (MetricExpr::Literal(left), MetricExpr::Literal(right)) = (&left, &right) {
        return Ok(MetricExpr::Literal(apply(op, *left, *right)));
    }
    if matching.on
        && let Some(labels) = &matching.labels
        && let Some(twice) = matching.include.iter().find(|label| labels.contains(label))
    {
        return Err(invalid(format!("label \"{twice}\" must not occur in ON and GROUP clause at once")));
    }
    Ok(MetricExpr::Binary(Box::new(Binary { op, left, right, returns_bool, matching })))
}

/// An operator on two values; comparisons answer 0 or 1, division by zero is no number.
pub(crate) fn apply(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Compare(compare) => f64::from(u8::from(Compare::holds(compare, &left, &right))),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}
