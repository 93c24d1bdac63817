//! Operators between numbers, step by step: `steps_binary(op, keep, left, right)`.
//!
//! `keep` says what comes out: `value` the result (a comparison's is 0 or 1), `left` or `right` that
//! operand where the comparison holds and nothing elsewhere. An operand is a `values` column or a
//! number. A step without one of them has no result.

use super::columns::{FloatListBuilder, Operand, OperandRow, values_type};
use crate::functions::{Columnar, text};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF, lit};
use std::sync::{Arc, LazyLock};

/// An operator on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`: the sign is the dividend's.
    Modulo,
    /// `^`
    Power,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

const SYMBOLS: [(&str, Operator); 13] = [
    ("+", Operator::Add),
    ("-", Operator::Subtract),
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
    ("%", Operator::Modulo),
    ("^", Operator::Power),
    ("atan2", Operator::Atan2),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
];

impl Operator {
    /// The operator written so.
    pub fn of_symbol(symbol: &str) -> Option<Self> {
        SYMBOLS.iter().find(|(text, _)| *text == symbol).map(|(_, operator)| *operator)
    }

    /// How it is written.
    pub fn symbol(self) -> &'static str {
        SYMBOLS.iter().find(|(_, operator)| *operator == self).map_or("", |(text, _)| text)
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual
        )
    }

    /// Its result; 1 or 0 for a comparison.
    pub fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |holds: bool| f64::from(u8::from(holds));
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Modulo => left % right,
            Self::Power => power(left, right),
            Self::Atan2 => left.atan2(right),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
            Self::Less => truth(left < right),
            Self::LessOrEqual => truth(left <= right),
            Self::Greater => truth(left > right),
            Self::GreaterOrEqual => truth(left >= right),
        }
    }
}

/// As Go's `math.Pow`: equal to C's but for `(-1)^±Inf`, which both give as 1.
fn power(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

/// What comes out of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The operator's result.
    Value,
    /// The left operand where the comparison holds.
    Left,
    /// The right operand where the comparison holds.
    Right,
}

impl Keep {
    /// As an argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    /// From an argument.
    ///
    /// # Errors
    /// On any other text.
    pub fn of_name(name: &str) -> Result<Self> {
        match name {
            "value" => Ok(Self::Value),
            "left" => Ok(Self::Left),
            "right" => Ok(Self::Right),
            other => exec_err!("'value', 'left' or 'right' expected, not '{other}'"),
        }
    }

    /// The outcome of one operation.
    pub fn outcome(self, operator: Operator, left: f64, right: f64) -> Option<f64> {
        let result = operator.apply(left, right);
        match self {
            Self::Value => Some(result),
            Self::Left => (result != 0.0).then_some(left),
            Self::Right => (result != 0.0).then_some(right),
        }
    }
}

static BINARY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("steps_binary", |_| Ok(values_type()), evaluate));

fn evaluate(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let symbol = text(arguments, 0)?;
    let Some(operator) = Operator::of_symbol(symbol) else { return exec_err!("there is no operator '{symbol}'") };
    let keep = Keep::of_name(text(arguments, 1)?)?;
    let (left, right) = (Operand::read(arguments, 2)?, Operand::read(arguments, 3)?);
    let (left, right) = (left.rows()?, right.rows()?);
    let mut out = FloatListBuilder::with_capacity(arguments.number_rows, 0);
    for row in 0..arguments.number_rows {
        let (left, right) = (left.row(row), right.row(row));
        write(&mut out, operator, keep, left, right)?;
    }
    Ok(out.finish())
}

fn write(
    out: &mut FloatListBuilder,
    operator: Operator,
    keep: Keep,
    left: OperandRow<'_>,
    right: OperandRow<'_>,
) -> Result<()> {
    let steps = match (left.steps(), right.steps()) {
        (Some(left), Some(right)) if left != right => return exec_err!("operands of {left} and of {right} steps"),
        (Some(steps), _) | (None, Some(steps)) => steps,
        (None, None) => 1,
    };
    for step in 0..steps {
        let both = left.get(step).zip(right.get(step));
        out.push(both.and_then(|(left, right)| keep.outcome(operator, left, right)));
    }
    out.finish_row();
    Ok(())
}

/// The operation on two operands: `values` columns, literal lists, or literal floats.
pub fn call(operator: Operator, keep: Keep, left: Expr, right: Expr) -> Expr {
    BINARY.call(vec![lit(operator.symbol()), lit(keep.name()), left, right])
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&BINARY)]
}
