//! `service-graph`: who calls whom, with Tempo's metric names and labels.
//!
//! * `traces_service_graph_request_total`, `_request_failed_total`, and the histograms
//!   `_request_server_seconds` and `_request_client_seconds`;
//! * labels `client`, `server`, `connection_type` (empty, `messaging_system`, `database` or
//!   `virtual_node`), and `__metrics_gen_instance` = `<topic>-<partition>`.
//!
//! An edge is a client or producer span and the server or consumer span whose parent it is ([`edges`]
//! pairs them). A client span with a database attribute is a whole edge. A root server span is called
//! by its peer attribute or `user`; a client span whose server stays silent for `wait_ms` calls its
//! peer attribute. Spans pass unchanged; all spans of a trace must come by one partition, which weft's
//! receivers see to.
//!
//! Unlike Tempo a side that sent no span adds nothing to its latency histogram (Tempo adds a 0), and
//! a root server span counts at once instead of after `wait_ms`.
//!
//! Source: grafana/tempo, modules/generator/processor/servicegraphs.

mod edges;

use edges::{Connection, Edge, Edges, Half, NONE, Side};
use serde::Deserialize;
use weft_guest::registry::{Instrument, Options, Registry, hash_labels};
use weft_guest::snapshot::{Reader, Writer};
use weft_guest::{Batch, Description, Error, HashMap, LabelColumn, Level, Module, Signal, Source, hash_bytes};

const FORMAT: u8 = 1;
const TOTAL: usize = 0;
const FAILED: usize = 1;
const SERVER: usize = 2;
const CLIENT: usize = 3;

const KIND_SERVER: i64 = 2;
const KIND_CLIENT: i64 = 3;
const KIND_PRODUCER: i64 = 4;
const KIND_CONSUMER: i64 = 5;
const STATUS_ERROR: i64 = 2;

/// The stage's configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    wait_ms: i64,
    max_items: usize,
    buckets: Vec<f64>,
    peer_attributes: Vec<String>,
    database_name_attributes: Vec<String>,
    exemplars: bool,
    interval_ms: i64,
    repeat_ms: i64,
    stale_ms: i64,
    max_active_series: usize,
}

impl Default for Config {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        Self {
            wait_ms: 10_000,
            max_items: 10_000,
            buckets: (0..8).map(|power| 0.1 * f64::from(1 << power)).collect(),
            peer_attributes: names(["peer.service", "db.name", "db.system", "db.system.name"]),
            database_name_attributes: names(["db.namespace", "db.name", "db.system", "db.system.name"]),
            exemplars: true,
            interval_ms: 1000,
            repeat_ms: 60_000,
            stale_ms: 15 * 60_000,
            max_active_series: 200_000,
        }
    }
}

/// See the crate.
#[derive(Debug)]
pub struct ServiceGraph {
    registry: Registry,
    edges: Edges,
    peer_attributes: Vec<String>,
    database_name_attributes: Vec<String>,
    exemplars: bool,
}

/// The columns of a batch that say who is at the other end.
struct Peers {
    peer: LabelColumn,
    database: LabelColumn,
    peer_service: LabelColumn,
    server_address: LabelColumn,
    network_address: LabelColumn,
    network_port: LabelColumn,
}

impl Peers {
    fn read(batch: &Batch, module: &ServiceGraph) -> Result<Self, Error> {
        let known = batch.keys("attributes")?;
        let column = |names: &[&str]| {
            let paths: Vec<String> = names
                .iter()
                .filter(|name| known.iter().any(|key| key == *name))
                .map(|name| format!("span.{name}"))
                .collect();
            LabelColumn::from_attribute(batch, &paths.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let names = |names: &[String]| column(&names.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(Self {
            peer: names(&module.peer_attributes)?,
            database: names(&module.database_name_attributes)?,
            peer_service: column(&["peer.service"])?,
            server_address: column(&["server.address"])?,
            network_address: column(&["network.peer.address"])?,
            network_port: column(&["network.peer.port"])?,
        })
    }

    /// The name of the database a client span asks, if it asks one.
    fn database(&self, row: usize, edges: &mut Edges) -> Option<u32> {
        let name = self.database.value(row);
        if name.is_empty() {
            return None;
        }
        for column in [&self.peer_service, &self.server_address] {
            if !column.value(row).is_empty() {
                return Some(edges.name(column.value(row)));
            }
        }
        let (address, port) = (self.network_address.value(row), self.network_port.value(row));
        if address.is_empty() {
            return Some(edges.name(name));
        }
        if port.is_empty() {
            return Some(edges.name(address));
        }
        Some(edges.name(&[address, b":", port].concat()))
    }

    fn peer(&self, row: usize, edges: &mut Edges) -> u32 {
        match self.peer.value(row) {
            [] => NONE,
            name => edges.name(name),
        }
    }
}

impl ServiceGraph {
    /// Counts an edge whose both ends are known.
    fn complete(&mut self, edge: &Edge, trace_id: [u8; 16], now_ms: i64) {
        let connection = edge.connection.label().as_bytes();
        let values = [self.edges.text(edge.client), self.edges.text(edge.server), connection];
        let hash = hash_labels(values.iter().map(|value| hash_bytes(value)));
        let (entry, within) = self.registry.entry(hash, &values);
        if !within {
            weft_guest::count("edges_over_series_limit", 1);
        }
        self.registry.add(entry, TOTAL, 1, now_ms);
        if edge.failed {
            self.registry.add(entry, FAILED, 1, now_ms);
        }
        let trace_id = self.exemplars.then_some(trace_id);
        for (instrument, nanos) in [(SERVER, edge.server_ns), (CLIENT, edge.client_ns)] {
            if let Some(nanos) = nanos {
                self.registry.observe(entry, instrument, nanos as f64 / 1e9, trace_id, now_ms);
            }
        }
    }

    /// Gives up waiting for the other side of what has waited long enough.
    fn expire(&mut self, now_ms: i64) {
        let mut unpaired = 0;
        while let Some((key, mut edge)) = self.edges.expired(now_ms) {
            if edge.server == NONE && edge.peer != NONE {
                edge.server = edge.peer;
                edge.connection = Connection::VirtualNode;
                self.complete(&edge, edges::trace_id(&key), now_ms);
            } else {
                unpaired += 1;
            }
        }
        if unpaired > 0 {
            weft_guest::count("unpaired_spans", unpaired);
        }
    }
}

impl Module for ServiceGraph {
    type Config = Config;

    fn describe() -> Description {
        Description::new("service-graph", env!("CARGO_PKG_VERSION"))
            .accepts([Signal::Spans])
            .emits([Signal::Metrics])
            .reads([
                "trace_id",
                "span_id",
                "parent_span_id",
                "kind",
                "status_code",
                "duration",
                "resource.service.name",
                "span.*",
            ])
            .schema(include_str!("../schema.json"))
            .stateful()
    }

    fn configure(config: Config, source: Source) -> Result<Self, Error> {
        let positive = [
            ("wait_ms", config.wait_ms),
            ("max_items", config.max_items as i64),
            ("interval_ms", config.interval_ms),
            ("repeat_ms", config.repeat_ms),
            ("stale_ms", config.stale_ms),
            ("max_active_series", config.max_active_series as i64),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value < 1) {
            return Err(Error::config(field, "must be at least 1"));
        }
        if config.buckets.iter().any(|bound| !bound.is_finite()) || !config.buckets.is_sorted_by(|a, b| a < b) {
            return Err(Error::config("buckets", "must be finite and ascend"));
        }
        let options = Options {
            interval_ms: config.interval_ms,
            repeat_ms: config.repeat_ms,
            stale_ms: config.stale_ms,
            max_series: config.max_active_series,
            constant_labels: vec![("__metrics_gen_instance".into(), format!("{}-{}", source.topic, source.partition))],
        };
        let name = |suffix: &str| format!("traces_service_graph_request_{suffix}");
        let instruments = vec![
            Instrument::counter(&name("total"), "Total count of requests between two nodes"),
            Instrument::counter(&name("failed_total"), "Total count of failed requests between two nodes"),
            Instrument::histogram(&name("server_seconds"), "Time for a request seen from the server", &config.buckets),
            Instrument::histogram(&name("client_seconds"), "Time for a request seen from the client", &config.buckets),
        ];
        let labels = ["client", "server", "connection_type"].map(str::to_owned).to_vec();
        Ok(Self {
            registry: Registry::new(options, labels, instruments),
            edges: Edges::new(config.wait_ms, config.max_items),
            peer_attributes: config.peer_attributes,
            database_name_attributes: config.database_name_attributes,
            exemplars: config.exemplars,
        })
    }

    fn process(&mut self, batch: &Batch, now: u64) -> Result<(), Error> {
        let now_ms = (now / 1_000_000) as i64;
        let kinds = batch.ints("kind")?;
        let services = batch.dictionary("resource.service.name")?;
        let statuses = batch.ints("status_code")?;
        let durations = batch.ints("duration")?;
        let trace_ids = batch.blobs("trace_id")?;
        let span_ids = batch.blobs("span_id")?;
        let parents = batch.blobs("parent_span_id")?;
        let peers = Peers::read(batch, self)?;
        self.expire(now_ms);
        // The distinct services of the batch, once.
        let mut names: HashMap<u32, u32> = HashMap::default();
        let mut dropped = 0;
        for row in 0..batch.rows() {
            let (side, connection) = match kinds.get(row) {
                Some(KIND_CLIENT) => (Side::Client, Connection::Direct),
                Some(KIND_PRODUCER) => (Side::Client, Connection::Messaging),
                Some(KIND_SERVER) => (Side::Server, Connection::Direct),
                Some(KIND_CONSUMER) => (Side::Server, Connection::Messaging),
                _ => continue,
            };
            let (Some(service_key), Some(trace_id)) = (services.key(row), trace_ids.id::<16>(row)) else { continue };
            let service = services.values().get_bytes(service_key as usize).unwrap_or_default();
            if service.is_empty() {
                continue;
            }
            let edges = &mut self.edges;
            let service = *names.entry(service_key).or_insert_with(|| edges.name(service));
            let peer = peers.peer(row, edges);
            let half = Half {
                service,
                nanos: durations.get(row).unwrap_or_default(),
                failed: statuses.get(row) == Some(STATUS_ERROR),
                connection,
                peer,
            };
            let span = match side {
                Side::Client => span_ids.id::<8>(row),
                Side::Server => parents.id::<8>(row).filter(|id| *id != [0; 8]),
            };
            let database = match side {
                Side::Client => peers.database(row, edges),
                Side::Server => None,
            };
            let done = if let Some(server) = database {
                let server_ns = Some(half.nanos);
                Some(Edge { server, server_ns, connection: Connection::Database, ..Edge::of(side, half) })
            } else if let Some(span) = span {
                edges.pair(edges::key(trace_id, span), side, half, now_ms).unwrap_or_else(|edges::Full| {
                    dropped += 1;
                    None
                })
            } else if side == Side::Server {
                let client = if peer == NONE { edges.name(b"user") } else { peer };
                Some(Edge { client, connection: Connection::VirtualNode, ..Edge::of(side, half) })
            } else {
                None
            };
            if let Some(edge) = done {
                self.complete(&edge, trace_id, now_ms);
            }
        }
        if dropped > 0 {
            weft_guest::count("dropped_spans", dropped);
        }
        Ok(())
    }

    fn tick(&mut self, now: u64) -> Result<(), Error> {
        let now_ms = (now / 1_000_000) as i64;
        self.expire(now_ms);
        self.edges.forget_names();
        self.registry.emit(now_ms)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new(FORMAT);
        self.edges.snapshot(&mut out);
        self.registry.snapshot(&mut out);
        out.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut from = Reader::new(state, FORMAT)?;
        self.edges.restore(&mut from)?;
        if self.registry.restore(&mut from)? {
            return from.end();
        }
        weft_guest::log(Level::Warn, "buckets have changed: the service graph's metrics begin anew");
        Ok(())
    }
}

weft_guest::export!(ServiceGraph);

#[cfg(test)]
mod tests;
