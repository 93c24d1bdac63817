//! PromQL: text → syntax tree ([`parse`]) → types checked ([`check`]) → DataFusion plan ([`plan`]) →
//! [`Value`].
//!
//! [`Engine`] runs instant and range queries; [`metadata`] answers which labels, series and metrics
//! there are. Not here: HTTP ([`weft_query`]'s limits apply to every query), rules, storage.
//!
//! Not evaluated yet, and said so by [`Error::Unsupported`]: native histograms, `info()`, `limitk`,
//! `limit_ratio`, `anchored` and `smoothed`, `fill`.

pub mod annotations;
pub mod check;
pub mod config;
pub mod engine;
pub mod error;
pub mod functions;
pub mod metadata;
pub mod parse;
pub mod plan;
pub mod value;

pub use config::Config;
pub use engine::{Engine, Options};
pub use error::Error;
pub use metadata::Metadata;
pub use value::{Answer, Labels, Sample, Value};
