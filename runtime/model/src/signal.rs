//! The signals that flow through a topology, and the tables they land in.

use arrow::datatypes::SchemaRef;
use std::fmt;
use std::str::FromStr;

/// A kind of telemetry. Every batch in a topology is of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Undecoded records of the log; a parse module turns them into one of the others.
    Raw,
    /// Series with their samples.
    Metrics,
    /// Log records.
    Logs,
    /// Spans of traces.
    Spans,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Metrics, Self::Logs, Self::Spans];

    /// The schema of a batch of this signal.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Raw => crate::raw::schema(),
            Self::Metrics => crate::metrics::schema(),
            Self::Logs => crate::logs::schema(),
            Self::Spans => crate::spans::schema(),
        }
    }

    /// The table this signal lands in; raw records land in none.
    pub fn table(self) -> Option<Table> {
        match self {
            Self::Raw => None,
            Self::Metrics => Some(Table::Metrics),
            Self::Logs => Some(Table::Logs),
            Self::Spans => Some(Table::Spans),
        }
    }

    /// The name used in topologies, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Spans => "spans",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|signal| signal.name() == text)
            .ok_or_else(|| format!("unknown signal '{text}': use raw, metrics, logs or spans"))
    }
}

/// A Delta table of weft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// See [`crate::metrics`].
    Metrics,
    /// See [`crate::logs`].
    Logs,
    /// See [`crate::spans`].
    Spans,
    /// See [`crate::dead_letters`].
    DeadLetters,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 4] = [Self::Metrics, Self::Logs, Self::Spans, Self::DeadLetters];

    /// Its name in SQL, which is also its folder in the object store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Its schema.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Metrics => crate::metrics::schema(),
            Self::Logs => crate::logs::schema(),
            Self::Spans => crate::spans::schema(),
            Self::DeadLetters => crate::dead_letters::schema(),
        }
    }

    /// The column whose values bound a file in time, and nanoseconds per unit of it.
    /// Metrics carry two, `min_time` and `max_time`; this is the first.
    pub fn time_column(self) -> (&'static str, i64) {
        match self {
            Self::Metrics => (crate::metrics::MIN_TIME, 1_000_000),
            Self::Logs => (crate::logs::TIME, 1),
            Self::Spans => (crate::spans::START_TIME, 1),
            Self::DeadLetters => (crate::dead_letters::TIME, 1),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|table| table.name() == text)
            .ok_or_else(|| format!("unknown table '{text}': there are metrics, logs, spans and dead_letters"))
    }
}
