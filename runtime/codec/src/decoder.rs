//! A reusable decoder of one codec: messages in, one batch out.

use crate::raw::RawColumns;
use crate::{Codec, Config, Error, Message};
use arrow::array::RecordBatch;

/// Column builders of one codec. Push messages, then [`Self::finish`] to take the batch.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    config: Config,
    raw: RawColumns,
}

impl Decoder {
    /// A decoder with nothing in it.
    pub fn new(codec: Codec, config: &Config) -> Self {
        Self { codec, config: config.clone(), raw: RawColumns::default() }
    }

    /// The codec it was made for.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Decodes a message and answers how many rows it added. On error nothing of it is kept.
    ///
    /// [`Error::Full`] asks for [`Self::finish`] and then the same message again.
    pub fn push(&mut self, message: &Message<'_>) -> Result<usize, Error> {
        if self.bytes() + message.value.len() > self.config.max_batch_bytes {
            return Err(if self.rows() == 0 {
                Error::TooLarge { limit: self.config.max_batch_bytes }
            } else {
                Error::Full
            });
        }
        self.raw.push(message);
        Ok(1)
    }

    /// Rows pushed since the last [`Self::finish`].
    pub fn rows(&self) -> usize {
        self.raw.rows()
    }

    /// About how many bytes those rows hold in memory.
    pub fn bytes(&self) -> usize {
        self.raw.bytes()
    }

    /// The rows as a batch of the codec's signal; the decoder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, Error> {
        std::mem::take(&mut self.raw).finish()
    }
}
