//! Spansets, pipelines, scalar filters and metrics.

use super::field::{binding, expr as field_expr, field};
use super::{Failure, Input, Parsed, eat, expect, failure, is, peek, peek_second, position, skip, symbol, unexpected};
use crate::answer::Value;
use crate::ast::{
    AggregateOp, Metrics, MetricsFunction, MetricsOp, Op, Pipeline, Query, Relation, Root, Scalar, ScalarFilter,
    SecondStage, Spanset, SpansetOp, Stage, StructuralKind,
};
use crate::lexer::Kind;
use winnow::Parser;
use winnow::combinator::separated;
use winnow::error::ErrMode;

/// What an operand or a parenthesis turned out to be.
#[derive(Debug)]
enum Node {
    Spanset(Spanset),
    /// A number; `computed` durations can't be used by metrics.
    Constant {
        value: Value,
        computed: bool,
    },
    /// Aggregates without a pipeline of their own.
    Scalar(Scalar),
    /// `( … | count() )`, or arithmetic on such.
    ScalarPipeline(Scalar),
    Filter(ScalarFilter),
    /// `by()`, `select()`, `coalesce()`.
    Stage(Stage),
    /// Only what stood in parentheses can be an operand.
    Metrics {
        metrics: Metrics,
        wrapped: bool,
    },
    /// Several stages, `scalar` the aggregate behind the last of them.
    Pipeline {
        pipeline: Pipeline,
        scalar: Option<Scalar>,
    },
}

/// A whole query.
pub(super) fn query(input: &mut Input<'_>) -> Parsed<Query> {
    let at = position(input);
    let root = match piped(input)? {
        Node::Metrics { metrics, .. } => Root::Metrics(metrics),
        Node::Pipeline { pipeline, scalar: None } => Root::Search(pipeline),
        Node::Spanset(spanset) => Root::Search(Pipeline { stages: vec![Stage::Spanset(spanset)] }),
        Node::Filter(filter) => Root::Search(Pipeline { stages: vec![Stage::Scalar(filter)] }),
        Node::Stage(stage) => Root::Search(Pipeline { stages: vec![stage] }),
        Node::Scalar(_) | Node::ScalarPipeline(_) | Node::Pipeline { .. } => {
            return Err(failure(at, "syntax error: an aggregate must be compared with something"));
        }
        Node::Constant { .. } => return Err(failure(at, "syntax error: a number is no query")),
    };
    let mut hints = Vec::new();
    if matches!(peek(input), Kind::Word(word) if word == "with") {
        skip(input);
        expect(input, "(")?;
        hints = separated(1.., hint, symbol(",")).parse_next(input)?;
        expect(input, ")")?;
    }
    Ok(Query { root, hints })
}

fn hint(input: &mut Input<'_>) -> Parsed<(String, Value)> {
    let Kind::Word(name) = peek(input) else { return Err(unexpected(input, "IDENTIFIER")) };
    skip(input);
    expect(input, "=")?;
    let value = match peek(input) {
        Kind::Word(word) if word == "true" => Value::Bool(true),
        Kind::Word(word) if word == "false" => Value::Bool(false),
        Kind::Static(value) => value.clone(),
        _ => return Err(unexpected(input, "a value")),
    };
    skip(input);
    Ok((name.clone(), value))
}

/// Stages joined by `|`.
fn piped(input: &mut Input<'_>) -> Parsed<Node> {
    let at = position(input);
    let mut node = expr(input, 0)?;
    if matches!(node, Node::Stage(Stage::Coalesce)) {
        return Err(failure(at, "syntax error: a pipeline can't start with coalesce()"));
    }
    while eat(input, "|") {
        let at = position(input);
        node = match node {
            Node::Metrics { metrics, wrapped: _ } => {
                Node::Metrics { metrics: second_stage(input, metrics)?, wrapped: false }
            }
            other => {
                let mut pipeline = into_pipeline(other, at)?;
                if let Kind::Word(word) = peek(input)
                    && let Some(op) = MetricsOp::of_name(word)
                {
                    skip(input);
                    let function = Box::new(metrics_function(input, op)?);
                    let metrics = comparisons(input, Metrics::Pipeline { pipeline, function })?;
                    Node::Metrics { metrics, wrapped: false }
                } else {
                    let scalar = match expr(input, 0)? {
                        Node::Spanset(spanset) => {
                            pipeline.stages.push(Stage::Spanset(spanset));
                            None
                        }
                        Node::Filter(filter) => {
                            pipeline.stages.push(Stage::Scalar(filter));
                            None
                        }
                        Node::Stage(stage) => {
                            pipeline.stages.push(stage);
                            None
                        }
                        Node::Scalar(scalar) => Some(scalar),
                        _ => return Err(failure(at, "syntax error: this can't be a stage of a pipeline")),
                    };
                    Node::Pipeline { pipeline, scalar }
                }
            }
        };
    }
    Ok(node)
}

fn into_pipeline(node: Node, at: usize) -> Parsed<Pipeline> {
    let stage = match node {
        Node::Pipeline { pipeline, scalar: None } => return Ok(pipeline),
        Node::Spanset(spanset) => Stage::Spanset(spanset),
        Node::Filter(filter) => Stage::Scalar(filter),
        Node::Stage(stage) => stage,
        _ => return Err(failure(at, "syntax error: what stands before | is no set of spans")),
    };
    Ok(Pipeline { stages: vec![stage] })
}

/// An operator on the level of pipelines.
enum Operator {
    Value(Op),
    Structural(Relation, StructuralKind),
}

fn operator(symbol: &str) -> Option<(Operator, u8)> {
    use Relation::{Ancestor, Child, Descendant, Parent, Sibling};
    use StructuralKind::{Negated, Plain, Union};
    let structural = match symbol {
        ">>" => Some((Descendant, Plain)),
        "<<" => Some((Ancestor, Plain)),
        "~" => Some((Sibling, Plain)),
        "!>" => Some((Child, Negated)),
        "!<" => Some((Parent, Negated)),
        "!>>" => Some((Descendant, Negated)),
        "!<<" => Some((Ancestor, Negated)),
        "!~" => Some((Sibling, Negated)),
        "&>" => Some((Child, Union)),
        "&<" => Some((Parent, Union)),
        "&>>" => Some((Descendant, Union)),
        "&<<" => Some((Ancestor, Union)),
        "&~" => Some((Sibling, Union)),
        _ => None,
    };
    if let Some((relation, kind)) = structural {
        return Some((Operator::Structural(relation, kind), 2));
    }
    let op = Op::of_symbol(symbol).filter(|op| *op != Op::Regex)?;
    Some((Operator::Value(op), binding(op)))
}

fn expr(input: &mut Input<'_>, minimum: u8) -> Parsed<Node> {
    let mut left = operand(input)?;
    loop {
        let Kind::Symbol(symbol) = peek(input) else { return Ok(left) };
        let Some((operator, level)) = operator(symbol).filter(|(_, level)| *level > minimum) else { return Ok(left) };
        if matches!(left, Node::Metrics { wrapped: false, .. }) {
            return Ok(left);
        }
        let at = position(input);
        skip(input);
        let right_associative = matches!(operator, Operator::Value(Op::Power));
        let right = expr(input, if right_associative { level - 1 } else { level })?;
        left = combine(operator, left, right, at)?;
    }
}

fn combine(operator: Operator, left: Node, right: Node, at: usize) -> Parsed<Node> {
    let spansets = |op: SpansetOp, left: Node, right: Node| match (left, right) {
        (Node::Spanset(left), Node::Spanset(right)) => {
            Ok(Node::Spanset(Spanset::Binary { op, left: Box::new(left), right: Box::new(right) }))
        }
        _ => Err(failure(at, "syntax error: both sides of this operator must be sets of spans")),
    };
    let op = match operator {
        Operator::Structural(relation, kind) => return spansets(SpansetOp::Structural { relation, kind }, left, right),
        Operator::Value(Op::And) => return spansets(SpansetOp::And, left, right),
        Operator::Value(Op::Or) => return spansets(SpansetOp::Or, left, right),
        Operator::Value(op) => op,
    };
    if matches!((&left, &right), (Node::Spanset(_), Node::Spanset(_))) {
        let relation = match op {
            Op::Greater => Relation::Child,
            Op::Less => Relation::Parent,
            _ => return Err(failure(at, format!("syntax error: unexpected {} between sets of spans", op.symbol()))),
        };
        return spansets(SpansetOp::Structural { relation, kind: StructuralKind::Plain }, left, right);
    }
    if op.is_arithmetic() { arithmetic(op, left, right, at) } else { comparison(op, left, right, at) }
}

fn arithmetic(op: Op, left: Node, right: Node, at: usize) -> Parsed<Node> {
    let mismatch = || failure(at, format!("syntax error: unexpected {}", op.symbol()));
    Ok(match (left, right) {
        (Node::Constant { value: left, .. }, Node::Constant { value: right, .. }) => {
            fold(op, &left, &right).ok_or_else(mismatch)?
        }
        (
            left @ (Node::Metrics { .. } | Node::Constant { .. }),
            right @ (Node::Metrics { .. } | Node::Constant { .. }),
        ) => {
            if matches!(op, Op::Modulo | Op::Power) {
                return Err(mismatch());
            }
            let (left, right) = (metrics_operand(left, at)?, metrics_operand(right, at)?);
            let metrics = Metrics::Arithmetic { op, left: Box::new(left), right: Box::new(right) };
            Node::Metrics { metrics, wrapped: true }
        }
        (Node::ScalarPipeline(left), Node::ScalarPipeline(right)) => {
            Node::ScalarPipeline(Scalar::Arithmetic { op, left: Box::new(left), right: Box::new(right) })
        }
        (left @ (Node::Scalar(_) | Node::Constant { .. }), right @ (Node::Scalar(_) | Node::Constant { .. })) => {
            let side = |node| match node {
                Node::Scalar(scalar) => Some(scalar),
                Node::Constant { value, .. } => Some(Scalar::Static(value)),
                _ => None,
            };
            let (Some(left), Some(right)) = (side(left), side(right)) else { return Err(mismatch()) };
            Node::Scalar(Scalar::Arithmetic { op, left: Box::new(left), right: Box::new(right) })
        }
        _ => return Err(mismatch()),
    })
}

/// A side of arithmetic between metrics: durations have no place there.
fn metrics_operand(node: Node, at: usize) -> Parsed<Metrics> {
    match node {
        Node::Metrics { metrics, .. } => Ok(metrics),
        Node::Constant { value: value @ (Value::Int(_) | Value::Float(_)), .. } => Ok(Metrics::Number(value)),
        _ => Err(failure(at, "syntax error: metrics compute with other metrics and plain numbers only")),
    }
}

fn comparison(op: Op, left: Node, right: Node, at: usize) -> Parsed<Node> {
    let mismatch = || failure(at, format!("syntax error: unexpected {}", op.symbol()));
    if !op.is_comparison() {
        return Err(mismatch());
    }
    let filter = |left, right| Ok(Node::Filter(ScalarFilter { op, left, right }));
    match (left, right) {
        (Node::Metrics { metrics, .. }, Node::Constant { value, computed }) => {
            if computed && matches!(value, Value::Duration(_)) {
                return Err(failure(at, "syntax error: durations can't be computed with here"));
            }
            let stage = SecondStage::Filter(op, value);
            Ok(Node::Metrics { metrics: Metrics::Second { input: Box::new(metrics), stage }, wrapped: true })
        }
        (Node::ScalarPipeline(left), Node::ScalarPipeline(right)) | (Node::Scalar(left), Node::Scalar(right)) => {
            filter(left, right)
        }
        (Node::ScalarPipeline(left), Node::Constant { value, computed: false }) => filter(left, Scalar::Static(value)),
        (Node::Scalar(left), Node::Constant { value, .. }) => filter(left, Scalar::Static(value)),
        (Node::Constant { value, .. }, Node::Scalar(right)) => filter(Scalar::Static(value), right),
        _ => Err(mismatch()),
    }
}

/// Two constants; whole numbers stay whole.
fn fold(op: Op, left: &Value, right: &Value) -> Option<Node> {
    let value = match (left, right) {
        (Value::Int(left), Value::Int(right)) => Value::Int(match op {
            Op::Add => left.checked_add(*right)?,
            Op::Subtract => left.checked_sub(*right)?,
            Op::Multiply => left.checked_mul(*right)?,
            Op::Divide => left.checked_div(*right)?,
            Op::Modulo => left.checked_rem(*right)?,
            Op::Power => left.checked_pow(u32::try_from(*right).ok()?)?,
            _ => return None,
        }),
        _ => {
            let (left_number, right_number) = (number_of(left)?, number_of(right)?);
            let result = match op {
                Op::Add => left_number + right_number,
                Op::Subtract => left_number - right_number,
                Op::Multiply => left_number * right_number,
                Op::Divide => left_number / right_number,
                Op::Modulo => left_number % right_number,
                Op::Power => left_number.powf(right_number),
                _ => return None,
            };
            #[allow(clippy::cast_possible_truncation, reason = "a part of a nanosecond is dropped on purpose")]
            if matches!(left, Value::Duration(_)) || matches!(right, Value::Duration(_)) {
                Value::Duration(result as i64)
            } else {
                Value::Float(result)
            }
        }
    };
    Some(Node::Constant { value, computed: true })
}

#[allow(clippy::cast_precision_loss, reason = "mixed arithmetic is in floats")]
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) | Value::Duration(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

fn operand(input: &mut Input<'_>) -> Parsed<Node> {
    match peek(input) {
        Kind::Symbol("{") => {
            skip(input);
            let filter =
                if is(input, "}") { crate::ast::Expr::Static(Value::Bool(true)) } else { field_expr(input, 0)? };
            expect(input, "}")?;
            Ok(Node::Spanset(Spanset::Filter(filter)))
        }
        Kind::Symbol("(") => {
            let at = position(input);
            skip(input);
            let inner = piped(input)?;
            expect(input, ")")?;
            wrapped(inner, at)
        }
        Kind::Symbol("-") => {
            skip(input);
            let value = match peek(input) {
                Kind::Static(Value::Int(value)) => Value::Int(value.wrapping_neg()),
                Kind::Static(Value::Float(value)) => Value::Float(-value),
                Kind::Static(Value::Duration(value)) => Value::Duration(value.wrapping_neg()),
                _ => return Err(unexpected(input, "a number")),
            };
            skip(input);
            Ok(Node::Constant { value, computed: false })
        }
        Kind::Static(value @ (Value::Int(_) | Value::Float(_) | Value::Duration(_))) => {
            skip(input);
            Ok(Node::Constant { value: value.clone(), computed: false })
        }
        Kind::Word(word) => called(input, word),
        _ => Err(unexpected(input, "")),
    }
}

/// What a parenthesis makes of its content.
fn wrapped(inner: Node, at: usize) -> Parsed<Node> {
    Ok(match inner {
        Node::Metrics { metrics, .. } => Node::Metrics { metrics, wrapped: true },
        Node::Pipeline { pipeline, scalar: Some(scalar) } => {
            Node::ScalarPipeline(Scalar::Pipeline(Box::new(pipeline), Box::new(scalar)))
        }
        Node::Pipeline { pipeline, scalar: None } => Node::Spanset(Spanset::Pipeline(Box::new(pipeline))),
        Node::Filter(filter) => {
            Node::Spanset(Spanset::Pipeline(Box::new(Pipeline { stages: vec![Stage::Scalar(filter)] })))
        }
        Node::Stage(stage) => Node::Spanset(Spanset::Pipeline(Box::new(Pipeline { stages: vec![stage] }))),
        Node::Constant { value: Value::Duration(_), computed: true } => {
            return Err(failure(at, "syntax error: durations can't be computed with here"));
        }
        other => other,
    })
}

fn called(input: &mut Input<'_>, word: &str) -> Parsed<Node> {
    if !matches!(peek_second(input), Kind::Symbol("(")) {
        return Err(unexpected(input, ""));
    }
    if let Some(op) = AggregateOp::of_name(word) {
        skip(input);
        expect(input, "(")?;
        let argument = if op == AggregateOp::Count { None } else { Some(field_expr(input, 0)?) };
        expect(input, ")")?;
        return Ok(Node::Scalar(Scalar::Aggregate { op, argument }));
    }
    let stage = match word {
        "by" => {
            skip(input);
            expect(input, "(")?;
            Stage::By(field_expr(input, 0)?)
        }
        "coalesce" => {
            skip(input);
            expect(input, "(")?;
            Stage::Coalesce
        }
        "select" => {
            skip(input);
            expect(input, "(")?;
            Stage::Select(separated(1.., field, symbol(",")).parse_next(input)?)
        }
        _ => return Err(unexpected(input, "")),
    };
    expect(input, ")")?;
    Ok(Node::Stage(stage))
}

fn metrics_function(input: &mut Input<'_>, op: MetricsOp) -> Parsed<MetricsFunction> {
    let mut function = MetricsFunction { op, field: None, quantiles: Vec::new(), by: Vec::new(), selection: None };
    expect(input, "(")?;
    match op {
        MetricsOp::Rate | MetricsOp::Count => {}
        MetricsOp::Compare => {
            expect(input, "{")?;
            function.selection =
                Some(if is(input, "}") { crate::ast::Expr::Static(Value::Bool(true)) } else { field_expr(input, 0)? });
            expect(input, "}")?;
            while eat(input, ",") {
                let Kind::Static(Value::Int(_)) = peek(input) else { return Err(unexpected(input, "INTEGER")) };
                skip(input);
            }
        }
        _ => {
            function.field = Some(field(input)?);
            while op == MetricsOp::Quantile && eat(input, ",") {
                let quantile = match peek(input) {
                    Kind::Static(Value::Float(value)) => *value,
                    #[allow(clippy::cast_precision_loss, reason = "only 0 and 1 pass the check")]
                    Kind::Static(Value::Int(value)) => *value as f64,
                    _ => return Err(unexpected(input, "FLOAT")),
                };
                skip(input);
                function.quantiles.push(quantile);
            }
        }
    }
    expect(input, ")")?;
    if matches!(peek(input), Kind::Word(word) if word == "by") {
        skip(input);
        expect(input, "(")?;
        function.by = separated(1.., field, symbol(",")).parse_next(input)?;
        expect(input, ")")?;
    }
    Ok(function)
}

/// `> 10` and the like behind a metrics function or stage that isn't in parentheses.
fn comparisons(input: &mut Input<'_>, mut metrics: Metrics) -> Parsed<Metrics> {
    loop {
        let Kind::Symbol(symbol) = peek(input) else { return Ok(metrics) };
        let Some(op) = Op::of_symbol(symbol).filter(|op| op.is_comparison()) else { return Ok(metrics) };
        let at = position(input);
        skip(input);
        let right = expr(input, 2)?;
        metrics = match comparison(op, Node::Metrics { metrics, wrapped: true }, right, at)? {
            Node::Metrics { metrics, .. } => metrics,
            _ => return Err::<Metrics, ErrMode<Failure>>(failure(at, "syntax error: metrics compare with a number")),
        };
    }
}

fn second_stage(input: &mut Input<'_>, metrics: Metrics) -> Parsed<Metrics> {
    let largest = match peek(input) {
        Kind::Word(word) if word == "topk" => true,
        Kind::Word(word) if word == "bottomk" => false,
        _ => return Err(unexpected(input, "topk or bottomk")),
    };
    skip(input);
    expect(input, "(")?;
    let Kind::Static(Value::Int(limit)) = peek(input) else { return Err(unexpected(input, "INTEGER")) };
    skip(input);
    expect(input, ")")?;
    let stage = if largest { SecondStage::TopK(*limit) } else { SecondStage::BottomK(*limit) };
    comparisons(input, Metrics::Second { input: Box::new(metrics), stage })
}
