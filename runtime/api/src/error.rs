//! What went wrong with a request, before a protocol gives it its own shape.

use http::StatusCode;
use weft_model::ErrorKind;

/// A request that can't be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body, a parameter or a query is wrong.
    #[error("{0}")]
    Bad(String),
    /// The body's format or compression isn't one we read.
    #[error("{0}")]
    Unsupported(String),
    /// The body is larger than a limit.
    #[error("{0}")]
    TooLarge(String),
    /// What is asked for doesn't exist.
    #[error("{0}")]
    NotFound(String),
    /// It can't be done now; the sender should try again.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than it may.
    #[error("{0}")]
    Timeout(String),
    /// Our fault.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The HTTP status most protocols use for it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Unavailable(_) | Self::Timeout(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// From another crate's error, by what its kind asks the caller to do.
    pub fn from_kind(kind: ErrorKind, message: String) -> Self {
        match kind {
            ErrorKind::Reject => Self::Bad(message),
            ErrorKind::Retry | ErrorKind::Fenced => Self::Unavailable(message),
            ErrorKind::Corrupt | ErrorKind::Config | ErrorKind::Bug => Self::Internal(message),
        }
    }
}

impl From<weft_codec::Error> for Error {
    fn from(error: weft_codec::Error) -> Self {
        match error {
            weft_codec::Error::ContentType { .. } => Self::Unsupported(error.to_string()),
            weft_codec::Error::TooLarge { .. } => Self::TooLarge(error.to_string()),
            _ => Self::from_kind(error.kind(), error.to_string()),
        }
    }
}

impl From<weft_log::Error> for Error {
    fn from(error: weft_log::Error) -> Self {
        match error.kind() {
            // A topic or partition the log doesn't know, or a record it can't hold, is no fault of the sender's bytes
            // unless the record is too big; the log's message says which.
            ErrorKind::Reject => Self::TooLarge(error.to_string()),
            kind => Self::from_kind(kind, error.to_string()),
        }
    }
}
