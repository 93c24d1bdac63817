//! What the guest programs in `guests/` share: the bindings, a module that does nothing, and the
//! macro that exports a program's own.
//!
//! They stand on the generated bindings and not on `weft-guest`: they do what the SDK wouldn't let
//! them.

// The generated code names this crate as the programs do.
extern crate self as weft_test_guests;

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../guest-sdk/wit",
        world: "telemetry-module",
        pub_export_macro: true,
        default_bindings_module: "weft_test_guests::bindings",
        runtime_path: "::weft_test_guests::wit_bindgen::rt",
        generate_all,
    });
}

pub use bindings::exports::weft::telemetry::module::{Description, Guest, Source};
pub use bindings::weft::telemetry::batches::{self, Batch};
pub use bindings::weft::telemetry::{host, types};
#[doc(hidden)]
pub use wit_bindgen;

/// A program: what it doesn't say does nothing.
pub trait Program {
    /// Its name.
    const NAME: &'static str;

    /// What it says of itself.
    fn describe() -> Description {
        use types::Signal;
        Description {
            name: Self::NAME.into(),
            version: "1.0.0".into(),
            accepts: vec![Signal::Raw, Signal::Metrics, Signal::Logs, Signal::Spans],
            emits: vec![Signal::Metrics, Signal::Logs, Signal::Spans],
            reads: Vec::new(),
            writes: Vec::new(),
            config_schema: r#"{"type":"object"}"#.into(),
            stateful: true,
        }
    }

    /// Takes its configuration.
    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }

    /// Handles a batch.
    fn process(_batch: &Batch, _now: u64) -> Result<(), String> {
        Ok(())
    }

    /// Lets time pass.
    fn tick(_now: u64) -> Result<(), String> {
        Ok(())
    }

    /// Its state.
    fn snapshot() -> Vec<u8> {
        Vec::new()
    }

    /// Takes a state.
    fn restore(_state: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

/// An error's own words.
pub fn words(error: types::Error) -> String {
    match error {
        types::Error::Path(text)
        | types::Error::Column(text)
        | types::Error::Argument(text)
        | types::Error::Limit(text) => text,
    }
}

/// What a check in a guest found: the error that should have come, or what came in its place.
pub fn expect<T>(what: &str, kind: &str, answer: Result<T, types::Error>) -> Result<(), String> {
    let got = match answer {
        Ok(_) => "nothing".to_owned(),
        Err(types::Error::Path(_)) => "path".to_owned(),
        Err(types::Error::Column(_)) => "column".to_owned(),
        Err(types::Error::Argument(_)) => "argument".to_owned(),
        Err(types::Error::Limit(_)) => "limit".to_owned(),
    };
    if got == kind { Ok(()) } else { Err(format!("{what}: expected error '{kind}', got '{got}'")) }
}

/// Exports a [`Program`] as the module of its file.
#[macro_export]
macro_rules! program {
    ($program:ty) => {
        struct Exported;
        impl $crate::Guest for Exported {
            fn describe() -> $crate::Description {
                <$program as $crate::Program>::describe()
            }
            fn configure(config: String, _source: $crate::Source) -> Result<(), String> {
                <$program as $crate::Program>::configure(config)
            }
            fn process(batch: &$crate::Batch, now: u64) -> Result<(), String> {
                <$program as $crate::Program>::process(batch, now)
            }
            fn tick(now: u64) -> Result<(), String> {
                <$program as $crate::Program>::tick(now)
            }
            fn snapshot() -> Vec<u8> {
                <$program as $crate::Program>::snapshot()
            }
            fn restore(state: Vec<u8>) -> Result<(), String> {
                <$program as $crate::Program>::restore(state)
            }
        }
        #[allow(
            unsafe_code,
            unused_qualifications,
            missing_docs,
            clippy::allow_attributes_without_reason,
            reason = "generated code"
        )]
        mod exported {
            $crate::bindings::export!(Exported with_types_in $crate::bindings);
            use super::Exported;
        }
    };
}
