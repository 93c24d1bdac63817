//! A filter on a text and an int column that behaves: it is what a call costs.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::types::Error;
use weft_test_guests::{Batch, Program, program, words};

struct Filter;

impl Program for Filter {
    const NAME: &'static str = "filter";

    fn process(batch: &Batch, now: u64) -> Result<(), String> {
        if batch.rows() == 0 {
            return Ok(());
        }
        filter(batch, now).map_err(words)
    }
}

fn filter(batch: &Batch, now: u64) -> Result<(), Error> {
    let names = batch.text("name")?;
    let durations = batch.ints("duration")?;
    let mut mask = vec![0_u8; durations.values.len().div_ceil(8)];
    for (at, (range, duration)) in names.offsets.windows(2).zip(&durations.values).enumerate() {
        let name = &names.data[range[0] as usize..range[1] as usize];
        let keep = name == b"GET /health" || *duration >= 1_000_000;
        mask[at / 8] |= u8::from(keep) << (at % 8);
    }
    // At time 0 all rows are kept: what remains is the cost of the guest and the boundary.
    if now == 0 {
        mask.fill(0xff);
    }
    batch.retain(&mask)
}

program!(Filter);
