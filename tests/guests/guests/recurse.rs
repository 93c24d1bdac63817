//! Calls itself until the stack is full.

use weft_test_guests::{Batch, Program, program};

struct Recurse;

impl Program for Recurse {
    const NAME: &'static str = "recurse";

    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        if deeper(1) == 0 { Err("came back".into()) } else { Ok(()) }
    }
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "what the program is for")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 32]);
    deeper(depth + 1).wrapping_add(frame[(depth % 32) as usize])
}

program!(Recurse);
