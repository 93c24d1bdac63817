//! The query APIs: Prometheus's, Loki's, Tempo's and SQL, one file each, and what they share.

mod json;
pub mod loki;
mod params;
pub mod prometheus;
pub mod sql;
pub mod tempo;
mod trace;

use crate::Config;
use std::sync::Arc;
use weft_env::Clock;

/// The language engines behind the APIs, all over the same tables.
#[derive(Debug, Clone)]
pub struct Engines {
    /// SQL, and what the others are built on.
    pub query: weft_query::Engine,
    /// PromQL.
    pub promql: weft_promql::Engine,
    /// LogQL.
    pub logql: weft_logql::Engine,
    /// TraceQL.
    pub traceql: weft_traceql::Engine,
    /// "Now" of queries without a time.
    pub clock: Arc<dyn Clock>,
    /// Limits.
    pub config: Config,
}
