//! From a decompressed body to the log: check, route, append, answer.
//!
//! One [`Ingest`] serves all receivers. It owns admission (bytes in flight) and which topic and
//! partition a body goes to; it does not know HTTP or gRPC.

use crate::{Config, Error};
use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weft_codec::{Codec, Counts};
use weft_log::{Log, NewRecord};

/// Where bodies of one codec go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Topic of the log; it exists.
    pub topic: Arc<str>,
    /// How many partitions it has, at least 1.
    pub partitions: i32,
}

/// A route for each codec that the topology has a source for.
pub type Routes = BTreeMap<Codec, Route>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    codec: &'static str,
}

#[derive(Debug, Default)]
struct Metrics {
    items: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    failed: Family<Labels, Counter>,
}

/// Takes bodies for the log.
#[derive(Debug)]
pub struct Ingest {
    log: Arc<dyn Log>,
    routes: Routes,
    config: Config,
    cpu: Handle,
    room: Arc<Semaphore>,
    turn: AtomicU32,
    metrics: Metrics,
}

/// Bodies above this are checked on the cpu runtime, so that they don't hold up a socket thread.
const INLINE_BYTES: usize = 64 << 10;

impl Ingest {
    /// Receivers' way into `log`; its counters go to `registry`.
    pub fn new(log: Arc<dyn Log>, routes: Routes, config: Config, cpu: Handle, registry: &mut Registry) -> Arc<Self> {
        let metrics = Metrics::default();
        registry.register("weft_ingest_items", "Spans, samples and log records accepted", metrics.items.clone());
        registry.register("weft_ingest_bytes", "Bytes of bodies accepted, decompressed", metrics.bytes.clone());
        registry.register("weft_ingest_refused", "Requests refused as invalid", metrics.refused.clone());
        registry.register("weft_ingest_failed", "Requests the log could not take", metrics.failed.clone());
        let room = Arc::new(Semaphore::new(config.in_flight_bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { log, routes, config, cpu, room, turn: AtomicU32::new(0), metrics })
    }

    /// The limits in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reserves room for a body of `bytes`; it is given back when the permit is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none becomes free in time.
    pub(crate) async fn admit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let wanted = u32::try_from(bytes.clamp(1, self.config.in_flight_bytes)).unwrap_or(u32::MAX);
        let wait = Duration::from_millis(self.config.admission_wait_ms);
        match tokio::time::timeout(wait, Arc::clone(&self.room).acquire_many_owned(wanted)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::Unavailable("too many bytes of requests are in flight: try again".to_owned())),
        }
    }

    /// Checks `body` and appends it to the log. When it returns, the log has it durably.
    ///
    /// # Errors
    /// [`Error::Bad`] and its like when the sender is wrong, [`Error::Unavailable`] when the log
    /// can't take it now.
    pub async fn accept(
        self: &Arc<Self>,
        codec: Codec,
        content_type: Option<String>,
        body: Bytes,
    ) -> Result<Counts, Error> {
        let outcome = self.try_accept(codec, content_type, body).await;
        let labels = Labels { codec: codec.name() };
        match &outcome {
            Ok((counts, bytes)) => {
                self.metrics.items.get_or_create(&labels).inc_by((counts.items + counts.histograms) as u64);
                self.metrics.bytes.get_or_create(&labels).inc_by(*bytes as u64);
            }
            Err(Error::Unavailable(_) | Error::Internal(_)) => {
                self.metrics.failed.get_or_create(&labels).inc();
            }
            Err(_) => {
                self.metrics.refused.get_or_create(&labels).inc();
            }
        }
        outcome.map(|(counts, _)| counts)
    }

    async fn try_accept(
        self: &Arc<Self>,
        codec: Codec,
        content_type: Option<String>,
        body: Bytes,
    ) -> Result<(Counts, usize), Error> {
        let bytes = body.len();
        let this = Arc::clone(self);
        let work = move || this.prepare(codec, content_type.as_deref(), body);
        let (counts, records) = if bytes <= INLINE_BYTES {
            work()?
        } else {
            let task = self.cpu.spawn(async move { work() });
            task.await.map_err(|error| Error::Internal(format!("checking the body failed: {error}")))??
        };
        if !records.is_empty() {
            self.log.append(records).await?;
        }
        Ok((counts, bytes))
    }

    fn prepare(
        &self,
        codec: Codec,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<(Counts, Vec<NewRecord>), Error> {
        let counts = weft_codec::validate(codec, content_type, &body)?;
        if counts.items == 0 && counts.histograms == 0 && counts.exemplars == 0 {
            return Ok((counts, Vec::new()));
        }
        let route = self.routes.get(&codec).ok_or_else(|| {
            Error::NotFound(format!("nothing takes {codec} here: the topology has no source with that codec"))
        })?;
        let record = |partition: i32, value: Bytes, content_type: Option<&str>| {
            let mut record = NewRecord::new(Arc::clone(&route.topic), value).to_partition(partition);
            if let Some(content_type) = content_type {
                record.headers.push(("content-type".into(), Bytes::copy_from_slice(content_type.as_bytes())));
            }
            record
        };
        let records = match codec {
            // One partition must see a whole trace: tail sampling and the service graph depend on it.
            Codec::OtlpTraces => weft_codec::split_traces(body, route.partitions)?
                .into_iter()
                .map(|(partition, part)| record(partition, part, None))
                .collect(),
            // The Collector's exporter sets no header for OTLP; the decoder tells JSON from protobuf.
            Codec::OtlpMetrics | Codec::OtlpLogs => vec![record(self.next(route), body, None)],
            _ => vec![record(self.next(route), body, content_type)],
        };
        Ok((counts, records))
    }

    fn next(&self, route: &Route) -> i32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        i32::try_from(turn % route.partitions.max(1).unsigned_abs()).unwrap_or(0)
    }
}
