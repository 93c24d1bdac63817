//! What can go wrong in a module.

use crate::bindings::weft::telemetry::types::Error as HostError;
use std::fmt;

/// An error of the host's, or the module's own. Returned from [`crate::Module::process`] it sends
/// the batch to the dead letters, with this text as the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A path names nothing in a batch of this signal, or can't be written.
    Path(String),
    /// A column's lengths, offsets, UTF-8 or types don't fit.
    Column(String),
    /// A regular expression, JSON pointer or other argument is invalid.
    Argument(String),
    /// A limit (rows, columns, bytes, deferred rows) would be passed.
    Limit(String),
    /// The configuration is wrong; names the field.
    Config(String),
    /// A snapshot can't be read.
    Snapshot(String),
    /// Anything else.
    Module(String),
}

impl Error {
    /// A configuration error at `field`.
    pub fn config(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Config(format!("{field}: {problem}"))
    }

    /// An error of the module's own.
    pub fn module(message: impl Into<String>) -> Self {
        Self::Module(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(text) => write!(f, "path: {text}"),
            Self::Column(text) => write!(f, "column: {text}"),
            Self::Argument(text) => write!(f, "argument: {text}"),
            Self::Limit(text) => write!(f, "limit: {text}"),
            Self::Config(text) => write!(f, "configuration: {text}"),
            Self::Snapshot(text) => write!(f, "snapshot: {text}"),
            Self::Module(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Path(text) => Self::Path(text),
            HostError::Column(text) => Self::Column(text),
            HostError::Argument(text) => Self::Argument(text),
            HostError::Limit(text) => Self::Limit(text),
        }
    }
}
