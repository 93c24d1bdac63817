//! What can go wrong with a TraceQL query, and what the caller should do about it.

use std::fmt;
use weft_model::ErrorKind;

/// A place in the query text. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    /// The position of byte `offset` of `text`; the end of the text when it lies behind it.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, col {}", self.line, self.column)
    }
}

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not TraceQL.
    #[error("invalid TraceQL query: parse error at {position}: {message}")]
    Parse {
        /// Where.
        position: Position,
        /// What was found and what was expected.
        message: String,
    },
    /// The text is TraceQL, but can't mean anything.
    #[error("invalid TraceQL query: {0}")]
    Invalid(String),
    /// TraceQL that weft doesn't run yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// The query runs, but an operation fails on the data (`!` of a number, division by zero, …).
    #[error("{0}")]
    Execution(String),
    /// The answer would be larger than a limit allows.
    #[error("{0}")]
    Limit(String),
    /// The engine underneath failed.
    #[error(transparent)]
    Query(#[from] weft_query::Error),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse { .. } | Self::Invalid(_) | Self::Unsupported(_) | Self::Execution(_) | Self::Limit(_) => {
                ErrorKind::Reject
            }
            Self::Query(error) => error.kind(),
        }
    }
}
