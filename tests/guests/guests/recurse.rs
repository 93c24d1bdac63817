//! Calls itself until the stack is full.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::{Batch, Program, program};

struct Recurse;

impl Program for Recurse {
    const NAME: &'static str = "recurse";

    fn process(batch: &Batch, _now: u64) -> Result<(), String> {
        // An odd number never comes to zero in steps of two: it goes around for ever.
        if deeper(u64::from(batch.rows()) | 1) == 0 { Err("came back".into()) } else { Ok(()) }
    }
}

/// Needs a native frame for each step, but none of the linear memory's stack.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == 0 { 1 } else { deeper(depth.wrapping_add(2)).rotate_left(depth as u32 & 7) ^ depth }
}

program!(Recurse);
