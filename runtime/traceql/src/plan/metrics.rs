//! Metrics queries over single span filters: `{ … } | rate() by (…)` and its kin.
//!
//! Spans are read once; each lands in the interval `(T − step, T]` that its start lies in.

use super::plan_error;
use super::predicate::{predicate, weaken};
use crate::answer::{Series, Value};
use crate::ast::{
    Expr, Field, Intrinsic, Metrics, MetricsFunction, MetricsOp, Op, Pipeline, SecondStage, Spanset, Stage,
};
use crate::error::Error;
use crate::evaluate::columns::{SpanColumns, Val, columns_of, of_trace};
use crate::evaluate::expr::{Compiled, number, to_value};
use datafusion::logical_expr::{and, col, lit};
use futures::TryStreamExt;
use std::collections::{BTreeSet, HashMap};
use weft_model::{Table, spans};
use weft_query::Session;

/// Intervals of a metrics query, ns: the first ends at `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intervals {
    pub(crate) first: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Intervals {
    /// The interval that holds `time`.
    fn of(&self, time: i64) -> Option<usize> {
        let since = time.checked_sub(self.first.checked_sub(self.step)?)?;
        if since <= 0 {
            return None;
        }
        usize::try_from((since - 1) / self.step).ok().filter(|interval| *interval < self.count)
    }

    fn end(&self, interval: usize) -> i64 {
        self.first.saturating_add(self.step.saturating_mul(i64::try_from(interval).unwrap_or(i64::MAX)))
    }
}

type Labels = Vec<(String, Value)>;
type Values = Vec<Option<f64>>;

/// Runs a metrics query.
pub(crate) async fn run(session: &Session, metrics: &Metrics, intervals: Intervals) -> Result<Vec<Series>, Error> {
    let series = evaluate(session, metrics, intervals).await?;
    let mut out: Vec<Series> = series
        .into_iter()
        .map(|(labels, values)| {
            let present = values.into_iter().enumerate().filter_map(|(interval, value)| {
                let value = value.filter(|value| !value.is_nan())?;
                Some((intervals.end(interval).div_euclid(1_000_000), value))
            });
            Series { labels, samples: present.collect() }
        })
        .filter(|series| !series.samples.is_empty())
        .collect();
    out.sort_by_cached_key(|series| {
        let labels: Vec<(String, String)> =
            series.labels.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        (labels.len(), labels)
    });
    Ok(out)
}

async fn evaluate(session: &Session, metrics: &Metrics, intervals: Intervals) -> Result<Vec<(Labels, Values)>, Error> {
    match metrics {
        Metrics::Pipeline { pipeline, function } => pipeline_series(session, pipeline, function, intervals).await,
        Metrics::Second { input, stage } => {
            let series = Box::pin(evaluate(session, input, intervals)).await?;
            Ok(second(series, stage))
        }
        Metrics::Number(_) | Metrics::Arithmetic { .. } => {
            Err(Error::Unsupported("arithmetic between metrics queries".to_owned()))
        }
    }
}

fn filter_of(pipeline: &Pipeline) -> Result<&Expr, Error> {
    match pipeline.stages.as_slice() {
        [Stage::Spanset(Spanset::Filter(filter))] => {
            let mut whole_trace = false;
            Compiled::new(filter)?.fields(&mut |field| whole_trace |= of_trace(field));
            if whole_trace {
                return Err(Error::Unsupported("a metrics query on fields of the whole trace".to_owned()));
            }
            Ok(filter)
        }
        _ => Err(Error::Unsupported("a metrics query on more than one span filter".to_owned())),
    }
}

/// What the spans of a series and interval add up to.
#[derive(Debug, Clone, Copy)]
struct Accumulated {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Accumulated {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

async fn pipeline_series(
    session: &Session,
    pipeline: &Pipeline,
    function: &MetricsFunction,
    intervals: Intervals,
) -> Result<Vec<(Labels, Values)>, Error> {
    if matches!(function.op, MetricsOp::Quantile | MetricsOp::Histogram | MetricsOp::Compare) {
        return Err(Error::Unsupported(format!("{}()", function.op.name())));
    }
    if function.by.iter().chain(&function.field).any(of_trace) {
        return Err(Error::Unsupported("a metrics query on fields of the whole trace".to_owned()));
    }
    let filter = filter_of(pipeline)?;
    let compiled = Compiled::new(filter)?;
    let mut names: BTreeSet<&'static str> = [spans::START_TIME].into_iter().collect();
    compiled.fields(&mut |field| names.extend(columns_of(field)));
    function.by.iter().chain(&function.field).for_each(|field| names.extend(columns_of(field)));
    let names: Vec<&'static str> = names.into_iter().collect();
    let last = intervals.end(intervals.count.saturating_sub(1));
    let mut condition = and(
        col(spans::START_TIME).gt(lit(intervals.first.saturating_sub(intervals.step))),
        col(spans::START_TIME).lt_eq(lit(last)),
    );
    if let Some(weakened) = weaken(filter) {
        condition = and(condition, predicate(&weakened)?);
    }
    let plan = session
        .scan(Table::Spans)?
        .filter(condition)
        .and_then(|plan| plan.project(names.iter().map(|name| col(*name)).collect::<Vec<_>>()))
        .and_then(|plan| plan.build())
        .map_err(plan_error)?;
    let mut batches = session.stream(session.frame(plan)).await?;
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<Value>, Vec<Accumulated>)> = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        let spans = SpanColumns::of(names.iter().copied(), batch.columns());
        for row in 0..batch.num_rows() {
            let Some(interval) = intervals.of(spans.start(row)) else { continue };
            if !compiled.passes(&|field: &Field| spans.field(field, row))? {
                continue;
            }
            let value = match &function.field {
                None => 0.0,
                Some(field) => match measured(field, &spans.field(field, row)) {
                    Some(value) => value,
                    None => continue,
                },
            };
            let group: Vec<Value> = function.by.iter().map(|field| to_value(spans.field(field, row))).collect();
            let key: Vec<String> = group.iter().map(|value| format!("{}:{value}", value.type_name())).collect();
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((group, vec![Accumulated::default(); intervals.count]));
                groups.len() - 1
            });
            let slot = &mut groups[place].1[interval];
            slot.count += 1;
            slot.sum += value;
            slot.min = slot.min.min(value);
            slot.max = slot.max.max(value);
        }
    }
    // Without groups and matches, counts are still known to be zero.
    if groups.is_empty() && function.by.is_empty() {
        groups.push((Vec::new(), vec![Accumulated::default(); intervals.count]));
    }
    #[allow(clippy::cast_precision_loss, reason = "seconds are a float by definition")]
    let seconds = intervals.step as f64 / 1e9;
    Ok(groups
        .into_iter()
        .map(|(group, slots)| (labels(function, group), values(function.op, &slots, seconds)))
        .collect())
}

/// The number that a span contributes; durations of spans count in seconds.
fn measured(field: &Field, value: &Val<'_>) -> Option<f64> {
    let number = number(value)?;
    Some(if *field == Field::Intrinsic(Intrinsic::Duration) { number / 1e9 } else { number })
}

fn values(op: MetricsOp, slots: &[Accumulated], seconds: f64) -> Values {
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let value = |slot: &Accumulated| match op {
        MetricsOp::Rate => Some(slot.count as f64 / seconds),
        MetricsOp::Count => Some(slot.count as f64),
        _ if slot.count == 0 => None,
        MetricsOp::Min => Some(slot.min),
        MetricsOp::Max => Some(slot.max),
        MetricsOp::Avg => Some(slot.sum / slot.count as f64),
        _ => Some(slot.sum),
    };
    slots.iter().map(value).collect()
}

fn labels(function: &MetricsFunction, group: Vec<Value>) -> Labels {
    if function.by.is_empty() {
        return vec![("__name__".to_owned(), Value::String(function.op.name().to_owned()))];
    }
    let all: Labels = function.by.iter().map(ToString::to_string).zip(group).collect();
    let present: Labels = all.iter().filter(|(_, value)| *value != Value::Nil).cloned().collect();
    match all.into_iter().next() {
        Some((name, _)) if present.is_empty() => vec![(name, Value::String("nil".to_owned()))],
        _ => present,
    }
}

fn second(mut series: Vec<(Labels, Values)>, stage: &SecondStage) -> Vec<(Labels, Values)> {
    match stage {
        SecondStage::Filter(op, value) => {
            #[allow(clippy::cast_precision_loss, reason = "series hold floats")]
            let limit = match value {
                Value::Int(value) => *value as f64,
                Value::Duration(value) => *value as f64 / 1e9,
                Value::Float(value) => *value,
                _ => f64::NAN,
            };
            for (_, values) in &mut series {
                for slot in values {
                    *slot = slot.filter(|value| match op {
                        Op::Equal => *value == limit,
                        Op::NotEqual => *value != limit,
                        Op::Greater => *value > limit,
                        Op::GreaterEqual => *value >= limit,
                        Op::Less => *value < limit,
                        _ => *value <= limit,
                    });
                }
            }
            series.retain(|(_, values)| values.iter().any(Option::is_some));
        }
        SecondStage::TopK(limit) => select(&mut series, *limit, true),
        SecondStage::BottomK(limit) => select(&mut series, *limit, false),
    }
    series
}

/// Keeps the `limit` largest or smallest at each time; of equals those whose labels come first.
fn select(series: &mut Vec<(Labels, Values)>, limit: i64, largest: bool) {
    let limit = usize::try_from(limit).unwrap_or(0);
    if series.len() <= limit {
        return;
    }
    series.sort_by_cached_key(|(labels, _)| labels.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>());
    let steps = series.first().map_or(0, |(_, values)| values.len());
    for step in 0..steps {
        let mut order: Vec<usize> = (0..series.len()).filter(|index| series[*index].1[step].is_some()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (series[*a].1[step].unwrap_or(f64::NAN), series[*b].1[step].unwrap_or(f64::NAN));
            if largest { b.total_cmp(&a) } else { a.total_cmp(&b) }
        });
        for index in order.into_iter().skip(limit) {
            series[index].1[step] = None;
        }
    }
    series.retain(|(_, values)| values.iter().any(Option::is_some));
}

#[cfg(test)]
mod tests {
    use super::Intervals;

    #[test]
    fn an_interval_holds_its_end_and_not_its_start() {
        let intervals = Intervals { first: 100, step: 10, count: 3 };
        assert_eq!(intervals.of(90), None);
        assert_eq!(intervals.of(91), Some(0));
        assert_eq!(intervals.of(100), Some(0));
        assert_eq!(intervals.of(101), Some(1));
        assert_eq!(intervals.of(120), Some(2));
        assert_eq!(intervals.of(121), None);
    }
}
