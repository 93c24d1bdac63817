//! The functions of PromQL and what they take. Source: prometheus/promql/parser/functions.go.

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// One number a step.
    Scalar,
    /// A string.
    String,
    /// Series with a value a step.
    Vector,
    /// Series with samples in a window a step.
    Matrix,
}

impl Type {
    /// As Prometheus names it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// A function's signature.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments.
    pub arguments: &'static [Type],
    /// How many of the last may be left out; `None`: the last may be left out or repeated.
    pub optional: Option<usize>,
    /// Type of its result.
    pub returns: Type,
    /// Whether Prometheus keeps it behind a flag.
    pub experimental: bool,
}

use Type::{Matrix as M, Scalar as S, String as T, Vector as V};

const fn function(name: &'static str, arguments: &'static [Type], returns: Type) -> Function {
    Function { name, arguments, optional: Some(0), returns, experimental: false }
}

const fn optional(name: &'static str, arguments: &'static [Type], returns: Type) -> Function {
    Function { name, arguments, optional: Some(1), returns, experimental: false }
}

const fn variadic(name: &'static str, arguments: &'static [Type], returns: Type) -> Function {
    Function { name, arguments, optional: None, returns, experimental: false }
}

const fn experimental(inner: Function) -> Function {
    Function { experimental: true, ..inner }
}

/// All functions.
pub const FUNCTIONS: &[Function] = &[
    function("abs", &[V], V),
    function("absent", &[V], V),
    function("absent_over_time", &[M], V),
    function("acos", &[V], V),
    function("acosh", &[V], V),
    function("asin", &[V], V),
    function("asinh", &[V], V),
    function("atan", &[V], V),
    function("atanh", &[V], V),
    function("avg_over_time", &[M], V),
    function("ceil", &[V], V),
    function("changes", &[M], V),
    function("clamp", &[V, S, S], V),
    function("clamp_max", &[V, S], V),
    function("clamp_min", &[V, S], V),
    function("cos", &[V], V),
    function("cosh", &[V], V),
    function("count_over_time", &[M], V),
    optional("day_of_month", &[V], V),
    optional("day_of_week", &[V], V),
    optional("day_of_year", &[V], V),
    optional("days_in_month", &[V], V),
    function("deg", &[V], V),
    function("delta", &[M], V),
    function("deriv", &[M], V),
    experimental(function("double_exponential_smoothing", &[M, S, S], V)),
    experimental(function("end", &[], S)),
    function("exp", &[V], V),
    function("first_over_time", &[M], V),
    function("floor", &[V], V),
    function("histogram_avg", &[V], V),
    function("histogram_count", &[V], V),
    function("histogram_fraction", &[S, S, V], V),
    function("histogram_quantile", &[S, V], V),
    experimental(variadic("histogram_quantiles", &[V, T, S], V)),
    function("histogram_stddev", &[V], V),
    function("histogram_stdvar", &[V], V),
    function("histogram_sum", &[V], V),
    optional("hour", &[V], V),
    function("idelta", &[M], V),
    function("increase", &[M], V),
    experimental(optional("info", &[V, V], V)),
    function("irate", &[M], V),
    variadic("label_join", &[V, T, T, T], V),
    function("label_replace", &[V, T, T, T, T], V),
    function("last_over_time", &[M], V),
    function("ln", &[V], V),
    function("log10", &[V], V),
    function("log2", &[V], V),
    experimental(function("mad_over_time", &[M], V)),
    experimental(function("max_of", &[S, S], S)),
    function("max_over_time", &[M], V),
    experimental(function("min_of", &[S, S], S)),
    function("min_over_time", &[M], V),
    optional("minute", &[V], V),
    optional("month", &[V], V),
    function("pi", &[], S),
    function("predict_linear", &[M, S], V),
    function("present_over_time", &[M], V),
    function("quantile_over_time", &[S, M], V),
    function("rad", &[V], V),
    experimental(function("range", &[], S)),
    function("rate", &[M], V),
    function("resets", &[M], V),
    optional("round", &[V, S], V),
    function("scalar", &[V], S),
    function("sgn", &[V], V),
    function("sin", &[V], V),
    function("sinh", &[V], V),
    function("sort", &[V], V),
    experimental(variadic("sort_by_label", &[V, T], V)),
    experimental(variadic("sort_by_label_desc", &[V, T], V)),
    function("sort_desc", &[V], V),
    function("sqrt", &[V], V),
    experimental(function("start", &[], S)),
    experimental(function("start_timestamp", &[V], V)),
    function("stddev_over_time", &[M], V),
    function("stdvar_over_time", &[M], V),
    experimental(function("step", &[], S)),
    function("sum_over_time", &[M], V),
    function("tan", &[V], V),
    function("tanh", &[V], V),
    function("time", &[], S),
    function("timestamp", &[V], V),
    experimental(function("ts_of_first_over_time", &[M], V)),
    experimental(function("ts_of_last_over_time", &[M], V)),
    experimental(function("ts_of_max_over_time", &[M], V)),
    experimental(function("ts_of_min_over_time", &[M], V)),
    function("vector", &[S], V),
    optional("year", &[V], V),
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}
