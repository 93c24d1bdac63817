//! The entry points: text and times in, answers out.

use crate::answer::{
    KIND_NAMES, STATUS_NAMES, Scope, ScopeTags, SearchAnswer, Series, ServiceStats, Span, SpanSet, Stats,
    Trace as FoundTrace, Value,
};
use crate::ast::{Field, Intrinsic, Pipeline, Query, Root, Spanset, Stage};
use crate::check::check;
use crate::config::Config;
use crate::error::Error;
use crate::evaluate::columns::{SpanColumns, Val, columns_of};
use crate::evaluate::expr::to_value;
use crate::evaluate::pipeline::{CompiledPipeline, Set};
use crate::evaluate::trace::Trace;
use crate::parse::{parse, parse_field};
use crate::plan::metrics::Intervals;
use crate::plan::{candidates, fetch, metrics, tags};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use weft_query::Session;

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Start of the time range, ns since the Unix epoch.
    pub start_ns: i64,
    /// Its end.
    pub end_ns: i64,
    /// Most traces to return; Tempo's default is 20.
    pub limit: usize,
    /// Most spans to return of a set; Tempo's default is 3.
    pub spans_per_spanset: usize,
}

/// Runs TraceQL. Cheap to clone.
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

    fn checked(&self, query: &str) -> Result<Query, Error> {
        let most = self.config.max_query_length;
        if query.len() > most {
            return Err(Error::Limit(format!("query too long ({} > {most} bytes)", query.len())));
        }
        let query = parse(query)?;
        check(&query)?;
        Ok(query)
    }

    fn margin(&self) -> i64 {
        i64::try_from(self.config.trace_margin_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)
    }

    /// Whether a query is of metrics, and so belongs to [`Self::metrics_range`].
    ///
    /// # Errors
    /// When it isn't TraceQL.
    pub fn is_metrics(&self, query: &str) -> Result<bool, Error> {
        Ok(matches!(self.checked(query)?.root, Root::Metrics(_)))
    }

    /// Traces that match a query, newest first. Any `limit` of the matching ones, those with the
    /// newest matching spans preferred.
    ///
    /// # Errors
    /// [`Error::Parse`], [`Error::Invalid`] and [`Error::Unsupported`] for the text of the query,
    /// [`Error::Execution`] when it fails on the data, [`Error::Query`] when the engine fails.
    pub async fn search(&self, query: &str, search: &Search) -> Result<SearchAnswer, Error> {
        let Root::Search(pipeline) = self.checked(query)?.root else {
            return Err(Error::Invalid("this is a metrics query: use the metrics API for it".to_owned()));
        };
        if search.limit > self.config.max_limit {
            return Err(Error::Limit(format!(
                "limit {} exceeds the maximum of {}",
                search.limit, self.config.max_limit
            )));
        }
        if search.spans_per_spanset > self.config.max_spans_per_spanset {
            return Err(Error::Limit(format!(
                "spans per span set {} exceeds the maximum of {}",
                search.spans_per_spanset, self.config.max_spans_per_spanset
            )));
        }
        let compiled = CompiledPipeline::new(&pipeline)?;
        let session = self.query.session();
        let range = (search.start_ns, search.end_ns);
        let margin = self.margin();
        let ids = candidates::candidates(&session, &pipeline, range, margin, search.limit).await?;
        let columns: BTreeSet<&'static str> = compiled.fields().into_iter().flat_map(columns_of).copied().collect();
        let wide = (range.0.saturating_sub(margin), range.1.saturating_add(margin));
        let mut answer = SearchAnswer { traces: Vec::new(), stats: Stats::default() };
        for ids in ids.chunks(self.config.traces_per_fetch.max(1)) {
            let batches = fetch::traces(&session, ids, wide, &columns).await?;
            self.evaluate(&compiled, &batches, ids, search, &mut answer)?;
            if answer.traces.len() >= search.limit {
                break;
            }
        }
        answer.traces.truncate(search.limit);
        answer.traces.sort_by(|a, b| b.start_time_ns.cmp(&a.start_time_ns).then_with(|| a.trace_id.cmp(&b.trace_id)));
        Ok(answer)
    }

    fn evaluate(
        &self,
        compiled: &CompiledPipeline,
        batches: &[RecordBatch],
        ids: &[Vec<u8>],
        search: &Search,
        answer: &mut SearchAnswer,
    ) -> Result<(), Error> {
        let schemas: Vec<Arc<Schema>> = batches.iter().map(RecordBatch::schema).collect();
        let columns: Vec<SpanColumns<'_>> = batches
            .iter()
            .zip(&schemas)
            .map(|(batch, schema)| {
                SpanColumns::of(schema.fields().iter().map(|field| field.name().as_str()), batch.columns())
            })
            .collect();
        let mut members: HashMap<&[u8], Vec<(usize, usize)>> = HashMap::new();
        for (batch, spans) in columns.iter().enumerate() {
            let Some(trace_ids) = spans.trace_id else { continue };
            for row in 0..trace_ids.len() {
                members.entry(trace_ids.value(row)).or_default().push((batch, row));
            }
            answer.stats.spans += trace_ids.len() as u64;
            answer.stats.bytes += batches[batch].get_array_memory_size() as u64;
        }
        for id in ids {
            let Some(spans) = members.remove(id.as_slice()) else { continue };
            answer.stats.traces += 1;
            let trace = Trace::new(&columns, spans);
            let sets = compiled.run(&trace)?;
            let in_range = |set: &Set| {
                set.spans.iter().any(|span| {
                    let (columns, row) = trace.at(*span);
                    columns.start(row) < search.end_ns && columns.end(row) >= search.start_ns
                })
            };
            if sets.iter().any(in_range) {
                answer.traces.push(found(&trace, id, &sets, compiled, search.spans_per_spanset));
            }
        }
        Ok(())
    }

    /// All spans of a trace by start time, with the columns of [`weft_model::spans`]; `None` when
    /// there is no such trace. `range` (ns, both included) narrows the search to files of that time.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn trace_by_id(&self, id: &[u8; 16], range: Option<(i64, i64)>) -> Result<Option<RecordBatch>, Error> {
        fetch::trace(&self.query.session(), id, range).await
    }

    /// Names of tags by scope, of spans in the range; all scopes without one given.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn tags(&self, scope: Option<Scope>, start_ns: i64, end_ns: i64) -> Result<Vec<ScopeTags>, Error> {
        let scopes: Vec<Scope> = scope.map_or_else(|| Scope::ALL.to_vec(), |scope| vec![scope]);
        let mut names = tags::names(&self.query.session(), &scopes, (start_ns, end_ns), self.margin()).await?;
        if let Some(intrinsics) = names.get_mut(&Scope::Intrinsic) {
            intrinsics.extend(INTRINSIC_TAGS.into_iter().map(str::to_owned));
        }
        let with_tags = names.into_iter().filter(|(_, tags)| !tags.is_empty());
        Ok(with_tags.map(|(scope, tags)| ScopeTags { scope, tags: tags.into_iter().collect() }).collect())
    }

    /// Distinct values of a tag, named as in a query (`span.http.method`, `.x`, `name`, `status`), of
    /// spans in the range; `filter` is a query whose span filter narrows them, ignored when it is not
    /// a single one.
    ///
    /// # Errors
    /// When `tag` is no field, or the engine fails.
    pub async fn tag_values(
        &self,
        tag: &str,
        filter: Option<&str>,
        start_ns: i64,
        end_ns: i64,
    ) -> Result<Vec<Value>, Error> {
        let field = parse_field(tag)?;
        match &field {
            Field::Intrinsic(Intrinsic::Status) => {
                return Ok((0..STATUS_NAMES.len())
                    .map(|code| Value::Status(i32::try_from(code).unwrap_or(0)))
                    .collect());
            }
            Field::Intrinsic(Intrinsic::Kind) => {
                return Ok((0..KIND_NAMES.len()).map(|kind| Value::Kind(i32::try_from(kind).unwrap_or(0))).collect());
            }
            Field::Intrinsic(Intrinsic::Duration | Intrinsic::TraceDuration | Intrinsic::EventTime) => {
                return Ok(Vec::new());
            }
            Field::Parent(name) => return Err(Error::Unsupported(format!("the parent scope ({name})"))),
            _ => {}
        }
        let filter = filter.and_then(|text| self.checked(text).ok()).and_then(|query| match query.root {
            Root::Search(Pipeline { mut stages }) if stages.len() == 1 => match stages.pop() {
                Some(Stage::Spanset(Spanset::Filter(filter))) => Some(filter),
                _ => None,
            },
            _ => None,
        });
        let session = self.query.session();
        let range = (start_ns, end_ns);
        let most = self.config.max_tag_values;
        if let Field::Intrinsic(Intrinsic::RootName | Intrinsic::RootService) = field {
            return self.root_values(&session, &field, range, most).await;
        }
        tags::values(&session, &field, filter.as_ref(), range, self.margin(), most).await
    }

    /// Names or services of spans without a parent.
    async fn root_values(
        &self,
        session: &Session,
        field: &Field,
        range: (i64, i64),
        most: usize,
    ) -> Result<Vec<Value>, Error> {
        let roots = crate::ast::Expr::Binary {
            op: crate::ast::Op::Equal,
            left: Box::new(crate::ast::Expr::Field(Field::Intrinsic(Intrinsic::ParentId))),
            right: Box::new(crate::ast::Expr::Static(Value::Nil)),
        };
        let of_span = if *field == Field::Intrinsic(Intrinsic::RootName) {
            Field::Intrinsic(Intrinsic::Name)
        } else {
            Field::Attribute(crate::ast::AttributeScope::Resource, "service.name".to_owned())
        };
        tags::values(session, &of_span, Some(&roots), range, self.margin(), most).await
    }

    /// Series of a metrics query: intervals end at `start_ns` rounded down to the step and every
    /// `step_ns` behind it, up to `end_ns`.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn metrics_range(
        &self,
        query: &str,
        start_ns: i64,
        end_ns: i64,
        step_ns: i64,
    ) -> Result<Vec<Series>, Error> {
        if step_ns <= 0 || end_ns < start_ns {
            return Err(Error::Invalid(
                "a metrics query needs a step greater than 0 and an end behind its start".to_owned(),
            ));
        }
        let first = start_ns.div_euclid(step_ns).saturating_mul(step_ns);
        let count = usize::try_from(end_ns.saturating_sub(first) / step_ns).unwrap_or(usize::MAX).saturating_add(1);
        if count > self.config.max_intervals {
            return Err(Error::Limit(format!(
                "the query has {count} intervals, more than {}: use a larger step",
                self.config.max_intervals
            )));
        }
        self.metrics(query, Intervals { first, step: step_ns, count }).await
    }

    /// Series of a metrics query with one sample each, over `start_ns < t <= end_ns`.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn metrics_instant(&self, query: &str, start_ns: i64, end_ns: i64) -> Result<Vec<Series>, Error> {
        if end_ns <= start_ns {
            return Err(Error::Invalid("the end of the range lies before its start".to_owned()));
        }
        self.metrics(query, Intervals { first: end_ns, step: end_ns - start_ns, count: 1 }).await
    }

    async fn metrics(&self, query: &str, intervals: Intervals) -> Result<Vec<Series>, Error> {
        let Root::Metrics(metrics) = self.checked(query)?.root else {
            return Err(Error::Invalid("this is no metrics query: it needs a function such as rate()".to_owned()));
        };
        metrics::run(&self.query.session(), &metrics, intervals).await
    }
}

/// Intrinsics as the tags API lists them.
const INTRINSIC_TAGS: [&str; 19] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:id",
    "span:parentID",
    "span:childCount",
    "status",
    "statusMessage",
    "trace:id",
    "traceDuration",
    "nestedSetParent",
];

fn found(trace: &Trace<'_>, id: &[u8], sets: &[Set], compiled: &CompiledPipeline, most: usize) -> FoundTrace {
    let mut mentioned: Vec<&Field> = Vec::new();
    for field in compiled.fields() {
        if !mentioned.contains(&field) {
            mentioned.push(field);
        }
    }
    let span_sets = sets
        .iter()
        .map(|set| {
            let mut spans = set.spans.clone();
            spans.sort_by_key(|span| trace.start_of(*span));
            SpanSet {
                spans: spans.iter().take(most).map(|span| found_span(trace, *span, &mentioned)).collect(),
                matched: set.spans.len(),
                attributes: set.attributes.clone(),
            }
        })
        .collect();
    let mut services: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for span in 0..trace.len() {
        let (columns, row) = trace.at(span);
        let counts = services.entry(columns.service(row).unwrap_or("")).or_default();
        counts.0 += 1;
        counts.1 += usize::from(columns.status(row) == 2);
    }
    FoundTrace {
        trace_id: id.to_vec(),
        // A root without a service is known to have none; a root that was not received is not.
        root_service_name: trace.root_name().map(|_| trace.root_service().unwrap_or_default().to_owned()),
        root_trace_name: trace.root_name().map(str::to_owned),
        start_time_ns: trace.start,
        duration_ns: trace.duration,
        span_sets,
        services: services
            .into_iter()
            .map(|(service, (spans, errors))| ServiceStats { service: service.to_owned(), spans, errors })
            .collect(),
    }
}

fn found_span(trace: &Trace<'_>, span: usize, mentioned: &[&Field]) -> Span {
    let (columns, row) = trace.at(span);
    let mut name = None;
    let mut attributes: Vec<(String, Value)> = Vec::new();
    for field in mentioned {
        let key = match field {
            Field::Attribute(_, key) => key.clone(),
            Field::Intrinsic(Intrinsic::Name) => {
                name = Some(columns.name(row).to_owned());
                continue;
            }
            // Said elsewhere in the answer.
            Field::Intrinsic(
                Intrinsic::Duration
                | Intrinsic::TraceDuration
                | Intrinsic::RootName
                | Intrinsic::RootService
                | Intrinsic::TraceId
                | Intrinsic::SpanId,
            )
            | Field::Parent(_) => continue,
            Field::Intrinsic(intrinsic) => intrinsic.name().to_owned(),
        };
        let value = trace.field(field, span);
        if value != Val::Nil && !attributes.iter().any(|(held, _)| *held == key) {
            attributes.push((key, to_value(value)));
        }
    }
    Span {
        span_id: columns.span_id.map_or_else(Vec::new, |ids| ids.value(row).to_vec()),
        name,
        start_time_ns: columns.start(row),
        duration_ns: columns.duration(row),
        attributes,
    }
}
