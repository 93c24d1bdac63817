//! What all queries of a process share.

use crate::config::Config;
use crate::error::Error;
use crate::session::Session;
use crate::yielding::YieldInJoins;
use crate::{functions, vector};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use std::sync::Arc;
use tokio::runtime::Handle;
use weft_table::Tables;

/// The store every session reads tables from, under this made-up address.
pub(crate) const STORE: &str = "weft://tables";

/// Runs queries over one set of tables. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    tables: Tables,
    config: Config,
    cpu: Option<Handle>,
    runtime: Arc<RuntimeEnv>,
    state: SessionState,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose queries run on the caller's runtime.
    ///
    /// # Errors
    /// When the engine can't be set up with this configuration.
    pub fn new(tables: Tables, config: Config) -> Result<Self, Error> {
        Self::build(tables, config, None)
    }

    /// An engine whose queries run on `cpu`.
    ///
    /// # Errors
    /// When the engine can't be set up with this configuration.
    pub fn on(tables: Tables, config: Config, cpu: Handle) -> Result<Self, Error> {
        Self::build(tables, config, Some(cpu))
    }

    fn build(tables: Tables, config: Config, cpu: Option<Handle>) -> Result<Self, Error> {
        let caches = CacheManagerConfig::default().with_metadata_cache_limit(config.footer_cache_bytes);
        let runtime = RuntimeEnvBuilder::new().with_cache_manager(caches).build_arc()?;
        let store = ObjectStoreUrl::parse(STORE)?;
        runtime.register_object_store(store.as_ref(), tables.store());
        let state = state(&config, Arc::clone(&runtime))?;
        Ok(Self { inner: Arc::new(Inner { tables, config, cpu, runtime, state }) })
    }

    /// A session for one query, with the engine's limits.
    pub fn session(&self) -> Session {
        self.session_with(&self.inner.config)
    }

    /// A session for one query, with the memory limit and the timeout of `config`.
    pub fn session_with(&self, config: &Config) -> Session {
        let runtime = Arc::new(RuntimeEnv {
            memory_pool: Arc::new(GreedyMemoryPool::new(config.memory_bytes)),
            ..(*self.inner.runtime).clone()
        });
        Session::new(
            self.inner.tables.clone(),
            self.inner.state.clone(),
            runtime,
            self.inner.cpu.clone(),
            config.timeout(),
        )
    }

    /// The tables it reads.
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
}

fn state(config: &Config, runtime: Arc<RuntimeEnv>) -> Result<SessionState, Error> {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.partition_count())
        .with_batch_size(config.batch_rows)
        .with_information_schema(true);
    let options = session.options_mut();
    // Late materialisation: a filter's columns are read first, the others only for rows that pass.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    let mut state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(YieldInJoins))
        .build();
    for function in functions::all().into_iter().chain(vector::scalar_functions()) {
        datafusion::logical_expr::registry::FunctionRegistry::register_udf(&mut state, function)?;
    }
    for function in vector::aggregate_functions() {
        datafusion::logical_expr::registry::FunctionRegistry::register_udaf(&mut state, function)?;
    }
    Ok(state)
}
