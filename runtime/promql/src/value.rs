//! Results of queries.

use std::cmp::Ordering;

/// A series' labels, sorted by name, `__name__` among them; none is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(pub Vec<(String, String)>);

impl Labels {
    /// A label's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All labels in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A value at a time, ms since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub time_ms: i64,
    /// What.
    pub value: f64,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, at the query's time.
    Scalar(Sample),
    /// A string, at the query's time (ms).
    String(i64, String),
    /// Series with one value each, all at the query's time.
    Vector(Vec<(Labels, Sample)>),
    /// Series with their values, times ascending; sorted by labels.
    Matrix(Vec<(Labels, Vec<(i64, f64)>)>),
}

/// A result with what there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// `PromQL warning: …`, with positions.
    pub warnings: Vec<String>,
    /// `PromQL info: …`, with positions.
    pub infos: Vec<String>,
}

/// The order in which `sort` puts values: NaN last both ways.
pub(crate) fn by_value(left: f64, right: f64, descending: bool) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) if descending => right.partial_cmp(&left).unwrap_or(Ordering::Equal),
        (false, false) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        (left, right) => left.cmp(&right),
    }
}
