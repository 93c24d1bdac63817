//! Syntax tree → DataFusion plan: a vector is a relation of labels and step lists ([`weft_query::vector`]).
//!
//! [`Planner::plan`] walks the tree; each construct has a file. Numbers known without data are computed
//! here and go into the plan as literals; only `scalar(vector)` makes a scalar that is a relation.
//!
//! Metric names: a vector knows whether its series can differ in nothing but their name ([`Names`]).
//! Only then does dropping the name need a merge that looks for series that have become equal.

pub mod aggregate;
pub mod binary;
pub mod call;
pub mod selector;

use crate::annotations::Annotations;
use crate::config::Config;
use crate::error::Error;
use crate::parse::ast::{Expr, Kind, Span};
use crate::parse::{durations, position};
use datafusion::logical_expr::{Expr as Column, LogicalPlan, ident, lit};
use weft_query::Session;
use weft_query::functions::label_sets;
use weft_query::functions::maps::METRIC_NAME;
use weft_query::vector::{Grid, LABELS, VALUES, plan, steps};

/// Time units (ms) in a second.
pub const PER_SECOND: i64 = 1000;

/// What is known of the metric names of a vector's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// No series has one.
    None,
    /// All have the same.
    Same,
    /// They may differ.
    Many,
}

/// The order of an instant result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// None in particular.
    Any,
    /// By value.
    Value {
        /// Greatest first.
        descending: bool,
    },
    /// By the values of labels in natural order, then by all labels.
    Labels {
        /// The labels.
        names: Vec<String>,
        /// Last first.
        descending: bool,
    },
}

/// A planned vector.
#[derive(Debug, Clone)]
pub struct Vector {
    /// Relation of `labels` and `values`.
    pub plan: LogicalPlan,
    /// What is known of its names.
    pub names: Names,
    /// How an instant result is ordered.
    pub order: Order,
}

impl Vector {
    fn new(plan: LogicalPlan, names: Names) -> Self {
        Self { plan, names, order: Order::Any }
    }
}

/// A planned scalar.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// The same at every step.
    Constant(f64),
    /// One number a step.
    Steps(Vec<f64>),
    /// A relation of one row, with a value at every step.
    Relation(LogicalPlan),
}

impl Scalar {
    /// Its value at a step, when known.
    pub fn at(&self, step: usize) -> Option<f64> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Steps(values) => values.get(step).copied(),
            Self::Relation(_) => None,
        }
    }

    fn literal(&self) -> Option<Column> {
        match self {
            Self::Constant(value) => Some(lit(*value)),
            Self::Steps(values) => Some(steps::constants(&values.iter().copied().map(Some).collect::<Vec<_>>())),
            Self::Relation(_) => None,
        }
    }

    /// For functions of whole groups.
    fn number(self) -> plan::Number {
        match (self.literal(), self) {
            (_, Self::Relation(relation)) => plan::Number::Relation(relation),
            (literal, _) => plan::Number::Literal(literal.unwrap_or_else(|| lit(f64::NAN))),
        }
    }

    /// As a relation of one series without labels.
    fn relation(self, grid: &Grid) -> Result<LogicalPlan, Error> {
        Ok(match self {
            Self::Constant(value) => plan::literal(&[], steps::constants(&vec![Some(value); grid.steps]))?,
            Self::Steps(values) => {
                plan::literal(&[], steps::constants(&values.into_iter().map(Some).collect::<Vec<_>>()))?
            }
            Self::Relation(plan) => plan,
        })
    }
}

/// A planned expression.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Of type scalar.
    Scalar(Scalar),
    /// Of type string.
    String(String),
    /// Of type instant vector.
    Vector(Vector),
}

/// Plans one query.
pub struct Planner<'a> {
    /// The tables.
    pub session: &'a Session,
    /// The query's text, for positions.
    pub text: &'a str,
    /// Settings.
    pub config: &'a Config,
    /// How far instant selectors look back, ms.
    pub lookback: i64,
    /// The query's own steps: what `start()` and `end()` mean, whatever subquery they stand in.
    pub query: Grid,
    /// Step and range as duration expressions see them.
    pub durations: durations::Context,
    /// What there is to say.
    pub notes: Annotations,
}

impl Planner<'_> {
    /// Plans an expression that was checked, to be evaluated at the steps of `grid`.
    ///
    /// # Errors
    /// When it is something weft doesn't evaluate, or an argument is out of its bounds.
    pub fn plan(&mut self, expr: &Expr, grid: &Grid) -> Result<Operand, Error> {
        match &expr.kind {
            Kind::Number(value) => Ok(Operand::Scalar(Scalar::Constant(*value))),
            Kind::String(text) => Ok(Operand::String(text.clone())),
            Kind::Paren(inner) => self.plan(inner, grid),
            Kind::Selector(selector) => Ok(Operand::Vector(self.instant_selector(expr, selector, grid)?)),
            Kind::Unary { negative, expr: inner } => self.unary(*negative, inner, grid),
            Kind::Binary(binary) => self.binary(expr, binary, grid),
            Kind::Aggregate { op, parameter, expr: inner, grouping } => {
                Ok(Operand::Vector(self.aggregation(expr, op, parameter.as_deref(), inner, grouping, grid)?))
            }
            Kind::Call { name, arguments } => self.call(expr, name, arguments, grid),
            Kind::Range { .. } | Kind::Subquery { .. } => {
                Err(self.parse_error(expr.span, "a range vector can't stand here"))
            }
        }
    }

    fn vector(&mut self, expr: &Expr, grid: &Grid) -> Result<Vector, Error> {
        match self.plan(expr, grid)? {
            Operand::Vector(vector) => Ok(vector),
            _ => Err(self.parse_error(expr.span, "expected an instant vector")),
        }
    }

    fn scalar(&mut self, expr: &Expr, grid: &Grid) -> Result<Scalar, Error> {
        match self.plan(expr, grid)? {
            Operand::Scalar(scalar) => Ok(scalar),
            _ => Err(self.parse_error(expr.span, "expected a scalar")),
        }
    }

    fn string(&mut self, expr: &Expr, grid: &Grid) -> Result<String, Error> {
        match self.plan(expr, grid)? {
            Operand::String(text) => Ok(text),
            _ => Err(self.parse_error(expr.span, "expected a string")),
        }
    }

    fn parse_error(&self, span: Span, message: impl Into<String>) -> Error {
        let (line, column) = position(self.text, span.start);
        Error::Parse { line, column, message: message.into() }
    }

    fn unsupported(&self, span: Span, what: impl Into<String>) -> Error {
        let (line, column) = position(self.text, span.start);
        Error::Unsupported { line, column, what: what.into() }
    }

    /// Scalars as columns beside the rows of `plan`, or as literals where they are known.
    fn with_scalars(&self, mut plan: LogicalPlan, scalars: Vec<Scalar>) -> Result<(LogicalPlan, Vec<Column>), Error> {
        let mut columns = Vec::with_capacity(scalars.len());
        for (at, scalar) in scalars.into_iter().enumerate() {
            columns.push(match (scalar.literal(), scalar) {
                (Some(literal), _) => literal,
                (None, Scalar::Relation(relation)) => {
                    let name = format!("scalar_{at}");
                    plan = plan::beside(plan, relation, &name)?;
                    ident(name)
                }
                (None, _) => lit(f64::NAN),
            });
        }
        Ok((plan, columns))
    }

    /// A vector whose values are another quantity now: without names.
    fn nameless(&self, vector: Vector, new_values: Column) -> Result<Vector, Error> {
        let labels = if self.drops(vector.names) { self.without_name() } else { ident(LABELS) };
        let plan = plan::map(vector.plan, labels, new_values)?;
        let plan = if self.merges(vector.names) { plan::merge_equal(plan)? } else { plan };
        Ok(Vector::new(plan, Names::None))
    }

    /// Whether dropping the name changes labels.
    fn drops(&self, names: Names) -> bool {
        names != Names::None || self.config.type_and_unit_labels
    }

    /// Whether dropping the name can make series equal.
    fn merges(&self, names: Names) -> bool {
        names == Names::Many || self.config.type_and_unit_labels
    }

    /// Labels without the metric's name, and what goes with it.
    fn without_name(&self) -> Column {
        let more: &[&str] = if self.config.type_and_unit_labels { &["__type__", "__unit__"] } else { &[] };
        let names = std::iter::once(&METRIC_NAME).chain(more).map(|name| lit(*name));
        label_sets::labels_without().call(std::iter::once(ident(LABELS)).chain(names).collect())
    }
}

/// The column of values.
fn values() -> Column {
    ident(VALUES)
}
