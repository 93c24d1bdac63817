//! Prometheus remote write 1.0 and 2.0: `POST /api/v1/write`.
//!
//! Sources: the remote-write specifications 1.0 and 2.0. Success is 204; 2.0 answers how much was
//! written, also when it refuses; 400 and 415 are final, 5xx are retried.

use crate::ingest::Ingest;
use crate::{Error, body};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use weft_codec::{Codec, Counts};

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
const V1: &str = "application/x-protobuf";

/// `/api/v1/write`.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new().route("/api/v1/write", post(write)).with_state(ingest)
}

/// The version a content type names: `application/x-protobuf`, with or without `proto=…`.
fn version(headers: &HeaderMap) -> Result<&'static str, Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(V1);
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let proto = parts.find_map(|part| part.strip_prefix("proto="));
    match (media_type.eq_ignore_ascii_case(V1), proto) {
        (true, None | Some("prometheus.WriteRequest")) => Ok(V1),
        (true, Some("io.prometheus.write.v2.Request")) => Ok(V2),
        _ => Err(Error::Unsupported(format!(
            "content-type '{content_type}' is not supported: use {V1} for 1.0 or {V2} for 2.0"
        ))),
    }
}

async fn write(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let (parts, request_body) = request.into_parts();
    let version = match version(&parts.headers) {
        Ok(version) => version,
        Err(error) => return failure(&error),
    };
    let taken = async {
        match body::encoding(&parts.headers)?.as_str() {
            // Some old clients leave the header out; the body is snappy all the same.
            "snappy" | "identity" => {}
            other => {
                return Err(Error::Unsupported(format!("content-encoding '{other}' is not supported: use snappy")));
            }
        }
        let read = body::read(&parts.headers, request_body, ingest.config().max_body_bytes).await?;
        let _room = ingest.admit(read.len()).await?;
        // The specification counts a body that unpacks to too much as a bad request.
        let decoded = match body::decompress("snappy", read, ingest.config().max_decoded_bytes) {
            Err(Error::TooLarge(message)) => return Err(Error::Bad(message)),
            other => other?,
        };
        ingest.accept(Codec::RemoteWrite, Some(version.to_owned()), decoded).await
    };
    let (mut response, counts) = match taken.await {
        Ok(counts) if counts.rejected > 0 && version == V2 => {
            let reason = counts.rejected_reason.clone().unwrap_or_default();
            (failure(&Error::Bad(format!("{} series refused: {reason}", counts.rejected))), counts)
        }
        Ok(counts) => (StatusCode::NO_CONTENT.into_response(), counts),
        Err(error) => (failure(&error), Counts::default()),
    };
    if version == V2 {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", counts.items),
            ("x-prometheus-remote-write-histograms-written", counts.histograms),
            ("x-prometheus-remote-write-exemplars-written", counts.exemplars),
        ] {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count as u64));
        }
    }
    response
}

fn failure(error: &Error) -> Response {
    let mut response = (error.status(), format!("{error}\n")).into_response();
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
