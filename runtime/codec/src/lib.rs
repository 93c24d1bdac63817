//! Bytes of telemetry protocols to Arrow batches, and back nowhere: decoding, validation, splitting.
//!
//! [`Decoder`] turns messages of the log into a batch of one signal; [`validate`] is what a receiver
//! asks before it appends a body to the log; [`derive`] fills the columns that must be computed after
//! the last module has edited the rows; [`split_traces`] and [`trace_partition`] keep a trace on one
//! partition. No I/O, no clock, no tokio; nothing here panics on any input.
//!
//! Where to look: `wire` reads protobuf, `columns` holds the growing buffers of a batch, `otlp`,
//! `remote_write` and `loki_push` fill them, `prometheus_names` and `otlp/metrics` translate OTLP
//! metrics to Prometheus series. A codec that decodes what `validate` refused is a bug, and the
//! other way round.

mod attributes;
mod codec;
mod columns;
mod config;
mod decoder;
mod derive;
mod error;
mod loki_push;
mod message;
mod otlp;
mod prometheus_names;
mod raw;
mod remote_write;
mod split;
#[cfg(test)]
mod testing;
mod validate;
mod wire;

pub use codec::Codec;
pub use config::{Config, LogsConfig, MetricsConfig, NameStrategy};
pub use decoder::Decoder;
pub use derive::derive;
pub use error::Error;
pub use message::Message;
pub use split::{split_traces, trace_partition};
pub use validate::{Counts, validate};
