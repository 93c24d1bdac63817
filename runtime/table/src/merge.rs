//! Several files of a table → one, in bounded memory. Synchronous.
//!
//! Input files are sorted, so the output takes rows of each input strictly one after the other:
//! 1. read the sort columns alone and compute the order of all rows;
//! 2. cut it into pieces; of each input a piece needs the next so many rows, which are decoded then;
//! 3. encode the piece (metrics: pieces end between series, and a series' rows are joined).
//!
//! Held at a time: the inputs' compressed bytes, the order, one piece, and the output's compressed
//! bytes.

use crate::encode::{Encoded, File};
use crate::join::Joiner;
use crate::sort::{self, Order, column, wrong_type};
use crate::{Config, Error};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::interleave;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use weft_model::{Table, metrics};

/// Decoded bytes of a piece, about.
const PIECE_BYTES: u64 = 64 << 20;
/// Decoded bytes per byte on disk, about, over all inputs.
const INFLATION: u64 = 12;

/// Joins files, given whole and oldest first. Their rows must fit the table's schema.
pub(crate) fn merge(table: Table, files: &[(String, Bytes)], config: &Config) -> Result<Option<Encoded>, Error> {
    let (mut inputs, mut rows, mut metadata) = (Vec::new(), 0, BTreeMap::<String, BTreeSet<String>>::new());
    for (name, bytes) in files {
        let damaged = |error: parquet::errors::ParquetError| Error::corrupt(name, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(damaged)?;
        rows += usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        for pair in builder.metadata().file_metadata().key_value_metadata().into_iter().flatten() {
            metadata.entry(pair.key.clone()).or_default().extend(pair.value.clone());
        }
        inputs.push((name, builder));
    }
    if rows == 0 {
        return Ok(None);
    }
    let order = order(table, files)?;
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    let row_bytes = (bytes * INFLATION / rows as u64).max(1);
    let piece_rows = usize::try_from(PIECE_BYTES / row_bytes).unwrap_or(usize::MAX).clamp(64, 256 * 1024);
    let batch_rows = (piece_rows / inputs.len()).clamp(64, 8192);
    let mut readers = Vec::new();
    for (name, builder) in inputs {
        let reader = builder.with_batch_size(batch_rows).build().map_err(|error| Error::corrupt(name, error))?;
        readers.push(Input { name, reader, ready: VecDeque::new() });
    }
    let metadata: Vec<_> =
        metadata.into_iter().map(|(key, values)| (key, values.into_iter().collect::<Vec<_>>().join(","))).collect();
    let mut output = File::new(table, config, &metadata, rows)?;
    for piece in pieces(&order, piece_rows) {
        write_piece(table, &mut readers, &order.places[piece], &mut output)?;
    }
    output.finish().map(Some)
}

/// The order of all rows, and where it may be cut.
struct Ordered {
    places: Order,
    /// For metrics, whether a row begins a series; empty elsewhere: cuts may be anywhere.
    begins: Vec<bool>,
}

fn order(table: Table, files: &[(String, Bytes)]) -> Result<Ordered, Error> {
    let keys = files.iter().map(|(name, bytes)| read_keys(table, name, bytes)).collect::<Result<Vec<_>, _>>()?;
    if table != Table::Metrics {
        return Ok(Ordered { places: sort::order(table, &keys)?, begins: Vec::new() });
    }
    let mut rows = Vec::with_capacity(keys.iter().map(RecordBatch::num_rows).sum());
    for (file, keys) in keys.iter().enumerate() {
        let names = column(keys, metrics::NAME)?.as_string_opt::<i32>().ok_or_else(|| wrong_type(metrics::NAME))?;
        let ids =
            column(keys, metrics::SERIES_ID)?.as_binary_opt::<i32>().ok_or_else(|| wrong_type(metrics::SERIES_ID))?;
        rows.extend((0..keys.num_rows()).map(|row| (names.value(row), ids.value(row), file, row)));
    }
    rows.sort_unstable();
    let begins = (0..rows.len()).map(|at| at == 0 || (rows[at].0, rows[at].1) != (rows[at - 1].0, rows[at - 1].1));
    Ok(Ordered { begins: begins.collect(), places: rows.into_iter().map(|(_, _, file, row)| (file, row)).collect() })
}

/// The sort columns of a file, as one batch.
fn read_keys(table: Table, name: &str, bytes: &Bytes) -> Result<RecordBatch, Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(name, error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|error| damaged(&error))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), sort::columns(table).iter().copied());
    let builder = builder.with_projection(mask).with_batch_size(64 * 1024);
    let schema = {
        let indices = sort::columns(table).iter().map(|name| table.schema().index_of(name));
        let mut indices = indices.collect::<Result<Vec<_>, _>>()?;
        indices.sort_unstable();
        std::sync::Arc::new(table.schema().project(&indices)?)
    };
    let batches = builder.build().map_err(|error| damaged(&error))?;
    let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&error))?;
    Ok(arrow::compute::concat_batches(&schema, &batches)?)
}

fn pieces(order: &Ordered, piece_rows: usize) -> Vec<std::ops::Range<usize>> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    while start < order.places.len() {
        let mut end = (start + piece_rows).min(order.places.len());
        while end < order.places.len() && order.begins.get(end) == Some(&false) {
            end += 1;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// An input file, read from front to back.
struct Input<'a> {
    name: &'a str,
    reader: ParquetRecordBatchReader,
    ready: VecDeque<RecordBatch>,
}

impl Input<'_> {
    /// The next `rows` rows.
    fn take(&mut self, mut rows: usize, out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        while rows > 0 {
            let batch = match self.ready.pop_front() {
                Some(batch) => batch,
                None => {
                    let next = self.reader.next().ok_or_else(|| Error::corrupt(self.name, "it ends early"))?;
                    next.map_err(|error| Error::corrupt(self.name, error))?
                }
            };
            let taken = rows.min(batch.num_rows());
            if taken < batch.num_rows() {
                self.ready.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            out.push(batch.slice(0, taken));
            rows -= taken;
        }
        Ok(())
    }
}

fn write_piece(
    table: Table,
    inputs: &mut [Input<'_>],
    places: &[(usize, usize)],
    output: &mut File,
) -> Result<(), Error> {
    // Rows of an input come in its own order, so a piece takes a contiguous run of each.
    let mut counts = vec![0; inputs.len()];
    let mut firsts = vec![usize::MAX; inputs.len()];
    for (input, row) in places {
        counts[*input] += 1;
        firsts[*input] = firsts[*input].min(*row);
    }
    let (mut batches, mut starts) = (Vec::new(), Vec::new());
    for (input, count) in inputs.iter_mut().zip(&counts) {
        starts.push(batches.len());
        input.take(*count, &mut batches)?;
    }
    let batches = batches.into_iter().map(|batch| conform(table, batch)).collect::<Result<Vec<_>, _>>()?;
    if table == Table::Metrics {
        let mut joiner = Joiner::new(&batches)?;
        while let Some(batch) = joiner.next_batch()? {
            output.write(&batch)?;
        }
        return Ok(());
    }
    // (input, row of the file) → (batch, row of the batch); inputs are walked once, in their order.
    let mut cursors: Vec<(usize, usize)> = starts.iter().zip(&firsts).map(|(start, first)| (*start, *first)).collect();
    let moved: Vec<(usize, usize)> = places
        .iter()
        .map(|(input, row)| {
            let (batch, first) = &mut cursors[*input];
            while *row - *first >= batches[*batch].num_rows() {
                *first += batches[*batch].num_rows();
                *batch += 1;
            }
            (*batch, *row - *first)
        })
        .collect();
    for places in moved.chunks(8192) {
        let columns = (0..table.schema().fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&arrays, places)
        });
        output.write(&RecordBatch::try_new(table.schema(), columns.collect::<Result<_, _>>()?)?)?;
    }
    Ok(())
}

/// Files of an older weft lack columns that were added since: they are null.
fn conform(table: Table, batch: RecordBatch) -> Result<RecordBatch, Error> {
    if batch.schema_ref().fields() == table.schema().fields() {
        return Ok(batch.with_schema(table.schema())?);
    }
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => std::sync::Arc::clone(column),
        _ => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
    });
    Ok(RecordBatch::try_new(std::sync::Arc::clone(&schema), columns.collect())?)
}

#[cfg(test)]
mod tests;
