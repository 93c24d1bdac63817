//! Requests of which one side has been seen, waiting for the other.
//!
//! An edge's key is the trace id and the client's span id. Names are interned, so that a waiting
//! edge is a few words whatever its services are called.

use std::collections::VecDeque;
use weft_guest::snapshot::{Reader, Writer};
use weft_guest::{Error, HashMap};

/// No name.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) type Key = [u8; 24];

pub(crate) fn key(trace_id: [u8; 16], span_id: [u8; 8]) -> Key {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&trace_id);
    key[16..].copy_from_slice(&span_id);
    key
}

pub(crate) fn trace_id(key: &Key) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&key[..16]);
    id
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    Direct,
    Messaging,
    Database,
    VirtualNode,
}

impl Connection {
    const ALL: [Self; 4] = [Self::Direct, Self::Messaging, Self::Database, Self::VirtualNode];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Direct => "",
            Self::Messaging => "messaging_system",
            Self::Database => "database",
            Self::VirtualNode => "virtual_node",
        }
    }
}

/// What one span says of an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Half {
    pub(crate) service: u32,
    pub(crate) nanos: i64,
    pub(crate) failed: bool,
    pub(crate) connection: Connection,
    pub(crate) peer: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edge {
    pub(crate) client: u32,
    pub(crate) server: u32,
    /// What the client span calls the other side.
    pub(crate) peer: u32,
    pub(crate) client_ns: Option<i64>,
    pub(crate) server_ns: Option<i64>,
    pub(crate) failed: bool,
    pub(crate) connection: Connection,
    pub(crate) expires_ms: i64,
}

impl Edge {
    pub(crate) fn of(side: Side, half: Half) -> Self {
        let mut edge = Self {
            client: NONE,
            server: NONE,
            peer: NONE,
            client_ns: None,
            server_ns: None,
            failed: false,
            connection: half.connection,
            expires_ms: 0,
        };
        edge.add(side, half);
        edge
    }

    fn add(&mut self, side: Side, half: Half) {
        match side {
            Side::Client => {
                self.client = half.service;
                self.client_ns = Some(half.nanos);
                self.peer = half.peer;
            }
            Side::Server => {
                self.server = half.service;
                self.server_ns = Some(half.nanos);
            }
        }
        self.failed |= half.failed;
        if half.connection == Connection::Messaging {
            self.connection = half.connection;
        }
    }
}

/// No room for another waiting edge.
#[derive(Debug)]
pub(crate) struct Full;

#[derive(Debug)]
pub(crate) struct Edges {
    wait_ms: i64,
    max_items: usize,
    open: HashMap<Key, Edge>,
    /// Open edges by age, and some that have been paired since.
    queue: VecDeque<(i64, Key)>,
    names: Vec<Box<[u8]>>,
    by_name: HashMap<Box<[u8]>, u32>,
}

impl Edges {
    pub(crate) fn new(wait_ms: i64, max_items: usize) -> Self {
        Self {
            wait_ms,
            max_items,
            open: HashMap::default(),
            queue: VecDeque::new(),
            names: Vec::new(),
            by_name: HashMap::default(),
        }
    }

    /// The number of a name.
    pub(crate) fn name(&mut self, name: &[u8]) -> u32 {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let number = self.names.len() as u32;
        self.names.push(name.into());
        self.by_name.insert(name.into(), number);
        number
    }

    pub(crate) fn text(&self, name: u32) -> &[u8] {
        self.names.get(name as usize).map_or(&[], |name| name)
    }

    /// Adds one side; gives the edge once it has both.
    pub(crate) fn pair(&mut self, key: Key, side: Side, half: Half, now_ms: i64) -> Result<Option<Edge>, Full> {
        if let Some(edge) = self.open.get_mut(&key) {
            edge.add(side, half);
            let both = edge.client != NONE && edge.server != NONE;
            return Ok(if both { self.open.remove(&key) } else { None });
        }
        if self.open.len() >= self.max_items {
            return Err(Full);
        }
        let expires_ms = now_ms.saturating_add(self.wait_ms);
        self.open.insert(key, Edge { expires_ms, ..Edge::of(side, half) });
        self.queue.push_back((expires_ms, key));
        Ok(None)
    }

    /// An edge that has waited long enough.
    pub(crate) fn expired(&mut self, now_ms: i64) -> Option<(Key, Edge)> {
        while let Some((expires_ms, key)) = self.queue.front().copied() {
            if expires_ms > now_ms {
                return None;
            }
            self.queue.pop_front();
            // A key may have been paired and opened again since.
            if self.open.get(&key).is_some_and(|edge| edge.expires_ms == expires_ms) {
                return self.open.remove(&key).map(|edge| (key, edge));
            }
        }
        None
    }

    /// Drops names that no open edge has, once they have piled up.
    pub(crate) fn forget_names(&mut self) {
        if self.names.len() < 1024 + 4 * self.open.len() {
            return;
        }
        let old = std::mem::take(&mut self.names);
        self.by_name.clear();
        let mut open = std::mem::take(&mut self.open);
        for edge in open.values_mut() {
            for name in [&mut edge.client, &mut edge.server, &mut edge.peer] {
                if let Some(text) = old.get(*name as usize) {
                    *name = self.name(text);
                }
            }
        }
        self.open = open;
    }

    pub(crate) fn snapshot(&self, out: &mut Writer) {
        // In the order of the queue: the same state gives the same bytes.
        let open: Vec<(&Key, &Edge)> = self
            .queue
            .iter()
            .filter_map(|(expires_ms, key)| self.open.get_key_value(key).filter(|(_, e)| e.expires_ms == *expires_ms))
            .collect();
        out.u64(open.len() as u64);
        for (key, edge) in open {
            out.fixed(key);
            out.i64(edge.expires_ms);
            for name in [edge.client, edge.server, edge.peer] {
                out.bytes(self.text(name));
            }
            for nanos in [edge.client_ns, edge.server_ns] {
                out.bool(nanos.is_some());
                out.i64(nanos.unwrap_or_default());
            }
            out.bool(edge.failed);
            out.u64(edge.connection as u64);
        }
    }

    pub(crate) fn restore(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        *self = Self::new(self.wait_ms, self.max_items);
        for _ in 0..from.count()? {
            let key: Key = from.fixed()?;
            let expires_ms = from.i64()?;
            let mut names = [NONE; 3];
            for name in &mut names {
                *name = match from.bytes()? {
                    [] => NONE,
                    text => self.name(text),
                };
            }
            let mut nanos = [None; 2];
            for nanos in &mut nanos {
                let known = from.bool()?;
                *nanos = Some(from.i64()?).filter(|_| known);
            }
            let failed = from.bool()?;
            let connection = from.u64()?;
            let connection = *Connection::ALL
                .get(connection as usize)
                .ok_or_else(|| Error::Snapshot(format!("connection type {connection}")))?;
            let [client, server, peer] = names;
            let [client_ns, server_ns] = nanos;
            let edge = Edge { client, server, peer, client_ns, server_ns, failed, connection, expires_ms };
            self.open.insert(key, edge);
            self.queue.push_back((expires_ms, key));
        }
        Ok(())
    }
}
