//! Conditions on single spans as expressions of the engine: native ones where columns and statistics
//! answer them, and a scalar function that evaluates the rest exactly.

use crate::answer::Value;
use crate::ast::{AttributeScope, Expr, Field, Intrinsic, Op};
use crate::error::Error;
use crate::evaluate::columns::{SpanColumns, columns_of, of_trace};
use crate::evaluate::expr::Compiled;
use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    self as logical, ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, and,
    binary_expr, col, lit,
};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use weft_model::spans;

/// What of `expr` a span by itself can tell: true for every span that may satisfy it. `None` when
/// that is every span.
pub(crate) fn weaken(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Static(Value::Bool(true)) => None,
        Expr::Binary { op: Op::And, left, right } => match (weaken(left), weaken(right)) {
            (Some(left), Some(right)) => {
                Some(Expr::Binary { op: Op::And, left: Box::new(left), right: Box::new(right) })
            }
            (one, other) => one.or(other),
        },
        Expr::Binary { op: Op::Or, left, right } => {
            Some(Expr::Binary { op: Op::Or, left: Box::new(weaken(left)?), right: Box::new(weaken(right)?) })
        }
        other => (!reads_trace(other)).then(|| other.clone()),
    }
}

fn reads_trace(expr: &Expr) -> bool {
    match expr {
        Expr::Static(_) => false,
        Expr::Field(field) => of_trace(field),
        Expr::Not(inner) | Expr::Negate(inner) => reads_trace(inner),
        Expr::Binary { left, right, .. } => reads_trace(left) || reads_trace(right),
    }
}

/// The expression as one of the engine's.
pub(crate) fn predicate(expr: &Expr) -> Result<logical::Expr, Error> {
    let (native, exact) = native(expr);
    let native = native.into_iter().reduce(and);
    if exact && let Some(native) = native {
        return Ok(native);
    }
    let function = function(expr)?;
    Ok(match native {
        Some(native) => and(native, function),
        None => function,
    })
}

/// Native conditions that must all hold, and whether they are the whole expression.
fn native(expr: &Expr) -> (Vec<logical::Expr>, bool) {
    let Expr::Binary { op, left, right } = expr else { return (Vec::new(), false) };
    if *op == Op::And {
        let ((mut all, left_exact), (right, right_exact)) = (native(left), native(right));
        all.extend(right);
        return (all, left_exact && right_exact);
    }
    let compared = match (left.as_ref(), right.as_ref()) {
        (Expr::Field(field), Expr::Static(value)) => Some((field, *op, value)),
        (Expr::Static(value), Expr::Field(field)) => Some((field, op.flipped(), value)),
        _ => None,
    };
    match compared.and_then(|(field, op, value)| comparison(field, op, value)) {
        Some((condition, exact)) => (vec![condition], exact),
        None => (Vec::new(), false),
    }
}

fn comparison(field: &Field, op: Op, value: &Value) -> Option<(logical::Expr, bool)> {
    let operator = match op {
        Op::Equal => Operator::Eq,
        Op::NotEqual => Operator::NotEq,
        Op::Greater => Operator::Gt,
        Op::GreaterEqual => Operator::GtEq,
        Op::Less => Operator::Lt,
        Op::LessEqual => Operator::LtEq,
        _ => return None,
    };
    let (column, literal) = match (field, value) {
        (Field::Intrinsic(Intrinsic::Name), Value::String(text)) => (spans::NAME, lit(text.as_str())),
        (Field::Intrinsic(Intrinsic::Duration), Value::Duration(nanos) | Value::Int(nanos)) => {
            (spans::DURATION, lit(*nanos))
        }
        (Field::Intrinsic(Intrinsic::Status), Value::Status(code)) => (spans::STATUS_CODE, lit(*code)),
        (Field::Intrinsic(Intrinsic::Kind), Value::Kind(kind)) => (spans::KIND, lit(*kind)),
        // The column holds text only: another type of attribute is the function's business, and no
        // other operator than `=` is safe to narrow with.
        (Field::Attribute(AttributeScope::Resource, name), Value::String(text))
            if name == "service.name" && op == Op::Equal =>
        {
            let condition = binary_expr(col(spans::SERVICE_NAME), Operator::Eq, lit(text.as_str()));
            return Some((condition, false));
        }
        _ => return None,
    };
    Some((binary_expr(col(column), operator, literal), true))
}

fn function(expr: &Expr) -> Result<logical::Expr, Error> {
    let compiled = Compiled::new(expr)?;
    let mut names = BTreeSet::new();
    compiled.fields(&mut |field: &Field| names.extend(columns_of(field)));
    // A function of no columns would be evaluated once for all rows.
    names.insert(spans::DURATION);
    let columns: Vec<&'static str> = names.into_iter().collect();
    let arguments = columns.iter().map(|name| col(*name)).collect();
    let udf = ScalarUDF::new_from_impl(SpanPredicate {
        text: expr.to_string(),
        compiled,
        columns,
        signature: Signature::variadic_any(Volatility::Immutable),
    });
    Ok(udf.call(arguments))
}

/// An expression evaluated on the rows of a batch.
#[derive(Debug)]
struct SpanPredicate {
    /// What it evaluates, for telling functions apart.
    text: String,
    compiled: Compiled,
    columns: Vec<&'static str>,
    signature: Signature,
}

impl PartialEq for SpanPredicate {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.columns == other.columns
    }
}

impl Eq for SpanPredicate {}

impl Hash for SpanPredicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl ScalarUDFImpl for SpanPredicate {
    fn name(&self) -> &str {
        "traceql_span"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays: Vec<ArrayRef> =
            arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_>>()?;
        let columns = SpanColumns::of(self.columns.iter().copied(), &arrays);
        // An expression that fails on a span lets it pass: the exact evaluation then reports it.
        let passes: BooleanArray = (0..rows)
            .map(|row| Some(self.compiled.passes(&|field: &Field| columns.field(field, row)).unwrap_or(true)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(passes)))
    }
}
