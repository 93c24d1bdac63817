//! The entry points: text and times in, answers out.

use crate::answer::{Answer, Labels, Options, Sample, Series, Stats, Value};
use crate::ast::Expr;
use crate::check::{check, selector};
use crate::config::Config;
use crate::error::Error;
use crate::parse::{parse, parse_selector};
use crate::plan::metric::{Evaluation, Grid};
use crate::plan::pipeline::Counters;
use crate::plan::{labels, streams};
use crate::vector::{Operand, Vector};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs LogQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    query: weft_query::Engine,
    config: Arc<Config>,
}

impl Engine {
    /// An engine over the tables of `query`.
    pub fn new(query: weft_query::Engine, config: Config) -> Self {
        Self { query, config: Arc::new(config) }
    }

    fn checked(&self, query: &str) -> Result<Expr, Error> {
        self.fits(query)?;
        check(parse(query)?)
    }

    fn fits(&self, query: &str) -> Result<(), Error> {
        let most = self.config.max_query_length;
        if query.len() > most {
            return Err(Error::Limit(format!("query too long ({} > {most} bytes)", query.len())));
        }
        Ok(())
    }

    /// Runs a metric query at one time (ns since the Unix epoch).
    ///
    /// # Errors
    /// [`Error::Invalid`] for log queries; otherwise as [`Self::range`].
    pub async fn instant(&self, query: &str, time_ns: i64, _options: &Options) -> Result<Answer, Error> {
        let metric = match self.checked(query)? {
            Expr::Metric(metric) => metric,
            Expr::Log(_) => {
                return Err(Error::Invalid(
                    "log queries are not supported as an instant query type, please change your query to a range query type"
                        .to_owned(),
                ));
            }
        };
        let grid = Grid { start: time_ns, step: 1, steps: 1, instant: true };
        let counters = Arc::new(Counters::default());
        let session = self.query.session();
        let operand = Evaluation { session: &session, grid, counters: &counters }.run(&metric).await?;
        let value = match operand {
            Operand::Number(number) => Value::Scalar(number),
            Operand::Vector(vector) => {
                let ordered = vector.ordered;
                let samples = vector.series.into_iter().filter_map(|series| {
                    let value = series.values.first().copied().flatten()?;
                    Some(Sample { labels: series.labels, value })
                });
                let mut samples: Vec<Sample> = samples.collect();
                self.check_series(samples.len())?;
                if !ordered {
                    samples.sort_by(|a, b| a.labels.cmp(&b.labels));
                }
                Value::Vector(samples)
            }
        };
        Ok(Answer { value, stats: stats(&counters, 0) })
    }

    /// Runs a log query over `start_ns <= t < end_ns`, or a metric query at `start_ns`,
    /// `start_ns + step_ns`, … up to `end_ns`.
    ///
    /// # Errors
    /// [`Error::Parse`] and [`Error::Invalid`] for what isn't LogQL, [`Error::Pipeline`] when a stage
    /// fails on a line that a metric query needs, [`Error::Limit`] when the answer is too large,
    /// [`Error::Query`] when the engine fails.
    pub async fn range(
        &self,
        query: &str,
        start_ns: i64,
        end_ns: i64,
        step_ns: i64,
        options: &Options,
    ) -> Result<Answer, Error> {
        let expr = self.checked(query)?;
        if end_ns < start_ns {
            return Err(Error::Invalid("the end of the range lies before its start".to_owned()));
        }
        let counters = Arc::new(Counters::default());
        let session = self.query.session();
        let metric = match expr {
            Expr::Metric(metric) => metric,
            Expr::Log(log) => {
                let most = self.config.max_entries;
                if options.limit > most {
                    return Err(Error::Limit(format!(
                        "max entries limit per query exceeded, limit > max_entries ({} > {most})",
                        options.limit
                    )));
                }
                let streams = streams::run(&session, &log, (start_ns, end_ns), options, &counters).await?;
                let entries = streams.iter().map(|stream| stream.entries.len() as u64).sum();
                return Ok(Answer { value: Value::Streams(streams), stats: stats(&counters, entries) });
            }
        };
        let grid = self.grid(start_ns, end_ns, step_ns)?;
        let operand = Evaluation { session: &session, grid, counters: &counters }.run(&metric).await?;
        let series = self.matrix(operand.into_vector(grid.steps), grid)?;
        Ok(Answer { value: Value::Matrix(series), stats: stats(&counters, 0) })
    }

    fn grid(&self, start: i64, end: i64, step: i64) -> Result<Grid, Error> {
        if step <= 0 {
            return Err(Error::Invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
            ));
        }
        let steps = usize::try_from(end.saturating_sub(start) / step).unwrap_or(usize::MAX).saturating_add(1);
        let most = self.config.max_points;
        if steps > most.saturating_add(1) {
            return Err(Error::Limit(format!(
                "exceeded maximum resolution of {most} points per time series. Try increasing the value of the step parameter"
            )));
        }
        Ok(Grid { start, step, steps, instant: false })
    }

    fn check_series(&self, found: usize) -> Result<(), Error> {
        let most = self.config.max_series;
        if found > most {
            return Err(Error::Limit(format!(
                "maximum number of series ({most}) reached for a single query; consider reducing query cardinality by adding more specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()"
            )));
        }
        Ok(())
    }

    fn matrix(&self, vector: Vector, grid: Grid) -> Result<Vec<Series>, Error> {
        let mut series: Vec<Series> = Vec::with_capacity(vector.series.len());
        for one in vector.series {
            let times = (0..).map(|step: i64| (grid.start + grid.step * step).div_euclid(1_000_000));
            let points: Vec<(i64, f64)> =
                times.zip(one.values).filter_map(|(time, value)| Some((time, value?))).collect();
            if !points.is_empty() {
                series.push(Series { labels: one.labels, points });
            }
        }
        self.check_series(series.len())?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// Label sets of streams that any of `selectors` selects (all streams without one) and that have
    /// an entry between the times, both included; sorted.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn series(&self, selectors: &[String], start_ns: i64, end_ns: i64) -> Result<Vec<Labels>, Error> {
        let mut parsed = Vec::with_capacity(selectors.len());
        for text in selectors {
            self.fits(text)?;
            let log = parse_selector(text)?;
            // `{}` stands for all streams here.
            if !log.matchers.is_empty() {
                selector(&log)?;
            }
            parsed.push(log);
        }
        labels::series(&self.query.session(), &parsed, start_ns, end_ns).await
    }

    /// Names of stream labels, sorted; of the streams that `selector` selects, when given.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn labels(&self, selector: Option<&str>, start_ns: i64, end_ns: i64) -> Result<Vec<String>, Error> {
        let sets = self.series(&texts(selector), start_ns, end_ns).await?;
        let names: BTreeSet<String> = sets.into_iter().flat_map(|labels| labels.0).map(|(name, _)| name).collect();
        Ok(names.into_iter().collect())
    }

    /// Values of a stream label, sorted; of the streams that `selector` selects, when given.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn label_values(
        &self,
        name: &str,
        selector: Option<&str>,
        start_ns: i64,
        end_ns: i64,
    ) -> Result<Vec<String>, Error> {
        let sets = self.series(&texts(selector), start_ns, end_ns).await?;
        let values: BTreeSet<String> = sets.iter().filter_map(|labels| labels.get(name)).map(str::to_owned).collect();
        Ok(values.into_iter().collect())
    }
}

fn texts(selector: Option<&str>) -> Vec<String> {
    selector.filter(|text| !text.trim().is_empty()).map(str::to_owned).into_iter().collect()
}

fn stats(counters: &Counters, entries: u64) -> Stats {
    Stats { lines: counters.lines.load(Ordering::Relaxed), bytes: counters.bytes.load(Ordering::Relaxed), entries }
}
