//! Which labels, values, series and metrics there are.

use crate::engine::Engine;
use crate::error::Error;
use crate::parse::{ast::Selector, parse_selector};
use crate::plan::selector::series_rows;
use crate::value::Labels;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use weft_model::{Table, metrics};
use weft_query::functions::maps::METRIC_NAME;
use weft_query::functions::{label, label_key};

const KEY: &str = "key";

/// What a metric's senders say of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata {
    /// `counter`, `gauge`, `histogram`, `summary`, `info`, `stateset`, `gaugehistogram` or `unknown`.
    pub kind: &'static str,
    /// Help text; empty when unknown.
    pub help: String,
    /// Unit; empty when unknown.
    pub unit: String,
}

impl Engine {
    /// Names of labels of series that match any of `matchers` (all series when there are none) and
    /// have samples from `start_ms` to `end_ms`.
    ///
    /// # Errors
    /// When a matcher is no selector, or the tables can't be read.
    pub async fn labels(&self, matchers: &[&str], start_ms: i64, end_ms: i64) -> Result<Vec<String>, Error> {
        let mut names = BTreeSet::new();
        self.each_series(matchers, start_ms, end_ms, |name, labels| {
            if !name.is_empty() {
                add(&mut names, METRIC_NAME);
            }
            labels.for_each(|(name, _)| add(&mut names, name));
        })
        .await?;
        Ok(names.into_iter().collect())
    }

    /// Values of one label of such series, without the empty one.
    ///
    /// # Errors
    /// As [`Self::labels`].
    pub async fn label_values(
        &self,
        name: &str,
        matchers: &[&str],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, Error> {
        let value = match name {
            METRIC_NAME => ident(metrics::NAME),
            _ => label::label().call(vec![ident(metrics::LABELS), lit(name)]),
        };
        let mut values = BTreeSet::new();
        self.each_row(matchers, start_ms, end_ms, vec![value.alias(KEY)], |batch| {
            let Some(column) = batch.column(0).as_string_opt::<i32>() else { return Ok(()) };
            column.iter().flatten().filter(|value| !value.is_empty()).for_each(|value| add(&mut values, value));
            Ok(())
        })
        .await?;
        Ok(values.into_iter().collect())
    }

    /// The label sets of such series; at least one matcher is needed.
    ///
    /// # Errors
    /// As [`Self::labels`], and [`Error::Request`] without a matcher.
    pub async fn series(&self, matchers: &[&str], start_ms: i64, end_ms: i64) -> Result<Vec<Labels>, Error> {
        if matchers.is_empty() {
            return Err(Error::Request("no match[] parameter provided".into()));
        }
        let mut series = BTreeSet::new();
        self.each_series(matchers, start_ms, end_ms, |name, labels| {
            let mut all: Vec<(String, String)> =
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            if !name.is_empty() {
                all.push((METRIC_NAME.to_owned(), name.to_owned()));
                all.sort();
            }
            series.insert(Labels(all));
        })
        .await?;
        Ok(series.into_iter().collect())
    }

    /// What is known of each metric, or of one, by name.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn metadata(&self, metric: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>, Error> {
        let session = self.query.session();
        let mut rows = session.scan(Table::Metrics)?;
        if let Some(metric) = metric {
            rows = rows.filter(ident(metrics::NAME).eq(lit(metric)))?;
        }
        let columns = [metrics::NAME, metrics::KIND, metrics::HELP, metrics::UNIT].map(ident);
        let plan = rows.aggregate(columns, Vec::<Expr>::new())?.build()?;
        let mut stream = session.stream(session.frame(plan)).await?;
        let mut found: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
        while let Some(batch) = stream.try_next().await? {
            let text = |at: usize| batch.column(at).as_string_opt::<i32>();
            let kinds = batch.column(1).as_primitive_opt::<Int32Type>();
            let (Some(names), Some(kinds), Some(helps), Some(units)) = (text(0), kinds, text(2), text(3)) else {
                continue;
            };
            for row in 0..batch.num_rows() {
                let owned = |column: &StringArray| {
                    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
                };
                let entry = Metadata { kind: kind(kinds.value(row)), help: owned(helps), unit: owned(units) };
                found.entry(names.value(row).to_owned()).or_default().insert(entry);
            }
        }
        // Nothing known of a metric beside something known says nothing.
        let known = |entry: &Metadata| entry.kind != "unknown" || !entry.help.is_empty() || !entry.unit.is_empty();
        Ok(found
            .into_iter()
            .map(|(name, entries)| {
                let any = entries.iter().any(known);
                (name, entries.into_iter().filter(|entry| !any || known(entry)).collect())
            })
            .collect())
    }

    async fn each_series(
        &self,
        matchers: &[&str],
        start_ms: i64,
        end_ms: i64,
        mut take: impl FnMut(&str, &mut dyn Iterator<Item = (&str, &str)>),
    ) -> Result<(), Error> {
        let key = label_key::label_key().call(vec![ident(metrics::LABELS)]).alias(KEY);
        self.each_row(matchers, start_ms, end_ms, vec![ident(metrics::NAME), key], |batch| {
            let (Some(names), Some(keys)) =
                (batch.column(0).as_string_opt::<i32>(), batch.column(1).as_binary_opt::<i32>())
            else {
                return Ok(());
            };
            for row in 0..batch.num_rows() {
                take(names.value(row), &mut label_key::read(keys.value(row))?);
            }
            Ok(())
        })
        .await
    }

    /// The distinct values of `columns` among the rows of matching series.
    async fn each_row(
        &self,
        matchers: &[&str],
        start_ms: i64,
        end_ms: i64,
        columns: Vec<Expr>,
        mut take: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let selectors: Vec<Selector> = matchers.iter().map(|text| parse_selector(text)).collect::<Result<_, _>>()?;
        let session = self.query.session();
        let rows: LogicalPlanBuilder = series_rows(session.scan(Table::Metrics)?, &selectors, start_ms, end_ms)?;
        let plan = rows.aggregate(columns, Vec::<Expr>::new())?.build()?;
        let mut stream = session.stream(session.frame(plan)).await?;
        while let Some(batch) = stream.try_next().await? {
            take(&batch)?;
        }
        Ok(())
    }
}

/// Adds without allocating what is there already.
fn add(to: &mut BTreeSet<String>, text: &str) {
    if !to.contains(text) {
        to.insert(text.to_owned());
    }
}

fn kind(number: i32) -> &'static str {
    match number {
        1 => "gauge",
        2 => "counter",
        3 => "histogram",
        4 => "summary",
        5 => "info",
        6 => "stateset",
        7 => "gaugehistogram",
        _ => "unknown",
    }
}
