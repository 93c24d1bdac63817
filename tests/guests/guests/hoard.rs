//! Parks every row and never lets go.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::{Batch, Program, program, words};

struct Hoard;

impl Program for Hoard {
    const NAME: &'static str = "hoard";

    fn process(batch: &Batch, now: u64) -> Result<(), String> {
        let rows = batch.rows();
        let keys: Vec<u8> = (0..u128::from(rows)).flat_map(|row| (row + u128::from(now)).to_be_bytes()).collect();
        batch.defer(&keys, &vec![0xff; rows.div_ceil(8) as usize]).map_err(words)
    }
}

program!(Hoard);
