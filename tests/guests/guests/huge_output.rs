//! Emits and pushes more than it may, and takes no for an answer.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::types::{Rows, Scalar, Signal};
use weft_test_guests::{Batch, Program, batches, expect, program};

struct HugeOutput;

impl Program for HugeOutput {
    const NAME: &'static str = "huge-output";

    fn process(batch: &Batch, _now: u64) -> Result<(), String> {
        expect("rows", "limit", batches::emit(Signal::Logs, u32::MAX).map(drop))?;
        let mut sent = 0;
        let refused = loop {
            match batches::emit(Signal::Logs, 1000) {
                Ok(batch) => batches::send(batch).map_err(|e| e.to_string())?,
                Err(error) => break Err::<(), _>(error),
            }
            sent += 1;
        };
        expect("many small ones", "limit", refused)?;
        if sent == 0 {
            return Err("not one batch could be sent".into());
        }
        // A short text that would be a long column.
        let long = "x".repeat(1 << 20);
        let mut refused = Ok(());
        for number in 0..100_000 {
            let path = format!("attributes.a{number}");
            refused = batch.set_constant(&path, &Scalar::Text(long.clone()), Rows::All);
            if refused.is_err() {
                break;
            }
        }
        expect("many columns", "limit", refused)
    }
}

program!(HugeOutput);
