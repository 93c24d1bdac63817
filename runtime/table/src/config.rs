//! Settings of the tables. Durations are written `"10s"`, `"30days"`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use weft_model::Table;

/// Settings; every field has a default that suits production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Options of the object store, as `object_store` names them (`aws_endpoint`, `aws_region`,
    /// `aws_access_key_id`, `google_service_account`, `azure_storage_account_key`, …). They go before
    /// the environment's (`AWS_ENDPOINT` and so on).
    pub options: BTreeMap<String, String>,
    /// Zstandard level of Parquet pages, 1 to 22.
    pub zstd_level: i32,
    /// Rows per row group of logs, spans and dead letters.
    pub row_group_rows: usize,
    /// Rows (series) per row group of metrics.
    pub metrics_row_group_rows: usize,
    /// Delta commits between two checkpoints of a table's log.
    pub delta_checkpoint_commits: u64,
    /// How long superseded Delta commits, and the names of removed files, are kept.
    #[serde(with = "duration")]
    pub log_retention: Duration,
    /// Ledger entries between two checkpoints of the ledger.
    pub ledger_checkpoint_entries: u64,
    /// How long after writing an epoch's first file it may still be committed. A sweep's grace period
    /// must be longer than this plus the difference between the clocks of workers and store.
    #[serde(with = "duration")]
    pub commit_within: Duration,
    /// A view may rest on a snapshot of a table that is this old; 0 looks for newer ones each time.
    /// Rows of this process are always seen at once.
    #[serde(with = "duration")]
    pub refresh: Duration,
    /// How long rows of each table are kept, by its name; tables not named keep theirs for ever.
    #[serde(with = "retention")]
    pub retention: BTreeMap<Table, Duration>,
    /// Joining small files into larger ones.
    pub compaction: Compaction,
}

/// When and how far files are joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    /// Whether [`crate::Tables::maintenance`] compacts at all.
    pub enabled: bool,
    /// Files this big are left alone; joined files end up near it, bytes on disk.
    pub target_bytes: u64,
    /// Rows at which a joined file is full, whatever its bytes: bounds the memory of joining.
    pub target_rows: u64,
    /// Fewer small neighbours in time than this are not worth rewriting.
    pub min_files: usize,
    /// Files are joined within windows of this length, so that retention and time ranges stay sharp.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            options: BTreeMap::new(),
            zstd_level: 1,
            row_group_rows: 128 * 1024,
            metrics_row_group_rows: 32 * 1024,
            delta_checkpoint_commits: 100,
            log_retention: Duration::from_secs(24 * 3600),
            ledger_checkpoint_entries: 100,
            commit_within: Duration::from_secs(30 * 60),
            refresh: Duration::ZERO,
            retention: BTreeMap::new(),
            compaction: Compaction::default(),
        }
    }
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            enabled: true,
            target_bytes: 64 << 20,
            target_rows: 1_000_000,
            min_files: 8,
            window: Duration::from_secs(2 * 3600),
        }
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

/// `{ logs: "30days" }` and back, for serde's `with`.
mod retention {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::collections::BTreeMap;
    use std::time::Duration;
    use weft_model::Table;

    pub(super) fn serialize<S: Serializer>(kept: &BTreeMap<Table, Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(kept.iter().map(|(table, kept)| (table.name(), humantime::format_duration(*kept).to_string())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Table, Duration>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut kept = BTreeMap::new();
        for (table, text) in texts {
            let table: Table = table.parse().map_err(D::Error::custom)?;
            let duration = humantime::parse_duration(&text)
                .map_err(|error| D::Error::custom(format!("retention of {table}: '{text}' is no duration: {error}")))?;
            kept.insert(table, duration);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn settings_read_back_as_written() {
        let config =
            Config { retention: BTreeMap::from([(Table::Logs, Duration::from_secs(86_400))]), ..Config::default() };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert!(serde_json::from_str::<Config>(r#"{"retention":{"log":"1day"}}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"zstd":1}"#).is_err());
    }
}
