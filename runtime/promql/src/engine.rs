//! Runs instant and range queries.

use crate::annotations::Annotations;
use crate::config::Config;
use crate::error::Error;
use crate::functions::Type;
use crate::parse::durations;
use crate::plan::{Operand, Order, Planner, Scalar};
use crate::value::{Answer, Labels, Sample, Value, by_value};
use crate::{check, parse};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;
use std::cmp::Ordering;
use std::time::Duration;
use weft_query::functions::maps;
use weft_query::vector::columns::FloatLists;
use weft_query::vector::{Grid, LABELS, VALUES};
use weft_query::{QueryStream, Session};

/// Evaluates PromQL over the tables of a query engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) query: weft_query::Engine,
    config: Config,
}

/// What a request may set for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// In place of the configured lookback, ms.
    pub lookback_delta_ms: Option<i64>,
    /// A time limit shorter than the configured one.
    pub timeout: Option<Duration>,
}

impl Engine {
    /// An engine over `query`'s tables.
    pub fn new(query: weft_query::Engine, config: Config) -> Self {
        Self { query, config }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Evaluates `text` at one time, ms since the Unix epoch. A range vector gives its samples.
    ///
    /// # Errors
    /// [`Error::Parse`] and the like before any data is read, [`Error::Query`] after.
    pub async fn instant(&self, text: &str, time_ms: i64, options: &Options) -> Result<Answer, Error> {
        let expr = parse::parse(text)?;
        let found = check::check(&expr, self.config.experimental_functions).map_err(|fault| fault.at(text))?;
        let grid = Grid::instant(time_ms);
        let session = self.session(options);
        let mut planner = self.planner(&session, text, grid, durations::Context { step: 0, range: 0 }, options);
        if found == Type::Matrix {
            let ranged = planner.samples_of(&expr, &grid)?;
            let stream = session.stream(session.frame(ranged.plan.clone())).await?;
            let series = samples(stream, ranged.window.bounds()).await?;
            return Ok(answer(Value::Matrix(series), planner.notes));
        }
        let operand = planner.plan(&expr, &grid)?;
        let value = match operand {
            Operand::String(text) => Value::String(time_ms, text),
            Operand::Scalar(scalar) => {
                let values = scalar_steps(&session, scalar, &grid).await?;
                let value = values.first().copied().unwrap_or(f64::NAN);
                Value::Scalar(Sample { time_ms, value })
            }
            Operand::Vector(vector) => {
                let rows = steps(&session, vector.plan, &grid).await?;
                let one = |(labels, values): (Labels, Vec<(i64, f64)>)| {
                    values.first().map(|(time_ms, value)| (labels, Sample { time_ms: *time_ms, value: *value }))
                };
                let mut series: Vec<_> = rows.into_iter().filter_map(one).collect();
                sort(&mut series, &vector.order);
                check_unique(series.iter().map(|(labels, _)| labels))?;
                Value::Vector(series)
            }
        };
        Ok(answer(value, planner.notes))
    }

    /// Evaluates `text` at each step from `start_ms` to `end_ms`.
    ///
    /// # Errors
    /// As [`Self::instant`]; [`Error::Request`] when the range makes no sense.
    pub async fn range(
        &self,
        text: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &Options,
    ) -> Result<Answer, Error> {
        if end_ms < start_ms {
            return Err(Error::Request("end timestamp must not be before start time".into()));
        }
        if step_ms <= 0 {
            return Err(Error::Request(
                "zero or negative query resolution step widths are not accepted. Try a positive integer".into(),
            ));
        }
        if (end_ms - start_ms) / step_ms > i64::try_from(self.config.max_steps).unwrap_or(i64::MAX) {
            return Err(Error::Request(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)".into(),
            ));
        }
        let expr = parse::parse(text)?;
        let found = check::check(&expr, self.config.experimental_functions).map_err(|fault| fault.at(text))?;
        if found != Type::Scalar && found != Type::Vector {
            let message =
                format!("invalid expression type {:?} for range query, must be Scalar or instant Vector", found.name());
            return Err(parse::Fault::new(expr.span, message).at(text));
        }
        let grid = Grid::new(start_ms, end_ms, step_ms);
        let session = self.session(options);
        let context = durations::Context { step: step_ms, range: end_ms - start_ms };
        let mut planner = self.planner(&session, text, grid, context, options);
        let mut series = match planner.plan(&expr, &grid)? {
            Operand::Scalar(scalar) => {
                let values = scalar_steps(&session, scalar, &grid).await?;
                vec![(Labels::default(), grid.times().zip(values).collect())]
            }
            Operand::Vector(vector) => steps(&session, vector.plan, &grid).await?,
            Operand::String(_) => return Err(parse::Fault::new(expr.span, "a string has no range").at(text)),
        };
        series.retain(|(_, values)| !values.is_empty());
        series.sort_by(|left, right| left.0.cmp(&right.0));
        let series = merge_equal(series)?;
        Ok(answer(Value::Matrix(series), planner.notes))
    }

    /// The plan of an instant query, for showing it: the vector's, or none where no data is needed.
    ///
    /// # Errors
    /// As [`Self::instant`].
    pub fn explain(&self, text: &str, grid: Grid) -> Result<Option<DataFrame>, Error> {
        let expr = parse::parse(text)?;
        check::check(&expr, self.config.experimental_functions).map_err(|fault| fault.at(text))?;
        let session = self.session(&Options::default());
        let context = durations::Context { step: grid.step, range: grid.end() - grid.start };
        let plan = match self.planner(&session, text, grid, context, &Options::default()).plan(&expr, &grid)? {
            Operand::Vector(vector) => vector.plan,
            Operand::Scalar(Scalar::Relation(plan)) => plan,
            _ => return Ok(None),
        };
        Ok(Some(session.frame(plan)))
    }

    fn session(&self, options: &Options) -> Session {
        let mut config = self.query.config().clone();
        if let Some(timeout) = options.timeout {
            config.timeout_ms = config.timeout_ms.min(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        self.query.session_with(&config)
    }

    fn planner<'a>(
        &'a self,
        session: &'a Session,
        text: &'a str,
        query: Grid,
        durations: durations::Context,
        options: &Options,
    ) -> Planner<'a> {
        let lookback =
            options.lookback_delta_ms.filter(|lookback| *lookback > 0).unwrap_or(self.config.lookback_delta_ms);
        Planner { session, text, config: &self.config, lookback, query, durations, notes: Annotations::default() }
    }
}

fn answer(value: Value, notes: Annotations) -> Answer {
    let found = match &value {
        Value::Scalar(_) | Value::String(..) => true,
        Value::Vector(series) => !series.is_empty(),
        Value::Matrix(series) => !series.is_empty(),
    };
    let (warnings, infos) = notes.finish(found);
    Answer { value, warnings, infos }
}

/// The steps of a scalar, of which a relation must be read.
async fn scalar_steps(session: &Session, scalar: Scalar, grid: &Grid) -> Result<Vec<f64>, Error> {
    match scalar {
        Scalar::Constant(value) => Ok(vec![value; grid.steps]),
        Scalar::Steps(values) => Ok(values),
        Scalar::Relation(plan) => {
            let rows = steps(session, plan, grid).await?;
            Ok(rows
                .into_iter()
                .next()
                .map_or_else(Vec::new, |(_, values)| values.into_iter().map(|(_, value)| value).collect()))
        }
    }
}

type Series = (Labels, Vec<(i64, f64)>);

/// Runs a plan of a vector; each series with the steps it has.
async fn steps(
    session: &Session,
    plan: datafusion::logical_expr::LogicalPlan,
    grid: &Grid,
) -> Result<Vec<Series>, Error> {
    let mut stream = session.stream(session.frame(plan)).await?;
    let mut out = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        read(&batch, |labels, row, lists| {
            let values = lists.row(row);
            let held = grid.times().enumerate().filter_map(|(step, time)| Some((time, values.get(step)?)));
            out.push((labels, held.collect()));
        })?;
    }
    Ok(out)
}

/// The samples of series in `(after, until]`, staleness markers left out.
async fn samples(mut stream: QueryStream, (after, until): (i64, i64)) -> Result<Vec<Series>, Error> {
    let mut out: Vec<Series> = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        let times = column(&batch, weft_query::vector::TIMESTAMPS)?.clone();
        let times = weft_query::vector::columns::IntLists::of(&times)?;
        read(&batch, |labels, row, lists| {
            let values = lists.row(row).values.iter().copied();
            let held = times.row(row).iter().copied().zip(values);
            let live = held.filter(|(time, value)| {
                *time > after && *time <= until && !weft_query::vector::range::is_stale(*value)
            });
            out.push((labels, live.collect()));
        })?;
    }
    out.retain(|(_, values)| !values.is_empty());
    out.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(out)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    batch
        .column_by_name(name)
        .ok_or_else(|| weft_query::Error::Engine(format!("a result without column {name}")).into())
}

fn read(batch: &RecordBatch, mut take: impl FnMut(Labels, usize, &FloatLists<'_>)) -> Result<(), Error> {
    let labels = maps::Labels::of(column(batch, LABELS)?)?;
    let lists = FloatLists::of(column(batch, VALUES)?)?;
    for row in 0..batch.num_rows() {
        let owned = labels.row(row).map(|(name, value)| (name.to_owned(), value.to_owned()));
        take(Labels(owned.collect()), row, &lists);
    }
    Ok(())
}

fn sort(series: &mut [(Labels, Sample)], order: &Order) {
    // By labels first, so that a result without an order of its own is the same each time.
    series.sort_by(|left, right| left.0.cmp(&right.0));
    match order {
        Order::Any => {}
        Order::Value { descending } => series.sort_by(|left, right| by_value(left.1.value, right.1.value, *descending)),
        Order::Labels { names, descending } => series.sort_by(|left, right| {
            let text = |labels: &Labels, name: &str| labels.get(name).unwrap_or_default().to_owned();
            let listed = names.iter().map(|name| natural(&text(&left.0, name), &text(&right.0, name)));
            let order = listed.fold(Ordering::Equal, Ordering::then).then_with(|| left.0.cmp(&right.0));
            if *descending { order.reverse() } else { order }
        }),
    }
}

/// Runs of digits compare as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.chars().peekable(), right.chars().peekable());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let run = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                    let mut digits = String::new();
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    }
                    digits.trim_start_matches('0').to_owned()
                };
                let (a, b) = (run(&mut left), run(&mut right));
                match a.len().cmp(&b.len()).then(a.cmp(&b)) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            (Some(a), Some(b)) if a == b => {
                left.next();
                right.next();
            }
            (Some(a), Some(b)) => return a.cmp(&b),
        }
    }
}

fn check_unique<'a>(sorted_or_not: impl Iterator<Item = &'a Labels>) -> Result<(), Error> {
    let mut all: Vec<&Labels> = sorted_or_not.collect();
    all.sort();
    if all.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(duplicate());
    }
    Ok(())
}

fn duplicate() -> Error {
    weft_query::Error::Rejected("vector cannot contain metrics with the same labelset".into()).into()
}

/// Rows of one label set made one series; sorted by labels. Equal times are an error of the query.
fn merge_equal(sorted: Vec<Series>) -> Result<Vec<Series>, Error> {
    let mut out: Vec<Series> = Vec::with_capacity(sorted.len());
    for (labels, values) in sorted {
        match out.last_mut().filter(|last| last.0 == labels) {
            Some(last) => {
                last.1.extend(values);
                last.1.sort_by_key(|(time, _)| *time);
                if last.1.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return Err(duplicate());
                }
            }
            None => out.push((labels, values)),
        }
    }
    Ok(out)
}
