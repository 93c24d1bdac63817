//! Pushes text that is not UTF-8, or is cut inside a character.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::types::{Nulls, Text};
use weft_test_guests::{Batch, Program, expect, program};

struct BadUtf8;

impl Program for BadUtf8 {
    const NAME: &'static str = "bad-utf8";

    fn process(batch: &Batch, _now: u64) -> Result<(), String> {
        let rows = batch.rows();
        for data in [&[0xff_u8, 0xfe][..], &[0xed, 0xa0, 0x80], "é".as_bytes()] {
            // Row 0 is the first byte alone, the other rows are empty, or the rest.
            let offsets: Vec<u32> = (0..=rows).map(|row| if row == 0 { 0 } else { 1 }).collect();
            for path in ["body", "attributes.x", "label.x", "resource.x"] {
                let column = Text { offsets: offsets.clone(), data: data.to_vec(), validity: Vec::new() };
                expect(path, "column", batch.set_text(path, &column, Nulls::Leave))?;
            }
        }
        Ok(())
    }
}

program!(BadUtf8);
