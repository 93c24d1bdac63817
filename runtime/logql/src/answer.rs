//! What a query answers, in the shape of Loki's HTTP API but without its encoding.

use std::fmt;

/// A label set, sorted by name, names unique.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(pub Vec<(String, String)>);

impl Labels {
    /// A label set from pairs in any order; of equal names the first stays.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(String, String)> = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|b, a| a.0 == b.0);
        Self(pairs)
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|pair| pair.0.as_str().cmp(name)).ok().map(|at| self.0[at].1.as_str())
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.binary_search_by(|pair| pair.0.as_str().cmp(name)) {
            Ok(at) if value.is_empty() => drop(self.0.remove(at)),
            Ok(at) => value.clone_into(&mut self.0[at].1),
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, (name.to_owned(), value.to_owned())),
        }
    }

    /// Name and value pairs, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// Which entries a log query returns first, and in which order inside a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first; Loki's default.
    #[default]
    Backward,
}

/// How a query is to be run, beyond its text and time.
#[derive(Debug, Clone)]
pub struct Options {
    /// Entries over all streams; Loki's default is 100.
    pub limit: usize,
    /// Order of entries.
    pub direction: Direction,
    /// Keep structured metadata and parsed labels apart from the stream's labels, as clients ask for
    /// with `X-Loki-Response-Encoding-Flags: categorize-labels`. Otherwise they are part of the
    /// stream's label set, which splits streams.
    pub categorize: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: 100, direction: Direction::Backward, categorize: false }
    }
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// ns since the Unix epoch.
    pub timestamp_ns: i64,
    /// The line after the pipeline.
    pub line: String,
    /// Structured metadata; empty unless [`Options::categorize`].
    pub structured_metadata: Labels,
    /// Labels that stages of the query made; empty unless [`Options::categorize`].
    pub parsed: Labels,
}

/// Entries with equal labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The stream's labels; all labels unless [`Options::categorize`].
    pub labels: Labels,
    /// In the order of [`Options::direction`].
    pub entries: Vec<Entry>,
}

/// One series of a range query.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Time (ms since the Unix epoch) and value, by time; steps without a value are left out.
    pub points: Vec<(i64, f64)>,
}

/// One series of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value at the query's time.
    pub value: f64,
}

/// What a query answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a log query.
    Streams(Vec<Stream>),
    /// Of a metric query over a range; sorted by labels.
    Matrix(Vec<Series>),
    /// Of an instant metric query; sorted by labels unless the query sorts.
    Vector(Vec<Sample>),
    /// Of an instant query that is a number.
    Scalar(f64),
}

/// What a query read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines that reached the pipeline.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries returned.
    pub entries: u64,
}

/// The answer of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// What was read for it.
    pub stats: Stats,
}
