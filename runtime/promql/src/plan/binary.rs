//! Signs and binary operators.

use super::{Names, Operand, Planner, Scalar, Vector, values};
use crate::error::Error;
use crate::parse::ast::{Binary, Expr};
use datafusion::logical_expr::ident;
use weft_query::functions::maps::METRIC_NAME;
use weft_query::vector::binary::{Keep, Operator};
use weft_query::vector::matching::{Cardinality, Matching, Operation};
use weft_query::vector::plan::SetOperator;
use weft_query::vector::{Grid, LABELS, plan, pointwise};

impl Planner<'_> {
    pub(super) fn unary(&mut self, negative: bool, inner: &Expr, grid: &Grid) -> Result<Operand, Error> {
        let operand = self.plan(inner, grid)?;
        if !negative {
            return Ok(operand);
        }
        Ok(match operand {
            Operand::Scalar(Scalar::Constant(value)) => Operand::Scalar(Scalar::Constant(-value)),
            Operand::Scalar(Scalar::Steps(values)) => {
                Operand::Scalar(Scalar::Steps(values.into_iter().map(|value| -value).collect()))
            }
            Operand::Scalar(Scalar::Relation(relation)) => {
                Operand::Scalar(Scalar::Relation(plan::map_values(relation, pointwise::call("negate", values(), []))?))
            }
            Operand::Vector(vector) => Operand::Vector(self.nameless(vector, pointwise::call("negate", values(), []))?),
            Operand::String(_) => return Err(self.parse_error(inner.span, "a string has no sign")),
        })
    }

    pub(super) fn binary(&mut self, expr: &Expr, binary: &Binary, grid: &Grid) -> Result<Operand, Error> {
        if binary.fills {
            return Err(self.unsupported(expr.span, "the fill modifier is"));
        }
        if binary.op == "</" || binary.op == ">/" {
            return Err(self.unsupported(expr.span, format!("the histogram operator {} is", binary.op)));
        }
        let (left, right) = (self.plan(&binary.left, grid)?, self.plan(&binary.right, grid)?);
        let set = match binary.op.as_str() {
            "and" => Some(SetOperator::And),
            "or" => Some(SetOperator::Or),
            "unless" => Some(SetOperator::Unless),
            _ => None,
        };
        if let (Some(set), Operand::Vector(left), Operand::Vector(right)) = (set, &left, &right) {
            let names = match (left.names, right.names) {
                (names, _) if set != SetOperator::Or => names,
                (Names::None, Names::None) => Names::None,
                _ => Names::Many,
            };
            let plan = plan::set_operation(left.plan.clone(), right.plan.clone(), set, &matching(binary))?;
            return Ok(Operand::Vector(Vector::new(plan, names)));
        }
        let Some(operator) = Operator::of_symbol(&binary.op) else {
            return Err(self.parse_error(expr.span, format!("operator {:?} doesn't take these operands", binary.op)));
        };
        let filters = operator.is_comparison() && !binary.returns_bool;
        match (left, right) {
            (Operand::Scalar(left), Operand::Scalar(right)) => {
                Ok(Operand::Scalar(self.scalars(operator, left, right, grid)?))
            }
            (Operand::Vector(vector), Operand::Scalar(scalar)) => {
                self.with_scalar(operator, filters, vector, scalar, false)
            }
            (Operand::Scalar(scalar), Operand::Vector(vector)) => {
                self.with_scalar(operator, filters, vector, scalar, true)
            }
            (Operand::Vector(left), Operand::Vector(right)) => {
                let operation = Operation { operator, keep: if filters { Keep::Left } else { Keep::Value } };
                let matching = matching(binary);
                let names = match (filters, matching.cardinality) {
                    // A name may come over from the other side.
                    _ if matching.include.iter().any(|label| label == METRIC_NAME) => Names::Many,
                    (false, _) => Names::None,
                    (true, Cardinality::OneToMany) => right.names,
                    (true, _) => left.names,
                };
                let mut joined = plan::binary_vectors(left.plan, right.plan, operation, &matching)?;
                if !filters && self.config.type_and_unit_labels {
                    joined = plan::map_labels(joined, self.without_name())?;
                }
                // Series of one name on both sides can't become equal: their key is all they keep.
                let several = self.merges(left.names) || self.merges(right.names) || !matching.include.is_empty();
                let plan = if several { plan::merge_equal(joined)? } else { joined };
                Ok(Operand::Vector(Vector::new(plan, names)))
            }
            _ => {
                Err(self.parse_error(expr.span, "binary expression must contain only scalar and instant vector types"))
            }
        }
    }

    fn with_scalar(
        &self,
        operator: Operator,
        filters: bool,
        vector: Vector,
        scalar: Scalar,
        scalar_left: bool,
    ) -> Result<Operand, Error> {
        let (input, columns) = self.with_scalars(vector.plan.clone(), vec![scalar])?;
        let Some(scalar) = columns.into_iter().next() else {
            return Err(weft_query::Error::Engine("a scalar operand got lost".into()).into());
        };
        let keep = match (filters, scalar_left) {
            (false, _) => Keep::Value,
            (true, true) => Keep::Right,
            (true, false) => Keep::Left,
        };
        let drops = !filters && self.drops(vector.names);
        let labels = if drops { self.without_name() } else { ident(LABELS) };
        let plan = plan::binary_constant(input, operator, keep, scalar, scalar_left, labels)?;
        let plan = if drops && self.merges(vector.names) { plan::merge_equal(plan)? } else { plan };
        Ok(Operand::Vector(Vector::new(plan, if drops { Names::None } else { vector.names })))
    }

    /// An operation between numbers: computed here as far as both are known.
    pub(super) fn scalars(
        &self,
        operator: Operator,
        left: Scalar,
        right: Scalar,
        grid: &Grid,
    ) -> Result<Scalar, Error> {
        if let (Scalar::Constant(left), Scalar::Constant(right)) = (&left, &right) {
            return Ok(Scalar::Constant(operator.apply(*left, *right)));
        }
        if !matches!(left, Scalar::Relation(_)) && !matches!(right, Scalar::Relation(_)) {
            let at = |scalar: &Scalar, step| scalar.at(step).unwrap_or(f64::NAN);
            return Ok(Scalar::Steps(
                (0..grid.steps).map(|step| operator.apply(at(&left, step), at(&right, step))).collect(),
            ));
        }
        let left = left.relation(grid)?;
        let (input, columns) = self.with_scalars(left, vec![right])?;
        let Some(right) = columns.into_iter().next() else {
            return Err(weft_query::Error::Engine("a scalar operand got lost".into()).into());
        };
        Ok(Scalar::Relation(plan::binary_constant(input, operator, Keep::Value, right, false, ident(LABELS))?))
    }
}

fn matching(binary: &Binary) -> Matching {
    let (on, labels) = match &binary.matching {
        Some(labels) => (labels.listed, labels.names.clone()),
        None => (false, Vec::new()),
    };
    let (cardinality, include) = match &binary.group {
        None => (Cardinality::OneToOne, Vec::new()),
        Some(group) if group.left => (Cardinality::ManyToOne, group.include.clone()),
        Some(group) => (Cardinality::OneToMany, group.include.clone()),
    };
    // `ignoring()` leaves the name out anyway; `on()` keeps only what it lists.
    debug_assert!(on || !labels.contains(&METRIC_NAME.to_owned()) || binary.matching.is_some());
    Matching { cardinality, on, labels, include }
}
