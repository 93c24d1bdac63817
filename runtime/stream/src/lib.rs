//! Runs a topology: partition tasks, module chains, epochs, dead letters.
//!
//! # Where to look
//! - `pipeline.rs`: one partition's way from the log to hot rows. Read it first.
//! - `decode.rs`, `transform.rs`: its two steps with a life of their own.
//! - `worker.rs`, `worker/control.rs`: assignments, epochs and their barrier, going back to the ledger.
//! - `commit.rs`: a sealed epoch's way to the store, the ledger and the tables.
//! - `poison.rs`, `dead_letters.rs`: what happens to what can't be processed.
//! - `rekey.rs`: topics that are not processed but spread anew.
//!
//! # Exactly once
//! A row is stored if and only if the ledger entry that covers its record's offset names the file it
//! is in; modules' state after that offset is named by the same entry. Whatever happens before the
//! entry is undone by reading again from the entry before. Reading again need not cut batches in the
//! same places or tick at the same times: nothing of the first attempt is ever visible after it was
//! dropped, so there is nothing it would have to equal. What must not differ is which messages are
//! given up; that hangs on the message and the module alone, because a message is only given up when
//! it was run by itself.
//!
//! Not here: durability of the log (`weft-log`), of files and ledger (`weft-table`), the rule of who
//! may commit (`weft-ledger`), limits of modules (`weft-wasm`).

mod commit;
mod config;
mod dead_letters;
mod decode;
mod error;
mod failpoint;
mod health;
mod loaded;
mod metrics;
mod pipeline;
mod poison;
mod rekey;
mod sink;
mod transform;
mod worker;

#[cfg(test)]
mod fixtures;

pub use config::Config;
pub use error::Error;
pub use health::Health;
pub use worker::{Parts, Worker, WorkerControl, WorkerHandle};
