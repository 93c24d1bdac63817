//! What searches and tag look-ups answer, in the shape of Tempo's HTTP API but without its encoding.

use std::fmt;

/// A typed value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent.
    Nil,
    /// Text.
    String(String),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A span of time, ns.
    Duration(i64),
    /// OTLP status code: 0 unset, 1 ok, 2 error.
    Status(i32),
    /// OTLP span kind, 0 unspecified to 5 consumer.
    Kind(i32),
}

/// Names of the status codes, by OTLP number.
pub const STATUS_NAMES: [&str; 3] = ["unset", "ok", "error"];
/// Names of the span kinds, by OTLP number.
pub const KIND_NAMES: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

impl Value {
    /// The type's name in the tag-values API: string, int, float, bool, duration, keyword or nil.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::String(_) => "string",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Duration(_) => "duration",
            Self::Status(_) | Self::Kind(_) => "keyword",
        }
    }
}

impl fmt::Display for Value {
    /// As the API writes values into text: durations in Go's form, status and kind by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::String(text) => f.write_str(text),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&go_duration(*nanos)),
            Self::Status(code) => f.write_str(name_of(&STATUS_NAMES, *code)),
            Self::Kind(kind) => f.write_str(name_of(&KIND_NAMES, *kind)),
        }
    }
}

fn name_of(names: &'static [&'static str], code: i32) -> &'static str {
    usize::try_from(code).ok().and_then(|code| names.get(code)).copied().unwrap_or(names[0])
}

/// A duration as Go prints it: `1h2m3.5s`, `1.5ms`, `0s`.
pub fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(total, 1_000_000)),
        _ => {
            let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// A matching span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// 8 bytes.
    pub span_id: Vec<u8>,
    /// Only when the query mentions `name`.
    pub name: Option<String>,
    /// ns since the Unix epoch.
    pub start_time_ns: i64,
    /// ns.
    pub duration_ns: i64,
    /// Fields that the query mentions, by their unscoped name.
    pub attributes: Vec<(String, Value)>,
}

/// Matching spans of a trace, one set per group.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanSet {
    /// At most as many as the search asked for, by start.
    pub spans: Vec<Span>,
    /// How many matched.
    pub matched: usize,
    /// What `by()` and aggregates add: `by(name)`, `count()`, `avg(duration)`, …
    pub attributes: Vec<(String, Value)>,
}

/// Spans of one service in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStats {
    /// `service.name`.
    pub service: String,
    /// Its spans.
    pub spans: usize,
    /// Those with status error.
    pub errors: usize,
}

/// A matching trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// 16 bytes.
    pub trace_id: Vec<u8>,
    /// `service.name` of the root span; `None` when the root was not received.
    pub root_service_name: Option<String>,
    /// Name of the root span; `None` when the root was not received.
    pub root_trace_name: Option<String>,
    /// Earliest start, ns since the Unix epoch.
    pub start_time_ns: i64,
    /// Latest end minus earliest start, ns.
    pub duration_ns: i64,
    /// At least one.
    pub span_sets: Vec<SpanSet>,
    /// By name of the service.
    pub services: Vec<ServiceStats>,
}

/// What a search read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Traces evaluated.
    pub traces: u64,
    /// Spans evaluated.
    pub spans: u64,
    /// Bytes of their columns in memory.
    pub bytes: u64,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// Newest first.
    pub traces: Vec<Trace>,
    /// What was read for it.
    pub stats: Stats,
}

/// Where a tag belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Resource attributes.
    Resource,
    /// Span attributes.
    Span,
    /// Attributes of span events.
    Event,
    /// Attributes of span links.
    Link,
    /// Attributes of the instrumentation scope.
    Instrumentation,
    /// Fields of spans and traces themselves.
    Intrinsic,
}

impl Scope {
    /// All scopes, in the order the API lists them.
    pub const ALL: [Self; 6] =
        [Self::Resource, Self::Span, Self::Event, Self::Link, Self::Instrumentation, Self::Intrinsic];

    /// The name used in queries and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Span => "span",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
            Self::Intrinsic => "intrinsic",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            format!("unknown scope '{text}': use resource, span, event, link, instrumentation or intrinsic")
        })
    }
}

/// The tags of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeTags {
    /// Which.
    pub scope: Scope,
    /// Names, sorted, without the scope.
    pub tags: Vec<String>,
}

/// One series of a metrics query.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Label names and values, in the order the API lists them.
    pub labels: Vec<(String, Value)>,
    /// Time (ms since the Unix epoch, the right edge of the interval) and value, by time.
    pub samples: Vec<(i64, f64)>,
}
