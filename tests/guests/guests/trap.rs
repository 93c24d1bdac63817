//! Panics in process; once told so by its configuration, in configure; and so on.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use weft_test_guests::{Batch, Description, Program, program};

thread_local!(static WHERE: RefCell<String> = const { RefCell::new(String::new()) });

struct Trap;

impl Program for Trap {
    const NAME: &'static str = "trap";

    fn describe() -> Description {
        Description { emits: Vec::new(), ..default() }
    }

    fn configure(config: String) -> Result<(), String> {
        assert!(!config.contains("configure"), "told to");
        if config.contains("refuse") {
            return Err("field 'colour' must be a colour".into());
        }
        WHERE.with_borrow_mut(|place| *place = config);
        Ok(())
    }

    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        if WHERE.with_borrow(|place| place.contains("error")) {
            return Err("can't do it".into());
        }
        inner_function_that_panics(None)
    }

    fn tick(_now: u64) -> Result<(), String> {
        if WHERE.with_borrow(|place| place.contains("tick")) {
            return inner_function_that_panics(None);
        }
        Ok(())
    }
}

fn default() -> Description {
    struct Plain;
    impl Program for Plain {
        const NAME: &'static str = "trap";
    }
    Plain::describe()
}

#[inline(never)]
#[allow(clippy::unwrap_used, reason = "the panic is what the program is for")]
fn inner_function_that_panics(nothing: Option<()>) -> Result<(), String> {
    std::hint::black_box(nothing).unwrap();
    Ok(())
}

program!(Trap);
