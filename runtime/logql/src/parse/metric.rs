//! Metric expressions: operators by precedence climbing, aggregations, functions.

use super::pipeline::{selector, stages};
use super::{
    Failure, Input, Parsed, eat, eat_word, expect, failure, ident, is, number, peek, peek_second, position, skip,
    symbol, text, unexpected,
};
use crate::ast::{
    Binary, BinaryOp, Compare, Expr, Group, Grouping, LabelReplace, LogExpr, Matching, MetricExpr, RangeAggregation,
    RangeOp, VectorAggregation, VectorOp,
};
use crate::lexer::Kind;
use winnow::Parser;
use winnow::combinator::separated;
use winnow::error::ErrMode;

/// The operator at the head of the input and how tightly it binds.
fn operator(input: &Input<'_>) -> Option<(BinaryOp, u8)> {
    Some(match peek(input) {
        Kind::Ident(word) => match word.as_str() {
            "or" => (BinaryOp::Or, 1),
            "and" => (BinaryOp::And, 2),
            "unless" => (BinaryOp::Unless, 2),
            _ => return None,
        },
        Kind::Symbol(symbol) => match *symbol {
            "==" => (BinaryOp::Compare(Compare::Equal), 3),
            "!=" => (BinaryOp::Compare(Compare::NotEqual), 3),
            ">" => (BinaryOp::Compare(Compare::Greater), 3),
            ">=" => (BinaryOp::Compare(Compare::GreaterEqual), 3),
            "<" => (BinaryOp::Compare(Compare::Less), 3),
            "<=" => (BinaryOp::Compare(Compare::LessEqual), 3),
            "+" => (BinaryOp::Add, 4),
            "-" => (BinaryOp::Subtract, 4),
            "*" => (BinaryOp::Multiply, 5),
            "/" => (BinaryOp::Divide, 5),
            "%" => (BinaryOp::Modulo, 5),
            "^" => (BinaryOp::Power, 6),
            _ => return None,
        },
        _ => return None,
    })
}

/// An expression whose operators bind tighter than `minimum`.
pub(super) fn expr(input: &mut Input<'_>, minimum: u8) -> Parsed<Expr> {
    let mut left = primary(input)?;
    while let Some((op, binding)) = operator(input).filter(|(_, binding)| *binding > minimum) {
        let at = position(input);
        skip(input);
        let returns_bool = eat_word(input, "bool");
        if returns_bool && !matches!(op, BinaryOp::Compare(_)) {
            return Err(failure(at, "syntax error: unexpected bool: only comparisons take it"));
        }
        let matching = matching(input)?;
        // `^` alone groups to the right.
        let right = expr(input, if op == BinaryOp::Power { binding - 1 } else { binding })?;
        let leg = |side: &str| failure(at, format!("unexpected type for {side} leg of binary operation: a log query"));
        let Expr::Metric(left_metric) = left else { return Err(leg("left")) };
        let Expr::Metric(right_metric) = right else { return Err(leg("right")) };
        left = Expr::Metric(MetricExpr::Binary(Box::new(Binary {
            op,
            left: left_metric,
            right: right_metric,
            returns_bool,
            matching,
        })));
    }
    Ok(left)
}

fn matching(input: &mut Input<'_>) -> Parsed<Matching> {
    let mut matching = Matching::default();
    let on = matches!(peek(input), Kind::Ident(word) if word == "on");
    if !on && !matches!(peek(input), Kind::Ident(word) if word == "ignoring") {
        return Ok(matching);
    }
    skip(input);
    matching.on = on;
    matching.labels = Some(names(input)?);
    if eat_word(input, "group_left") {
        matching.group = Group::Left;
    } else if eat_word(input, "group_right") {
        matching.group = Group::Right;
    }
    if matching.group != Group::None && is(input, "(") {
        // `group_left (x)` may also be the start of a parenthesised right side, which can't be a
        // list of names: a name followed by `,` or `)` decides.
        let mut ahead = input.clone();
        skip(&mut ahead);
        let list = is(&ahead, ")")
            || (matches!(peek(&ahead), Kind::Ident(_)) && matches!(peek_second(&ahead), Kind::Symbol("," | ")")));
        if list {
            matching.include = names(input)?;
        }
    }
    Ok(matching)
}

/// `(a, b)`, possibly empty.
fn names(input: &mut Input<'_>) -> Parsed<Vec<String>> {
    expect(input, "(")?;
    if eat(input, ")") {
        return Ok(Vec::new());
    }
    let names = separated(1.., ident, symbol(",")).parse_next(input)?;
    expect(input, ")")?;
    Ok(names)
}

fn primary(input: &mut Input<'_>) -> Parsed<Expr> {
    match peek(input) {
        Kind::Symbol("{") => Ok(Expr::Log(LogExpr { matchers: selector(input)?, stages: stages(input)? })),
        Kind::Symbol("(") => {
            skip(input);
            let inner = expr(input, 0)?;
            expect(input, ")")?;
            match inner {
                Expr::Log(mut log) => {
                    log.stages.extend(stages(input)?);
                    Ok(Expr::Log(log))
                }
                Expr::Metric(metric) => Ok(Expr::Metric(metric)),
            }
        }
        Kind::Symbol("-" | "+") | Kind::Number(_) => Ok(Expr::Metric(MetricExpr::Literal(number(input)?))),
        Kind::Ident(name) => function(input, name).map(Expr::Metric),
        _ => Err(unexpected(input, "")),
    }
}

/// The operand of an aggregation or function, which has to be a metric query.
fn metric(input: &mut Input<'_>) -> Parsed<MetricExpr> {
    let at = position(input);
    match expr(input, 0)? {
        Expr::Metric(metric) => Ok(metric),
        Expr::Log(_) => Err(failure(at, "syntax error: a metric query is needed here, not a log query")),
    }
}

fn function(input: &mut Input<'_>, name: &str) -> Parsed<MetricExpr> {
    let at = position(input);
    let called = matches!(peek_second(input), Kind::Symbol("("));
    if let Some(op) = VectorOp::of_name(name) {
        let grouped = matches!(peek_second(input), Kind::Ident(word) if word == "by" || word == "without");
        if called || grouped {
            skip(input);
            return vector_aggregation(input, op, at);
        }
    }
    if !called {
        return Err(unexpected(input, ""));
    }
    if let Some(op) = RangeOp::of_name(name) {
        skip(input);
        return range_aggregation(input, op);
    }
    match name {
        "vector" => {
            skip(input);
            expect(input, "(")?;
            let value = number(input)?;
            expect(input, ")")?;
            Ok(MetricExpr::Vector(value))
        }
        "label_replace" => {
            skip(input);
            expect(input, "(")?;
            let operand = metric(input)?;
            let mut texts = [const { String::new() }; 4];
            for argument in &mut texts {
                expect(input, ",")?;
                *argument = text(input)?;
            }
            expect(input, ")")?;
            let [destination, replacement, source, regex] = texts;
            Ok(MetricExpr::LabelReplace(Box::new(LabelReplace { operand, destination, replacement, source, regex })))
        }
        _ => Err(unexpected(input, "")),
    }
}

fn grouping(input: &mut Input<'_>) -> Parsed<Option<Grouping>> {
    let without = matches!(peek(input), Kind::Ident(word) if word == "without");
    if !without && !matches!(peek(input), Kind::Ident(word) if word == "by") {
        return Ok(None);
    }
    skip(input);
    Ok(Some(Grouping { labels: names(input)?, without }))
}

fn vector_aggregation(input: &mut Input<'_>, op: VectorOp, at: usize) -> Parsed<MetricExpr> {
    let before = grouping(input)?;
    expect(input, "(")?;
    let parameter = if matches!(peek(input), Kind::Number(_) | Kind::Symbol("-" | "+")) && followed_by_comma(input) {
        let parameter_at = position(input);
        let value = number(input)?;
        expect(input, ",")?;
        Some(k(op, value).map_err(|message| failure(parameter_at, message))?)
    } else {
        None
    };
    let operand = metric(input)?;
    expect(input, ")")?;
    let after = if before.is_none() { grouping(input)? } else { None };
    let grouping = before.or(after);
    if op.takes_parameter() && parameter.is_none() {
        return Err(failure(at, format!("parameter required for operation {}", op.name())));
    }
    if !op.takes_parameter() && parameter.is_some() {
        return Err(failure(at, format!("unsupported parameter for operation {}", op.name())));
    }
    if grouping.is_some() && matches!(op, VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopK) {
        return Err(failure(at, format!("grouping not allowed for {} aggregation", op.name())));
    }
    let parameter = parameter.unwrap_or(0);
    Ok(MetricExpr::Aggregate(Box::new(VectorAggregation { op, parameter, operand, grouping })))
}

fn followed_by_comma(input: &Input<'_>) -> bool {
    let mut ahead = input.clone();
    number(&mut ahead).is_ok() && is(&ahead, ",")
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is checked to be a small integer"
)]
fn k(op: VectorOp, value: f64) -> Result<usize, String> {
    if value.fract() != 0.0 || !(1.0..=1e9).contains(&value) {
        return Err(format!("invalid parameter {}({value},: it must be an integer greater than 0", op.name()));
    }
    Ok(value as usize)
}

fn range_aggregation(input: &mut Input<'_>, op: RangeOp) -> Parsed<MetricExpr> {
    expect(input, "(")?;
    let mut parameter = 0.0;
    if op == RangeOp::Quantile {
        let Kind::Number(value) = peek(input) else { return Err(unexpected(input, "NUMBER")) };
        parameter = *value;
        skip(input);
        expect(input, ",")?;
    } else if matches!(peek(input), Kind::Number(_)) {
        return Err(failure(
            position(input),
            format!("parameter {} not supported for operation {}", "of a number", op.name()),
        ));
    }
    let (selector, window) = ranged(input)?;
    let Some((range, offset)) = window else { return Err(unexpected(input, "RANGE")) };
    expect(input, ")")?;
    let grouping = grouping(input)?;
    Ok(MetricExpr::Range(Box::new(RangeAggregation { op, parameter, selector, range, offset, grouping })))
}

type Window = Option<(i64, i64)>;

/// A log query with `[range] offset d` somewhere in it.
fn ranged(input: &mut Input<'_>) -> Parsed<(LogExpr, Window)> {
    let (mut log, mut found) = if eat(input, "(") {
        let inner = ranged(input)?;
        expect(input, ")")?;
        inner
    } else if is(input, "{") {
        (LogExpr { matchers: selector(input)?, stages: Vec::new() }, None)
    } else {
        return Err(unexpected(input, "{ or ("));
    };
    loop {
        if is(input, "[") {
            if found.is_some() {
                return Err(unexpected(input, ""));
            }
            found = window(input)?;
            continue;
        }
        let more = stages(input)?;
        if more.is_empty() {
            return Ok((log, found));
        }
        log.stages.extend(more);
    }
}

fn window(input: &mut Input<'_>) -> Parsed<Window> {
    expect(input, "[")?;
    let range = match peek(input) {
        Kind::Duration(nanos) if *nanos > 0 => *nanos,
        _ => return Err(unexpected(input, "DURATION")),
    };
    skip(input);
    expect(input, "]")?;
    let mut offset = 0;
    if eat_word(input, "offset") {
        let negative = eat(input, "-");
        let Kind::Duration(nanos) = peek(input) else {
            return Err::<Window, ErrMode<Failure>>(unexpected(input, "DURATION"));
        };
        skip(input);
        offset = if negative { -nanos } else { *nanos };
    }
    Ok(Some((range, offset)))
}
