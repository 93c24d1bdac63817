//! LogQL over the `logs` table: text → tokens → syntax tree → checked query → DataFusion plan.
//!
//! ```text
//! Engine::new(query: weft_query::Engine, config: Config) -> Engine            (Clone)
//! engine.instant(query, time_ns, &Options)                 -> Result<Answer>  metric queries and literals only
//! engine.range(query, start_ns, end_ns, step_ns, &Options) -> Result<Answer>  log or metric queries
//! engine.labels(selector: Option<&str>, start_ns, end_ns)              -> Result<Vec<String>>
//! engine.label_values(name, selector: Option<&str>, start_ns, end_ns)  -> Result<Vec<String>>
//! engine.series(selectors: &[String], start_ns, end_ns)                -> Result<Vec<Labels>>
//! ```
//!
//! All times are ns since the Unix epoch; a log query reads `start <= t < end`. Every error has a
//! [`weft_model::ErrorKind`]; `Reject` is HTTP 400 with the error's text as the body.

mod answer;
mod ast;
mod check;
mod config;
mod engine;
mod error;
mod lexer;
mod parse;
mod plan;
mod stages;
mod vector;

pub use answer::{Answer, Direction, Entry, Labels, Options, Sample, Series, Stats, Stream, Value};
pub use config::Config;
pub use engine::Engine;
pub use error::{Error, Position};
