//! Which paths a socket serves. The binary merges what its role needs.

use crate::health::{self, Health};
use crate::ingest::Ingest;
use crate::query::{self, Engines};
use crate::receivers;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use weft_codec::Codec;

/// All receivers that speak HTTP, on their own paths.
pub fn ingest_router(ingest: &Arc<Ingest>) -> Router {
    receivers::otlp_http::router(Arc::clone(ingest))
        .merge(receivers::otlp_http::route_at("/api/v1/otlp/v1/metrics", Codec::OtlpMetrics, Arc::clone(ingest)))
        .merge(receivers::remote_write::router(Arc::clone(ingest)))
        .merge(receivers::loki::router(Arc::clone(ingest)))
}

/// All query APIs. Browsers may ask from any origin, as with Prometheus.
pub fn query_router(engines: &Engines) -> Router {
    query::prometheus::router(engines.clone())
        .merge(query::loki::router(engines.clone()))
        .merge(query::tempo::router(engines.clone()))
        .merge(query::sql::router(engines.clone()))
        .layer(CorsLayer::permissive())
}

/// Health and metrics; paths nobody serves get an answer that says so, and a panic in a handler is
/// a 500 for that request alone.
pub fn operations_router(health: Health, routes: Router) -> Router {
    routes.merge(health::router(health)).fallback(unknown).layer(CatchPanicLayer::new())
}

async fn unknown(request: Request) -> Response {
    let message = format!("weft does not serve {} {}\n", request.method(), request.uri().path());
    (StatusCode::NOT_FOUND, message).into_response()
}
