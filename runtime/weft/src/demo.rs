//! `weft demo`: services of its own that call one another over HTTP and export what they do over
//! OTLP and Loki push, so that every kind of query has something to find.
//!
//! ```text
//! load ──▶ frontend ──▶ api ──▶ payments          traces with errors and slow spans
//!              │          └───▶ users (database)  a client span without a server: a virtual node
//!              └──────▶ catalog
//! cloud: cost counters and up gauges of aws, azure and gcp, CPU seconds of their nodes
//! ```
//! `telemetry.rs` is the instrumentation (spans, metrics with exemplars, logs with trace ids),
//! `services.rs` the services, `cloud.rs` the exporters. Nothing here reaches into weft: it is a
//! client like any other.

mod cloud;
mod services;
mod telemetry;

use anyhow::Result;
use std::time::Duration;
use telemetry::Telemetry;
use weft_env::Shutdown;

/// Where the demo sends to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port` of OTLP/HTTP.
    pub(crate) otlp_http: String,
    /// `host:port` of the Loki push path.
    pub(crate) http: String,
}

/// Runs the services until shutdown begins, with `rate` root requests a second.
///
/// # Errors
/// When a service can't listen, or the last batch can't be delivered.
pub(crate) async fn run(target: &Target, rate: f64, shutdown: Shutdown) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let services = services::start(&client, shutdown.clone()).await?;
    let mut sources: Vec<Telemetry> = services.telemetry.clone();
    sources.extend(cloud::start(shutdown.clone()));
    let exporters: Vec<_> = sources
        .into_iter()
        .map(|telemetry| tokio::spawn(telemetry.export(client.clone(), target.clone(), shutdown.clone())))
        .collect();
    services::load(&client, &services.frontend, rate, shutdown).await;
    for exporter in exporters {
        exporter.await??;
    }
    Ok(())
}
