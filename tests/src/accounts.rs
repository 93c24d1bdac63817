//! Who sent what, and whether the tables agree: what the exactly-once tests are written with.
//!
//! A [`Sender`] posts requests of spans, logs and samples with ids of its own, one after the other,
//! and notes for each whether the receiver answered success. A request without an answer (the
//! process died under it) may be in the tables once or not at all; an answered one must be there,
//! once.

use crate::client::Client;
use crate::otlp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const PER_REQUEST: u64 = 5;
const SIGNALS: [&str; 3] = ["traces", "logs", "metrics"];

/// Ids by what became of them.
#[derive(Debug, Default, Clone)]
pub struct Account {
    /// Answered with success.
    pub accepted: BTreeSet<u64>,
    /// Sent, but no success was answered.
    pub unknown: BTreeSet<u64>,
}

/// Sends in the background until stopped.
pub struct Sender {
    stop: Arc<AtomicBool>,
    address: Arc<Mutex<String>>,
    thread: Option<JoinHandle<BTreeMap<&'static str, Account>>>,
}

impl Sender {
    /// Starts sending to OTLP/HTTP at `address`.
    pub fn start(service: &str, address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let address = Arc::new(Mutex::new(address.to_owned()));
        let (service, stopped, current) = (service.to_owned(), Arc::clone(&stop), Arc::clone(&address));
        let thread = std::thread::spawn(move || {
            let mut accounts: BTreeMap<&'static str, Account> = BTreeMap::new();
            let mut next = 1;
            while !stopped.load(Ordering::Relaxed) {
                let client = Client::new(&current.lock().unwrap());
                for signal in SIGNALS {
                    let body = match signal {
                        "traces" => otlp::spans(&service, next, PER_REQUEST),
                        "logs" => otlp::logs(&service, next, PER_REQUEST),
                        _ => otlp::samples(&service, next, PER_REQUEST),
                    };
                    let answer = client.post(&format!("/v1/{signal}"), &[("content-type", otlp::PROTOBUF)], &body);
                    let account = accounts.entry(signal).or_default();
                    let ids = next..next + PER_REQUEST;
                    match answer.status {
                        200 => account.accepted.extend(ids),
                        // Only what may pass: a request that is refused for good is a failed test.
                        0 | 503 => account.unknown.extend(ids),
                        status => panic!("{signal} answered {status}: {}", answer.text()),
                    }
                    next += PER_REQUEST;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            accounts
        });
        Self { stop, address, thread: Some(thread) }
    }

    /// The receiver is somewhere else now.
    pub fn send_to(&self, address: &str) {
        address.clone_into(&mut self.address.lock().unwrap());
    }

    /// Stops, and tells what was sent, by signal (`traces`, `logs`, `metrics`).
    pub fn finish(mut self) -> BTreeMap<&'static str, Account> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// How often each id occurs in the tables, by signal.
pub fn stored(client: &Client, service: &str) -> BTreeMap<&'static str, BTreeMap<u64, u64>> {
    let ask = |statement: String| {
        let rows = client.sql(&statement);
        rows.iter()
            .map(|row| {
                let id = match &row["id"] {
                    serde_json::Value::String(text) => text.parse().unwrap(),
                    number => number.as_u64().unwrap_or_else(|| panic!("an id that is none: {row}")),
                };
                (id, row["n"].as_u64().unwrap())
            })
            .collect()
    };
    BTreeMap::from([
        (
            "traces",
            ask(format!(
                "select attr_int(attributes, 'number') as id, count(*) as n from spans where service_name = '{service}' group by 1"
            )),
        ),
        (
            "logs",
            ask(format!(
                "select attr_int(attributes, 'number') as id, count(*) as n from logs where service_name = '{service}' group by 1"
            )),
        ),
        (
            "metrics",
            ask(format!(
                "select labels['id'] as id, sum(cardinality(timestamps)) as n from metrics \
                 where name = 'number' and labels['job'] = '{service}' group by 1"
            )),
        ),
    ])
}

/// What is wrong with `stored`, if anything: ids lost, doubled or never sent.
pub fn differences(
    accounts: &BTreeMap<&'static str, Account>,
    stored: &BTreeMap<&'static str, BTreeMap<u64, u64>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (signal, account) in accounts {
        let found = &stored[signal];
        let lost: Vec<_> = account.accepted.iter().filter(|id| !found.contains_key(id)).collect();
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
        let strange: Vec<_> =
            found.keys().filter(|id| !account.accepted.contains(id) && !account.unknown.contains(id)).collect();
        for (what, ids) in
            [("lost", format!("{lost:?}")), ("doubled", format!("{doubled:?}")), ("never sent", format!("{strange:?}"))]
        {
            if ids != "[]" {
                let shown: String = ids.chars().take(200).collect();
                wrong.push(format!("{signal}: {what}: {shown}"));
            }
        }
    }
    wrong
}
