//! Loki's query API under `/loki/api/v1`. Errors are plain text, as Loki's are.
//!
//! Source: Loki's HTTP API reference; `pkg/loghttp` for defaults and time formats.

use super::params::{Params, invalid, loki_time};
use super::{Engines, json};
use crate::Error;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use weft_logql::{Answer, Direction, Labels, Options, Value as Result_};

const HOUR_NS: i64 = 3_600_000_000_000;
const MAX_POINTS: i64 = 11_000;

/// The paths.
pub fn router(engines: Engines) -> Router {
    Router::new()
        .route("/loki/api/v1/query", get(instant).post(instant))
        .route("/loki/api/v1/query_range", get(range).post(range))
        .route("/loki/api/v1/labels", get(labels).post(labels))
        .route("/loki/api/v1/label", get(labels).post(labels))
        .route("/loki/api/v1/label/{name}/values", get(label_values).post(label_values))
        .route("/loki/api/v1/series", get(series).post(series))
        .route("/loki/api/v1/status/buildinfo", get(build_info))
        .with_state(engines)
}

struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<weft_logql::Error> for Failure {
    fn from(error: weft_logql::Error) -> Self {
        Self(Error::from_kind(error.kind(), error.to_string()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Error::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            ref error => error.status(),
        };
        (status, self.0.to_string()).into_response()
    }
}

fn options(params: &Params, headers: &HeaderMap) -> Result<Options, Error> {
    let direction = match params.get("direction").map(str::to_ascii_lowercase).as_deref() {
        None | Some("backward") => Direction::Backward,
        Some("forward") => Direction::Forward,
        Some(other) => return Err(invalid("direction", &format!("'{other}' is neither forward nor backward"))),
    };
    let categorize = headers
        .get_all("x-loki-response-encoding-flags")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|flags| flags.split(',').any(|flag| flag.trim() == "categorize-labels"));
    let limit = params.number("limit", 100usize)?;
    if limit == 0 {
        return Err(Error::Bad("limit must be a positive value".to_owned()));
    }
    Ok(Options { limit, direction, categorize })
}

async fn instant(State(engines): State<Engines>, headers: HeaderMap, params: Params) -> Result<Response, Failure> {
    let now = engines.clock.now_nanos();
    let time = params.time("time", loki_time)?.unwrap_or(now);
    let options = options(&params, &headers)?;
    let answer = engines.logql.instant(params.required("query")?, time, &options).await?;
    Ok(encode(&answer, time / 1_000_000, &options).into_response())
}

/// `start`, `end` and `since` with their defaults; ns.
fn bounds(params: &Params, now: i64, default_since: i64) -> Result<(i64, i64), Error> {
    let end = params.time("end", loki_time)?.unwrap_or(now);
    let since = params.duration("since")?.map_or(default_since, |ms| ms.saturating_mul(1_000_000));
    let start = params.time("start", loki_time)?.unwrap_or_else(|| end.min(now).saturating_sub(since));
    if end < start {
        return Err(Error::Bad("end timestamp must not be before or equal to start time".to_owned()));
    }
    Ok((start, end))
}

async fn range(State(engines): State<Engines>, headers: HeaderMap, params: Params) -> Result<Response, Failure> {
    let (start, end) = bounds(&params, engines.clock.now_nanos(), HOUR_NS)?;
    let step = match params.duration("step")? {
        Some(ms) => ms.saturating_mul(1_000_000),
        None => ((end - start) / 250 / 1_000_000_000).max(1) * 1_000_000_000,
    };
    if step <= 0 {
        return Err(Error::Bad(
            "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
        )
        .into());
    }
    if (end - start) / step > MAX_POINTS {
        return Err(Error::Bad(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"
                .to_owned(),
        )
        .into());
    }
    let options = options(&params, &headers)?;
    let answer = engines.logql.range(params.required("query")?, start, end, step, &options).await?;
    Ok(encode(&answer, end / 1_000_000, &options).into_response())
}

async fn labels(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = bounds(&params, engines.clock.now_nanos(), 6 * HOUR_NS)?;
    let names = engines.logql.labels(params.get("query"), start, end).await?;
    Ok(listing(names).into_response())
}

async fn label_values(
    State(engines): State<Engines>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Failure> {
    let (start, end) = bounds(&params, engines.clock.now_nanos(), 6 * HOUR_NS)?;
    let values = engines.logql.label_values(&name, params.get("query"), start, end).await?;
    Ok(listing(values).into_response())
}

/// Loki leaves `data` out when there is nothing.
fn listing(names: Vec<String>) -> Json<Value> {
    Json(if names.is_empty() { json!({"status": "success"}) } else { json!({"status": "success", "data": names}) })
}

async fn series(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = bounds(&params, engines.clock.now_nanos(), 6 * HOUR_NS)?;
    let mut selectors = params.all("match[]");
    selectors.extend(params.all("match"));
    selectors.retain(|selector| !selector.is_empty() && selector != "{}");
    let series = engines.logql.series(&selectors, start, end).await?;
    let data: Vec<Value> = series.iter().map(object).collect();
    Ok(Json(json!({"status": "success", "data": data})).into_response())
}

async fn build_info() -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }))
}

fn object(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

/// The success envelope. `at_ms` is the time of scalars and vectors.
fn encode(answer: &Answer, at_ms: i64, options: &Options) -> Json<Value> {
    let point = |ms: i64, value: f64| json!([json::seconds(ms), json::sample(value)]);
    let (result_type, result) = match &answer.value {
        Result_::Streams(streams) => {
            let result: Vec<Value> = streams
                .iter()
                .map(|stream| {
                    let values: Vec<Value> =
                        stream.entries.iter().map(|entry| line(entry, options.categorize)).collect();
                    json!({"stream": object(&stream.labels), "values": values})
                })
                .collect();
            ("streams", Value::from(result))
        }
        Result_::Matrix(series) => {
            let result: Vec<Value> = series
                .iter()
                .map(|series| {
                    let values: Vec<Value> = series.points.iter().map(|&(ms, value)| point(ms, value)).collect();
                    json!({"metric": object(&series.labels), "values": values})
                })
                .collect();
            ("matrix", Value::from(result))
        }
        Result_::Vector(samples) => {
            let result: Vec<Value> = samples
                .iter()
                .map(|sample| json!({"metric": object(&sample.labels), "value": point(at_ms, sample.value)}))
                .collect();
            ("vector", Value::from(result))
        }
        Result_::Scalar(value) => ("scalar", point(at_ms, *value)),
    };
    let stats = &answer.stats;
    let mut data = json!({
        "resultType": result_type,
        "result": result,
        "stats": {"summary": {
            "totalBytesProcessed": stats.bytes,
            "totalLinesProcessed": stats.lines,
            "totalEntriesReturned": stats.entries,
        }},
    });
    if options.categorize && matches!(answer.value, Result_::Streams(_)) {
        data["encodingFlags"] = json!(["categorize-labels"]);
    }
    Json(json!({"status": "success", "data": data}))
}

fn line(entry: &weft_logql::Entry, categorize: bool) -> Value {
    let mut values = vec![Value::from(entry.timestamp_ns.to_string()), Value::from(entry.line.as_str())];
    if categorize {
        let mut categories = Map::new();
        for (name, labels) in [("structuredMetadata", &entry.structured_metadata), ("parsed", &entry.parsed)] {
            if !labels.is_empty() {
                categories.insert(name.to_owned(), object(labels));
            }
        }
        values.push(Value::Object(categories));
    }
    Value::from(values)
}
