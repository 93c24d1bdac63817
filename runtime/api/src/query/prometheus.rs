//! Prometheus's HTTP API under `/api/v1`.
//!
//! Source: Prometheus's API reference and `web/api/v1/api.go` for parameters, error types and texts.
//! Results keep the engine's order: series of a matrix sorted by labels, a vector as the query says.

use super::params::{Params, invalid, prometheus_time};
use super::{Engines, json};
use crate::Error;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::time::Duration;
use weft_promql::{Answer, Labels, Options, Value as Result_};

const MAX_POINTS: i64 = 11_000;

/// The paths.
pub fn router(engines: Engines) -> Router {
    Router::new()
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .route("/api/v1/labels", get(labels).post(labels))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/metadata", get(metadata))
        .route("/api/v1/status/buildinfo", get(build_info))
        .with_state(engines)
}

/// An error in Prometheus's envelope.
struct Failure {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, kind) = match &error {
            Error::Bad(_) | Error::Unsupported(_) | Error::TooLarge(_) => (StatusCode::BAD_REQUEST, "bad_data"),
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Error::Timeout(_) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self { status, kind, message: error.to_string() }
    }
}

impl From<weft_promql::Error> for Failure {
    fn from(error: weft_promql::Error) -> Self {
        use weft_promql::Error as Promql;
        let message = error.to_string();
        match &error {
            Promql::Parse { .. } | Promql::Unsupported { .. } => Self {
                status: StatusCode::BAD_REQUEST,
                kind: "bad_data",
                message: format!("invalid parameter \"query\": {message}"),
            },
            Promql::Request(_) => Error::Bad(message).into(),
            Promql::Query(weft_query::Error::Timeout(_)) => Error::Timeout(message).into(),
            Promql::Query(weft_query::Error::Cancelled) => {
                Self { status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST), kind: "canceled", message }
            }
            Promql::Query(inner) => match inner.kind() {
                weft_model::ErrorKind::Reject => {
                    Self { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", message }
                }
                kind => Error::from_kind(kind, message).into(),
            },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        (self.status, Json(body)).into_response()
    }
}

fn options(engines: &Engines, params: &Params) -> Result<Options, Error> {
    let lookback_delta_ms = params.duration("lookback_delta")?;
    if lookback_delta_ms.is_some_and(|lookback| lookback <= 0) {
        return Err(invalid("lookback_delta", "must be above 0"));
    }
    let longest = i64::try_from(engines.config.query_timeout_ms).unwrap_or(i64::MAX);
    let timeout = params.duration("timeout")?.unwrap_or(longest).clamp(1, longest);
    Ok(Options { lookback_delta_ms, timeout: Some(Duration::from_millis(timeout.unsigned_abs())) })
}

/// Keeps the first `limit` series (0: all), with the warning Prometheus gives.
fn limited(params: &Params, mut answer: Answer) -> Result<Answer, Error> {
    let limit = params.number("limit", 0usize)?;
    let found = match &answer.value {
        Result_::Vector(samples) => samples.len(),
        Result_::Matrix(series) => series.len(),
        _ => 0,
    };
    if limit > 0 && found > limit {
        match &mut answer.value {
            Result_::Vector(samples) => samples.truncate(limit),
            Result_::Matrix(series) => series.truncate(limit),
            _ => {}
        }
        answer.warnings.push("results truncated due to limit".to_owned());
    }
    Ok(answer)
}

async fn instant(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let time = params.time("time", prometheus_time)?.unwrap_or_else(|| engines.clock.now_millis());
    let options = options(&engines, &params)?;
    let answer = engines.promql.instant(params.required("query")?, time, &options).await?;
    Ok(encode(limited(&params, answer)?).into_response())
}

async fn range(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let bound = |name| -> Result<i64, Error> {
        params.time(name, prometheus_time)?.ok_or_else(|| invalid(name, "cannot parse \"\" to a valid timestamp"))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start time").into());
    }
    let step = params.duration("step")?.ok_or_else(|| invalid("step", "cannot parse \"\" to a valid duration"))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", why).into());
    }
    if (end - start) / step > MAX_POINTS {
        return Err(Error::Bad(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .to_owned(),
        )
        .into());
    }
    let options = options(&engines, &params)?;
    let answer = engines.promql.range(params.required("query")?, start, end, step, &options).await?;
    Ok(encode(limited(&params, answer)?).into_response())
}

/// `start` and `end`; absent means all time.
fn bounds(params: &Params) -> Result<(i64, i64), Error> {
    let start = params.time("start", prometheus_time)?.unwrap_or(i64::MIN);
    let end = params.time("end", prometheus_time)?.unwrap_or(i64::MAX);
    Ok((start, end))
}

fn selectors(given: &[String]) -> Vec<&str> {
    given.iter().map(String::as_str).collect()
}

/// Cut to `limit`, with the warning Prometheus gives.
fn listing<T>(params: &Params, mut items: Vec<T>, encode: impl FnOnce(Vec<T>) -> Value) -> Result<Json<Value>, Error> {
    let limit = params.number("limit", 0usize)?;
    let cut = limit > 0 && items.len() > limit;
    if cut {
        items.truncate(limit);
    }
    let mut body = json!({"status": "success", "data": encode(items)});
    if cut {
        body["warnings"] = json!(["results truncated due to limit"]);
    }
    Ok(Json(body))
}

async fn labels(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = bounds(&params)?;
    let given = params.all("match[]");
    let names = engines.promql.labels(&selectors(&given), start, end).await?;
    Ok(listing(&params, names, Value::from)?.into_response())
}

async fn label_values(
    State(engines): State<Engines>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Failure> {
    let (start, end) = bounds(&params)?;
    let given = params.all("match[]");
    let values = engines.promql.label_values(&name, &selectors(&given), start, end).await?;
    Ok(listing(&params, values, Value::from)?.into_response())
}

async fn series(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let given = params.all("match[]");
    if given.is_empty() {
        return Err(Error::Bad("no match[] parameter provided".to_owned()).into());
    }
    let (start, end) = bounds(&params)?;
    let series = engines.promql.series(&selectors(&given), start, end).await?;
    Ok(listing(&params, series, |series| series.iter().map(object).collect())?.into_response())
}

async fn metadata(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let limit = params.number("limit", 0usize)?;
    let per_metric = params.number("limit_per_metric", 0usize)?;
    let keep = |limit: usize| if limit == 0 { usize::MAX } else { limit };
    let families: Map<String, Value> = engines
        .promql
        .metadata(params.get("metric"))
        .await?
        .into_iter()
        .take(keep(limit))
        .map(|(metric, entries)| {
            let entries: Vec<Value> = entries
                .iter()
                .take(keep(per_metric))
                .map(|entry| json!({"type": entry.kind, "help": entry.help, "unit": entry.unit}))
                .collect();
            (metric, Value::from(entries))
        })
        .collect();
    Ok(Json(json!({"status": "success", "data": families})).into_response())
}

async fn build_info() -> Json<Value> {
    Json(json!({"status": "success", "data": {
        "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }}))
}

fn object(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

/// The success envelope.
fn encode(answer: Answer) -> Json<Value> {
    let point = |ms: i64, value: f64| json!([json::seconds(ms), json::sample(value)]);
    let (result_type, result) = match answer.value {
        Result_::Scalar(sample) => ("scalar", point(sample.time_ms, sample.value)),
        Result_::String(ms, text) => ("string", json!([json::seconds(ms), text])),
        Result_::Vector(samples) => {
            let samples: Vec<Value> = samples
                .iter()
                .map(|(labels, sample)| json!({"metric": object(labels), "value": point(sample.time_ms, sample.value)}))
                .collect();
            ("vector", Value::from(samples))
        }
        Result_::Matrix(series) => {
            let series: Vec<Value> = series
                .iter()
                .map(|(labels, points)| {
                    let values: Vec<Value> = points.iter().map(|&(ms, value)| point(ms, value)).collect();
                    json!({"metric": object(labels), "values": values})
                })
                .collect();
            ("matrix", Value::from(series))
        }
    };
    let mut body = json!({"status": "success", "data": {"resultType": result_type, "result": result}});
    if !answer.warnings.is_empty() {
        body["warnings"] = answer.warnings.into();
    }
    if !answer.infos.is_empty() {
        body["infos"] = answer.infos.into();
    }
    Json(body)
}
