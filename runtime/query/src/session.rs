//! One query: a consistent view of each table it touches, limits, and the way to run a plan.

use crate::error::Error;
use crate::provider::TableProvider;
use crate::stream::QueryStream;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::CatalogProviderList;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider,
};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use weft_model::Table;
use weft_table::Tables;

/// One query's session. Views of tables are taken at first use and kept, so that all parts of a
/// query see the same rows. The deadline counts from the session's making.
pub struct Session {
    context: SessionContext,
    providers: Vec<(Table, Arc<TableProvider>)>,
    cpu: Option<Handle>,
    timeout: Duration,
    started: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(
        tables: Tables,
        state: SessionState,
        runtime: Arc<RuntimeEnv>,
        cpu: Option<Handle>,
        timeout: Duration,
    ) -> Self {
        let providers: Vec<_> =
            Table::ALL.into_iter().map(|table| (table, Arc::new(TableProvider::new(tables.clone(), table)))).collect();
        let schema = MemorySchemaProvider::new();
        for (table, provider) in &providers {
            // A fresh schema holds no table of this name, so registering can't fail.
            let _ = schema.register_table(table.name().to_owned(), Arc::clone(provider) as _);
        }
        let catalog = MemoryCatalogProvider::new();
        let catalogs = MemoryCatalogProviderList::new();
        let defaults = &state.config().options().catalog;
        let (catalog_name, schema_name) = (defaults.default_catalog.clone(), defaults.default_schema.clone());
        let _ = catalog.register_schema(&schema_name, Arc::new(schema));
        catalogs.register_catalog(catalog_name, Arc::new(catalog));
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(Arc::new(catalogs))
            .with_runtime_env(runtime)
            .build();
        Self { context: SessionContext::new_with_state(state), providers, cpu, timeout, started: Instant::now() }
    }

    /// DataFusion's context of this query; the tables are registered by name.
    pub fn ctx(&self) -> &SessionContext {
        &self.context
    }

    fn provider(&self, table: Table) -> Result<&Arc<TableProvider>, Error> {
        self.providers
            .iter()
            .find(|(held, _)| *held == table)
            .map(|(_, provider)| provider)
            .ok_or_else(|| Error::Engine(format!("table '{table}' is not registered")))
    }

    /// A scan of `table`, to build a plan on. Columns are those of the table's schema, qualified by
    /// its name.
    ///
    /// # Errors
    /// Only by a fault of the engine.
    pub fn scan(&self, table: Table) -> Result<LogicalPlanBuilder, Error> {
        let source = provider_as_source(Arc::clone(self.provider(table)?) as _);
        Ok(LogicalPlanBuilder::scan(table.name(), source, None)?)
    }

    /// A scan of `table` as a data frame.
    ///
    /// # Errors
    /// Only by a fault of the engine.
    pub fn table(&self, table: Table) -> Result<DataFrame, Error> {
        Ok(self.frame(self.scan(table)?.build()?))
    }

    /// A plan as a data frame.
    pub fn frame(&self, plan: LogicalPlan) -> DataFrame {
        DataFrame::new(self.context.state(), plan)
    }

    /// Plans a read-only SQL statement: one query. What changes tables, settings or files is refused.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the position where the text is wrong.
    pub async fn sql(&self, text: &str) -> Result<DataFrame, Error> {
        let state = self.context.state();
        let plan = state.create_logical_plan(text).await?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only
            .verify_plan(&plan)
            .map_err(|error| Error::invalid(format!("only queries are allowed here: {}", error.strip_backtrace())))?;
        Ok(DataFrame::new(state, plan))
    }

    /// Runs `frame`: plans it and streams its rows. Dropping the stream cancels the query.
    ///
    /// # Errors
    /// When it can't be planned or runs out of time while being planned; later failures come through the stream.
    pub async fn stream(&self, frame: DataFrame) -> Result<QueryStream, Error> {
        QueryStream::start(frame, self.cpu.clone(), self.timeout, self.started).await
    }

    /// Runs `frame` to its end and gives all rows, in the order of the plan.
    ///
    /// # Errors
    /// As [`Self::stream`], and whatever goes wrong while it runs.
    pub async fn collect(&self, frame: DataFrame) -> Result<Vec<RecordBatch>, Error> {
        self.stream(frame).await?.try_collect().await
    }
}
