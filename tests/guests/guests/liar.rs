//! Describes itself with a name that can't be.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::{Program, program};

struct Liar;

impl Program for Liar {
    const NAME: &'static str = "../../etc/passwd";
}

program!(Liar);
