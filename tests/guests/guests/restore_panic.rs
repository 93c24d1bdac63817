//! Keeps a state that it can't take back.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::{Program, program};

struct RestorePanic;

impl Program for RestorePanic {
    const NAME: &'static str = "restore-panic";

    fn snapshot() -> Vec<u8> {
        vec![1, 2, 3]
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        assert!(state.is_empty(), "a state that should not be");
        Ok(())
    }
}

program!(RestorePanic);
