//! A reusable decoder of one codec: messages in, one batch out.
//!
//! A message is appended whole or not at all: on any error the columns are cut back to where they
//! stood. The decoder keeps no rows of its own beside the columns.

use crate::attributes::NO_ROOM;
use crate::columns::Budget;
use crate::columns::logs::LogColumns;
use crate::columns::metrics::MetricColumns;
use crate::columns::spans::SpanColumns;
use crate::error::shortened;
use crate::loki_push::Refusal;
use crate::otlp::{Context, schema};
use crate::raw::RawColumns;
use crate::remote_write::{MetadataMemory, Outcome, Version};
use crate::validate::{loki_encoding, otlp_protobuf, remote_write_version};
use crate::wire::Fault;
use crate::{Codec, Config, Error, Message, loki_push, otlp, remote_write};
use arrow::array::RecordBatch;

/// Column builders of one codec. Push messages, then [`Self::finish`] to take the batch.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    config: Config,
    columns: Columns,
    metadata: MetadataMemory,
    rejected: usize,
}

#[derive(Debug)]
enum Columns {
    Raw(Box<RawColumns>),
    Spans(Box<SpanColumns>),
    Logs(Box<LogColumns>),
    Metrics(Box<MetricColumns>),
}

impl Columns {
    fn new(codec: Codec) -> Self {
        match codec {
            Codec::OtlpTraces => Self::Spans(Box::default()),
            Codec::OtlpLogs | Codec::LokiPush => Self::Logs(Box::default()),
            Codec::OtlpMetrics | Codec::RemoteWrite => Self::Metrics(Box::default()),
            Codec::Raw => Self::Raw(Box::default()),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Raw(columns) => columns.rows(),
            Self::Spans(columns) => columns.rows(),
            Self::Logs(columns) => columns.rows(),
            Self::Metrics(columns) => columns.rows(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Raw(columns) => columns.bytes(),
            Self::Spans(columns) => columns.bytes(),
            Self::Logs(columns) => columns.bytes(),
            Self::Metrics(columns) => columns.bytes(),
        }
    }

    fn begin(&mut self) {
        match self {
            Self::Raw(_) => {}
            Self::Spans(columns) => columns.begin(),
            Self::Logs(columns) => columns.begin(),
            Self::Metrics(columns) => columns.begin(),
        }
    }

    fn roll_back(&mut self, rows: usize) {
        match self {
            // Appending a raw record can't fail.
            Self::Raw(_) => {}
            Self::Spans(columns) => columns.roll_back(rows),
            Self::Logs(columns) => columns.roll_back(rows),
            Self::Metrics(columns) => columns.truncate(rows),
        }
    }
}

/// The error of a fault on the wire.
#[cold]
pub(crate) fn fault_error(codec: Codec, fault: &Fault) -> Error {
    if fault.reason == NO_ROOM {
        return Error::TooLarge { limit: Config::default().max_batch_bytes };
    }
    Error::Malformed { codec, at: fault.at, reason: fault.reason.clone() }
}

/// The error of a refused push.
#[cold]
pub(crate) fn refusal_error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Wire(fault) => fault_error(Codec::LokiPush, &fault),
        Refusal::Text(reason) => Error::Text { codec: Codec::LokiPush, reason: shortened(reason) },
    }
}

impl Decoder {
    /// A decoder with nothing in it.
    pub fn new(codec: Codec, config: &Config) -> Self {
        let columns = Columns::new(codec);
        Self { codec, config: config.clone(), columns, metadata: MetadataMemory::default(), rejected: 0 }
    }

    /// The codec it was made for.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Decodes a message and answers how many rows it added. On error nothing of it is kept.
    ///
    /// [`Error::Full`] (kind `Retry`) asks for [`Self::finish`] and then the same message again.
    pub fn push(&mut self, message: &Message<'_>) -> Result<usize, Error> {
        let rows = self.rows();
        let limit = self.limit();
        let full = || if rows == 0 { Error::TooLarge { limit } } else { Error::Full };
        let used = self.bytes();
        if used.saturating_add(message.bytes()) > limit {
            return Err(full());
        }
        self.columns.begin();
        let mut context = Context {
            budget: Budget::new(limit - used),
            limit,
            now_ns: message.timestamp_ms.max(0).saturating_mul(1_000_000),
        };
        let decoded = self.decode(message, &mut context);
        let decoded = match decoded {
            Ok(outcome) if self.bytes() <= limit => Ok(outcome),
            Ok(_) | Err(Error::TooLarge { .. }) => Err(full()),
            Err(error) => Err(error),
        };
        match decoded {
            Ok(outcome) => {
                self.rejected += outcome.rejected;
                Ok(self.rows() - rows)
            }
            Err(error) => {
                self.columns.roll_back(rows);
                Err(error)
            }
        }
    }

    /// Arrow's offsets have 31 bits.
    fn limit(&self) -> usize {
        self.config.max_batch_bytes.min(i32::MAX as usize)
    }

    fn decode(&mut self, message: &Message<'_>, context: &mut Context) -> Result<Outcome, Error> {
        let codec = self.codec;
        let content_type = message.content_type();
        let body = message.value;
        let fault = |fault: Box<Fault>| fault_error(codec, &fault);
        match &mut self.columns {
            Columns::Raw(columns) => columns.push(message),
            Columns::Spans(columns) => {
                let body = otlp_protobuf(codec, &schema::TRACES, content_type, body)?;
                otlp::traces::decode(&body, columns, context).map_err(fault)?;
            }
            Columns::Logs(columns) if codec == Codec::LokiPush => {
                let encoding = loki_encoding(content_type, body)?;
                loki_push::decode(body, encoding, columns, context).map_err(refusal_error)?;
            }
            Columns::Logs(columns) => {
                let body = otlp_protobuf(codec, &schema::LOGS, content_type, body)?;
                otlp::logs::decode(&body, columns, context).map_err(fault)?;
            }
            Columns::Metrics(columns) if codec == Codec::RemoteWrite => {
                return match remote_write_version(content_type, body)? {
                    Version::One => remote_write::decode_v1(body, columns, context, &mut self.metadata),
                    Version::Two => remote_write::decode_v2(body, columns, context),
                }
                .map_err(fault);
            }
            Columns::Metrics(columns) => {
                let body = otlp_protobuf(codec, &schema::METRICS, content_type, body)?;
                return otlp::metrics::decode(&body, columns, context, &self.config.metrics).map_err(fault);
            }
        }
        Ok(Outcome::default())
    }

    /// Rows pushed since the last [`Self::finish`].
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// About how many bytes those rows hold in memory.
    pub fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// How many series, histograms and data points have been skipped since the last call, as
    /// [`crate::Counts::rejected`] says: the receiver has told the sender, but a record that came by
    /// another way was not checked before.
    pub fn take_rejected(&mut self) -> usize {
        std::mem::take(&mut self.rejected)
    }

    /// The rows as a batch of the codec's signal; the decoder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, Error> {
        match std::mem::replace(&mut self.columns, Columns::new(self.codec)) {
            Columns::Raw(columns) => columns.finish(),
            Columns::Spans(columns) => columns.finish(),
            Columns::Logs(columns) => columns.finish(),
            Columns::Metrics(columns) => columns.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
