//! Tempo's query API: traces by id, search, tags. Errors are plain text, as Tempo's are.
//!
//! Source: Tempo's API reference; `pkg/api/http.go` for defaults. 64-bit integers are JSON strings.

use super::params::{Params, invalid, tempo_time};
use super::{Engines, trace};
use crate::Error;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weft_traceql::{Scope, Search, SearchAnswer, Value as FieldValue};

const PROTOBUF: &str = "application/protobuf";
const MINUTE_NS: i64 = 60_000_000_000;
const MAX_RANGE_NS: i64 = 168 * 60 * MINUTE_NS;
const MAX_LIMIT: usize = 262_144;
const MAX_SPANS_PER_SPANSET: usize = 100;
/// Spans and traces may come from a producer whose clock runs a little ahead.
const TAG_RANGE_NS: i64 = 60 * MINUTE_NS;

/// The paths.
pub fn router(engines: Engines) -> Router {
    Router::new()
        .route("/api/echo", get(|| async { "echo" }))
        .route("/api/status/buildinfo", get(build_info))
        .route("/api/traces/{id}", get(trace_v1))
        .route("/api/v2/traces/{id}", get(trace_v2))
        .route("/api/search", get(search))
        .route("/api/search/tags", get(tags_v1))
        .route("/api/v2/search/tags", get(tags_v2))
        .route("/api/search/tag/{tag}/values", get(tag_values_v1))
        .route("/api/v2/search/tag/{tag}/values", get(tag_values_v2))
        .route("/api/metrics/query_range", get(metrics_range))
        .route("/api/metrics/query", get(metrics_instant))
        .with_state(engines)
}

struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<weft_traceql::Error> for Failure {
    fn from(error: weft_traceql::Error) -> Self {
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

/// A trace id: up to 32 hex digits, leading zeros optional.
fn trace_id(text: &str) -> Result<[u8; 16], Error> {
    let bad = || Error::Bad(format!("trace IDs can only contain hex characters, at most 32 of them: got '{text}'"));
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    u128::from_str_radix(text, 16).map(u128::to_be_bytes).map_err(|_| bad())
}

/// `start` and `end`: both or neither.
fn bounds(params: &Params) -> Result<Option<(i64, i64)>, Error> {
    match (params.time("start", tempo_time)?, params.time("end", tempo_time)?) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) if start > end => {
            Err(Error::Bad("http parameter start must be before end".to_owned()))
        }
        (Some(start), Some(end)) => Ok(Some((start, end))),
        _ => Err(Error::Bad("please provide both start and end, or neither".to_owned())),
    }
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains(PROTOBUF))
}

async fn trace_v1(
    State(engines): State<Engines>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Failure> {
    let id = trace_id(&id)?;
    let Some(batch) = engines.traceql.trace_by_id(&id, bounds(&params)?).await? else {
        return Ok((StatusCode::NOT_FOUND, "trace not found").into_response());
    };
    let data = trace::to_otlp(&batch)?;
    if wants_protobuf(&headers) {
        // tempopb.Trace { batches = 1 } has the wire form of TracesData { resource_spans = 1 }.
        return Ok(([(CONTENT_TYPE, PROTOBUF)], data.encode_to_vec()).into_response());
    }
    Ok(Json(json!({"batches": trace::resource_spans_json(&data)})).into_response())
}

async fn trace_v2(
    State(engines): State<Engines>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Failure> {
    let id = trace_id(&id)?;
    let data = match engines.traceql.trace_by_id(&id, bounds(&params)?).await? {
        Some(batch) => trace::to_otlp(&batch)?,
        None => opentelemetry_proto::tonic::trace::v1::TracesData::default(),
    };
    if wants_protobuf(&headers) {
        // tempopb.TraceByIDResponse { trace = 1, metrics = 2, status = 3, message = 4 }.
        let inner = data.encode_to_vec();
        let mut response = Vec::with_capacity(inner.len() + 6);
        response.push(1 << 3 | 2);
        prost::encode_length_delimiter(inner.len(), &mut response)
            .map_err(|error| Error::Internal(format!("encoding the trace failed: {error}")))?;
        response.extend_from_slice(&inner);
        return Ok(([(CONTENT_TYPE, PROTOBUF)], response).into_response());
    }
    let trace = if data.resource_spans.is_empty() {
        json!({})
    } else {
        json!({"resourceSpans": trace::resource_spans_json(&data)})
    };
    Ok(Json(json!({"trace": trace, "metrics": {}})).into_response())
}

async fn search(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start_ns, end_ns) = match bounds(&params)? {
        Some(bounds) => bounds,
        None => {
            let now = engines.clock.now_nanos();
            (now - 15 * MINUTE_NS, now)
        }
    };
    if end_ns.saturating_sub(start_ns) > MAX_RANGE_NS {
        return Err(Error::Bad("range specified by start and end exceeds 168h0m0s".to_owned()).into());
    }
    let limit = params.number("limit", 20usize)?;
    if limit == 0 || limit > MAX_LIMIT {
        return Err(invalid("limit", &format!("must be from 1 to {MAX_LIMIT}")).into());
    }
    let spans_per_spanset = match params.number("spss", 3usize)? {
        0 => 3,
        more if more > MAX_SPANS_PER_SPANSET => {
            return Err(invalid("spss", &format!("must be at most {MAX_SPANS_PER_SPANSET}")).into());
        }
        spans => spans,
    };
    let (min, max) = (params.get("minDuration"), params.get("maxDuration"));
    let query = match (params.get("q"), params.get("tags")) {
        (Some(_), Some(_)) => {
            return Err(Error::Bad("invalid request: can't specify tags and q in the same query".to_owned()).into());
        }
        (Some(query), None) => query.to_owned(),
        (None, tags) => weft_traceql::tags_query(tags.unwrap_or_default(), min, max)?,
    };
    let search = Search { start_ns, end_ns, limit, spans_per_spanset };
    let answer = engines.traceql.search(&query, &search).await?;
    Ok(Json(encode(&answer)).into_response())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An attribute's value as OTLP's AnyValue in JSON; durations and keywords are strings.
fn any_value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Int(value) => json!({"intValue": value.to_string()}),
        FieldValue::Float(value) => json!({"doubleValue": value}),
        FieldValue::Bool(value) => json!({"boolValue": value}),
        other => json!({"stringValue": other.to_string()}),
    }
}

fn attributes(attributes: &[(String, FieldValue)]) -> Vec<Value> {
    attributes.iter().map(|(key, value)| json!({"key": key, "value": any_value(value)})).collect()
}

fn encode(answer: &SearchAnswer) -> Value {
    let traces: Vec<Value> = answer
        .traces
        .iter()
        .map(|trace| {
            let span_sets: Vec<Value> = trace
                .span_sets
                .iter()
                .map(|set| {
                    let spans: Vec<Value> = set
                        .spans
                        .iter()
                        .map(|span| {
                            let mut object = json!({
                                "spanID": hex(&span.span_id),
                                "startTimeUnixNano": span.start_time_ns.to_string(),
                                "durationNanos": span.duration_ns.to_string(),
                            });
                            if let Some(name) = &span.name {
                                object["name"] = name.as_str().into();
                            }
                            if !span.attributes.is_empty() {
                                object["attributes"] = attributes(&span.attributes).into();
                            }
                            object
                        })
                        .collect();
                    let mut object = json!({"spans": spans, "matched": set.matched});
                    if !set.attributes.is_empty() {
                        object["attributes"] = attributes(&set.attributes).into();
                    }
                    object
                })
                .collect();
            let id = hex(&trace.trace_id);
            let trimmed = id.trim_start_matches('0');
            let mut object = json!({
                "traceID": if trimmed.is_empty() { "0" } else { trimmed },
                "rootServiceName": trace.root_service_name.as_deref().unwrap_or("<root span not yet received>"),
                "startTimeUnixNano": trace.start_time_ns.to_string(),
                "durationMs": trace.duration_ns / 1_000_000,
                "spanSets": span_sets,
            });
            if let Some(name) = &trace.root_trace_name {
                object["rootTraceName"] = name.as_str().into();
            }
            if let Some(first) = object["spanSets"].get(0).cloned() {
                object["spanSet"] = first;
            }
            let services: serde_json::Map<String, Value> = trace
                .services
                .iter()
                .map(|service| {
                    let mut stats = json!({"spanCount": service.spans});
                    if service.errors > 0 {
                        stats["errorCount"] = service.errors.into();
                    }
                    (service.service.clone(), stats)
                })
                .collect();
            object["serviceStats"] = Value::Object(services);
            object
        })
        .collect();
    json!({
        "traces": traces,
        "metrics": {
            "inspectedTraces": answer.stats.traces,
            "inspectedBytes": answer.stats.bytes.to_string(),
            "inspectedSpans": answer.stats.spans.to_string(),
        },
    })
}

fn scope(params: &Params) -> Result<Option<Scope>, Error> {
    match params.get("scope") {
        None | Some("none") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|why: String| invalid("scope", &why)),
    }
}

fn tag_bounds(engines: &Engines, params: &Params) -> Result<(i64, i64), Error> {
    let now = engines.clock.now_nanos();
    Ok(bounds(params)?.unwrap_or((now - TAG_RANGE_NS, now)))
}

async fn tags_v1(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = tag_bounds(&engines, &params)?;
    let scopes = engines.traceql.tags(scope(&params)?, start, end).await?;
    let names: BTreeSet<String> = scopes.into_iter().flat_map(|scope| scope.tags).collect();
    Ok(Json(json!({"tagNames": names, "metrics": {}})).into_response())
}

async fn tags_v2(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = tag_bounds(&engines, &params)?;
    let scopes: Vec<Value> = engines
        .traceql
        .tags(scope(&params)?, start, end)
        .await?
        .into_iter()
        .map(|scope| json!({"name": scope.scope.name(), "tags": scope.tags}))
        .collect();
    Ok(Json(json!({"scopes": scopes, "metrics": {}})).into_response())
}

async fn tag_values_v1(
    State(engines): State<Engines>,
    Path(tag): Path<String>,
    params: Params,
) -> Result<Response, Failure> {
    let (start, end) = tag_bounds(&engines, &params)?;
    // The old API names attributes without a scope: `service.name` is TraceQL's `.service.name`.
    let known = ["span.", "resource.", "event.", "link.", "instrumentation.", "."];
    let intrinsic = ["name", "status", "kind", "duration", "rootName", "rootServiceName", "statusMessage"];
    let name = if known.iter().any(|prefix| tag.starts_with(prefix)) || intrinsic.contains(&tag.as_str()) {
        tag
    } else {
        format!(".{tag}")
    };
    let values = engines.traceql.tag_values(&name, None, start, end).await?;
    let values: BTreeSet<String> = values.iter().map(ToString::to_string).collect();
    Ok(Json(json!({"tagValues": values, "metrics": {}})).into_response())
}

async fn tag_values_v2(
    State(engines): State<Engines>,
    Path(tag): Path<String>,
    params: Params,
) -> Result<Response, Failure> {
    let (start, end) = tag_bounds(&engines, &params)?;
    let values: Vec<Value> = engines
        .traceql
        .tag_values(&tag, params.get("q"), start, end)
        .await?
        .iter()
        .map(|value| json!({"type": value.type_name(), "value": value.to_string()}))
        .collect();
    Ok(Json(json!({"tagValues": values, "metrics": {}})).into_response())
}

fn metrics_query(params: &Params) -> Result<&str, Error> {
    params.get("q").or_else(|| params.get("query")).ok_or_else(|| invalid("q", "it is missing"))
}

/// `start` and `end`, or the last `since` (1 h).
fn metrics_bounds(engines: &Engines, params: &Params) -> Result<(i64, i64), Error> {
    let since = params.duration("since")?.map_or(60 * MINUTE_NS, |ms| ms.saturating_mul(1_000_000));
    let now = engines.clock.now_nanos();
    Ok(bounds(params)?.unwrap_or((now.saturating_sub(since), now)))
}

/// Tempo's default step: about 240 points, rounded down to a tidy width.
fn default_step(range_ns: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let wanted = range_ns / 240;
    if range_ns < MINUTE_NS {
        return (wanted / 50_000_000).max(1) * 50_000_000;
    }
    let widths = [3600 * SECOND, 300 * SECOND, 60 * SECOND, 15 * SECOND, 5 * SECOND, SECOND];
    widths.into_iter().find(|width| wanted >= *width).map_or(SECOND, |width| wanted / width * width)
}

async fn metrics_range(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = metrics_bounds(&engines, &params)?;
    let step = params.duration("step")?.map_or_else(|| default_step(end - start), |ms| ms.saturating_mul(1_000_000));
    if step <= 0 {
        return Err(invalid("step", "must be above 0").into());
    }
    let series = engines.traceql.metrics_range(metrics_query(&params)?, start, end, step).await?;
    let series: Vec<Value> = series
        .iter()
        .map(|series| {
            let samples: Vec<Value> = series
                .samples
                .iter()
                .map(|(ms, value)| json!({"timestampMs": ms.to_string(), "value": value}))
                .collect();
            json!({"labels": attributes(&series.labels), "samples": samples})
        })
        .collect();
    Ok(Json(json!({"series": series, "metrics": {}})).into_response())
}

async fn metrics_instant(State(engines): State<Engines>, params: Params) -> Result<Response, Failure> {
    let (start, end) = metrics_bounds(&engines, &params)?;
    let series = engines.traceql.metrics_instant(metrics_query(&params)?, start, end).await?;
    let series: Vec<Value> = series
        .iter()
        .map(|series| {
            let value = series.samples.last().map_or(0.0, |(_, value)| *value);
            json!({"labels": attributes(&series.labels), "value": value})
        })
        .collect();
    Ok(Json(json!({"series": series, "metrics": {}})).into_response())
}

async fn build_info() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "goVersion": ""}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_may_lack_leading_zeros() {
        assert_eq!(trace_id("1f").unwrap()[15], 0x1f);
        assert_eq!(trace_id(&"f".repeat(32)).unwrap(), [0xff; 16]);
        for wrong in ["", "xyz", &"0".repeat(33), "+1", "1 "] {
            assert!(trace_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_step_follows_the_range() {
        assert_eq!(default_step(60 * MINUTE_NS), 15_000_000_000);
        assert_eq!(default_step(30_000_000_000), 100_000_000);
        assert_eq!(default_step(MINUTE_NS), 1_000_000_000);
    }
}
