//! Expressions on one span. Comparisons with an absent value are false, whatever the operator.

use super::columns::Val;
use crate::answer::Value;
use crate::ast::{Expr, Field, Intrinsic, Op};
use crate::check::anchored;
use crate::error::Error;
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;

/// An expression ready to run.
#[derive(Debug, Clone)]
pub(crate) enum Compiled {
    Static(Value),
    Field(Field),
    Not(Box<Self>),
    Negate(Box<Self>),
    Regex { left: Box<Self>, regex: Regex, negated: bool },
    IsNil { inner: Box<Self>, negated: bool },
    Binary { op: Op, left: Box<Self>, right: Box<Self> },
}

impl Compiled {
    pub(crate) fn new(expr: &Expr) -> Result<Self, Error> {
        Ok(match expr {
            Expr::Static(value) => Self::Static(value.clone()),
            Expr::Field(field) => Self::Field(field.clone()),
            Expr::Not(inner) => Self::Not(Box::new(Self::new(inner)?)),
            Expr::Negate(inner) => Self::Negate(Box::new(Self::new(inner)?)),
            Expr::Binary { op, left, right } => match (op, left.as_ref(), right.as_ref()) {
                (Op::Regex | Op::NotRegex, _, Expr::Static(Value::String(pattern))) => Self::Regex {
                    left: Box::new(Self::new(left)?),
                    regex: anchored(pattern)?,
                    negated: *op == Op::NotRegex,
                },
                (_, Expr::Static(Value::Nil), Expr::Static(Value::Nil)) => Self::Static(Value::Bool(false)),
                (_, other, Expr::Static(Value::Nil)) | (_, Expr::Static(Value::Nil), other) => {
                    Self::IsNil { inner: Box::new(Self::new(other)?), negated: *op == Op::NotEqual }
                }
                _ => Self::Binary { op: *op, left: Box::new(Self::new(left)?), right: Box::new(Self::new(right)?) },
            },
        })
    }

    /// Whether a span passes as a filter: only a boolean true does.
    pub(crate) fn passes<'a>(&'a self, fields: &impl Fn(&Field) -> Val<'a>) -> Result<bool, Error> {
        Ok(match self.value(fields)? {
            Val::Bool(value) => value,
            Val::Each(values) | Val::Array(values) => values.contains(&Val::Bool(true)),
            _ => false,
        })
    }

    /// The value for a span whose fields `fields` gives.
    pub(crate) fn value<'a>(&'a self, fields: &impl Fn(&Field) -> Val<'a>) -> Result<Val<'a>, Error> {
        Ok(match self {
            Self::Static(value) => of_static(value),
            Self::Field(field) => fields(field),
            Self::Not(inner) => match inner.value(fields)? {
                Val::Bool(value) => Val::Bool(!value),
                Val::Nil => Val::Nil,
                _ => return Err(Error::Execution("expression (!) expected a boolean".to_owned())),
            },
            Self::Negate(inner) => match inner.value(fields)? {
                Val::Int(value) => Val::Int(value.wrapping_neg()),
                Val::Float(value) => Val::Float(-value),
                Val::Duration(value) => Val::Duration(value.wrapping_neg()),
                Val::Nil => Val::Nil,
                _ => return Err(Error::Execution("expression (-) expected a number".to_owned())),
            },
            Self::Regex { left, regex, negated } => {
                let matches = |value: &Val<'_>| match value {
                    Val::Text(text) => Some(regex.is_match(text)),
                    _ => None,
                };
                Val::Bool(match left.value(fields)? {
                    Val::Array(values) => {
                        let any = values.iter().any(|value| matches(value) == Some(true));
                        any != *negated && values.iter().all(|value| matches(value).is_some())
                    }
                    Val::Each(values) => values.iter().any(|value| matches(value) == Some(!negated)),
                    value => matches(&value) == Some(!negated),
                })
            }
            Self::IsNil { inner, negated } => Val::Bool((inner.value(fields)? == Val::Nil) != *negated),
            Self::Binary { op: Op::And, left, right } => Val::Bool(left.passes(fields)? && right.passes(fields)?),
            Self::Binary { op: Op::Or, left, right } => Val::Bool(left.passes(fields)? || right.passes(fields)?),
            Self::Binary { op, left, right } => {
                let (left_value, right_value) = (left.value(fields)?, right.value(fields)?);
                if op.is_arithmetic() {
                    arithmetic(*op, &left_value, &right_value)?
                } else {
                    let (left_value, right_value) =
                        (trimmed(left, right, left_value), trimmed(right, left, right_value));
                    Val::Bool(compares(*op, &left_value, &right_value)?)
                }
            }
        })
    }

    /// Calls `each` with every field that is read.
    pub(crate) fn fields<'f>(&'f self, each: &mut impl FnMut(&'f Field)) {
        match self {
            Self::Static(_) => {}
            Self::Field(field) => each(field),
            Self::Not(inner) | Self::Negate(inner) | Self::Regex { left: inner, .. } | Self::IsNil { inner, .. } => {
                inner.fields(each);
            }
            Self::Binary { left, right, .. } => {
                left.fields(each);
                right.fields(each);
            }
        }
    }
}

/// Literals compared with a trace id lose leading zeros, as the id does.
fn trimmed<'a>(side: &Compiled, other: &Compiled, value: Val<'a>) -> Val<'a> {
    match (side, other, value) {
        (Compiled::Static(_), Compiled::Field(Field::Intrinsic(Intrinsic::TraceId)), Val::Text(text)) => {
            Val::Text(Cow::Owned(text.trim_start_matches('0').to_owned()))
        }
        (_, _, value) => value,
    }
}

fn of_static(value: &Value) -> Val<'_> {
    match value {
        Value::Nil => Val::Nil,
        Value::String(text) => Val::Text(Cow::Borrowed(text)),
        Value::Int(value) => Val::Int(*value),
        Value::Float(value) => Val::Float(*value),
        Value::Bool(value) => Val::Bool(*value),
        Value::Duration(value) => Val::Duration(*value),
        Value::Status(value) => Val::Status(*value),
        Value::Kind(value) => Val::Kind(*value),
    }
}

/// A value that has left its batch; of several the first.
pub(crate) fn to_value(value: Val<'_>) -> Value {
    match value {
        Val::Nil => Value::Nil,
        Val::Text(text) => Value::String(text.into_owned()),
        Val::Int(value) => Value::Int(value),
        Val::Float(value) => Value::Float(value),
        Val::Bool(value) => Value::Bool(value),
        Val::Duration(value) => Value::Duration(value),
        Val::Status(value) => Value::Status(value),
        Val::Kind(value) => Value::Kind(value),
        Val::Array(values) | Val::Each(values) => {
            values.into_iter().find(|value| *value != Val::Nil).map_or(Value::Nil, to_value)
        }
    }
}

/// Two values of types that compare; `None` where they don't.
pub(crate) fn order(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Text(left), Val::Text(right)) => Some(left.cmp(right)),
        (Val::Int(left) | Val::Duration(left), Val::Int(right) | Val::Duration(right)) => Some(left.cmp(right)),
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Status(left), Val::Status(right)) | (Val::Kind(left), Val::Kind(right)) => Some(left.cmp(right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

#[allow(clippy::cast_precision_loss, reason = "comparisons between kinds of numbers are in floats")]
pub(crate) fn number(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Int(value) | Val::Duration(value) => Some(*value as f64),
        Val::Float(value) => Some(*value),
        _ => None,
    }
}

fn compares(op: Op, left: &Val<'_>, right: &Val<'_>) -> Result<bool, Error> {
    match (left, right) {
        (Val::Each(values), other) => return any(values, |value| compares(op, value, other)),
        (other, Val::Each(values)) => return any(values, |value| compares(op, other, value)),
        (Val::Array(_), Val::Array(_)) => {
            return Err(Error::Execution("two arrays can't be compared".to_owned()));
        }
        (Val::Array(values), other) => return array(op, values, |op, value| compares(op, value, other)),
        (other, Val::Array(values)) => return array(op, values, |op, value| compares(op, other, value)),
        _ => {}
    }
    let Some(order) = order(left, right) else { return Ok(false) };
    Ok(match op {
        Op::Equal => order == Ordering::Equal,
        Op::NotEqual => order != Ordering::Equal,
        Op::Greater => order == Ordering::Greater,
        Op::GreaterEqual => order != Ordering::Less,
        Op::Less => order == Ordering::Less,
        Op::LessEqual => order != Ordering::Greater,
        _ => false,
    })
}

fn any<'a>(values: &[Val<'a>], test: impl Fn(&Val<'a>) -> Result<bool, Error>) -> Result<bool, Error> {
    for value in values {
        if test(value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An array differs from a value when no element equals it.
fn array<'a>(op: Op, values: &[Val<'a>], test: impl Fn(Op, &Val<'a>) -> Result<bool, Error>) -> Result<bool, Error> {
    if op == Op::NotEqual {
        return Ok(!values.is_empty()
            && !any(values, |value| test(Op::Equal, value))?
            && any(values, |value| test(Op::NotEqual, value))?);
    }
    any(values, |value| test(op, value))
}

/// Whole numbers stay whole, anything else is computed in floats; what is absent stays so.
fn arithmetic<'a>(op: Op, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'a>, Error> {
    if let (Val::Int(left), Val::Int(right)) = (left, right) {
        let value = match op {
            Op::Add => left.wrapping_add(*right),
            Op::Subtract => left.wrapping_sub(*right),
            Op::Multiply => left.wrapping_mul(*right),
            Op::Divide | Op::Modulo if *right == 0 => {
                return Err(Error::Execution("integer divide by zero".to_owned()));
            }
            Op::Divide => left.wrapping_div(*right),
            Op::Modulo => left.wrapping_rem(*right),
            _ => match u32::try_from(*right) {
                Ok(right) => left.wrapping_pow(right),
                Err(_) => 0,
            },
        };
        return Ok(Val::Int(value));
    }
    let (Some(left_number), Some(right_number)) = (number(left), number(right)) else { return Ok(Val::Nil) };
    Ok(Val::Float(match op {
        Op::Add => left_number + right_number,
        Op::Subtract => left_number - right_number,
        Op::Multiply => left_number * right_number,
        Op::Divide => left_number / right_number,
        Op::Modulo => left_number % right_number,
        _ => left_number.powf(right_number),
    }))
}
