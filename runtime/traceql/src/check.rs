//! Whether a well-formed query can mean anything: types of operands, what must reference a span, and
//! what is not supported yet.

use crate::answer::Value;
use crate::ast::{
    AttributeScope, Expr, Field, Intrinsic, Metrics, MetricsFunction, MetricsOp, Op, Pipeline, Query, Root, Scalar,
    ScalarFilter, SecondStage, Spanset, Stage,
};
use crate::error::Error;
use regex::{Regex, RegexBuilder};

/// The static type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Known at run time only; fits anything.
    Attribute,
    Nil,
    Number,
    Text,
    Bool,
    Status,
    Kind,
}

/// Checks a query.
pub(crate) fn check(query: &Query) -> Result<(), Error> {
    match &query.root {
        Root::Search(pipeline) => self::pipeline(pipeline),
        Root::Metrics(metrics) => self::metrics(metrics),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(message.into()))
}

/// A regular expression as TraceQL matches: the whole text, a dot matching newlines.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, Error> {
    let build = |text: &str| RegexBuilder::new(text).dot_matches_new_line(true).size_limit(10 << 20).build();
    // Checked alone first: `a)|(b` is no expression, though it is one between the anchors' brackets.
    build(pattern)
        .and_then(|_| build(&format!("^(?:{pattern})$")))
        .map_err(|error| Error::Invalid(format!("invalid regex `{pattern}`: {error}")))
}

fn pipeline(pipeline: &Pipeline) -> Result<(), Error> {
    pipeline.stages.iter().try_for_each(|stage| match stage {
        Stage::Spanset(spanset) => self::spanset(spanset),
        Stage::Scalar(filter) => scalar_filter(filter),
        Stage::By(group) => {
            type_of(group)?;
            if !references_span(group) {
                return invalid(format!("grouping field expressions must reference the span: {group}"));
            }
            Ok(())
        }
        Stage::Coalesce => Ok(()),
        Stage::Select(fields) => fields.iter().try_for_each(supported),
    })
}

fn spanset(spanset: &Spanset) -> Result<(), Error> {
    match spanset {
        Spanset::Filter(filter) => self::filter(filter),
        Spanset::Binary { left, right, .. } => {
            self::spanset(left)?;
            self::spanset(right)
        }
        Spanset::Pipeline(inner) => pipeline(inner),
    }
}

fn filter(filter: &Expr) -> Result<(), Error> {
    match (type_of(filter)?, filter) {
        (Type::Bool, _) | (Type::Attribute, Expr::Field(_)) => Ok(()),
        _ => invalid(format!("span filter field expressions must resolve to a boolean: {{ {filter} }}")),
    }
}

fn supported(field: &Field) -> Result<(), Error> {
    match field {
        Field::Parent(name) => Err(Error::Unsupported(format!("the parent scope ({name})"))),
        _ => Ok(()),
    }
}

fn references_span(expr: &Expr) -> bool {
    match expr {
        Expr::Static(_) => false,
        Expr::Field(_) => true,
        Expr::Not(inner) | Expr::Negate(inner) => references_span(inner),
        Expr::Binary { left, right, .. } => references_span(left) || references_span(right),
    }
}

fn value_type(value: &Value) -> Type {
    match value {
        Value::Nil => Type::Nil,
        Value::String(_) => Type::Text,
        Value::Int(_) | Value::Float(_) | Value::Duration(_) => Type::Number,
        Value::Bool(_) => Type::Bool,
        Value::Status(_) => Type::Status,
        Value::Kind(_) => Type::Kind,
    }
}

fn intrinsic_type(intrinsic: Intrinsic) -> Type {
    match intrinsic {
        Intrinsic::Duration
        | Intrinsic::TraceDuration
        | Intrinsic::EventTime
        | Intrinsic::ChildCount
        | Intrinsic::NestedLeft
        | Intrinsic::NestedRight
        | Intrinsic::NestedParent => Type::Number,
        Intrinsic::Kind => Type::Kind,
        Intrinsic::Status => Type::Status,
        Intrinsic::Name
        | Intrinsic::StatusMessage
        | Intrinsic::SpanId
        | Intrinsic::ParentId
        | Intrinsic::TraceId
        | Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::EventName
        | Intrinsic::LinkTraceId
        | Intrinsic::LinkSpanId
        | Intrinsic::InstrumentationName
        | Intrinsic::InstrumentationVersion => Type::Text,
    }
}

fn type_of(expr: &Expr) -> Result<Type, Error> {
    match expr {
        Expr::Static(value) => Ok(value_type(value)),
        Expr::Field(field) => {
            supported(field)?;
            Ok(match field {
                Field::Intrinsic(intrinsic) => intrinsic_type(*intrinsic),
                Field::Attribute(..) | Field::Parent(_) => Type::Attribute,
            })
        }
        Expr::Not(inner) => match type_of(inner)? {
            Type::Bool | Type::Attribute => Ok(Type::Bool),
            _ => invalid(format!("illegal operation for the given type: {expr}")),
        },
        Expr::Negate(inner) => match type_of(inner)? {
            Type::Number | Type::Attribute => Ok(Type::Number),
            _ => invalid(format!("illegal operation for the given type: {expr}")),
        },
        Expr::Binary { op, left, right } => binary_type(expr, *op, left, right),
    }
}

fn binary_type(expr: &Expr, op: Op, left: &Expr, right: &Expr) -> Result<Type, Error> {
    let (left_type, right_type) = (type_of(left)?, type_of(right)?);
    let fits = |of: Type, allowed: &[Type]| of == Type::Attribute || allowed.contains(&of);
    let mismatch = || invalid(format!("binary operations must operate on the same type: {expr}"));
    let illegal = || invalid(format!("illegal operation for the given types: {expr}"));
    if left_type == Type::Nil || right_type == Type::Nil {
        if !matches!(op, Op::Equal | Op::NotEqual) {
            return illegal();
        }
        let never_nil = |side: &Expr| match side {
            Expr::Field(Field::Intrinsic(_)) => true,
            Expr::Field(Field::Attribute(AttributeScope::Resource, name)) => name == "service.name",
            _ => false,
        };
        if op == Op::Equal && (never_nil(left) || never_nil(right)) {
            return invalid(format!("cannot be nil: {expr}"));
        }
        return Ok(Type::Bool);
    }
    if op.is_arithmetic() {
        return if fits(left_type, &[Type::Number]) && fits(right_type, &[Type::Number]) {
            Ok(Type::Number)
        } else {
            illegal()
        };
    }
    if matches!(op, Op::And | Op::Or) {
        return if fits(left_type, &[Type::Bool]) && fits(right_type, &[Type::Bool]) {
            Ok(Type::Bool)
        } else {
            illegal()
        };
    }
    if matches!(op, Op::Regex | Op::NotRegex) {
        let Expr::Static(Value::String(pattern)) = right else { return illegal() };
        if !fits(left_type, &[Type::Text]) {
            return illegal();
        }
        anchored(pattern)?;
        return Ok(Type::Bool);
    }
    if left_type != right_type && left_type != Type::Attribute && right_type != Type::Attribute {
        return mismatch();
    }
    if !matches!(op, Op::Equal | Op::NotEqual) {
        let ordered = [Type::Number, Type::Text];
        if !fits(left_type, &ordered) || !fits(right_type, &ordered) {
            return illegal();
        }
    }
    Ok(Type::Bool)
}

fn scalar_filter(filter: &ScalarFilter) -> Result<(), Error> {
    scalar(&filter.left)?;
    scalar(&filter.right)?;
    let simple = |side: &Scalar| matches!(side, Scalar::Aggregate { .. });
    let constant = |side: &Scalar| matches!(side, Scalar::Static(_));
    if (simple(&filter.left) && constant(&filter.right)) || (constant(&filter.left) && simple(&filter.right)) {
        return Ok(());
    }
    Err(Error::Unsupported("a scalar filter other than one aggregate compared with a number".to_owned()))
}

fn scalar(scalar: &Scalar) -> Result<(), Error> {
    match scalar {
        Scalar::Static(_) => Ok(()),
        Scalar::Aggregate { argument: None, .. } => Ok(()),
        Scalar::Aggregate { op, argument: Some(argument) } => {
            match type_of(argument)? {
                Type::Number | Type::Attribute => {}
                _ => {
                    return invalid(format!(
                        "aggregate field expressions must resolve to a number type: {}({argument})",
                        op.name()
                    ));
                }
            }
            if !references_span(argument) {
                return invalid(format!(
                    "aggregate field expressions must reference the span: {}({argument})",
                    op.name()
                ));
            }
            Ok(())
        }
        Scalar::Arithmetic { left, right, .. } => {
            self::scalar(left)?;
            self::scalar(right)
        }
        Scalar::Pipeline(pipeline, inner) => {
            self::pipeline(pipeline)?;
            self::scalar(inner)
        }
    }
}

fn compares(metrics: &Metrics) -> bool {
    match metrics {
        Metrics::Number(_) => false,
        Metrics::Pipeline { function, .. } => function.op == MetricsOp::Compare,
        Metrics::Arithmetic { left, right, .. } => compares(left) || compares(right),
        Metrics::Second { input, .. } => compares(input),
    }
}

fn metrics(metrics: &Metrics) -> Result<(), Error> {
    match metrics {
        Metrics::Number(_) => Ok(()),
        Metrics::Pipeline { pipeline, function } => {
            self::pipeline(pipeline)?;
            metrics_function(function)
        }
        Metrics::Arithmetic { left, right, .. } => {
            if compares(left) || compares(right) {
                return invalid("`compare()` can not be used in math expressions");
            }
            self::metrics(left)?;
            self::metrics(right)
        }
        Metrics::Second { input, stage } => {
            if compares(input) {
                return invalid("`compare()` can not be used with second stage functions");
            }
            self::metrics(input)?;
            match stage {
                SecondStage::TopK(limit) | SecondStage::BottomK(limit) if *limit < 1 => {
                    invalid("topk and bottomk need a limit greater than 0")
                }
                _ => Ok(()),
            }
        }
    }
}

fn metrics_function(function: &MetricsFunction) -> Result<(), Error> {
    let MetricsFunction { op, field, quantiles, by, selection } = function;
    by.iter().chain(field).try_for_each(supported)?;
    let most = if matches!(op, MetricsOp::Quantile | MetricsOp::Histogram | MetricsOp::Avg) { 4 } else { 5 };
    if by.len() > most {
        return invalid(format!(
            "maximum number of group-by attributes of {} exceeded: {} > {most}",
            op.name(),
            by.len()
        ));
    }
    if quantiles.iter().any(|quantile| !(0.0..=1.0).contains(quantile)) {
        return invalid("quantiles must lie between 0 and 1");
    }
    if let Some(Field::Intrinsic(intrinsic)) = field
        && intrinsic_type(*intrinsic) != Type::Number
    {
        return invalid(format!("{} needs a number, not {}", op.name(), intrinsic.name()));
    }
    selection.as_ref().map_or(Ok(()), filter)
}
