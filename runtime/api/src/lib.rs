//! weft's sockets: receivers on one side, query APIs on the other.
//!
//! A receiver ([`receivers`]) checks a body, appends it to the log and answers once the log has it
//! durably; it knows nothing of tables. A query API ([`query`]) parses parameters, asks a language
//! engine and encodes the answer in the shape that Prometheus, Loki or Tempo would give; it knows
//! nothing of the log. The binary mounts either or both ([`router`]).

mod body;
mod config;
mod error;
mod health;
mod ingest;
pub mod query;
pub mod receivers;
mod router;
mod server;

pub use config::Config;
pub use error::Error;
pub use health::{Health, Readiness};
pub use ingest::{Ingest, Route, Routes};
pub use query::Engines;
pub use router::{ingest_router, operations_router, query_router};
pub use server::{Server, bind};
