//! A table of weft as DataFusion scans it: hot rows from memory, committed rows from Parquet.
//!
//! The view is taken at the first scan and kept, so one query sees one state of the table however
//! often it names it. Files are pruned here by their statistics; DataFusion's reader then prunes row
//! groups, bloom filters and pages, and reads filter columns first: its optimizer moves the filters
//! into the Parquet scan. They are declared `Inexact`, since pruning only leaves out what can't match.

use crate::engine::STORE;
use crate::pruning;
use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use std::sync::Arc;
use tokio::sync::OnceCell;
use weft_model::Table;
use weft_table::{FileInfo, TableView, Tables};

/// Bytes read from a file's end in the hope that they hold the whole footer and the page index.
const FOOTER_HINT: usize = 64 << 10;

/// One table within one query.
#[derive(Debug)]
pub struct TableProvider {
    tables: Tables,
    table: Table,
    schema: SchemaRef,
    view: OnceCell<TableView>,
}

impl TableProvider {
    /// The provider of `table` for one query.
    pub fn new(tables: Tables, table: Table) -> Self {
        Self { tables, table, schema: table.schema(), view: OnceCell::new() }
    }

    /// The table as this query sees it.
    ///
    /// # Errors
    /// When the table's log can't be read.
    pub async fn view(&self) -> Result<&TableView> {
        let view = async { self.tables.view(self.table).await.map_err(|error| crate::Error::Table(error).into()) };
        self.view.get_or_try_init(|| view).await
    }

    fn scan_hot(
        &self,
        batches: &[RecordBatch],
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut spread: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions.clamp(1, batches.len().max(1))];
        let count = spread.len();
        for (at, batch) in batches.iter().enumerate() {
            spread[at % count].push(batch.clone());
        }
        Ok(MemorySourceConfig::try_new_exec(&spread, Arc::clone(&self.schema), projection.cloned())?)
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        files: Vec<&FileInfo>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::parse(STORE)?;
        let runtime = state.runtime_env();
        let store = runtime.object_store(&url)?;
        let readers = CachedParquetFileReaderFactory::new(store, runtime.cache_manager.get_file_metadata_cache());
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_pushdown_filters(true)
            .with_reorder_filters(true)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true)
            .with_metadata_size_hint(FOOTER_HINT)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let mut groups = vec![FileGroup::default(); state.config().target_partitions().clamp(1, files.len().max(1))];
        let count = groups.len();
        for (at, file) in files.into_iter().enumerate() {
            groups[at % count].push(partitioned(file, &self.schema));
        }
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn partitioned(file: &FileInfo, schema: &SchemaRef) -> PartitionedFile {
    PartitionedFile::new(file.path.to_string(), file.size).with_statistics(Arc::new(pruning::statistics(file, schema)))
}

#[async_trait]
impl datafusion::catalog::TableProvider for TableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let view = self.view().await?;
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = conjunction(filters.iter().cloned())
            .map(|filter| state.create_physical_expr(unnormalize_col(filter), &schema))
            .transpose()?;
        let files = pruning::prune(&view.files, predicate.as_ref(), &self.schema);
        tracing::debug!(table = %self.table, files = files.len(), of = view.files.len(), hot_batches = view.hot.len(), "scan");
        // A limit holds for the rows that pass the filters, which are applied above this scan.
        let limit = if filters.is_empty() { limit } else { None };
        let partitions = state.config().target_partitions();
        let hot = !view.hot.is_empty();
        match (hot, files.is_empty()) {
            (true, true) | (false, true) => self.scan_hot(&view.hot, projection, partitions),
            (false, false) => self.scan_files(state, files, projection, limit),
            (true, false) => UnionExec::try_new(vec![
                self.scan_hot(&view.hot, projection, partitions)?,
                self.scan_files(state, files, projection, limit)?,
            ]),
        }
    }
}
