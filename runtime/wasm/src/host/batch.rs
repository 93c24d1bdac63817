//! The batch resource: columns by index, edits of maps that wait, and the way back to Arrow.
//!
//! Flat columns are replaced at once. Writes into maps (and exemplars) are collected and applied in
//! one rebuild when a later read needs them, or at the end: [`Batch::settle`].

use super::Budget;
use super::columns::{Error, bits_in};
use super::edits::Edits;
use super::paths::MapKind;
use super::samples::Exemplars;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, MapArray, RecordBatch, StringArray,
    new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{FilterBuilder, not};
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::collections::HashSet;
use std::sync::Arc;
use weft_model::{Signal, logs, metrics, spans};

/// A batch that a guest has a handle of.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "generated code exports it")]
pub struct Batch {
    pub(super) signal: Signal,
    pub(super) schema: SchemaRef,
    pub(super) rows: usize,
    /// By schema index. Of an emitted batch, `None` stands for the default until it is needed.
    columns: Vec<Option<ArrayRef>>,
    pub(super) edits: Vec<(usize, MapKind, Edits)>,
    pub(super) exemplars: Option<Exemplars>,
    /// Distinct paths written, for the limit.
    written: HashSet<String>,
    emitted: bool,
    /// Defaults for times of an emitted batch.
    now_ns: i64,
}

impl Batch {
    /// The batch given to `process`.
    pub(crate) fn of(signal: Signal, batch: RecordBatch, now_ns: i64) -> Self {
        let (schema, columns, rows) = batch.into_parts();
        Self {
            signal,
            schema,
            rows,
            columns: columns.into_iter().map(Some).collect(),
            edits: Vec::new(),
            exemplars: None,
            written: HashSet::new(),
            emitted: false,
            now_ns,
        }
    }

    /// A batch to be filled by the guest.
    pub(crate) fn emitted(signal: Signal, rows: usize, now_ns: i64) -> Self {
        let schema = signal.schema();
        Self {
            signal,
            rows,
            columns: vec![None; schema.fields().len()],
            schema,
            edits: Vec::new(),
            exemplars: None,
            written: HashSet::new(),
            emitted: true,
            now_ns,
        }
    }

    pub(super) fn name(&self, column: usize) -> &str {
        self.schema.field(column).name()
    }

    pub(super) fn index(&self, name: &str) -> Result<usize, Error> {
        self.schema.index_of(name).map_err(|_| Error::Path(format!("{} have no column '{name}'", self.signal)))
    }

    /// Notes a written path; there may be `limit` of them.
    pub(super) fn note_written(&mut self, path: &str, limit: usize) -> Result<(), Error> {
        if self.written.contains(path) {
            return Ok(());
        }
        if self.written.len() >= limit {
            return Err(Error::Limit(format!("one call may write {limit} paths (columns)")));
        }
        self.written.insert(path.to_owned());
        Ok(())
    }

    /// A column as it stands; edits of it that wait are not in it.
    pub(super) fn column(&mut self, column: usize) -> ArrayRef {
        if let Some(array) = &self.columns[column] {
            return Arc::clone(array);
        }
        let array = default_column(self.signal, self.schema.field(column), self.rows, self.now_ns);
        self.columns[column] = Some(Arc::clone(&array));
        array
    }

    pub(super) fn column_named(&mut self, name: &str) -> Result<ArrayRef, Error> {
        let column = self.index(name)?;
        Ok(self.column(column))
    }

    /// Puts an array of the column's own type and the batch's length in its place.
    pub(super) fn put(&mut self, column: usize, array: ArrayRef) {
        debug_assert_eq!(array.len(), self.rows);
        debug_assert_eq!(array.data_type(), self.schema.field(column).data_type());
        self.columns[column] = Some(array);
    }

    pub(super) fn put_named(&mut self, name: &str, array: ArrayRef) -> Result<(), Error> {
        let column = self.index(name)?;
        self.put(column, array);
        Ok(())
    }

    /// A map column with its edits applied.
    pub(super) fn map(&mut self, column: usize, budget: &mut Budget) -> Result<ArrayRef, Error> {
        if let Some(at) = self.edits.iter().position(|(edited, ..)| *edited == column) {
            let (_, kind, edits) = self.edits.swap_remove(at);
            let base = self.column(column);
            let array = edits.apply(map_of(&base)?, kind, budget)?;
            self.put(column, Arc::new(array));
        }
        Ok(self.column(column))
    }

    /// The edits that wait for a map, for more to be added.
    pub(super) fn edits(&mut self, column: usize, kind: MapKind) -> &mut Edits {
        let at = match self.edits.iter().position(|(edited, ..)| *edited == column) {
            Some(at) => at,
            None => {
                self.edits.push((column, kind, Edits::new(self.rows)));
                self.edits.len() - 1
            }
        };
        &mut self.edits[at].2
    }

    /// Whether edits that wait touch `key` of a map.
    pub(super) fn edited(&self, column: usize, key: &str) -> bool {
        self.edits.iter().any(|(edited, _, edits)| *edited == column && edits.touches(key))
    }

    /// Applies all that waits.
    pub(super) fn settle(&mut self, budget: &mut Budget) -> Result<(), Error> {
        while let Some((column, ..)) = self.edits.first() {
            let column = *column;
            self.map(column, budget)?;
        }
        if let Some(exemplars) = self.exemplars.take() {
            exemplars.apply(self)?;
        }
        Ok(())
    }

    /// Keeps the rows whose bit is set.
    pub(super) fn retain(&mut self, mask: Vec<u8>, budget: &mut Budget) -> Result<(), Error> {
        let mask = BooleanArray::new(bits_in(mask, self.rows, "mask")?, None);
        self.settle(budget)?;
        self.keep(&mask)
    }

    fn keep(&mut self, mask: &BooleanArray) -> Result<(), Error> {
        let kept = mask.true_count();
        if kept == self.rows {
            return Ok(());
        }
        let filter = FilterBuilder::new(mask).optimize().build();
        for column in self.columns.iter_mut().flatten() {
            *column = filter.filter(column)?;
        }
        self.rows = kept;
        Ok(())
    }

    /// Takes the rows whose bit is set out of it.
    pub(super) fn split(&mut self, mask: &BooleanArray, budget: &mut Budget) -> Result<RecordBatch, Error> {
        self.settle(budget)?;
        let filter = FilterBuilder::new(mask).optimize().build();
        let columns = (0..self.columns.len())
            .map(|column| Ok(filter.filter(&self.column(column))?))
            .collect::<Result<_, Error>>()?;
        let taken = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.keep(&not(mask)?)?;
        Ok(taken)
    }

    /// The batch as it goes on; `None` when no rows are left.
    pub(crate) fn finish(mut self, budget: &mut Budget) -> Result<Option<RecordBatch>, Error> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.settle(budget)?;
        if self.emitted {
            self.check_emitted()?;
        }
        let columns = (0..self.columns.len()).map(|column| self.column(column)).collect();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// What no default can stand for.
    fn check_emitted(&self) -> Result<(), Error> {
        let needed: &[&str] = match self.signal {
            Signal::Spans => &[spans::TRACE_ID, spans::SPAN_ID],
            Signal::Metrics => &[metrics::NAME],
            Signal::Logs | Signal::Raw => &[],
        };
        for name in needed {
            let column = self.index(name)?;
            if self.columns[column].is_none() {
                return Err(Error::Column(format!("an emitted batch of {} needs '{name}'", self.signal)));
            }
        }
        Ok(())
    }
}

/// The map in a column; its type was checked with the schema.
pub(super) fn map_of(array: &ArrayRef) -> Result<&MapArray, Error> {
    array.as_map_opt().ok_or_else(|| Error::column("not a map"))
}

/// The value of a column that the guest leaves alone: null where that is allowed, else empty or
/// zero, and now for the times of what happens.
fn default_column(signal: Signal, field: &Field, rows: usize, now_ns: i64) -> ArrayRef {
    let now_ms = now_ns / 1_000_000;
    match (signal, field.name().as_str()) {
        (Signal::Logs, logs::TIME) | (Signal::Spans, spans::START_TIME | spans::END_TIME) => {
            return Arc::new(Int64Array::from_value(now_ns, rows));
        }
        (Signal::Metrics, metrics::MIN_TIME | metrics::MAX_TIME) | (Signal::Raw, weft_model::raw::TIMESTAMP) => {
            return Arc::new(Int64Array::from_value(now_ms, rows));
        }
        (Signal::Metrics, metrics::TIMESTAMPS) => {
            return super::samples::single(Arc::new(Int64Array::from_value(now_ms, rows)), None);
        }
        (Signal::Metrics, metrics::INT_VALUES) => {
            return super::samples::single(Arc::new(Int64Array::from_value(0, rows)), None);
        }
        _ => {}
    }
    if field.is_nullable() {
        return new_null_array(field.data_type(), rows);
    }
    zero_column(field.data_type(), rows)
}

/// Empty or zero values of a type.
pub(crate) fn zero_column(data_type: &DataType, rows: usize) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(StringArray::new(OffsetBuffer::new_zeroed(rows), Vec::<u8>::new().into(), None)),
        DataType::Binary => Arc::new(BinaryArray::new(OffsetBuffer::new_zeroed(rows), Vec::<u8>::new().into(), None)),
        DataType::Int32 => Arc::new(Int32Array::from_value(0, rows)),
        DataType::Int64 => Arc::new(Int64Array::from_value(0, rows)),
        DataType::List(element) => Arc::new(arrow::array::ListArray::new(
            Arc::clone(element),
            OffsetBuffer::new_zeroed(rows),
            new_empty_array(element.data_type()),
            None,
        )),
        DataType::Map(entries, ordered) => Arc::new(MapArray::new(
            Arc::clone(entries),
            OffsetBuffer::new_zeroed(rows),
            new_empty_array(entries.data_type()).as_struct().clone(),
            None,
            *ordered,
        )),
        other => new_null_array(other, rows),
    }
}
