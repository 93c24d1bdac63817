//! Loki push: `POST /loki/api/v1/push` (and the old `/api/prom/push`), JSON and snappy protobuf.
//!
//! Source: Loki's HTTP API reference and `pkg/loghttp/push`: 204 on success, errors as plain text.

use crate::ingest::Ingest;
use crate::{Error, body};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use weft_codec::Codec;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The push paths, and Loki's path for OTLP logs.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push))
        .route("/api/prom/push", post(push))
        .with_state(Arc::clone(&ingest))
        .merge(super::otlp_http::route_at("/otlp/v1/logs", Codec::OtlpLogs, ingest))
}

async fn push(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let (parts, request_body) = request.into_parts();
    let taken = async {
        let encoding = body::encoding(&parts.headers)?;
        let media_type = body::media_type(&parts.headers).unwrap_or_else(|| PROTOBUF.to_owned());
        let read = body::read(&parts.headers, request_body, ingest.config().max_body_bytes).await?;
        let _room = ingest.admit(read.len()).await?;
        let limit = ingest.config().max_decoded_bytes;
        let decoded = match media_type.as_str() {
            JSON => body::decompress(&encoding, read, limit)?,
            // The protobuf form is always a snappy block, whether a header says so or not.
            PROTOBUF => body::decompress("snappy", read, limit)?,
            other => {
                return Err(Error::Unsupported(format!(
                    "content-type '{other}' is not supported: use {JSON} or {PROTOBUF}"
                )));
            }
        };
        ingest.accept(Codec::LokiPush, Some(media_type), decoded).await
    };
    match taken.await {
        Ok(counts) if counts.rejected > 0 => {
            let reason = counts.rejected_reason.unwrap_or_default();
            failure(&Error::Bad(format!("{} streams refused, the others are stored: {reason}", counts.rejected)))
        }
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Response {
    let mut response = (error.status(), format!("{error}\n")).into_response();
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
