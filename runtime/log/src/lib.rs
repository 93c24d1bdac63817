//! The input log: what receivers append to and what the streaming runtime reads, behind one trait.
//!
//! - [`log`]: the trait [`Log`] with [`Consumer`] and [`PartitionReader`], and the records. Read it
//!   first: it says what every implementation promises.
//! - [`embedded`]: [`EmbeddedLog`], a durable log in a local folder (`weft up` needs nothing else).
//! - [`kafka`]: [`KafkaLog`], Apache Kafka through librdkafka (`weft run` on many machines).
//! - `conformance` (feature `test-util`): the one behaviour suite both are held to.
//!
//! What a record's value means is `weft-codec`'s business; which offset a partition resumes from is
//! the ledger's. Neither is known here: offsets committed through this crate are hints for lag
//! monitors, never a source of truth.

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod embedded;
pub mod error;
mod header_names;
pub mod kafka;
pub mod log;
pub mod partitioner;

pub use embedded::{EmbeddedConfig, EmbeddedLog};
pub use error::Error;
pub use kafka::{KafkaConfig, KafkaLog, OffsetReset};
pub use log::{Assignment, Consumer, Log, NewRecord, PartitionReader, Record};
