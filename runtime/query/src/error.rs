//! What can go wrong with a query, by what the caller should do about it.
//!
//! Operators and functions report a fault of the query itself (two series matching where one may)
//! as [`Error::Rejected`] inside `DataFusionError::External`; [`From`] finds it again at the root.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use std::time::Duration;
use weft_model::ErrorKind;

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text of a query doesn't parse, or names what isn't there. Lines and columns count from 1.
    #[error("{}{message}", position(*.line, *.column))]
    Invalid {
        /// What is wrong.
        message: String,
        /// Line of the text, when known.
        line: Option<u64>,
        /// Column of that line, when known.
        column: Option<u64>,
    },
    /// The query is well-formed but can't be evaluated on the data it meets.
    #[error("{0}")]
    Rejected(String),
    /// Something weft doesn't do (yet).
    #[error("{0}")]
    Unsupported(String),
    /// The query ran longer than it may.
    #[error("query timed out after {0:?}: narrow its time range, or raise the timeout")]
    Timeout(Duration),
    /// The query needs more memory than it may have.
    #[error("query needs more memory than it may use: {0}")]
    Resources(String),
    /// The query was cancelled before its end.
    #[error("query was cancelled")]
    Cancelled,
    /// Tables could not be read.
    #[error(transparent)]
    Table(#[from] weft_table::Error),
    /// The object store failed.
    #[error("object store: {0}")]
    Store(String),
    /// Stored data doesn't read back.
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
    /// An error of the engine that none of the above describes: weft's own fault.
    #[error("query engine: {0}")]
    Engine(String),
}

fn position(line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!("{line}:{column}: "),
        _ => String::new(),
    }
}

impl Error {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Rejected(_) | Self::Unsupported(_) | Self::Resources(_) => ErrorKind::Reject,
            Self::Timeout(_) | Self::Cancelled | Self::Store(_) => ErrorKind::Retry,
            Self::Table(error) => error.kind(),
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Engine(_) => ErrorKind::Bug,
        }
    }

    /// A fault of the query text without a known position.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), line: None, column: None }
    }
}

/// A fault of the query found while it runs, in the form that operators return.
pub fn rejected(message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Rejected(message.into())))
}

/// Something not supported found while a plan runs, in the form that operators return.
pub fn unsupported(message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Error::Unsupported(message.into())))
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        from_root(error)
    }
}

fn from_root(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_root(*inner),
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => from_root(inner),
            Err(shared) => from_shared(&shared),
        },
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_root(first),
            None => Error::Engine("a collection of no errors".into()),
        },
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(nested) => from_root(*nested),
                Err(other) => Error::Engine(other.to_string()),
            },
        },
        DataFusionError::SQL(parser, _) => invalid_sql(&parser.to_string()),
        DataFusionError::ArrowError(inner, context) => match *inner {
            ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => from_root(*nested),
                Err(other) => match other.downcast::<Error>() {
                    Ok(own) => *own,
                    Err(other) => Error::Engine(other.to_string()),
                },
            },
            // Casts, divisions by zero and overflows are the query's doing.
            other => Error::Rejected(match context {
                Some(context) => format!("{other} ({context})"),
                None => other.to_string(),
            }),
        },
        other => from_shared(&other),
    }
}

/// What can be told of an error that is only borrowed.
fn from_shared(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(Error::Rejected(message)) => Error::Rejected(message.clone()),
            Some(Error::Unsupported(message)) => Error::Unsupported(message.clone()),
            Some(Error::Timeout(limit)) => Error::Timeout(*limit),
            Some(Error::Resources(message)) => Error::Resources(message.clone()),
            _ => Error::Engine(inner.to_string()),
        },
        DataFusionError::SQL(parser, _) => invalid_sql(&parser.to_string()),
        DataFusionError::Plan(message) => Error::invalid(message.clone()),
        DataFusionError::SchemaError(inner, _) => Error::invalid(schema_message(inner)),
        DataFusionError::NotImplemented(message) => Error::Unsupported(message.clone()),
        DataFusionError::ResourcesExhausted(message) => Error::Resources(message.clone()),
        DataFusionError::Execution(message) => Error::Rejected(message.clone()),
        DataFusionError::Configuration(message) => Error::invalid(message.clone()),
        DataFusionError::ObjectStore(inner) => Error::Store(inner.to_string()),
        DataFusionError::IoError(inner) => Error::Store(inner.to_string()),
        DataFusionError::ParquetError(inner) => Error::Corrupt(inner.to_string()),
        DataFusionError::ExecutionJoin(inner) if inner.is_cancelled() => Error::Cancelled,
        other => Error::Engine(other.to_string()),
    }
}

fn schema_message(error: &SchemaError) -> String {
    error.to_string()
}

/// The SQL parser says `… at Line: 1, Column: 8`: the position is taken out of the text.
fn invalid_sql(text: &str) -> Error {
    let number = |marker: &str| {
        let digits = text.rsplit_once(marker)?.1.trim_start();
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let message = text.rsplit_once(" at Line:").map_or(text, |(before, _)| before);
    let message = message.trim_start_matches("sql parser error: ").trim_start_matches("ParserError(\"").to_owned();
    Error::Invalid { message, line: number("Line:"), column: number("Column:") }
}
