//! Uses a batch of an earlier call.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use weft_test_guests::types::Signal;
use weft_test_guests::{Batch, Program, batches, program};

thread_local!(static KEPT: RefCell<Option<Batch>> = const { RefCell::new(None) });

struct StaleHandle;

impl Program for StaleHandle {
    const NAME: &'static str = "stale-handle";

    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        KEPT.with_borrow_mut(|kept| match kept {
            Some(batch) => {
                batch.rows();
                Ok(())
            }
            None => {
                *kept = Some(batches::emit(Signal::Logs, 1).map_err(|e| e.to_string())?);
                Ok(())
            }
        })
    }
}

program!(StaleHandle);
