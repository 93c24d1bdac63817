//! Which fields become columns, and how their text is read.

use crate::HashMap;
use serde::Deserialize;

/// Fields that become columns of the record; of several, the first that a line has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiftConfig {
    /// Time. By default only raw records' is lifted: others have one from their sender.
    pub time: Option<Vec<String>>,
    /// Severity, where the sender gave none.
    pub severity: Option<Vec<String>>,
    /// The line itself; by default none, so that queries can parse the whole line again.
    pub message: Option<Vec<String>>,
    /// Trace id, where the sender gave none.
    pub trace_id: Option<Vec<String>>,
    /// Span id, where the sender gave none.
    pub span_id: Option<Vec<String>>,
    /// `service.name` of the resource, where it has none.
    pub service: Option<Vec<String>>,
}

const TIME: &[&str] = &["time", "timestamp", "ts", "@timestamp"];
const SEVERITY: &[&str] = &["level", "severity", "lvl", "loglevel", "log_level", "severity_text"];
const TRACE_ID: &[&str] = &["trace_id", "traceId", "traceID", "traceid", "trace.id"];
const SPAN_ID: &[&str] = &["span_id", "spanId", "spanID", "spanid", "span.id"];
const SERVICE: &[&str] = &["service_name", "service.name"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Time,
    Severity,
    Message,
    TraceId,
    SpanId,
    Service,
}

/// [`LiftConfig`] with its defaults, ready for lookups.
#[derive(Debug)]
pub struct Lift {
    targets: HashMap<Box<str>, (Target, bool)>,
}

impl Lift {
    /// By the configuration.
    pub fn new(config: LiftConfig) -> Self {
        let mut targets = HashMap::default();
        let lists = [
            (Target::Time, config.time, TIME, true),
            (Target::Severity, config.severity, SEVERITY, false),
            (Target::Message, config.message, &[][..], false),
            (Target::TraceId, config.trace_id, TRACE_ID, false),
            (Target::SpanId, config.span_id, SPAN_ID, false),
            (Target::Service, config.service, SERVICE, true),
        ];
        for (target, keys, default, raw_only) in lists {
            match keys {
                Some(keys) => targets.extend(keys.into_iter().map(|key| (key.into(), (target, false)))),
                None => targets.extend(default.iter().map(|key| ((*key).into(), (target, raw_only)))),
            }
        }
        Self { targets }
    }

    /// The column of a field, in raw records or in logs.
    pub(super) fn target(&self, key: &str, raw: bool) -> Option<Target> {
        self.targets.get(key).filter(|(_, raw_only)| raw || !raw_only).map(|(target, _)| *target)
    }
}

/// OTLP's severity number of a level's name, or of pino's and bunyan's numbers.
/// Source: opentelemetry-specification, logs/data-model.md, "Mapping of SeverityNumber".
pub fn severity_number(text: &str) -> Option<i64> {
    // No level's name is longer.
    let mut lower = [0; 16];
    let lower = lower.get_mut(..text.len())?;
    lower.copy_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" | b"trc" | b"10" => 1,
        b"debug" | b"dbg" | b"verbose" | b"20" => 5,
        b"info" | b"inf" | b"information" | b"informational" | b"30" => 9,
        b"notice" => 10,
        b"warn" | b"warning" | b"wrn" | b"40" => 13,
        b"error" | b"err" | b"eror" | b"50" => 17,
        b"critical" | b"crit" => 18,
        b"alert" => 19,
        b"fatal" | b"panic" | b"60" => 21,
        b"emergency" | b"emerg" => 21,
        _ => return None,
    })
}

/// An id of `N` bytes from its hex digits; an id of zeros is none.
pub(super) fn id<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut id = [0; N];
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id).filter(|id| *id != [0; N])
}
