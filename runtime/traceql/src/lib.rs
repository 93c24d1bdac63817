//! TraceQL over the `spans` table: text → tokens → syntax tree → checked query → DataFusion plans.
//!
//! ```text
//! Engine::new(query: weft_query::Engine, config: Config) -> Engine   (Clone)
//! engine.search(query, &Search{ start_ns, end_ns, limit, spans_per_spanset })    -> Result<SearchAnswer>
//! engine.trace_by_id(&[u8; 16], Option<(start_ns, end_ns)>)                      -> Result<Option<RecordBatch>>
//!                                          spans of the trace, by start time, columns of weft_model::spans
//! engine.tags(Option<Scope>, start_ns, end_ns)                                   -> Result<Vec<ScopeTags>>   v2; v1 joins the scopes' tags
//! engine.tag_values(tag, filter: Option<&str>, start_ns, end_ns)                 -> Result<Vec<Value>>       v2; v1 prints them
//! engine.metrics_range(query, start_ns, end_ns, step_ns)                         -> Result<Vec<Series>>
//! engine.metrics_instant(query, start_ns, end_ns)                                -> Result<Vec<Series>>      one sample each
//! tags_query(tags_logfmt, min_duration: Option<&str>, max_duration: Option<&str>) -> Result<String>
//!                                          the TraceQL text of the legacy `tags=` search
//! ```
//!
//! All times are ns since the Unix epoch. Every error has a [`weft_model::ErrorKind`]; `Reject` is
//! HTTP 400 with the error's text as the body.

mod answer;
mod ast;
mod check;
mod config;
mod engine;
mod error;
mod evaluate;
mod legacy;
mod lexer;
mod parse;
mod plan;

pub use answer::{
    KIND_NAMES, STATUS_NAMES, Scope, ScopeTags, SearchAnswer, Series, ServiceStats, Span, SpanSet, Stats, Trace, Value,
    go_duration,
};
pub use config::Config;
pub use engine::{Engine, Search};
pub use error::{Error, Position};
pub use legacy::tags_query;

#[cfg(test)]
mod examples;
