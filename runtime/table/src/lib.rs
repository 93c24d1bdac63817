//! weft's tables: Parquet and Delta Lake on an object store, the ledger's storage, hot rows,
//! compaction and retention. No DataFusion: `weft-query` plans over what [`Tables::view`] returns.
//!
//! # An epoch's way through here
//! ```text
//! Hot::begin, Hot::push        rows visible to queries of this process           hot.rs
//! Tables::write_epoch          sort, join, encode, put: one file a table         write.rs, encode.rs, join.rs
//! Tables::put_snapshot         module state                                      tables.rs
//! Tables::commit               ledger entry, put-if-absent                       ledger.rs
//! Tables::publish              Delta commits, txn = ledger number                publish.rs, delta.rs
//! Tables::view                 hot + snapshot, no row twice, none missing        view.rs
//! Tables::maintenance, sweep   compaction, retention; what nothing names         maintenance.rs, sweep.rs
//! ```
//! Every step can be cut off at any point and run again, by this process or another.

mod config;
mod delta;
mod durable;
mod encode;
mod error;
#[cfg(any(test, feature = "test-util"))]
pub mod fault;
#[cfg(test)]
mod fixtures;
mod hot;
mod join;
mod ledger;
mod location;
mod maintenance;
mod merge;
mod objects;
mod publish;
mod sort;
mod stats;
mod sweep;
mod tables;
mod view;
mod write;

pub use config::{Compaction, Config};
pub use error::Error;
pub use hot::Hot;
pub use location::Location;
pub use maintenance::Maintained;
pub use sweep::Swept;
pub use tables::{Committed, Tables};
pub use view::{FileInfo, TableView};
/// A column's least or greatest value in [`FileInfo::stats`].
pub use weft_ledger::Value as StatValue;
