//! Never comes back from process.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::{Batch, Program, program};

struct Spin;

impl Program for Spin {
    const NAME: &'static str = "spin";

    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        let mut turns = 0_u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
}

program!(Spin);
