//! What can go wrong: [`Error`] before a module runs, [`Fault`] while it does.

use std::path::PathBuf;
use weft_model::ErrorKind;

/// A module could not be loaded or instantiated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting can't work.
    #[error("wasm: {0}")]
    Config(String),
    /// A file could not be read.
    #[error("can't read module '{path}': {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a module that weft can run.
    #[error("'{path}' is not a weft module: {reason}", path = path.display())]
    NotAModule {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The module's `describe` failed or answered nonsense.
    #[error("module '{path}' doesn't describe itself: {reason}", path = path.display())]
    Describe {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The module refused its configuration.
    #[error("module '{module}' refuses its configuration: {reason}")]
    Configure {
        /// The module's name.
        module: String,
        /// Its own words.
        reason: String,
    },
    /// The module failed while it started.
    #[error("module '{module}' failed to start: {fault}")]
    Start {
        /// The module's name.
        module: String,
        /// What happened.
        fault: Fault,
    },
    /// As many instances live as `instances` allows, or memory for another can't be had.
    #[error("no room for another instance of module '{module}': {reason}")]
    Instances {
        /// The module's name.
        module: String,
        /// What the allocator said.
        reason: String,
    },
}

impl Error {
    /// The caller's right reaction.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Instances { .. } => ErrorKind::Retry,
            Self::Start { .. }
            | Self::Config(_)
            | Self::Read { .. }
            | Self::NotAModule { .. }
            | Self::Describe { .. }
            | Self::Configure { .. } => ErrorKind::Config,
        }
    }
}

/// A call into an instance failed. After [`Fault::Trapped`] and [`Fault::Limit`] the instance is
/// dead: every later call answers `Trapped` at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest answered an error, or the call's input is not for it. Nothing of the call took
    /// effect in the host: no rows were emitted, parked or released.
    #[error("{0}")]
    Rejected(String),
    /// The guest trapped; the text has the Wasm backtrace.
    #[error("trapped: {0}")]
    Trapped(String),
    /// The guest ran into its limit of time or memory.
    #[error("limit passed: {0}")]
    Limit(String),
}

impl Fault {
    /// Whether the instance can't be called again.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// The caller's right reaction.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Reject
    }
}
