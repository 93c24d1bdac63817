//! Label names, label values and series: the distinct label sets of streams in a time range.

use super::{engine_error, plan_error, source, streams};
use crate::answer::Labels;
use crate::ast::LogExpr;
use crate::error::Error;
use datafusion::arrow::array::AsArray;
use datafusion::logical_expr::{and, col, lit};
use weft_model::{Table, logs};
use weft_query::Session;
use weft_query::functions::label_key::label_key;

/// Distinct label sets of streams that any of `selectors` selects (all without one) and that have an
/// entry in `start <= t <= end`, sorted.
pub(crate) async fn series(
    session: &Session,
    selectors: &[LogExpr],
    start: i64,
    end: i64,
) -> Result<Vec<Labels>, Error> {
    let within = source::within(start.saturating_sub(1), end);
    let selected = selectors
        .iter()
        .map(|log| source::selector(&log.matchers).unwrap_or_else(|| lit(true)))
        .reduce(datafusion::logical_expr::or);
    let filter = match selected {
        Some(selected) => and(within, selected),
        None => within,
    };
    let scan = session.scan(Table::Logs).map_err(engine_error)?;
    let key = label_key().call(vec![col(logs::STREAM_LABELS), lit("without")]).alias("key");
    let plan = scan
        .filter(filter)
        .and_then(|plan| plan.project(vec![key]))
        .and_then(|plan| plan.distinct())
        .and_then(|plan| plan.build())
        .map_err(plan_error)?;
    let batches = session.collect(session.frame(plan)).await.map_err(engine_error)?;
    let mut all = Vec::new();
    for batch in &batches {
        let keys = batch.column(0).as_binary_opt::<i32>();
        let keys = keys
            .ok_or_else(|| Error::Query(weft_query::Error::Engine("label keys have an unexpected type".to_owned())))?;
        for key in keys.iter().flatten() {
            all.push(streams::decode(key)?);
        }
    }
    all.sort();
    Ok(all)
}
