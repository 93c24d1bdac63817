//! Settings of a worker. Durations are written `"10s"`.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Settings; every field has a default that suits production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Consumer group: workers of one group share the partitions.
    pub group: String,
    /// Folder of modules: a stage's module `x` is its file `x.wasm`.
    pub modules: PathBuf,
    /// An epoch ends at the latest after this time. A topology's own setting goes before it.
    #[serde(with = "duration")]
    pub epoch_interval: Duration,
    /// An epoch ends at the latest when its rows hold this many bytes in memory. A topology's own
    /// setting goes before it.
    pub epoch_bytes: u64,
    /// No more is read while hot rows hold more bytes than this. Above `epoch_bytes`, so that one
    /// epoch can be written while the next fills.
    pub hot_bytes: u64,
    /// Time between two ticks of a partition's modules.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// Most records read at once from a partition.
    pub read_records: usize,
    /// About how many bytes are read at once from a partition.
    pub read_bytes: usize,
    /// Longest wait for the first record; reading answers as soon as there is one.
    #[serde(with = "duration")]
    pub read_wait: Duration,
    /// Rows at which a batch is full; a single message may hold more.
    pub batch_rows: usize,
    /// The longest wait between two attempts while store or log fail.
    #[serde(with = "duration")]
    pub retry_most: Duration,
    /// How long shutting down may take to commit what is pending. What isn't is read again at the
    /// next start.
    #[serde(with = "duration")]
    pub shutdown_within: Duration,
    /// Records behind the ledger that the embedded log keeps of each partition.
    pub trim_margin: i64,
    /// Time between two looks at how far the log's ends are ahead.
    #[serde(with = "duration")]
    pub lag_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            group: "weft".to_owned(),
            modules: PathBuf::from("modules"),
            epoch_interval: Duration::from_secs(10),
            epoch_bytes: 128 << 20,
            hot_bytes: 192 << 20,
            tick: Duration::from_secs(1),
            read_records: 10_000,
            read_bytes: 4 << 20,
            read_wait: Duration::from_millis(100),
            batch_rows: 32 * 1024,
            retry_most: Duration::from_secs(10),
            shutdown_within: Duration::from_secs(30),
            trim_margin: 1_000,
            lag_interval: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Refuses what can't work.
    ///
    /// # Errors
    /// Says which setting and why.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |why: &str| Err(Error::Config(why.to_owned()));
        if self.hot_bytes <= self.epoch_bytes {
            return bad("hot_bytes must be above epoch_bytes: otherwise reading stops before an epoch is full");
        }
        if self.epoch_interval.is_zero() || self.tick.is_zero() || self.lag_interval.is_zero() {
            return bad("epoch_interval, tick and lag_interval must be above 0");
        }
        if self.read_records == 0 || self.read_bytes == 0 || self.batch_rows == 0 {
            return bad("read_records, read_bytes and batch_rows must be above 0");
        }
        if self.group.is_empty() {
            return bad("group must not be empty");
        }
        Ok(())
    }
}

/// `"10s"` and back, for serde's `with`.
mod duration {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| D::Error::custom(format!("'{text}' is no duration: {error}")))
    }
}
