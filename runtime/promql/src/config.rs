//! Settings of PromQL.

use serde::{Deserialize, Serialize};

/// How queries are evaluated. Every field has a default; unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How far an instant selector looks back for a sample.
    pub lookback_delta_ms: i64,
    /// Step of subqueries that name none.
    pub evaluation_interval_ms: i64,
    /// Steps a range query may have.
    pub max_steps: usize,
    /// Functions that Prometheus keeps behind `promql-experimental-functions`.
    pub experimental_functions: bool,
    /// Treat `__type__` and `__unit__` as parts of the metric's name, as Prometheus does behind
    /// `type-and-unit-labels`.
    pub type_and_unit_labels: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lookback_delta_ms: 300_000,
            evaluation_interval_ms: 60_000,
            max_steps: 11_000,
            experimental_functions: false,
            type_and_unit_labels: false,
        }
    }
}
