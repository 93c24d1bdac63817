//! Runs TraceQL over the tables of a query engine.
//!
//! First cut by the lead so that the API crate compiles: trace by id is real; the rest is filled in
//! by the planner's author, who owns this file.

use crate::{Config, Error, Scope, ScopeTags, SearchAnswer, Series, Value};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::prelude::{col, lit};
use datafusion::scalar::ScalarValue;
use weft_model::{Table, spans};

/// Evaluates TraceQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    query: weft_query::Engine,
    config: Config,
}

/// What a search asks for beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// From, ns since the Unix epoch.
    pub start_ns: i64,
    /// To, ns since the Unix epoch.
    pub end_ns: i64,
    /// Most traces.
    pub limit: usize,
    /// Most spans shown of a span set.
    pub spans_per_spanset: usize,
}

/// The TraceQL of a legacy search.
///
/// # Errors
/// When a tag or duration doesn't parse.
pub fn tags_query(_tags: &str, _min: Option<&str>, _max: Option<&str>) -> Result<String, Error> {
    Err(Error::Unsupported("the tags parameter is".to_owned()))
}

impl Engine {
    /// An engine over `query`'s tables.
    pub fn new(query: weft_query::Engine, config: Config) -> Self {
        Self { query, config }
    }

    /// The spans of a trace by start time; `None` when there are none.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn trace_by_id(&self, id: &[u8; 16], range: Option<(i64, i64)>) -> Result<Option<RecordBatch>, Error> {
        let _ = &self.config;
        let session = self.query.session();
        let mut frame = session
            .table(Table::Spans)?
            .filter(col(spans::TRACE_ID).eq(lit(ScalarValue::Binary(Some(id.to_vec())))))
            .map_err(weft_query::Error::from)?;
        if let Some((start, end)) = range {
            let within = col(spans::START_TIME).lt_eq(lit(end)).and(col(spans::END_TIME).gt_eq(lit(start)));
            frame = frame.filter(within).map_err(weft_query::Error::from)?;
        }
        let frame = frame.sort(vec![col(spans::START_TIME).sort(true, true)]).map_err(weft_query::Error::from)?;
        let batches = session.collect(frame).await?;
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(None);
        }
        let batch = concat_batches(&batches[0].schema(), &batches).map_err(|error| weft_query::Error::Engine(error.to_string()))?;
        Ok(Some(batch))
    }

    /// Traces that match.
    ///
    /// # Errors
    /// When the query is wrong or fails.
    pub async fn search(&self, _query: &str, _search: &Search) -> Result<SearchAnswer, Error> {
        Err(Error::Unsupported("search is".to_owned()))
    }

    /// Names of tags.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn tags(&self, _scope: Option<Scope>, _start_ns: i64, _end_ns: i64) -> Result<Vec<ScopeTags>, Error> {
        Err(Error::Unsupported("listing tags is".to_owned()))
    }

    /// Values of a tag.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn tag_values(&self, _tag: &str, _filter: Option<&str>, _start_ns: i64, _end_ns: i64) -> Result<Vec<Value>, Error> {
        Err(Error::Unsupported("listing values is".to_owned()))
    }

    /// A metrics query over a range.
    ///
    /// # Errors
    /// When the query is wrong or fails.
    pub async fn metrics_range(&self, _query: &str, _start_ns: i64, _end_ns: i64, _step_ns: i64) -> Result<Vec<Series>, Error> {
        Err(Error::Unsupported("metrics queries are".to_owned()))
    }

    /// A metrics query over one interval.
    ///
    /// # Errors
    /// When the query is wrong or fails.
    pub async fn metrics_instant(&self, _query: &str, _start_ns: i64, _end_ns: i64) -> Result<Vec<Series>, Error> {
        Err(Error::Unsupported("metrics queries are".to_owned()))
    }
}
