//! The names and shapes every other crate agrees on: Arrow schemas of the four signals and the
//! dead letters, column names, ids, and the error kinds callers act on.
//!
//! No I/O, no clock, no tokio. The in-flight form of a signal and its table have one schema: what a
//! module sees is what lands on disk. Field names inside maps and lists (`key_value`, `element`)
//! are those of the Delta and Parquet specifications, so that any engine reads the files.

pub mod attributes;
pub mod dead_letters;
pub mod ids;
pub mod kind;
pub mod logs;
pub mod metrics;
pub mod raw;
pub mod series;
pub mod signal;
pub mod spans;

pub use ids::{Epoch, Offset, TopicPartition};
pub use kind::ErrorKind;
pub use signal::{Signal, Table};
