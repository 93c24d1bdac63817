//! The demo's services: each an HTTP server of its own on a free port, calling the next over HTTP
//! with W3C trace context.

use super::telemetry::{Context, Telemetry, int, now, text};
use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use weft_env::Shutdown;

/// OTLP span kinds.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// OTLP status code.
const ERROR: i32 = 2;

/// What runs.
pub(super) struct Services {
    /// `host:port` of the entry service.
    pub(super) frontend: String,
    /// Instrumentation of all.
    pub(super) telemetry: Vec<Telemetry>,
}

/// A service: what it is called, whom it calls, how it behaves.
struct Service {
    name: &'static str,
    telemetry: Telemetry,
    client: reqwest::Client,
    /// Path prefix of requests it passes on, and `host:port` of who serves them.
    calls: Vec<(&'static str, &'static str, String)>,
    /// The database it asks on every request.
    database: Option<&'static str>,
    /// Chance of an error, and of a slow answer (over a second).
    error_rate: f64,
    slow_rate: f64,
    /// Usual time of its own work, ms.
    work_ms: u64,
}

fn resource(name: &'static str) -> Vec<(&'static str, String)> {
    vec![
        ("service.name", name.to_owned()),
        ("service.instance.id", format!("{name}-0")),
        ("service.version", "1.4.2".to_owned()),
        ("deployment.environment.name", "production".to_owned()),
        ("k8s.namespace.name", "production".to_owned()),
    ]
}

/// Starts all services; they stop when shutdown begins.
pub(super) async fn start(client: &reqwest::Client, shutdown: Shutdown) -> Result<Services> {
    let telemetry = |name| Telemetry::new(resource(name));
    let service = |name, telemetry, calls, database, error_rate, slow_rate, work_ms| Service {
        name,
        telemetry,
        client: client.clone(),
        calls,
        database,
        error_rate,
        slow_rate,
        work_ms,
    };
    let mut all = Vec::new();
    let mut serve = async |built: Service| -> Result<String> {
        all.push(built.telemetry.clone());
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .with_context(|| format!("starting the demo service {}", built.name))?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new().fallback(any(handle)).with_state(Arc::new(built));
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let served =
                axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.wait().await }).await;
            if let Err(error) = served {
                tracing::error!(%error, "a demo service stopped");
            }
        });
        Ok(address)
    };
    let payments = serve(service("payments", telemetry("payments"), vec![], None, 0.08, 0.04, 20)).await?;
    let catalog = serve(service("catalog", telemetry("catalog"), vec![], Some("redis"), 0.01, 0.0, 4)).await?;
    let promtail = [("app", "api"), ("namespace", "production"), ("container", "api")];
    let api_telemetry = telemetry("api").with_promtail(promtail.map(|(name, value)| (name, value.to_owned())).into());
    let api_calls = vec![("/orders", "payments", payments)];
    let api = serve(service("api", api_telemetry, api_calls, Some("postgresql"), 0.05, 0.06, 12)).await?;
    let frontend_calls =
        vec![("/users", "api", api.clone()), ("/orders", "api", api), ("/products", "catalog", catalog)];
    let frontend = serve(service("frontend", telemetry("frontend"), frontend_calls, None, 0.0, 0.0, 2)).await?;
    Ok(Services { frontend, telemetry: all })
}

/// Sends root requests at `rate` a second until shutdown begins.
pub(super) async fn load(client: &reqwest::Client, frontend: &str, rate: f64, shutdown: Shutdown) {
    let requests = [("GET", "/users"), ("GET", "/products"), ("POST", "/orders"), ("GET", "/users")];
    let pause = Duration::from_secs_f64(1.0 / rate.clamp(0.01, 10_000.0));
    for (method, path) in requests.into_iter().cycle() {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.wait() => return,
        }
        let request = if method == "GET" {
            client.get(format!("http://{frontend}{path}"))
        } else {
            client.post(format!("http://{frontend}{path}"))
        };
        tokio::spawn(async move {
            if let Err(error) = request.send().await {
                tracing::debug!(%error, "a demo request failed");
            }
        });
    }
}

async fn handle(State(service): State<Arc<Service>>, request: Request) -> Response {
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).and_then(Context::parse);
    let context =
        Context { trace_id: parent.map_or_else(rand::random, |parent| parent.trace_id), span_id: rand::random() };
    let (method, route) = (request.method().to_string(), request.uri().path().to_owned());
    let started = now();
    let slow = rand::random_bool(service.slow_rate);
    let work = if slow {
        1_050 + rand::random_range(0..400)
    } else {
        service.work_ms + rand::random_range(0..=service.work_ms)
    };
    tokio::time::sleep(Duration::from_millis(work)).await;
    if let Some(system) = service.database {
        service.query(system, context).await;
    }
    let mut failed = rand::random_bool(service.error_rate);
    for (prefix, peer, address) in &service.calls {
        if !failed && route.starts_with(prefix) {
            failed = !service.call(&method, &route, peer, address, context).await;
        }
    }
    let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    let ended = now();
    let seconds = Duration::from_nanos(ended - started).as_secs_f64();
    service.telemetry.span(Span {
        trace_id: context.trace_id.to_vec(),
        span_id: context.span_id.to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span_id.to_vec()),
        name: format!("{method} {route}"),
        kind: SERVER,
        start_time_unix_nano: started,
        end_time_unix_nano: ended,
        attributes: vec![
            text("http.method", method.clone()),
            text("http.route", route.clone()),
            int("http.status_code", status.as_u16().into()),
        ],
        status: failed.then(|| Status { code: ERROR, message: format!("{route} failed") }),
        flags: 1,
        ..Span::default()
    });
    let labels = vec![
        ("method", method.clone()),
        ("route", route.clone()),
        ("service", service.name.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    service.telemetry.count("http.requests", "1", labels, 1.0);
    let labels = vec![("method", method.clone()), ("route", route.clone()), ("service", service.name.to_owned())];
    service.telemetry.record("http.request.duration", labels, seconds, context);
    let milliseconds = (seconds * 1e3).round();
    let line = json!({
        "level": if failed { "error" } else { "info" },
        "msg": if failed { "request failed with an error" } else { "request served" },
        "method": method, "path": route, "status_code": status.as_u16(),
        "duration": milliseconds, "response_time": milliseconds,
        "trace_id": format!("{:032x}", u128::from_be_bytes(context.trace_id)),
    });
    service.telemetry.log(if failed { 17 } else { 9 }, line.to_string(), context);
    (status, format!("{} {route}\n", service.name)).into_response()
}

impl Service {
    fn client_span(&self, parent: Context, span_id: [u8; 8], name: String, started: u64, failed: bool) -> Span {
        Span {
            trace_id: parent.trace_id.to_vec(),
            span_id: span_id.to_vec(),
            parent_span_id: parent.span_id.to_vec(),
            name,
            kind: CLIENT,
            start_time_unix_nano: started,
            end_time_unix_nano: now(),
            status: failed.then(|| Status { code: ERROR, message: "the callee failed".to_owned() }),
            flags: 1,
            ..Span::default()
        }
    }

    /// Calls a peer; whether it succeeded.
    async fn call(&self, method: &str, route: &str, peer: &str, address: &str, parent: Context) -> bool {
        let context = Context { trace_id: parent.trace_id, span_id: rand::random() };
        let started = now();
        let url = format!("http://{address}{route}");
        let request = if method == "GET" { self.client.get(url) } else { self.client.post(url) };
        let answer = request.header("traceparent", context.header()).send().await;
        let succeeded = answer.is_ok_and(|answer| answer.status().is_success());
        let mut span = self.client_span(parent, context.span_id, format!("{method} {peer}"), started, !succeeded);
        span.attributes = vec![text("http.method", method), text("peer.service", peer)];
        self.telemetry.span(span);
        succeeded
    }

    /// A database call: a client span that no server span answers.
    async fn query(&self, system: &str, parent: Context) {
        let started = now();
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..6))).await;
        let mut span = self.client_span(parent, rand::random(), format!("SELECT {system}"), started, false);
        span.attributes = vec![
            text("db.system", system),
            text("db.name", self.name),
            text("db.statement", "select * from users where id = $1"),
        ];
        self.telemetry.span(span);
    }
}
