//! Takes memory until there is none; with configuration `ask` it gives up politely instead.
#![cfg(target_arch = "wasm32")]

use std::cell::Cell;
use weft_test_guests::{Batch, Program, program};

thread_local!(static ASKS: Cell<bool> = const { Cell::new(false) });

struct Grow;

impl Program for Grow {
    const NAME: &'static str = "grow";

    fn configure(config: String) -> Result<(), String> {
        ASKS.set(config.contains("ask"));
        Ok(())
    }

    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut more = Vec::new();
            if ASKS.get() {
                more.try_reserve_exact(1 << 20).map_err(|_| "no more memory".to_owned())?;
            }
            more.resize(1 << 20, 1);
            held.push(std::hint::black_box(more));
        }
    }
}

program!(Grow);
