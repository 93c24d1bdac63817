//! What can go wrong with a PromQL query.

use weft_model::ErrorKind;

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no query. Line and column count from 1.
    #[error("{line}:{column}: parse error: {message}")]
    Parse {
        /// Line of the text.
        line: usize,
        /// Column (byte) of the line.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The request is wrong beside the query: times, steps, names.
    #[error("{0}")]
    Request(String),
    /// PromQL that weft doesn't evaluate (yet).
    #[error("{line}:{column}: {what} not supported yet")]
    Unsupported {
        /// Line of the text.
        line: usize,
        /// Column (byte) of the line.
        column: usize,
        /// The construct, with its verb: "info() is".
        what: String,
    },
    /// The query fails on the data, by its limits, or by a fault below.
    #[error(transparent)]
    Query(#[from] weft_query::Error),
}

impl Error {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse { .. } | Self::Request(_) | Self::Unsupported { .. } => ErrorKind::Reject,
            Self::Query(error) => error.kind(),
        }
    }

    /// Whether the query itself is at fault, before any data is looked at: Prometheus's `bad_data`.
    pub fn is_bad_data(&self) -> bool {
        !matches!(self, Self::Query(_))
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Query(error.into())
    }
}
