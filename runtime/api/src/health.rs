//! `/ready`, `/-/ready`, `/-/healthy` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Whether a part of the process can do its work.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the operations paths answer from.
#[derive(Clone)]
pub struct Health {
    /// Parts by name; all must be ready.
    pub parts: Vec<(&'static str, Readiness)>,
    /// weft's own metrics.
    pub registry: Arc<Registry>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("parts", &self.parts.iter().map(|(name, _)| name).collect::<Vec<_>>()).finish()
    }
}

pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/-/ready", get(ready))
        .route("/-/healthy", get(|| async { "weft is healthy.\n" }))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> Response {
    let failing: Vec<String> =
        health.parts.iter().filter_map(|(name, ready)| ready().err().map(|why| format!("{name}: {why}\n"))).collect();
    if failing.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, failing.concat()).into_response()
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &health.registry) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("encoding metrics failed: {error}\n")).into_response()
        }
    }
}
