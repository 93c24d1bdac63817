//! Functions of the samples in a window, evaluated at every step: `range_rate(timestamps, values,
//! <window>, …)`. One file per family; this one drives a window over the samples of each series.
//!
//! Arguments: the two lists, the seven literals of [`Window`], then the function's own numbers (a
//! literal, or one for each step). Windows are left-open. Staleness markers are no samples: they end a
//! series for [`instant`] and are left out for all others.

pub mod counters;
pub mod instant;
pub mod over_time;
pub mod regression;

use super::columns::{FloatListBuilder, FloatLists, IntLists, Operand, OperandRow, values_type};
use super::grid::Window;
use crate::functions::{Columnar, column};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF};
use std::sync::{Arc, LazyLock};

/// The bits of Prometheus's staleness marker: a NaN like no computation gives.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the staleness marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// The samples one step sees.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    /// The window: after `start`, up to and including `end`.
    pub start: i64,
    pub end: i64,
    /// The step's own time, whatever `@` and `offset` say.
    pub now: i64,
    pub per_second: i64,
    /// The function's own numbers, at this step.
    pub numbers: &'a [f64],
}

impl Samples<'_> {
    /// A span of time in seconds.
    pub(crate) fn seconds(&self, span: i64) -> f64 {
        span as f64 / self.per_second as f64
    }
}

/// Arguments before a function's own.
const FIRST_NUMBER: usize = 9;

/// What a function does with staleness markers and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Markers are left out.
    Samples,
    /// Markers are seen.
    Markers,
    /// Markers are left out, and the result depends on the step's time even where the window doesn't move.
    Now,
}

pub(crate) fn evaluate(
    arguments: &ScalarFunctionArgs,
    sight: Sight,
    function: impl Fn(&Samples<'_>) -> Option<f64>,
) -> Result<ArrayRef> {
    let (times, values) = (column(arguments, 0)?, column(arguments, 1)?);
    let (times, values) = (IntLists::of(&times)?, FloatLists::of(&values)?);
    let window = Window::read(arguments, 2)?;
    let numbers: Vec<Operand> =
        (FIRST_NUMBER..arguments.args.len()).map(|at| Operand::read(arguments, at)).collect::<Result<_>>()?;
    let operands = numbers.iter().map(Operand::rows).collect::<Result<Vec<_>>>()?;
    let fixed = window.at.is_some() && sight != Sight::Now && operands.iter().all(|operand| operand.is_constant());
    let mut out = FloatListBuilder::with_capacity(values.len(), window.grid.steps);
    let mut live = Live::default();
    let mut at_row: Vec<OperandRow<'_>> = Vec::with_capacity(operands.len());
    let mut at_step = vec![0.0; operands.len()];
    for row in 0..values.len() {
        at_row.clear();
        at_row.extend(operands.iter().map(|operand| operand.row(row)));
        let (times, values) = (times.row(row), values.row(row).values);
        if times.len() != values.len() {
            return exec_err!("{} samples with {} times", values.len(), times.len());
        }
        let (times, values) = if sight == Sight::Markers { (times, values) } else { live.of(times, values) };
        let (mut low, mut high) = (0, 0);
        let mut result = None;
        for step in 0..window.grid.steps {
            if fixed && step > 0 {
                out.push(result);
                continue;
            }
            let end = window.end_of(step);
            let start = end.saturating_sub(window.range);
            while high < times.len() && times[high] <= end {
                high += 1;
            }
            while low < high && times[low] <= start {
                low += 1;
            }
            for (number, operand) in at_step.iter_mut().zip(&at_row) {
                *number = operand.get(step).unwrap_or(f64::NAN);
            }
            result = if low == high {
                None
            } else {
                function(&Samples {
                    times: &times[low..high],
                    values: &values[low..high],
                    start,
                    end,
                    now: window.grid.at(step),
                    per_second: window.per_second,
                    numbers: &at_step,
                })
            };
            out.push(result);
        }
        out.finish_row();
    }
    Ok(out.finish())
}

/// The samples of a series without staleness markers; copied only where there is one.
#[derive(Debug, Default)]
struct Live {
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Live {
    fn of<'a>(&'a mut self, times: &'a [i64], values: &'a [f64]) -> (&'a [i64], &'a [f64]) {
        if !values.iter().any(|value| is_stale(*value)) {
            return (times, values);
        }
        self.times.clear();
        self.values.clear();
        for (time, value) in times.iter().zip(values).filter(|(_, value)| !is_stale(**value)) {
            self.times.push(*time);
            self.values.push(*value);
        }
        (&self.times, &self.values)
    }
}

macro_rules! range_functions {
    ($($name:literal: $sight:ident $function:path),* $(,)?) => {
        static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| vec![
            $(Columnar::udf(concat!("range_", $name), |_| Ok(values_type()), |arguments| evaluate(arguments, Sight::$sight, $function))),*
        ]);
        /// The names of all functions, as [`call`] takes them.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

range_functions! {
    "instant": Markers instant::value,
    "timestamp": Markers instant::time,
    "rate": Samples counters::rate,
    "increase": Samples counters::increase,
    "delta": Samples counters::delta,
    "irate": Samples counters::irate,
    "idelta": Samples counters::idelta,
    "resets": Samples counters::resets,
    "changes": Samples counters::changes,
    "deriv": Samples regression::deriv,
    "predict_linear": Now regression::predict_linear,
    "double_exponential_smoothing": Samples regression::double_exponential_smoothing,
    "sum_over_time": Samples over_time::sum,
    "avg_over_time": Samples over_time::avg,
    "min_over_time": Samples over_time::min,
    "max_over_time": Samples over_time::max,
    "count_over_time": Samples over_time::count,
    "stddev_over_time": Samples over_time::stddev,
    "stdvar_over_time": Samples over_time::stdvar,
    "last_over_time": Samples over_time::last,
    "first_over_time": Samples over_time::first,
    "present_over_time": Samples over_time::present,
    "quantile_over_time": Samples over_time::quantile,
    "mad_over_time": Samples over_time::mad,
    "ts_of_first_over_time": Samples over_time::ts_of_first,
    "ts_of_last_over_time": Samples over_time::ts_of_last,
    "ts_of_min_over_time": Samples over_time::ts_of_min,
    "ts_of_max_over_time": Samples over_time::ts_of_max,
    "count_per_second": Samples over_time::count_per_second,
    "sum_per_second": Samples over_time::sum_per_second,
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    FUNCTIONS.clone()
}

/// The function `name` (of [`NAMES`]) over two sample columns; `numbers` are its own arguments.
///
/// # Errors
/// When there is no function of this name.
pub fn call(
    name: &str,
    timestamps: Expr,
    values: Expr,
    window: &Window,
    numbers: impl IntoIterator<Item = Expr>,
) -> Result<Expr> {
    let Some(at) = NAMES.iter().position(|known| *known == name) else {
        return exec_err!("there is no function '{name}' of a range");
    };
    let mut arguments = vec![timestamps, values];
    arguments.extend(window.literals());
    arguments.extend(numbers);
    Ok(FUNCTIONS[at].call(arguments))
}
