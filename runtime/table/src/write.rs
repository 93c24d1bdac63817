//! An epoch's rows → durable Parquet files that nothing refers to yet.

use crate::encode::{Encoded, encode};
use crate::{Config, Error, FileInfo, objects};
use arrow::array::RecordBatch;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_env::Clock;
use weft_ledger::{DataFile, paths};
use weft_model::{Epoch, Table};

/// What every write needs.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Writer {
    /// One file a table; see [`crate::Tables::write_epoch`].
    pub(crate) async fn write_epoch(
        &self,
        epoch: &Epoch,
        batches: BTreeMap<Table, Vec<RecordBatch>>,
        metadata: &[(String, String)],
    ) -> Result<Vec<DataFile>, Error> {
        let metadata: Arc<[(String, String)]> = metadata.into();
        let day = day(self.clock.now_millis());
        // A task a table: with more than one core they are encoded side by side.
        let tasks: Vec<_> = batches
            .into_iter()
            .map(|(table, batches)| {
                let (writer, metadata) = (self.clone(), Arc::clone(&metadata));
                let path = paths::data_file(table, &day, epoch, 0);
                tokio::spawn(async move { writer.write(table, path, batches, &metadata).await })
            })
            .collect();
        let mut files = Vec::new();
        // All are awaited even if one fails, so that a retry doesn't run beside them.
        let results = futures::future::join_all(tasks).await;
        for result in results {
            let file = result.map_err(|error| Error::Bug(format!("encoding an epoch was cut off: {error}")))??;
            files.extend(file);
        }
        Ok(files)
    }

    /// Encodes and stores one file; `None` when there are no rows.
    pub(crate) async fn write(
        &self,
        table: Table,
        path: String,
        batches: Vec<RecordBatch>,
        metadata: &[(String, String)],
    ) -> Result<Option<DataFile>, Error> {
        let Some(encoded) = encode(table, &batches, &self.config, metadata)? else { return Ok(None) };
        drop(batches);
        let Encoded { bytes, rows, stats } = encoded;
        let size = bytes.len() as u64;
        let written_at_ms = self.clock.now_millis();
        // Overwriting is right: only this epoch writes this name, and a retry writes the same rows.
        objects::put(self.store.as_ref(), &Path::from(path.as_str()), bytes.into(), PutMode::Overwrite).await?;
        Ok(Some(DataFile { table, path, size, rows, written_at_ms, stats }))
    }
}

/// A file of the ledger as a view shows it.
pub(crate) fn file_info(file: &DataFile) -> FileInfo {
    FileInfo {
        path: Path::from(file.path.as_str()),
        size: file.size,
        rows: file.rows,
        modified_ms: file.written_at_ms,
        stats: file.stats.clone(),
        epoch: Epoch::of_file(&file.path),
    }
}

/// UTC date of an instant, `2026-11-22`.
pub(crate) fn day(now_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default().format("%Y-%m-%d").to_string()
}
