//! Small functions of a `values` column: which steps are there, lists of constants, samples out of steps.

use super::columns::{FloatListBuilder, FloatLists, int_lists, offset, timestamps_type, values_type};
use super::grid::Grid;
use super::{LABELS, TIMESTAMPS, VALUES};
use crate::functions::{Columnar, column, float, integer, text};
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF, lit};
use std::sync::{Arc, LazyLock};
use weft_model::attributes::label_map;

static SAMPLES: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new(TIMESTAMPS, timestamps_type(), true), Field::new(VALUES, values_type(), true)])
});

static MASK: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Columnar::udf("steps_mask", |_| Ok(values_type()), mask));
static FILL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Columnar::udf("steps_fill", |_| Ok(values_type()), fill));
static INVERT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("steps_invert", |_| Ok(values_type()), invert));
static AS_SAMPLES: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("steps_as_samples", |_| Ok(DataType::Struct(SAMPLES.clone())), as_samples));
static LABELS_PART: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("series_labels", |_| Ok(label_map()), |arguments| part_of(arguments, LABELS)));
static TIMESTAMPS_PART: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Columnar::udf("series_timestamps", |_| Ok(timestamps_type()), |arguments| part_of(arguments, TIMESTAMPS))
});
static VALUES_PART: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("series_values", |_| Ok(values_type()), |arguments| part_of(arguments, VALUES)));
static AT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Columnar::udf("steps_at", |_| Ok(DataType::Float64), at));

fn mask(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let keep_present = match text(arguments, 0)? {
        "with" => true,
        "without" => false,
        other => return exec_err!("steps_mask: 'with' or 'without' expected, not '{other}'"),
    };
    let (values, other) = (column(arguments, 1)?, column(arguments, 2)?);
    let (values, other) = (FloatLists::of(&values)?, FloatLists::of(&other)?);
    let mut out = FloatListBuilder::with_capacity(values.len(), 0);
    for row in 0..values.len() {
        // A null list is a series that isn't there: absent at every step.
        let (held, mask) = (values.row(row), other.row(row));
        for step in 0..held.values.len() {
            let present = mask.get(step).is_some();
            out.push(held.get(step).filter(|_| present == keep_present));
        }
        out.finish_row();
    }
    Ok(out.finish())
}

/// `values` at the steps where `other` has a value.
pub fn masked_with(values: Expr, other: Expr) -> Expr {
    MASK.call(vec![lit("with"), values, other])
}

/// `values` at the steps where `other` has none, or is null altogether.
pub fn masked_without(values: Expr, other: Expr) -> Expr {
    MASK.call(vec![lit("without"), values, other])
}

fn fill(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let lists = FloatLists::of(&array)?;
    let value = float(arguments, 1)?;
    let mut out = FloatListBuilder::with_capacity(lists.len(), 0);
    for row in 0..lists.len() {
        let row = lists.row(row);
        (0..row.values.len()).for_each(|step| out.push(Some(row.get(step).unwrap_or(value))));
        out.finish_row();
    }
    Ok(out.finish())
}

/// `value` where a step has none.
pub fn filled(values: Expr, value: f64) -> Expr {
    FILL.call(vec![values, lit(value)])
}

fn invert(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let lists = FloatLists::of(&array)?;
    let mut out = FloatListBuilder::with_capacity(lists.len(), 0);
    for row in 0..lists.len() {
        let row = lists.row(row);
        (0..row.values.len()).for_each(|step| out.push(row.get(step).is_none().then_some(1.0)));
        out.finish_row();
    }
    Ok(out.finish())
}

/// 1 at the steps that have no value, nothing at the others.
pub fn inverted(values: Expr) -> Expr {
    INVERT.call(vec![values])
}

fn as_samples(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let lists = FloatLists::of(&array)?;
    let (Some(start), Some(step)) = (integer(arguments, 1)?, integer(arguments, 2)?) else {
        return exec_err!("steps_as_samples: a grid's argument is null");
    };
    let mut ends = Vec::with_capacity(lists.len() + 1);
    ends.push(0);
    let mut times = Vec::new();
    let mut values = FloatListBuilder::with_capacity(lists.len(), 0);
    for row in 0..lists.len() {
        let row = lists.row(row);
        let grid = Grid { start, step, steps: row.values.len() };
        for (at, time) in grid.times().enumerate() {
            if let Some(value) = row.get(at) {
                times.push(time);
                values.push(Some(value));
            }
        }
        values.finish_row();
        ends.push(offset(times.len()));
    }
    Ok(Arc::new(StructArray::new(SAMPLES.clone(), vec![int_lists(ends, times), values.finish()], None)))
}

/// The steps that have a value as samples: a struct of `timestamps` and `values`.
pub fn samples(values: Expr, grid: &Grid) -> Expr {
    AS_SAMPLES.call(vec![values, lit(grid.start), lit(grid.step)])
}

fn part_of(arguments: &ScalarFunctionArgs, name: &str) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    match array.as_struct_opt().and_then(|parts| parts.column_by_name(name)) {
        Some(part) => Ok(Arc::clone(part)),
        None => exec_err!("there is no part {name} of {}", array.data_type()),
    }
}

/// The labels, timestamps or values of a struct of them. (DataFusion's own access to fields is moved
/// through projections by its optimizer in a way that loses columns of the same name.)
pub fn part(of: Expr, name: &str) -> Expr {
    let function = match name {
        LABELS => &LABELS_PART,
        TIMESTAMPS => &TIMESTAMPS_PART,
        _ => &VALUES_PART,
    };
    function.call(vec![of])
}

fn at(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let lists = FloatLists::of(&array)?;
    let Some(step) = integer(arguments, 1)?.and_then(|step| usize::try_from(step).ok()) else {
        return exec_err!("steps_at: a step is needed");
    };
    let values: Float64Array = (0..lists.len()).map(|row| lists.row(row).get(step)).collect();
    Ok(Arc::new(values))
}

/// The value of one step.
pub fn value_at(values: Expr, step: usize) -> Expr {
    AT.call(vec![values, lit(step as i64)])
}

/// A literal list: one number for each step.
pub fn constants(values: &[Option<f64>]) -> Expr {
    let mut out = FloatListBuilder::with_capacity(1, values.len());
    values.iter().for_each(|value| out.push(*value));
    out.finish_row();
    let list = out.finish();
    Expr::Literal(ScalarValue::List(Arc::new(list.as_list::<i32>().clone())), None)
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    [&MASK, &FILL, &INVERT, &AS_SAMPLES, &AT, &LABELS_PART, &TIMESTAMPS_PART, &VALUES_PART]
        .into_iter()
        .map(|function| Arc::clone(function))
        .collect()
}
