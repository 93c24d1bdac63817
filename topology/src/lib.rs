//! The topology file: which topics are read, which modules their rows pass, where they end.
//!
//! Read it in this order: `plan.rs` (what the runtime gets), `raw.rs` (what the file says),
//! `resolve.rs` (from one to the other: defaults, and all mistakes at once, each with its line),
//! `host.rs` (what `${…}` can refer to). The shipped topologies are beside this crate's sources:
//! `default.yaml` and `fabric.yaml`; both are built into the binary and explain the format.
//!
//! It doesn't load modules: whether a module exists and accepts its configuration is known when
//! `weft-stream` loads it.

mod error;
mod host;
mod node;
mod plan;
mod raw;
mod resolve;

#[cfg(test)]
mod tests;

pub use error::{Error, Problem};
pub use host::Host;
pub use plan::{
    DeadLetters, Decode, Epoch, METRIC_NAMES, Pipeline, Rekey, RekeyBy, Route, Source, Stage, Start, Topology,
};
pub use resolve::{CODECS, PROMOTED};

use std::path::Path;

/// The topology of `weft up` without `--topology`: loses nothing, delays nothing.
pub const DEFAULT_YAML: &str = include_str!("../default.yaml");
/// The default with sampling of traces.
pub const FABRIC_YAML: &str = include_str!("../fabric.yaml");

/// YAML 1.2's booleans only: a module or label named `n` or `on` is a text.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

impl Topology {
    /// Reads a topology from YAML text; `name` is said in errors.
    ///
    /// # Errors
    /// Every mistake in the file at once.
    pub fn parse(name: &str, yaml: &str, host: &Host) -> Result<Self, Error> {
        let mut problems = raw::Problems::default();
        let document: node::Node = serde_saphyr::from_str_with_options(yaml, options()).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let message = format!("is not valid YAML: {}", error.without_snippet());
            Error { name: name.to_owned(), problems: vec![Problem { line, path: String::new(), message }] }
        })?;
        let raw = raw::read(document, host, &mut problems);
        let topology = resolve::resolve(name, raw, &mut problems);
        if problems.0.is_empty() {
            return Ok(topology);
        }
        problems.0.sort_by_key(|problem| problem.line);
        Err(Error { name: name.to_owned(), problems: problems.0 })
    }

    /// Reads a topology file.
    ///
    /// # Errors
    /// As [`Self::parse`], or when the file can't be read.
    pub fn load(path: &Path, host: &Host) -> Result<Self, Error> {
        let name = path.display().to_string();
        let yaml = std::fs::read_to_string(path).map_err(|error| Error {
            name: name.clone(),
            problems: vec![Problem { line: 0, path: String::new(), message: format!("can't be read: {error}") }],
        })?;
        Self::parse(&name, &yaml, host)
    }

    /// The shipped default.
    ///
    /// # Errors
    /// None that the tests don't catch: the file is built in.
    pub fn default_topology(host: &Host) -> Result<Self, Error> {
        Self::parse("the default topology", DEFAULT_YAML, host)
    }
}
