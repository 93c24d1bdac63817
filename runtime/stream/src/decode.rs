//! Records to batches: as many messages together as fit, but those alone that are to be alone.

use crate::dead_letters::{DECODE, Verdict};
use crate::poison::Poison;
use arrow::array::RecordBatch;
use weft_codec::{Codec, Config, Decoder, Error, Message};
use weft_log::Record;
use weft_model::TopicPartition;

/// Cuts a partition's records into batches.
#[derive(Debug)]
pub(crate) struct Grouper {
    decoder: Decoder,
    batch_rows: usize,
}

/// What the first `taken` records came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The one record is not what the topic should hold.
    Undecodable { taken: usize, verdict: Verdict },
    /// The rows of all of them.
    Batch { taken: usize, batch: RecordBatch },
}

impl Grouper {
    pub(crate) fn new(codec: Codec, config: &Config, batch_rows: usize) -> Self {
        Self { decoder: Decoder::new(codec, config), batch_rows }
    }

    /// The next step over `records`, of which there is at least one.
    ///
    /// # Errors
    /// Only for bugs: bytes that don't decode are a step.
    pub(crate) fn next(
        &mut self,
        source: &TopicPartition,
        records: &[Record],
        poison: &Poison,
    ) -> Result<Step, String> {
        let mut taken = 0;
        for record in records {
            if poison.is_alone(record.offset) {
                if taken == 0 {
                    return self.single(source, record);
                }
                break;
            }
            match self.decoder.push(&message(source, record)) {
                Ok(_) => taken += 1,
                // A full batch, or one that ends before a bad record: the record comes first next time.
                Err(_) if taken > 0 => break,
                Err(Error::Full) => return Err("an empty decoder is full".to_owned()),
                Err(error) => return Ok(undecodable(&error)),
            }
            if self.decoder.rows() >= self.batch_rows {
                break;
            }
        }
        self.finish(taken)
    }

    /// A record by itself.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) fn single(&mut self, source: &TopicPartition, record: &Record) -> Result<Step, String> {
        match self.decoder.push(&message(source, record)) {
            Ok(_) => self.finish(1),
            Err(error) => Ok(undecodable(&error)),
        }
    }

    fn finish(&mut self, taken: usize) -> Result<Step, String> {
        let batch = self.decoder.finish().map_err(|error| error.to_string())?;
        Ok(Step::Batch { taken, batch })
    }
}

fn undecodable(error: &Error) -> Step {
    let verdict = Verdict { stage: DECODE.to_owned(), reason: error.to_string(), module: None };
    Step::Undecodable { taken: 1, verdict }
}

fn message<'a>(source: &'a TopicPartition, record: &'a Record) -> Message<'a> {
    Message {
        topic: &source.topic,
        partition: source.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.as_deref(),
        value: &record.value,
        headers: &record.headers,
    }
}
