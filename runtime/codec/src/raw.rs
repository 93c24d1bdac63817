//! Records as they are, for parse modules.

use crate::columns::{Text, validity};
use crate::{Error, Message};
use arrow::array::{Int32Array, Int64Array, RecordBatch};
use std::sync::Arc;
use weft_model::raw::{header_array, schema};

/// Columns of the raw signal.
#[derive(Debug)]
pub(crate) struct RawColumns {
    topic: Text,
    partition: Vec<i32>,
    offset: Vec<i64>,
    timestamp: Vec<i64>,
    key: Text,
    key_valid: Vec<bool>,
    value: Text,
    header_offsets: Vec<i32>,
    header_keys: Text,
    header_values: Text,
}

impl Default for RawColumns {
    fn default() -> Self {
        Self {
            topic: Text::default(),
            partition: Vec::new(),
            offset: Vec::new(),
            timestamp: Vec::new(),
            key: Text::default(),
            key_valid: Vec::new(),
            value: Text::default(),
            header_offsets: vec![0],
            header_keys: Text::default(),
            header_values: Text::default(),
        }
    }
}

impl RawColumns {
    pub(crate) fn rows(&self) -> usize {
        self.offset.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.topic.bytes()
            + self.key.bytes()
            + self.value.bytes()
            + self.header_keys.bytes()
            + self.header_values.bytes()
            + self.rows() * 32
    }

    /// Appends one record.
    pub(crate) fn push(&mut self, message: &Message<'_>) {
        self.topic.push(message.topic.as_bytes());
        self.partition.push(message.partition);
        self.offset.push(message.offset);
        self.timestamp.push(message.timestamp_ms);
        self.key.push(message.key.unwrap_or_default());
        self.key_valid.push(message.key.is_some());
        self.value.push(message.value);
        for (name, value) in message.headers {
            self.header_keys.push(name.as_bytes());
            self.header_values.push(value);
        }
        self.header_offsets.push(self.header_keys.len() as i32);
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, Error> {
        let columns = vec![
            self.topic.finish_utf8(None)?,
            Arc::new(Int32Array::from(self.partition)) as _,
            Arc::new(Int64Array::from(self.offset)) as _,
            Arc::new(Int64Array::from(self.timestamp)) as _,
            self.key.finish_binary(validity(&self.key_valid))?,
            self.value.finish_binary(None)?,
            Arc::new(header_array(
                self.header_offsets,
                self.header_keys.finish_utf8(None)?,
                self.header_values.finish_binary(None)?,
            )) as _,
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
