//! Whole traces by id.

use super::{plan_error, unexpected_types};
use crate::error::Error;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::logical_expr::{Expr, and, col, lit};
use std::collections::BTreeSet;
use weft_model::{Table, spans};
use weft_query::Session;

/// Columns that every evaluation needs.
const ALWAYS: [&str; 9] = [
    spans::TRACE_ID,
    spans::SPAN_ID,
    spans::PARENT_SPAN_ID,
    spans::NAME,
    spans::START_TIME,
    spans::END_TIME,
    spans::DURATION,
    spans::STATUS_CODE,
    spans::SERVICE_NAME,
];

/// All spans of the traces `ids` that start in the range, with the columns named and those that
/// every evaluation needs.
pub(crate) async fn traces(
    session: &Session,
    ids: &[Vec<u8>],
    (start, end): (i64, i64),
    more: &BTreeSet<&'static str>,
) -> Result<Vec<RecordBatch>, Error> {
    let mut names: BTreeSet<&'static str> = ALWAYS.into_iter().collect();
    names.extend(more);
    let list: Vec<Expr> = ids.iter().map(|id| lit(id.clone())).collect();
    let filter = and(
        col(spans::TRACE_ID).in_list(list, false),
        and(col(spans::START_TIME).gt_eq(lit(start)), col(spans::START_TIME).lt_eq(lit(end))),
    );
    let scan = session.scan(Table::Spans)?;
    let build = || scan.filter(filter)?.project(names.iter().map(|name| col(*name)).collect::<Vec<_>>())?.build();
    let plan = build().map_err(plan_error)?;
    Ok(session.collect(session.frame(plan)).await?)
}

/// All spans of one trace by start time; `None` when there are none. Equality on the id is what
/// bloom filters and the order of rows in a file answer.
pub(crate) async fn trace(
    session: &Session,
    id: &[u8; 16],
    range: Option<(i64, i64)>,
) -> Result<Option<RecordBatch>, Error> {
    let mut filter = col(spans::TRACE_ID).eq(lit(id.to_vec()));
    if let Some((start, end)) = range {
        filter = and(filter, and(col(spans::START_TIME).gt_eq(lit(start)), col(spans::START_TIME).lt_eq(lit(end))));
    }
    let scan = session.scan(Table::Spans)?;
    let by_start = vec![col(spans::START_TIME).sort(true, false)];
    let plan =
        scan.filter(filter).and_then(|plan| plan.sort(by_start)).and_then(|plan| plan.build()).map_err(plan_error)?;
    let batches = session.collect(session.frame(plan)).await?;
    let Some(first) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let whole = concat_batches(&first.schema(), &batches).map_err(|_| unexpected_types())?;
    Ok(Some(whole))
}
