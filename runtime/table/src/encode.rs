//! Rows → one Parquet file in memory, with its statistics. Synchronous; run it where cores are spent.
//!
//! What a file looks like, and why:
//! - zstd; sorted, with `sorting_columns` saying so, so that row groups and pages bound their values;
//! - times and numbers delta-packed, texts by dictionary where it pays (the writer falls back);
//! - bloom filters on what point queries look up: `trace_id`, `series_id`;
//! - page statistics only for columns that queries compare: bodies and attribute maps would fill the
//!   page index with prefixes that prune nothing;
//! - no embedded Arrow schema: the Parquet types read back as the model's types (a test says so), and
//!   3 KB per footer add up.

use crate::{Config, Error, join::Joiner, sort, stats};
use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use weft_ledger::FileStats;
use weft_model::{Table, logs, metrics, spans};

/// Rows moved at a time: bounds what sorting holds beside its input.
const CHUNK_ROWS: usize = 8192;

/// A file, not yet stored.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) stats: FileStats,
}

/// Sorts (metrics: joins) and encodes; `None` when there are no rows.
pub(crate) fn encode(
    table: Table,
    batches: &[RecordBatch],
    config: &Config,
    metadata: &[(String, String)],
) -> Result<Option<Encoded>, Error> {
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(None);
    }
    let mut file = File::new(table, config, metadata, batches.iter().map(RecordBatch::num_rows).sum())?;
    if table == Table::Metrics {
        let mut joiner = Joiner::new(batches)?;
        while let Some(batch) = joiner.next_batch()? {
            file.write(&batch)?;
        }
    } else {
        for places in sort::order(table, batches)?.chunks(CHUNK_ROWS) {
            let columns = (0..table.schema().fields().len()).map(|column| {
                let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
                interleave(&arrays, places)
            });
            file.write(&RecordBatch::try_new(table.schema(), columns.collect::<Result<_, _>>()?)?)?;
        }
    }
    file.finish().map(Some)
}

/// A file in the making.
pub(crate) struct File {
    writer: ArrowWriter<Vec<u8>>,
    stats: stats::Collector,
    rows: u64,
}

impl File {
    pub(crate) fn new(
        table: Table,
        config: &Config,
        metadata: &[(String, String)],
        rows: usize,
    ) -> Result<Self, Error> {
        let properties = properties(table, config, metadata, rows)?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), table.schema(), options)?;
        Ok(Self { writer, stats: stats::Collector::new(table), rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.stats.add(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(batch)?)
    }

    pub(crate) fn finish(self) -> Result<Encoded, Error> {
        let bytes = self.writer.into_inner()?;
        Ok(Encoded { bytes, rows: self.rows, stats: self.stats.finish() })
    }
}

fn properties(
    table: Table,
    config: &Config,
    metadata: &[(String, String)],
    rows: usize,
) -> Result<WriterProperties, Error> {
    let level = ZstdLevel::try_new(config.zstd_level)
        .map_err(|error| Error::Config(format!("zstd_level {}: {error}", config.zstd_level)))?;
    let group_rows = if table == Table::Metrics { config.metrics_row_group_rows } else { config.row_group_rows }.max(1);
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let leaves = ArrowSchemaConverter::new().convert(&table.schema())?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("weft ", env!("CARGO_PKG_VERSION")).into())
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(CHUNK_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_key_value_metadata(Some(pairs))
        .set_sorting_columns(Some(sorting(table, &leaves)));
    for leaf in leaves.columns() {
        let (path, name) = (leaf.path().clone(), leaf.path().string());
        let pruned = stats::columns(table).contains(&name.as_str()) || sort::columns(table).contains(&name.as_str());
        if pruned || looked_up(table) == Some(&name) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
        }
        if looked_up(table) == Some(&name) {
            let most = rows.min(group_rows) as u64;
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path.clone(), most.max(1));
        }
        if let Some((encoding, dictionary)) = encoding(leaf) {
            builder = builder
                .set_column_encoding(path.clone(), encoding)
                .set_column_dictionary_enabled(path.clone(), dictionary);
        }
        if leaf.physical_type() == Type::DOUBLE {
            // A big dictionary of floats costs more than it saves: 8 bytes each, and an index beside.
            builder = builder.set_column_dictionary_page_size_limit(path, 64 * 1024);
        }
    }
    Ok(builder.build())
}

/// The column point queries look up.
fn looked_up(table: Table) -> Option<&'static str> {
    match table {
        Table::Metrics => Some(metrics::SERIES_ID),
        Table::Logs => Some(logs::TRACE_ID),
        Table::Spans => Some(spans::TRACE_ID),
        Table::DeadLetters => None,
    }
}

/// Encoding of a leaf and whether a dictionary is tried first; `None` is the writer's default.
fn encoding(leaf: &ColumnDescriptor) -> Option<(Encoding, bool)> {
    let name = leaf.path().string();
    let id = ["trace_id", "span_id", "parent_span_id", "series_id"].contains(&leaf.name());
    match leaf.physical_type() {
        // Ids are random: a dictionary of them only costs.
        Type::BYTE_ARRAY if id => Some((Encoding::PLAIN, false)),
        // Times differ in almost every row: packed differences. So do samples.
        Type::INT64 if leaf.path().parts().len() == 1 => Some((Encoding::DELTA_BINARY_PACKED, false)),
        Type::INT64 if name.ends_with("time_unix_nano") => Some((Encoding::DELTA_BINARY_PACKED, false)),
        Type::INT64 if name.ends_with(".list.element") => Some((Encoding::DELTA_BINARY_PACKED, false)),
        Type::INT64 => Some((Encoding::DELTA_BINARY_PACKED, true)),
        // Where floats have no dictionary: equal bytes of neighbours side by side, for zstd.
        Type::DOUBLE => Some((Encoding::BYTE_STREAM_SPLIT, true)),
        _ => None,
    }
}

fn sorting(table: Table, leaves: &SchemaDescriptor) -> Vec<SortingColumn> {
    let place = |name: &&str| leaves.columns().iter().position(|leaf| leaf.path().string() == **name);
    sort::columns(table)
        .iter()
        .filter_map(place)
        .filter_map(|leaf| i32::try_from(leaf).ok())
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
        .collect()
}

#[cfg(test)]
mod tests;
