//! The growing columns of a batch: plain vectors that are appended to row by row, cut back to a row
//! count when a message turns out bad, and handed to Arrow at the end without copying.
//!
//! Every column can say where its first `rows` rows end, so rolling back needs no marks and also
//! removes an unfinished row. Nothing here checks lengths against 2^31: the decoder bounds a batch's
//! bytes before they are appended ([`Budget`]).

pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod spans;

use crate::Error;
use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, DataType};
use std::ops::Range;
use std::sync::Arc;
use weft_model::attributes::{element_field, label_map, map_array};

/// Bytes that may still be appended for one message beyond its own size. What is repeated per row
/// (resource attributes, labels of buckets, symbols) is charged here, so that a small message can't
/// fill the memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Takes `bytes`; false when there aren't as many left.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn offset_buffer(offsets: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// Validity of rows; none when all are valid.
pub(crate) fn validity(valid: &[bool]) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(valid.len(), |row| valid[row]));
    (nulls.null_count() > 0).then_some(nulls)
}

/// Row ends of a list or map column.
#[derive(Debug, Clone)]
pub(crate) struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    pub(crate) fn rows(&self) -> usize {
        self.0.len() - 1
    }

    /// Closes a row that ends at `elements`.
    #[inline]
    pub(crate) fn push(&mut self, elements: usize) {
        self.0.push(elements as i32);
    }

    /// Elements in the first `rows` rows.
    pub(crate) fn at(&self, rows: usize) -> usize {
        self.0.get(rows).copied().unwrap_or_default() as usize
    }

    /// Elements in all closed rows.
    pub(crate) fn last(&self) -> usize {
        self.at(self.rows())
    }

    /// Cuts back to `rows` rows (no more than there are) and answers the elements in them.
    pub(crate) fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows + 1);
        self.last()
    }

    pub(crate) fn finish(self) -> OffsetBuffer<i32> {
        offset_buffer(self.0)
    }

    pub(crate) fn into_vec(self) -> Vec<i32> {
        self.0
    }
}

/// Bytes or text, never null.
#[derive(Debug, Default)]
pub(crate) struct Text {
    ends: Ends,
    data: Vec<u8>,
}

impl Text {
    pub(crate) fn len(&self) -> usize {
        self.ends.rows()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.len() * 4
    }

    /// Bytes of data in a range of values.
    pub(crate) fn range_bytes(&self, range: &Range<usize>) -> usize {
        self.ends.at(range.end) - self.ends.at(range.start)
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.ends.push(self.data.len());
    }

    /// Appends what `write` appends to the data. On error the value is left open; truncating drops it.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        write(&mut self.data)?;
        self.ends.push(self.data.len());
        Ok(())
    }

    /// The value at `index`; empty when there is none.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        self.data.get(self.ends.at(index)..self.ends.at(index + 1)).unwrap_or_default()
    }

    /// Appends a copy of a range of values.
    pub(crate) fn repeat(&mut self, range: Range<usize>) {
        let (from, to) = (self.ends.at(range.start), self.ends.at(range.end));
        let shift = (self.data.len() - from) as i32;
        self.data.extend_from_within(from..to);
        self.ends.0.reserve(range.len());
        for index in range {
            let end = self.ends.0[index + 1] + shift;
            self.ends.0.push(end);
        }
    }

    /// Appends values that lie together in `data`, the first at `offsets[0]`.
    pub(crate) fn append(&mut self, offsets: &[i32], data: &[u8]) {
        let (Some(&from), Some(&to)) = (offsets.first(), offsets.last()) else { return };
        let shift = self.data.len() as i32 - from;
        self.data.extend_from_slice(&data[from as usize..to as usize]);
        self.ends.0.extend(offsets[1..].iter().map(|end| end + shift));
    }

    /// Cuts back to the first `values` values.
    pub(crate) fn truncate(&mut self, values: usize) {
        let end = self.ends.truncate(values);
        self.data.truncate(end);
    }

    pub(crate) fn finish_utf8(self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Error> {
        Ok(Arc::new(StringArray::try_new(self.ends.finish(), Buffer::from_vec(self.data), nulls)?))
    }

    pub(crate) fn finish_binary(self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Error> {
        Ok(Arc::new(BinaryArray::try_new(self.ends.finish(), Buffer::from_vec(self.data), nulls)?))
    }
}

/// Bytes or text, null where empty: OTLP doesn't tell an absent string from an empty one.
#[derive(Debug, Default)]
pub(crate) struct OptionalText(Text);

impl OptionalText {
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.0.push(value);
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn nulls(&self) -> Option<NullBuffer> {
        let ends = &self.0.ends.0;
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(self.0.len(), |row| ends[row] != ends[row + 1]));
        (nulls.null_count() > 0).then_some(nulls)
    }

    pub(crate) fn finish_utf8(self) -> Result<ArrayRef, Error> {
        let nulls = self.nulls();
        self.0.finish_utf8(nulls)
    }

    pub(crate) fn finish_binary(self) -> Result<ArrayRef, Error> {
        let nulls = self.nulls();
        self.0.finish_binary(nulls)
    }
}

/// A list of numbers per row.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    ends: Ends,
    data: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { ends: Ends::default(), data: Vec::new() }
    }
}

impl<T: ArrowNativeType> Lists<T> {
    pub(crate) fn push_row(&mut self, values: impl IntoIterator<Item = T>) {
        self.data.extend(values);
        self.end_row();
    }

    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.data.len());
    }

    /// The values of a closed row.
    pub(crate) fn row(&self, row: usize) -> &[T] {
        self.data.get(self.ends.at(row)..self.ends.at(row + 1)).unwrap_or_default()
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        let end = self.ends.truncate(rows);
        self.data.truncate(end);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len() * size_of::<T>() + self.ends.rows() * 4
    }

    pub(crate) fn finish<P: ArrowPrimitiveType<Native = T>>(
        self,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, Error> {
        let values = PrimitiveArray::<P>::new(ScalarBuffer::from(self.data), None);
        list(P::DATA_TYPE, self.ends, Arc::new(values), nulls)
    }
}

/// A list column from its row ends and elements.
pub(crate) fn list(
    element: DataType,
    ends: Ends,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Error> {
    Ok(Arc::new(ListArray::try_new(element_field(element), ends.finish(), values, nulls)?))
}

/// `Map<Utf8, Utf8>`.
#[derive(Debug, Default)]
pub(crate) struct LabelMap {
    ends: Ends,
    keys: Text,
    values: Text,
}

impl LabelMap {
    #[inline]
    pub(crate) fn label(&mut self, key: &str, value: &str) {
        self.label_bytes(key.as_bytes(), value.as_bytes());
    }

    /// Adds a label, both parts UTF-8, to the open row.
    #[inline]
    pub(crate) fn label_bytes(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(key);
        self.values.push(value);
    }

    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.keys.len());
    }

    /// Whether two closed rows hold the same labels in the same order.
    pub(crate) fn rows_equal(&self, left: usize, right: usize) -> bool {
        let (left, right) = (self.ends.at(left)..self.ends.at(left + 1), self.ends.at(right)..self.ends.at(right + 1));
        left.len() == right.len()
            && left.zip(right).all(|(left, right)| {
                self.keys.get(left) == self.keys.get(right) && self.values.get(left) == self.values.get(right)
            })
    }

    /// Whether a closed row holds exactly these labels, in this order.
    pub(crate) fn row_equals(&self, row: usize, labels: &[(&str, &str)]) -> bool {
        let entries = self.ends.at(row)..self.ends.at(row + 1);
        entries.len() == labels.len()
            && entries.zip(labels).all(|(entry, (key, value))| {
                self.keys.get(entry) == key.as_bytes() && self.values.get(entry) == value.as_bytes()
            })
    }

    /// Appends a row equal to `row`, which must be closed.
    pub(crate) fn repeat_row(&mut self, row: usize) {
        let range = self.ends.at(row)..self.ends.at(row + 1);
        self.keys.repeat(range.clone());
        self.values.repeat(range);
        self.end_row();
    }

    /// Bytes that one more copy of `row` takes.
    pub(crate) fn row_bytes(&self, row: usize) -> usize {
        let range = self.ends.at(row)..self.ends.at(row + 1);
        self.keys.range_bytes(&range) + self.values.range_bytes(&range) + 8 * range.len() + 4
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        let labels = self.ends.truncate(rows);
        self.keys.truncate(labels);
        self.values.truncate(labels);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes() + self.ends.rows() * 4
    }

    pub(crate) fn finish(self) -> Result<ArrayRef, Error> {
        Ok(Arc::new(map_array(
            label_map(),
            self.ends.into_vec(),
            self.keys.finish_utf8(None)?,
            self.values.finish_utf8(None)?,
            None,
        )))
    }
}

/// An `Int64` column.
pub(crate) fn longs(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

/// An `Int64` column that is null where 0.
pub(crate) fn optional_longs(values: Vec<i64>) -> ArrayRef {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |row| values[row] != 0));
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    Arc::new(Int64Array::new(ScalarBuffer::from(values), nulls))
}

/// An `Int32` column.
pub(crate) fn ints(values: Vec<i32>) -> ArrayRef {
    Arc::new(arrow::array::Int32Array::from(values))
}

/// A `Float64` column.
pub(crate) fn doubles(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}
