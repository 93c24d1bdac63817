//! The Rust SDK for weft's Wasm modules.
//!
//! A module is a type that implements [`Module`] and is named in [`export!`]. weft gives it batches
//! of telemetry, one at a time, of one partition of the input log; it pulls the columns that it
//! needs ([`Batch::text`], [`Batch::ints`], …), computes, and pushes back what it changed
//! ([`Batch::set_text`], [`Batch::retain`], …). It may start new batches of any signal ([`emit`]),
//! park rows until it has decided about them ([`Batch::defer`], [`resolve`]), and keep state, which
//! weft saves with every epoch ([`Module::snapshot`]) and gives back after a crash.
//!
//! ```no_run
//! use weft_guest::{Batch, Description, Error, Mask, Module, Signal, Source};
//!
//! /// Drops spans shorter than a threshold.
//! struct DropShort {
//!     threshold_ns: i64,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     threshold_ms: i64,
//! }
//!
//! impl Module for DropShort {
//!     type Config = Config;
//!
//!     fn describe() -> Description {
//!         Description::new("drop-short", "0.1.0").accepts([Signal::Spans]).reads(["duration"])
//!     }
//!
//!     fn configure(config: Config, _source: Source) -> Result<Self, Error> {
//!         Ok(Self { threshold_ns: config.threshold_ms * 1_000_000 })
//!     }
//!
//!     fn process(&mut self, batch: &Batch, _now: u64) -> Result<(), Error> {
//!         let durations = batch.ints("duration")?;
//!         batch.retain(&Mask::of(durations.iter().map(|d| d.is_none_or(|d| d >= self.threshold_ns))))
//!     }
//! }
//!
//! weft_guest::export!(DropShort);
//! # fn main() {}
//! ```
//!
//! Build it with `--target wasm32-unknown-unknown` as a `cdylib`. Natively, with the feature
//! `testing`, [`testing::Harness`] runs the same module on batches in memory.

// The generated bindings name this crate from the outside, so that modules need not depend on
// wit-bindgen.
extern crate self as weft_guest;

mod batch;
#[doc(hidden)]
pub mod bindings;
mod builders;
mod columns;
mod config;
mod error;
#[cfg(not(all(feature = "testing", not(target_arch = "wasm32"))))]
#[doc(hidden)]
pub mod export;
mod hash;
mod host;
mod labels;
pub mod logs;
mod module;
pub mod registry;
pub mod sampling;
pub mod snapshot;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;

pub use batch::{Batch, Emitted, Nulls, Rows, Scalar, emit, resolve};
pub use builders::{AttributesBuilder, BlobsBuilder, DictionaryBuilder, FloatsBuilder, IntsBuilder, TextBuilder};
pub use columns::{Blobs, Bools, Dictionary, Floats, Ints, Mask, Text};
pub use config::parse as parse_config;
pub use error::Error;
pub use hash::{FastHash, HashMap, HashSet, hash_bytes, mix};
pub use host::{Level, count, log};
pub use labels::LabelColumn;
pub use module::{Description, Module, Signal, Source};

#[doc(hidden)]
pub use wit_bindgen;

/// Exports a [`Module`](crate::Module) as the component's one module. Call it once, at the crate's root.
#[macro_export]
macro_rules! export {
    ($module:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        mod __weft_export {
            use super::*;
            use $crate::bindings::exports::weft::telemetry::module as wit;

            ::std::thread_local! {
                static SLOT: $crate::export::Slot<$module> = const { ::std::cell::RefCell::new(None) };
            }

            struct Component;

            impl wit::Guest for Component {
                fn describe() -> wit::Description {
                    $crate::export::describe::<$module>()
                }
                fn configure(config: String, source: wit::Source) -> Result<(), String> {
                    SLOT.with(|slot| $crate::export::configure(slot, &config, source))
                }
                fn process(batch: &$crate::bindings::weft::telemetry::batches::Batch, now: u64) -> Result<(), String> {
                    SLOT.with(|slot| $crate::export::process(slot, batch, now))
                }
                fn tick(now: u64) -> Result<(), String> {
                    SLOT.with(|slot| $crate::export::tick(slot, now))
                }
                fn snapshot() -> Vec<u8> {
                    SLOT.with(|slot| $crate::export::snapshot(slot))
                }
                fn restore(state: Vec<u8>) -> Result<(), String> {
                    SLOT.with(|slot| $crate::export::restore(slot, &state))
                }
            }

            $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        }
    };
}
