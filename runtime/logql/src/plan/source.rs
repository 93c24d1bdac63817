//! Which rows of `logs` a query reads, as native filters that files, row groups and pages prune by.

use crate::ast::{LineFilter, LineOp, LineOperand, MatchOp, Matcher, Stage};
use crate::stages::line_filter::regex;
use datafusion::functions::string::expr_fn::contains;
use datafusion::logical_expr::{Expr, Operator, and, binary_expr, col, lit, or};
use weft_model::logs;
use weft_query::functions::label_matches::label_matches;

/// Times of rows: `after < t <= until`, ns.
pub(crate) fn within(after: i64, until: i64) -> Expr {
    and(col(logs::TIME).gt(lit(after)), col(logs::TIME).lt_eq(lit(until)))
}

/// The stream selector.
pub(crate) fn selector(matchers: &[Matcher]) -> Option<Expr> {
    matchers.iter().map(matcher).reduce(and)
}

fn matcher(matcher: &Matcher) -> Expr {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let exact = label_matches().call(vec![
        col(logs::STREAM_LABELS),
        lit(matcher.name.as_str()),
        lit(op),
        lit(matcher.value.as_str()),
    ]);
    // The one label with a column of its own, and so with statistics.
    if matcher.name == logs::SERVICE_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty() {
        return and(col(logs::SERVICE_NAME).eq(lit(matcher.value.as_str())), exact);
    }
    exact
}

/// The line filters that see the line as it was stored, as one expression.
pub(crate) fn line_filters(stages: &[Stage]) -> Option<Expr> {
    stages
        .iter()
        .take_while(|stage| !matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize))
        .filter_map(|stage| match stage {
            Stage::LineFilter(filter) => line_filter(filter),
            _ => None,
        })
        .reduce(and)
}

/// Whether [`line_filters`] says all there is to say about which lines stay.
pub(crate) fn only_line_filters(stages: &[Stage]) -> bool {
    stages
        .iter()
        .all(|stage| matches!(stage, Stage::LineFilter(filter) if line_filter(filter).is_some() || keeps_all(filter)))
}

fn keeps_all(filter: &LineFilter) -> bool {
    filter.op == LineOp::Contains && !filter.negated && filter.operands.contains(&LineOperand::Text(String::new()))
}

/// A filter as an expression; `None` where the engine has none like it.
fn line_filter(filter: &LineFilter) -> Option<Expr> {
    if keeps_all(filter) {
        return None;
    }
    let operands = filter.operands.iter().map(|operand| match (operand, filter.op) {
        (LineOperand::Text(text), LineOp::Contains) => Some(contains(col(logs::BODY), lit(text.as_str()))),
        (LineOperand::Text(text), LineOp::Regex) => {
            Some(binary_expr(col(logs::BODY), Operator::RegexMatch, lit(text.as_str())))
        }
        _ => None,
    });
    let any = operands.collect::<Option<Vec<Expr>>>()?.into_iter().reduce(or)?;
    // A record without a body is an empty line.
    if filter.negated {
        return Some(if matches_empty(filter) {
            and(any.is_not_true(), col(logs::BODY).is_not_null())
        } else {
            any.is_not_true()
        });
    }
    if matches_empty(filter) {
        return Some(or(any, col(logs::BODY).is_null()));
    }
    Some(any)
}

/// Whether the filter's operands match an empty line.
fn matches_empty(filter: &LineFilter) -> bool {
    filter.operands.iter().any(|operand| match (operand, filter.op) {
        (LineOperand::Text(text), LineOp::Contains) => text.is_empty(),
        (LineOperand::Text(text), LineOp::Regex) => regex(text).is_ok_and(|regex| regex.is_match("")),
        _ => false,
    })
}
