//! Exactly-once as pure decisions: facts in, decision out. No I/O, no clock, no async.
//!
//! The ledger is one totally ordered list of [`Entry`]s, shared by all workers of a deployment. An
//! entry makes one epoch of one worker durable: which offsets of which partitions it covers, the
//! data files and module snapshots it wrote. Entries are numbered from 1 without gaps; the object
//! store's put-if-absent makes a number be won by one worker (done by `weft-table`).
//!
//! 1. [`State`] is what all entries so far fold into.
//! 2. [`decide`] says whether a [`Proposed`] epoch may become the next entry.
//! 3. [`State::apply`] folds an entry in, checking the same rule again.
//! 4. A [`Checkpoint`] is a state written down, so that start-up reads few objects.
//!
//! # The rule
//! An entry is valid if each partition it advances stands where the worker believed it stood: same
//! offset **and** same last entry ([`Advance::from`], [`Advance::after`]). Offsets alone are not
//! enough: an epoch may release deferred rows without consuming a record, and then a worker that
//! lost the partition, and the one that took it over, would both release them from one offset.

mod checkpoint;
mod decide;
mod entry;
mod error;
pub mod paths;
mod state;

pub use checkpoint::Checkpoint;
pub use decide::{Decision, decide};
pub use entry::{Advance, ColumnRange, DataFile, Entry, FileStats, Proposed, SnapshotRef, Value};
pub use error::Error;
pub use state::{Position, State};
