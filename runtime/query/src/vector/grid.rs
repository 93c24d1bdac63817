//! The times a query is evaluated at, and the window of samples each of them sees.

use crate::functions::integer;
use datafusion::common::ScalarValue;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, lit};

/// Evaluation times: `start`, `start + step`, …, `steps` of them. The unit is the caller's (PromQL
/// counts in ms, LogQL in ns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// The first time.
    pub start: i64,
    /// Distance between two; not 0 when there are several.
    pub step: i64,
    /// How many.
    pub steps: usize,
}

impl Grid {
    /// The times from `start` to `end`, both included, every `step`.
    pub fn new(start: i64, end: i64, step: i64) -> Self {
        let steps = if end < start {
            0
        } else if step <= 0 {
            1
        } else {
            (end - start) / step + 1
        };
        Self { start, step: step.max(1), steps: usize::try_from(steps).unwrap_or(0) }
    }

    /// One time only.
    pub fn instant(time: i64) -> Self {
        Self { start: time, step: 1, steps: 1 }
    }

    /// The time of a step.
    pub fn at(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    /// The last time.
    pub fn end(&self) -> i64 {
        self.at(self.steps.saturating_sub(1))
    }

    /// All times in order.
    pub fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let grid = *self;
        (0..grid.steps).map(move |step| grid.at(step))
    }
}

/// What a selector sees at each step: the samples in `(t - range, t]`, where `t` is the step's time,
/// or `at` for every step, minus `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The steps.
    pub grid: Grid,
    /// A fixed time that takes the place of the steps' (PromQL's `@`).
    pub at: Option<i64>,
    /// How far the window lies before its time; negative lies after.
    pub offset: i64,
    /// Length of the window.
    pub range: i64,
    /// Time units in a second.
    pub per_second: i64,
}

impl Window {
    /// The end of a step's window.
    pub fn end_of(&self, step: usize) -> i64 {
        self.at.unwrap_or_else(|| self.grid.at(step)).saturating_sub(self.offset)
    }

    /// The times of all samples any step can see: after the first, up to and including the second.
    pub fn bounds(&self) -> (i64, i64) {
        let last = self.grid.steps.saturating_sub(1);
        (self.end_of(0).saturating_sub(self.range), self.end_of(last))
    }

    /// The window as literal arguments of a function; [`Self::read`] is the other way.
    pub fn literals(&self) -> [Expr; 7] {
        let at = Expr::Literal(ScalarValue::Int64(self.at), None);
        [
            lit(self.grid.start),
            lit(self.grid.step),
            lit(self.grid.steps as i64),
            at,
            lit(self.offset),
            lit(self.range),
            lit(self.per_second),
        ]
    }

    /// The window from a function's arguments, which start at `from`.
    ///
    /// # Errors
    /// When they aren't the seven integer literals of [`Self::literals`].
    pub fn read(arguments: &ScalarFunctionArgs, from: usize) -> Result<Self> {
        let required = |at: usize| match integer(arguments, from + at)? {
            Some(value) => Ok(value),
            None => exec_err!("a window's argument is null"),
        };
        let steps = usize::try_from(required(2)?).unwrap_or(0);
        Ok(Self {
            grid: Grid { start: required(0)?, step: required(1)?, steps },
            at: integer(arguments, from + 3)?,
            offset: required(4)?,
            range: required(5)?,
            per_second: required(6)?.max(1),
        })
    }
}
