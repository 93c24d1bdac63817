//! The syntax tree of TraceQL. Pure data: what it means is said in `check` and `evaluate`.

use crate::answer::Value;
use std::fmt;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) root: Root,
    /// `with(k=v, …)`.
    pub(crate) hints: Vec<(String, Value)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Root {
    Search(Pipeline),
    Metrics(Metrics),
}

/// Stages joined by `|`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pipeline {
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    Spanset(Spanset),
    /// `count() > 2`.
    Scalar(ScalarFilter),
    By(Expr),
    Coalesce,
    Select(Vec<Field>),
}

/// An expression on sets of spans.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spanset {
    /// `{ … }`.
    Filter(Expr),
    Binary {
        op: SpansetOp,
        left: Box<Spanset>,
        right: Box<Spanset>,
    },
    /// `( pipeline )`.
    Pipeline(Box<Pipeline>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpansetOp {
    And,
    Or,
    Structural { relation: Relation, kind: StructuralKind },
}

/// What the right-hand span is to the left-hand one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Child,
    Parent,
    Descendant,
    Ancestor,
    Sibling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StructuralKind {
    Plain,
    Negated,
    Union,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScalarFilter {
    pub(crate) op: Op,
    pub(crate) left: Scalar,
    pub(crate) right: Scalar,
}

/// A number for a set of spans.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Static(Value),
    Aggregate {
        op: AggregateOp,
        argument: Option<Expr>,
    },
    Arithmetic {
        op: Op,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
    /// `( pipeline | aggregate )`.
    Pipeline(Box<Pipeline>, Box<Scalar>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateOp {
    Count,
    Avg,
    Min,
    Max,
    Sum,
}

impl AggregateOp {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
        }
    }
}

/// An operator on values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Regex,
    NotRegex,
    And,
    Or,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Op {
    const SYMBOLS: [(&'static str, Self); 16] = [
        ("=", Self::Equal),
        ("!=", Self::NotEqual),
        (">", Self::Greater),
        (">=", Self::GreaterEqual),
        ("<", Self::Less),
        ("<=", Self::LessEqual),
        ("=~", Self::Regex),
        ("!~", Self::NotRegex),
        ("&&", Self::And),
        ("||", Self::Or),
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("*", Self::Multiply),
        ("/", Self::Divide),
        ("%", Self::Modulo),
        ("^", Self::Power),
    ];

    pub(crate) fn of_symbol(symbol: &str) -> Option<Self> {
        Self::SYMBOLS.into_iter().find(|(text, _)| *text == symbol).map(|(_, op)| op)
    }

    pub(crate) fn symbol(self) -> &'static str {
        Self::SYMBOLS.into_iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }

    pub(crate) fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo | Self::Power)
    }

    pub(crate) fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual)
    }

    /// The operator with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            other => other,
        }
    }
}

/// An expression on the fields of a span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Static(Value),
    Field(Field),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary { op: Op, left: Box<Expr>, right: Box<Expr> },
}

/// Where an attribute is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AttributeScope {
    /// Span, then resource.
    Any,
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    Attribute(AttributeScope, String),
    Intrinsic(Intrinsic),
    /// `parent` and `parent.…`, which nothing evaluates yet.
    Parent(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Intrinsic {
    Duration,
    Name,
    Kind,
    Status,
    StatusMessage,
    SpanId,
    ParentId,
    ChildCount,
    TraceId,
    TraceDuration,
    RootName,
    RootService,
    EventName,
    EventTime,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
    NestedLeft,
    NestedRight,
    NestedParent,
}

impl Intrinsic {
    /// Name with scope, and the older name without where there is one; the first entry prints.
    const NAMES: [(&'static str, Self); 29] = [
        ("duration", Self::Duration),
        ("span:duration", Self::Duration),
        ("name", Self::Name),
        ("span:name", Self::Name),
        ("kind", Self::Kind),
        ("span:kind", Self::Kind),
        ("status", Self::Status),
        ("span:status", Self::Status),
        ("statusMessage", Self::StatusMessage),
        ("span:statusMessage", Self::StatusMessage),
        ("rootName", Self::RootName),
        ("trace:rootName", Self::RootName),
        ("rootServiceName", Self::RootService),
        ("trace:rootService", Self::RootService),
        ("traceDuration", Self::TraceDuration),
        ("trace:duration", Self::TraceDuration),
        ("span:id", Self::SpanId),
        ("span:parentID", Self::ParentId),
        ("span:childCount", Self::ChildCount),
        ("trace:id", Self::TraceId),
        ("event:name", Self::EventName),
        ("event:timeSinceStart", Self::EventTime),
        ("link:traceID", Self::LinkTraceId),
        ("link:spanID", Self::LinkSpanId),
        ("instrumentation:name", Self::InstrumentationName),
        ("instrumentation:version", Self::InstrumentationVersion),
        ("nestedSetLeft", Self::NestedLeft),
        ("nestedSetRight", Self::NestedRight),
        ("nestedSetParent", Self::NestedParent),
    ];

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(text, _)| *text == name).map(|(_, field)| field)
    }

    /// The name it has in answers.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, field)| *field == self).map_or("", |(text, _)| text)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
            Self::Parent(name) => f.write_str(name),
            Self::Attribute(scope, name) => {
                let scope = match scope {
                    AttributeScope::Any => "",
                    AttributeScope::Span => "span",
                    AttributeScope::Resource => "resource",
                    AttributeScope::Event => "event",
                    AttributeScope::Link => "link",
                    AttributeScope::Instrumentation => "instrumentation",
                };
                write!(f, "{scope}.{name}")
            }
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(Value::String(text)) => write!(f, "`{text}`"),
            Self::Static(value) => write!(f, "{value}"),
            Self::Field(field) => write!(f, "{field}"),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::Negate(inner) => write!(f, "-{inner}"),
            Self::Binary { op, left, right } => write!(f, "({left} {} {right})", op.symbol()),
        }
    }
}

/// A metrics query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Metrics {
    Number(Value),
    Pipeline { pipeline: Pipeline, function: Box<MetricsFunction> },
    Arithmetic { op: Op, left: Box<Metrics>, right: Box<Metrics> },
    Second { input: Box<Metrics>, stage: SecondStage },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricsFunction {
    pub(crate) op: MetricsOp,
    pub(crate) field: Option<Field>,
    pub(crate) quantiles: Vec<f64>,
    pub(crate) by: Vec<Field>,
    /// The selection of `compare`.
    pub(crate) selection: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricsOp {
    Rate,
    Count,
    Min,
    Max,
    Avg,
    Sum,
    Quantile,
    Histogram,
    Compare,
}

impl MetricsOp {
    const NAMES: [(&'static str, Self); 9] = [
        ("rate", Self::Rate),
        ("count_over_time", Self::Count),
        ("min_over_time", Self::Min),
        ("max_over_time", Self::Max),
        ("avg_over_time", Self::Avg),
        ("sum_over_time", Self::Sum),
        ("quantile_over_time", Self::Quantile),
        ("histogram_over_time", Self::Histogram),
        ("compare", Self::Compare),
    ];

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(text, _)| *text == name).map(|(_, op)| op)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SecondStage {
    TopK(i64),
    BottomK(i64),
    Filter(Op, Value),
}
