//! OTLP/HTTP: `POST /v1/{traces,metrics,logs}`, protobuf and JSON, gzip, zstd or deflate.
//!
//! Source: the OTLP specification 1.x, section OTLP/HTTP: answers have the request's encoding;
//! errors carry a `google.rpc.Status`; 429, 502, 503 and 504 are retryable, all else is not.

use crate::ingest::Ingest;
use crate::{Error, body};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use weft_codec::Codec;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The three paths, relative to the mount point.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/v1/traces", post(|state, request| export(state, request, Codec::OtlpTraces)))
        .route("/v1/metrics", post(|state, request| export(state, request, Codec::OtlpMetrics)))
        .route("/v1/logs", post(|state, request| export(state, request, Codec::OtlpLogs)))
        .with_state(ingest)
}

/// One signal's path at another place, as Prometheus (`/api/v1/otlp/v1/metrics`) and Loki have it.
pub fn route_at(path: &str, codec: Codec, ingest: Arc<Ingest>) -> Router {
    Router::new().route(path, post(move |state, request| export(state, request, codec))).with_state(ingest)
}

async fn export(State(ingest): State<Arc<Ingest>>, request: Request, codec: Codec) -> Response {
    let (parts, request_body) = request.into_parts();
    let media_type = body::media_type(&parts.headers);
    let json = media_type.as_deref() == Some(JSON);
    let taken = async {
        match media_type.as_deref() {
            Some(PROTOBUF | JSON) => {}
            other => {
                return Err(Error::Unsupported(format!(
                    "content-type '{}' is not supported: use {PROTOBUF} or {JSON}",
                    other.unwrap_or_default()
                )));
            }
        }
        let encoding = body::encoding(&parts.headers)?;
        let read = body::read(&parts.headers, request_body, ingest.config().max_body_bytes).await?;
        let _room = ingest.admit(read.len()).await?;
        let decoded = body::decompress(&encoding, read, ingest.config().max_decoded_bytes)?;
        ingest.accept(codec, media_type.clone(), decoded).await
    };
    match taken.await {
        Ok(counts) => success(codec, json, counts.rejected, counts.rejected_reason.as_deref()),
        Err(error) => failure(json, &error),
    }
}

/// `Export<Signal>ServiceResponse`, with `partial_success` when items were refused.
fn success(codec: Codec, json: bool, rejected: usize, reason: Option<&str>) -> Response {
    let rejected_field = match codec {
        Codec::OtlpTraces => "rejectedSpans",
        Codec::OtlpMetrics => "rejectedDataPoints",
        _ => "rejectedLogRecords",
    };
    let partial = rejected > 0;
    if json {
        let body = if partial {
            serde_json::json!({"partialSuccess": {rejected_field: rejected.to_string(), "errorMessage": reason}})
        } else {
            serde_json::json!({"partialSuccess": {}})
        };
        return typed(StatusCode::OK, JSON, body.to_string().into());
    }
    let mut response = Vec::new();
    if partial {
        let mut inner = Vec::new();
        put_varint(&mut inner, 1 << 3);
        put_varint(&mut inner, rejected as u64);
        put_bytes(&mut inner, 2, reason.unwrap_or_default().as_bytes());
        put_bytes(&mut response, 1, &inner);
    }
    typed(StatusCode::OK, PROTOBUF, response.into())
}

fn failure(json: bool, error: &Error) -> Response {
    // google.rpc.Code: 3 invalid argument, 8 resource exhausted, 13 internal, 14 unavailable.
    let code = match error {
        Error::Unavailable(_) | Error::Timeout(_) => 14,
        Error::TooLarge(_) => 8,
        Error::Internal(_) => 13,
        _ => 3,
    };
    let message = error.to_string();
    let mut response = if json {
        typed(error.status(), JSON, serde_json::json!({"code": code, "message": message}).to_string().into())
    } else {
        let mut status = Vec::new();
        put_varint(&mut status, 1 << 3);
        put_varint(&mut status, code);
        put_bytes(&mut status, 2, message.as_bytes());
        typed(error.status(), PROTOBUF, status.into())
    };
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
