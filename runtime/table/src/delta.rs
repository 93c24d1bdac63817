//! A Delta Lake table's log, as far as weft needs it: append files, remove files, remember how far
//! the ledger was published. Source: the Delta transaction log protocol (reader version 1, writer
//! version 2), which every Delta reader supports.
//!
//! | file | holds |
//! |---|---|
//! | action.rs | the JSON actions |
//! | schema.rs | Arrow schema → Delta schema |
//! | snapshot.rs | actions folded: files, tombstones, txn |
//! | checkpoint.rs | a snapshot as Parquet, so that logs don't grow |
//! | log.rs | versions in the store: load, refresh, commit by put-if-absent |
//!
//! # Why not delta-rs
//! Its commit path needs delta_kernel and its own object-store layer (minutes of build), re-reads
//! state in ways we can't fence, and its conflict checker knows nothing of the ledger's numbers. What
//! is written here is read by delta-rs, DuckDB and Polars unchanged.

mod action;
mod checkpoint;
mod log;
mod schema;
mod snapshot;

pub(crate) use action::{Line, add_line, remove_line, txn_line};
pub(crate) use log::{TableLog, Turn};
pub(crate) use snapshot::{Snapshot, add_of, remove_of};
