//! Aggregations.

use super::{Names, Order, Planner, Scalar, Vector};
use crate::error::Error;
use crate::parse::ast::{Expr, Grouping};
use weft_query::functions::maps::METRIC_NAME;
use weft_query::vector::aggregate::Op;
use weft_query::vector::{Grid, plan, select};

impl Planner<'_> {
    pub(super) fn aggregation(
        &mut self,
        expr: &Expr,
        op: &str,
        parameter: Option<&Expr>,
        inner: &Expr,
        grouping: &Grouping,
        grid: &Grid,
    ) -> Result<Vector, Error> {
        let vector = self.vector(inner, grid)?;
        let kept = vector.names;
        let named = !grouping.without && grouping.labels.iter().any(|label| label == METRIC_NAME);
        let names = if named { kept } else { Names::None };
        let grouped = if grouping.without {
            plan::Grouping::Without(grouping.labels.clone())
        } else {
            plan::Grouping::By(grouping.labels.clone())
        };
        let plain = match op {
            "sum" => Some(Op::Sum),
            "avg" => Some(Op::Avg),
            "min" => Some(Op::Min),
            "max" => Some(Op::Max),
            "count" => Some(Op::Count),
            "group" => Some(Op::Group),
            "stddev" => Some(Op::StdDev),
            "stdvar" => Some(Op::StdVar),
            _ => None,
        };
        if let Some(plain) = plain {
            return Ok(Vector::new(plan::aggregate(vector.plan, plain, &grouped)?, names));
        }
        let Some(parameter) = parameter else {
            return Err(self.parse_error(expr.span, format!("{op} needs a parameter")));
        };
        if op == "count_values" {
            let label = self.string(parameter, grid)?;
            if label.is_empty() {
                return Err(weft_query::Error::Rejected(format!("invalid label name {label:?}")).into());
            }
            let names = if label == METRIC_NAME { Names::Many } else { names };
            return Ok(Vector::new(plan::count_values(vector.plan, &label, &grouped)?, names));
        }
        if op == "limitk" || op == "limit_ratio" {
            return Err(self.unsupported(expr.span, format!("the aggregation {op} is")));
        }
        let number = self.scalar(parameter, grid)?;
        if op == "quantile" {
            self.check_quantile(parameter, &number, grid);
        }
        match op {
            "topk" | "bottomk" => {
                let kind = if op == "topk" { "topk" } else { "bottomk" };
                let order = Order::Value { descending: op == "topk" };
                for step in 0..grid.steps {
                    number.at(step).map(select::whole).transpose()?;
                }
                let plan = plan::topk(vector.plan, kind, number.number(), &grouped)?;
                Ok(Vector { plan, names: kept, order })
            }
            "quantile" => Ok(Vector::new(plan::quantile(vector.plan, number.number(), &grouped)?, names)),
            _ => Err(self.parse_error(expr.span, format!("unknown aggregation {op:?}"))),
        }
    }

    /// Warns of a quantile outside 0 to 1, as far as it is known.
    pub(super) fn check_quantile(&mut self, place: &Expr, rank: &Scalar, grid: &Grid) {
        for step in 0..grid.steps {
            if let Some(rank) = rank.at(step).filter(|rank| rank.is_nan() || !(0.0..=1.0).contains(rank)) {
                self.notes.warn(
                    self.text,
                    place.span,
                    format!("quantile value should be between 0 and 1, got {}", go_number(rank)),
                );
                return;
            }
        }
    }
}

/// A number as Go's `%g` prints it.
fn go_number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    value.to_string()
}
