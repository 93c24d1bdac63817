//! Names and values of tags in a time range.

use super::candidates::overlapping;
use super::plan_error;
use crate::answer::{Scope, Value};
use crate::ast::{AttributeScope, Expr, Field};
use crate::error::Error;
use crate::evaluate::columns::{SpanColumns, Val, columns_of};
use crate::evaluate::expr::to_value;
use crate::plan::predicate::{predicate, weaken};
use datafusion::logical_expr::{and, col};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use weft_model::{Table, spans};
use weft_query::Session;

fn attribute_scope(scope: Scope) -> Option<AttributeScope> {
    Some(match scope {
        Scope::Resource => AttributeScope::Resource,
        Scope::Span => AttributeScope::Span,
        Scope::Event => AttributeScope::Event,
        Scope::Link => AttributeScope::Link,
        Scope::Instrumentation => AttributeScope::Instrumentation,
        Scope::Intrinsic => return None,
    })
}

/// Names of attributes by scope, of spans that overlap the range.
pub(crate) async fn names(
    session: &Session,
    scopes: &[Scope],
    (start, end): (i64, i64),
    margin: i64,
) -> Result<BTreeMap<Scope, BTreeSet<String>>, Error> {
    let mut found: BTreeMap<Scope, BTreeSet<String>> = scopes.iter().map(|scope| (*scope, BTreeSet::new())).collect();
    let wanted: Vec<(Scope, AttributeScope)> =
        scopes.iter().filter_map(|scope| Some((*scope, attribute_scope(*scope)?))).collect();
    if wanted.is_empty() {
        return Ok(found);
    }
    let columns: BTreeSet<&'static str> =
        wanted.iter().flat_map(|(_, scope)| columns_of(&Field::Attribute(*scope, String::new()))).copied().collect();
    let columns: Vec<&'static str> = columns.into_iter().collect();
    let plan = session
        .scan(Table::Spans)?
        .filter(overlapping(start, end, margin))
        .and_then(|plan| plan.project(columns.iter().map(|name| col(*name)).collect::<Vec<_>>()))
        .and_then(|plan| plan.build())
        .map_err(plan_error)?;
    let mut batches = session.stream(session.frame(plan)).await?;
    while let Some(batch) = batches.try_next().await? {
        let spans = SpanColumns::of(columns.iter().copied(), batch.columns());
        for (scope, attribute_scope) in &wanted {
            let Some(names) = found.get_mut(scope) else { continue };
            let mut here: BTreeSet<&str> = BTreeSet::new();
            for row in 0..batch.num_rows() {
                spans.attribute_keys(*attribute_scope, row, &mut |key| {
                    here.insert(key);
                });
            }
            names.extend(here.into_iter().map(str::to_owned));
        }
    }
    Ok(found)
}

/// A value that orders, for collecting distinct ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Text(String),
    Int(i64),
    Float(u64),
    Bool(bool),
}

/// Distinct values of a field, of spans that overlap the range and satisfy `filter`; at most `most`.
pub(crate) async fn values(
    session: &Session,
    field: &Field,
    filter: Option<&Expr>,
    (start, end): (i64, i64),
    margin: i64,
    most: usize,
) -> Result<Vec<Value>, Error> {
    let columns: Vec<&'static str> =
        columns_of(field).iter().copied().chain([spans::DURATION]).collect::<BTreeSet<_>>().into_iter().collect();
    let mut condition = overlapping(start, end, margin);
    if let Some(filter) = filter.and_then(weaken) {
        condition = and(condition, predicate(&filter)?);
    }
    let plan = session
        .scan(Table::Spans)?
        .filter(condition)
        .and_then(|plan| plan.project(columns.iter().map(|name| col(*name)).collect::<Vec<_>>()))
        .and_then(|plan| plan.build())
        .map_err(plan_error)?;
    let mut found: BTreeMap<Key, Value> = BTreeMap::new();
    let mut batches = session.stream(session.frame(plan)).await?;
    'batches: while let Some(batch) = batches.try_next().await? {
        let spans = SpanColumns::of(columns.iter().copied(), batch.columns());
        for row in 0..batch.num_rows() {
            match spans.field(field, row) {
                Val::Each(values) | Val::Array(values) => {
                    values.into_iter().for_each(|value| insert(&mut found, value))
                }
                value => insert(&mut found, value),
            }
            if found.len() >= most {
                break 'batches;
            }
        }
    }
    Ok(found.into_values().collect())
}

fn insert(found: &mut BTreeMap<Key, Value>, value: Val<'_>) {
    let key = match &value {
        Val::Text(text) => Key::Text(text.to_string()),
        Val::Int(value) | Val::Duration(value) => Key::Int(*value),
        Val::Float(value) => Key::Float(value.to_bits()),
        Val::Bool(value) => Key::Bool(*value),
        Val::Nil | Val::Status(_) | Val::Kind(_) | Val::Array(_) | Val::Each(_) => return,
    };
    found.entry(key).or_insert_with(|| to_value(value));
}
