//! What can go wrong with a LogQL query, and what the caller should do about it.

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
    /// The text is not LogQL.
    #[error("parse error at {position}: {message}")]
    Parse {
        /// Where.
        position: Position,
        /// What was found and what was expected.
        message: String,
    },
    /// The text is LogQL, but can't mean anything.
    #[error("parse error : {0}")]
    Invalid(String),
    /// LogQL that weft doesn't run yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// A stage failed on a line that a metric query needs.
    #[error(
        "pipeline error: '{error}' for series: '{series}'. Use a label filter like `| __error__=\"\"` after the stage that failed to skip such lines"
    )]
    Pipeline {
        /// The value of `__error__`.
        error: String,
        /// The labels of the line that failed, as a selector.
        series: String,
    },
    /// The query runs, but its operands don't fit (duplicate series of a binary operation, …).
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
            Self::Parse { .. }
            | Self::Invalid(_)
            | Self::Unsupported(_)
            | Self::Pipeline { .. }
            | Self::Execution(_)
            | Self::Limit(_) => ErrorKind::Reject,
            Self::Query(error) => error.kind(),
        }
    }
}
