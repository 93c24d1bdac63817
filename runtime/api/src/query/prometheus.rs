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
        use weft_model::ErrorKind;
        let message = error.to_string();
        if error.is_timeout() {
            return Self { status: StatusCode::SERVICE_UNAVAILABLE, kind: "timeout", message };
        }
        match error.kind() {
            ErrorKind::Reject if error.is_parse() => Self {
                status: StatusCode::BAD_REQUEST,
                kind: "bad_data",
                message: format!("invalid parameter \"query\": {message}"),
            },
            ErrorKind::Reject => Self { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", message },
            kind => Error::from_kind(kind, message).into(),
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
    let mut options = Options::default();
    if let Some(lookback) = params.duration("lookback_delta")? {
        if lookback <= 0 {
            return Err(invalid("lookback_delta", "must be above 0"));
        }
        options.lookback_ms = Some(lookback);
    }
    let longest = i64::try_from(engines.config.query_timeout_ms).unwrap_or(i64::MAX);
    let timeout = params.duration("timeout")?.unwrap_or(longest).clamp(1, longest);
    options.timeout_ms = Some(timeout.unsigned_abs());
    options.limit = params.number("limit", 0usize)?;
    Ok(options)
}

async fn instant(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let time = params.time("time", prometheus_time)?.unwrap_or_else(|| engines.clock.now_millis());
    let options = options(&engines, &params)?;
    let answer = engines.promql.instant(params.required("query")?, time, &options).await?;
    Ok(encode(answer, time).into_response())
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
    Ok(encode(answer, end).into_response())
}

/// `start` and `end`; absent means all time.
fn bounds(params: &Params) -> Result<(i64, i64), Error> {
    let start = params.time("start", prometheus_time)?.unwrap_or(i64::MIN);
    let end = params.time("end", prometheus_time)?.unwrap_or(i64::MAX);
    Ok((start, end))
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
    let names = engines.promql.labels(&params.all("match[]"), start, end).await?;
    Ok(listing(&params, names, Value::from)?.into_response())
}

async fn label_values(
    State(engines): State<Engines>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Failure> {
    let (start, end) = bounds(&params)?;
    let values = engines.promql.label_values(&name, &params.all("match[]"), start, end).await?;
    Ok(listing(&params, values, Value::from)?.into_response())
}

async fn series(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let selectors = params.all("match[]");
    if selectors.is_empty() {
        return Err(Error::Bad("no match[] parameter provided".to_owned()).into());
    }
    let (start, end) = bounds(&params)?;
    let series = engines.promql.series(&selectors, start, end).await?;
    Ok(listing(&params, series, |series| series.iter().map(object).collect())?.into_response())
}

async fn metadata(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let limit = params.number("limit", 0usize)?;
    let mut families = Map::new();
    for entry in engines.promql.metadata(params.get("metric")).await? {
        if limit > 0 && families.len() >= limit && !families.contains_key(&entry.metric) {
            continue;
        }
        let value = json!({"type": entry.kind, "help": entry.help, "unit": entry.unit});
        if let Value::Array(entries) = families.entry(entry.metric).or_insert_with(|| json!([])) {
            entries.push(value);
        }
    }
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

/// The success envelope. `at_ms` is the time of scalars and strings.
fn encode(answer: Answer, at_ms: i64) -> Json<Value> {
    let point = |ms: i64, value: f64| json!([json::seconds(ms), json::sample(value)]);
    let (result_type, result) = match answer.value {
        Result_::Scalar(value) => ("scalar", point(at_ms, value)),
        Result_::String(text) => ("string", json!([json::seconds(at_ms), text])),
        Result_::Vector(samples) => {
            let samples: Vec<Value> = samples
                .iter()
                .map(|sample| json!({"metric": object(&sample.labels), "value": point(at_ms, sample.value)}))
                .collect();
            ("vector", Value::from(samples))
        }
        Result_::Matrix(series) => {
            let series: Vec<Value> = series
                .iter()
                .map(|series| {
                    let values: Vec<Value> = series.points.iter().map(|&(ms, value)| point(ms, value)).collect();
                    json!({"metric": object(&series.labels), "values": values})
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
