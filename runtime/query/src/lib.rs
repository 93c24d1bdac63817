//! DataFusion over weft's tables: what PromQL, LogQL, TraceQL and SQL are planned on.
//!
//! - [`Engine`] is shared by a process: tables, functions, the footer cache, limits.
//! - [`Session`] is one query: a consistent view of each table it touches (hot rows and committed
//!   files), its own memory limit, deadline, and cancellation by dropping the stream.
//! - [`provider`] scans a table: files pruned by statistics, then row groups, bloom filters and pages
//!   by DataFusion's Parquet reader; hot rows from memory.
//! - [`functions`] are the scalar functions on labels and attributes, usable from SQL.
//! - [`vector`] are the operators on step vectors that PromQL and LogQL share.
//!
//! Not here: parsing of any language but SQL, HTTP, writing.

pub mod config;
pub mod engine;
pub mod error;
pub mod functions;
pub mod provider;
pub mod pruning;
pub mod session;
pub mod stream;
pub mod vector;
mod yielding;

pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use session::Session;
pub use stream::QueryStream;
