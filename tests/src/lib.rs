//! What end-to-end tests are written with: a `weft` process to start, kill and restart, clients in
//! Python, a real Kafka broker.
//!
//! Everything runs on ports the system picks and in folders of its own, so tests may run at once.
//! A helper that can't do its part panics with what to do about it: that is how a test fails.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs, reason = "a harness for tests")]

pub mod accounts;
pub mod broker;
pub mod client;
pub mod otlp;
pub mod python;
pub mod s3;
pub mod weft;

use std::path::{Path, PathBuf};

/// The folder of this build's artefacts: where `cargo test` put the running test, up to the profile.
pub fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // …/<target>/<profile>/deps/<test>
    test.ancestors().nth(2).unwrap().to_owned()
}

/// The cargo target folder.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().unwrap().to_owned()
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The folder `shared` beside the project, when it is there.
pub fn shared() -> Option<PathBuf> {
    let shared = root().parent()?.join("shared");
    shared.is_dir().then_some(shared)
}
