//! The growing columns of a batch: plain vectors that are appended to row by row, cut back to a row
//! count when a message turns out bad, and handed to Arrow at the end without copying.
//!
//! Every column can say where its first `rows` rows end, so rolling back needs no separate marks and
//! also removes the unfinished row. Nothing here checks lengths against 2^31: the decoder bounds a
//! batch's bytes before they are appended ([`crate::Config::max_batch_bytes`]).

use crate::Error;
use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use std::sync::Arc;

/// Arrow offsets of a column's rows: starts with 0, one more entry than rows.
pub(crate) fn offset_buffer(offsets: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// Bytes or text, never null.
#[derive(Debug)]
pub(crate) struct Text {
    offsets: Vec<i32>,
    data: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }
}

impl Text {
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.offsets.len() * 4
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.offsets.push(self.data.len() as i32);
    }

    /// Removes all but the first `rows` values.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.len() {
            self.offsets.truncate(rows + 1);
            self.data.truncate(self.offsets[rows] as usize);
        }
    }

    pub(crate) fn finish_utf8(self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Error> {
        Ok(Arc::new(StringArray::try_new(offset_buffer(self.offsets), Buffer::from_vec(self.data), nulls)?))
    }

    pub(crate) fn finish_binary(self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Error> {
        Ok(Arc::new(BinaryArray::try_new(offset_buffer(self.offsets), Buffer::from_vec(self.data), nulls)?))
    }
}
