//! What can go wrong with a body, and what a caller should do about it.

use crate::Codec;
use std::borrow::Cow;
use weft_model::ErrorKind;

/// Why a message was not decoded, or a batch not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what the codec says they are, or hold a value that can't be stored.
    #[error("not valid {codec}: {reason} (at byte {at})")]
    Malformed {
        /// The codec that read them.
        codec: Codec,
        /// Offset into the body; for JSON, into the protobuf made of it where the JSON itself is sound.
        at: usize,
        /// What is wrong.
        reason: Cow<'static, str>,
    },
    /// The bytes are text that doesn't parse.
    #[error("not valid {codec}: {reason}")]
    Text {
        /// The codec that read them.
        codec: Codec,
        /// What is wrong, and where.
        reason: String,
    },
    /// The content type names a format that the codec doesn't read.
    #[error("{codec} can't be sent as '{content_type}': use {supported}")]
    ContentType {
        /// The codec asked for.
        codec: Codec,
        /// The type given.
        content_type: String,
        /// What would do.
        supported: &'static str,
    },
    /// One message decodes to more than the limit: labels or attributes repeated for each of too many rows.
    #[error("the message decodes to more than {limit} bytes: send it in smaller parts")]
    TooLarge {
        /// The limit, bytes (`max_batch_bytes`).
        limit: usize,
    },
    /// The batch has no room for the message: finish it, then push the message again.
    #[error("the batch is full: finish it before more is pushed")]
    Full,
    /// A batch given to us hasn't the columns of its signal.
    #[error("the batch is not one of {signal}: {reason}")]
    Shape {
        /// The signal it should be of.
        signal: weft_model::Signal,
        /// Which column is missing or of the wrong type.
        reason: String,
    },
    /// Arrow refused the columns we built.
    #[error("building a batch failed: {0}")]
    Build(String),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } | Self::Text { .. } | Self::ContentType { .. } | Self::TooLarge { .. } => {
                ErrorKind::Reject
            }
            Self::Full => ErrorKind::Retry,
            Self::Shape { .. } => ErrorKind::Reject,
            Self::Build(_) => ErrorKind::Bug,
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Build(error.to_string())
    }
}

/// Longest reason kept, bytes: reasons quote what was sent, which can be as long as the body.
const MAX_REASON: usize = 500;

/// A reason cut to a length that can be answered and logged.
pub(crate) fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_REASON {
        let cut = (0..=MAX_REASON).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
        reason.truncate(cut);
        reason.push('…');
    }
    reason
}
