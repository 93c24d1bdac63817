//! Log queries: the first or last entries of all streams together.

use super::lines;
use super::pipeline::{Counters, LINE, METADATA, Output, PARSED, PipelineFunction, STREAM};
use super::{engine_error, kept_only, plan_error, source};
use crate::answer::{Direction, Entry, Labels, Options, Stream};
use crate::ast::LogExpr;
use crate::error::Error;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::Column;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, and, col, ident};
use std::collections::HashMap;
use std::sync::Arc;
use weft_model::{Table, logs};
use weft_query::Session;
use weft_query::functions::label_key::read;

const LINES: &str = "entry";

/// Runs a log query over `start <= t < end`.
pub(crate) async fn run(
    session: &Session,
    log: &LogExpr,
    (start, end): (i64, i64),
    options: &Options,
    counters: &Arc<Counters>,
) -> Result<Vec<Stream>, Error> {
    let plan = plan(session, log, (start, end), options, counters)?;
    let batches = session.collect(session.frame(plan)).await.map_err(engine_error)?;
    let mut streams: Vec<Stream> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for batch in &batches {
        let columns = (
            batch.column(0).as_primitive_opt::<Int64Type>(),
            batch.column(1).as_string_opt::<i32>(),
            batch.column(2).as_binary_opt::<i32>(),
            batch.column(3).as_binary_opt::<i32>(),
            batch.column(4).as_binary_opt::<i32>(),
        );
        let (Some(times), Some(lines), Some(stream), Some(metadata), Some(parsed)) = columns else {
            return Err(Error::Query(weft_query::Error::Engine("entries have unexpected types".to_owned())));
        };
        for row in 0..batch.num_rows() {
            let (mut labels, metadata, parsed) =
                (decode(stream.value(row))?, decode(metadata.value(row))?, decode(parsed.value(row))?);
            let mut entry = Entry {
                timestamp_ns: times.value(row),
                line: if lines.is_null(row) { String::new() } else { lines.value(row).to_owned() },
                structured_metadata: Labels::default(),
                parsed: Labels::default(),
            };
            if options.categorize {
                (entry.structured_metadata, entry.parsed) = (metadata, parsed);
            } else {
                labels = Labels::from_pairs([labels, metadata, parsed].into_iter().flat_map(|part| part.0));
            }
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                streams.push(Stream { labels: labels.clone(), entries: Vec::new() });
                streams.len() - 1
            });
            streams[place].entries.push(entry);
        }
    }
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(streams)
}

/// The labels of a key; empty values are kept.
pub(crate) fn decode(key: &[u8]) -> Result<Labels, Error> {
    Ok(Labels(read(key).map_err(plan_error)?.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn plan(
    session: &Session,
    log: &LogExpr,
    (start, end): (i64, i64),
    options: &Options,
    counters: &Arc<Counters>,
) -> Result<LogicalPlan, Error> {
    let function =
        PipelineFunction::udf(&log.stages, None, Output::Entry, Arc::clone(counters)).map_err(Error::Invalid)?;
    let scan = session.scan(Table::Logs).map_err(engine_error)?;
    let filter = [source::selector(&log.matchers), source::line_filters(&log.stages)]
        .into_iter()
        .flatten()
        .fold(source::within(start.saturating_sub(1), end.saturating_sub(1)), and);
    let newest_first = options.direction == Direction::Backward;
    let by_time = || vec![col(logs::TIME).sort(!newest_first, false)];
    let first_entries = |plan: LogicalPlanBuilder| plan.sort_with_limit(by_time(), Some(options.limit));
    let field = |name: &str| get_field(ident(LINES), name.to_owned());
    let parts = [LINE, STREAM, METADATA, PARSED];
    let build = || {
        let mut plan = scan.filter(filter)?;
        // When no stage can drop a line, the pipeline needs to see only the entries that are returned.
        let early = source::only_line_filters(&log.stages);
        if early {
            plan = first_entries(plan)?;
        }
        let call = function.call(lines::columns(true)).alias(LINES);
        plan = plan
            .project(vec![col(logs::TIME), call])?
            .unnest_column_with_options(Column::new_unqualified(LINES), kept_only())?;
        let columns: Vec<Expr> =
            std::iter::once(col(logs::TIME)).chain(parts.iter().map(|part| field(part).alias(*part))).collect();
        plan = plan.project(columns)?;
        first_entries(plan)?.build()
    };
    build().map_err(plan_error)
}
