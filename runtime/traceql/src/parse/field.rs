//! Expressions on the fields of a span: what stands between braces, in `by()` and in aggregates.

use super::{Input, Parsed, eat, expect, peek, skip, unexpected};
use crate::answer::{KIND_NAMES, STATUS_NAMES, Value};
use crate::ast::{Expr, Field, Intrinsic, Op};
use crate::lexer::Kind;

/// How tightly a binary operator binds; `&&` and `||` are equals, and so are all comparisons.
pub(super) fn binding(op: Op) -> u8 {
    match op {
        Op::And | Op::Or => 1,
        Op::Equal
        | Op::NotEqual
        | Op::Greater
        | Op::GreaterEqual
        | Op::Less
        | Op::LessEqual
        | Op::Regex
        | Op::NotRegex => 2,
        Op::Add | Op::Subtract => 3,
        Op::Multiply | Op::Divide | Op::Modulo => 5,
        Op::Power => 6,
    }
}

/// An expression whose operators bind tighter than `minimum`.
pub(super) fn expr(input: &mut Input<'_>, minimum: u8) -> Parsed<Expr> {
    let mut left = prefix(input)?;
    loop {
        let Kind::Symbol(symbol) = peek(input) else { return Ok(left) };
        let Some(op) = Op::of_symbol(symbol).filter(|op| binding(*op) > minimum) else { return Ok(left) };
        skip(input);
        // `^` alone groups to the right.
        let right = expr(input, if op == Op::Power { binding(op) - 1 } else { binding(op) })?;
        left = Expr::Binary { op, left: Box::new(left), right: Box::new(right) };
    }
}

fn prefix(input: &mut Input<'_>) -> Parsed<Expr> {
    if eat(input, "!") {
        return Ok(Expr::Not(Box::new(expr(input, 4)?)));
    }
    if eat(input, "-") {
        return Ok(match expr(input, 3)? {
            Expr::Static(Value::Int(value)) => Expr::Static(Value::Int(value.wrapping_neg())),
            Expr::Static(Value::Float(value)) => Expr::Static(Value::Float(-value)),
            Expr::Static(Value::Duration(value)) => Expr::Static(Value::Duration(value.wrapping_neg())),
            other => Expr::Negate(Box::new(other)),
        });
    }
    if eat(input, "(") {
        let inner = expr(input, 0)?;
        expect(input, ")")?;
        return Ok(inner);
    }
    match peek(input) {
        Kind::Static(value) => {
            skip(input);
            Ok(Expr::Static(value.clone()))
        }
        Kind::Word(word) => match constant(word) {
            Some(value) => {
                skip(input);
                Ok(Expr::Static(value))
            }
            None => field(input).map(Expr::Field),
        },
        _ => field(input).map(Expr::Field),
    }
}

fn constant(word: &str) -> Option<Value> {
    let code = |names: &[&str]| names.iter().position(|name| *name == word).and_then(|at| i32::try_from(at).ok());
    Some(match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "nil" => Value::Nil,
        "minInt" => Value::Int(i64::MIN),
        "maxInt" => Value::Int(i64::MAX),
        _ => code(&STATUS_NAMES).map(Value::Status).or_else(|| code(&KIND_NAMES).map(Value::Kind))?,
    })
}

/// An attribute or an intrinsic.
pub(super) fn field(input: &mut Input<'_>) -> Parsed<Field> {
    let field = match peek(input) {
        Kind::Attribute(scope, name) => Field::Attribute(*scope, name.clone()),
        Kind::ParentAttribute(name) => Field::Parent(name.clone()),
        Kind::Word(word) if word == "parent" => Field::Parent(word.clone()),
        Kind::Word(word) => match Intrinsic::of_name(word) {
            Some(intrinsic) => Field::Intrinsic(intrinsic),
            None => {
                return Err(unexpected(
                    input,
                    "a field: attributes begin with a dot or a scope (.x, span.x, resource.x)",
                ));
            }
        },
        _ => return Err(unexpected(input, "")),
    };
    skip(input);
    Ok(field)
}
