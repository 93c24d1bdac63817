//! The actions of a commit, one JSON object a line.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `appId` of weft's `txn` actions: their version is the last ledger entry published.
pub(crate) const APP_ID: &str = "weft";

/// One line: exactly one field is set. Actions weft doesn't know are skipped; the protocol action
/// says whether that is safe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit_info: Option<CommitInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meta_data: Option<MetaData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remove: Option<Remove>,
}

/// Who committed, and a unique id by which a writer recognises its own commit when the answer to
/// its put was lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    pub(crate) timestamp: i64,
    pub(crate) operation: String,
    pub(crate) operation_parameters: BTreeMap<String, serde_json::Value>,
    pub(crate) engine_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaData {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

impl Default for Format {
    fn default() -> Self {
        Self { provider: "parquet".into(), options: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    /// From the table's folder, URL-encoded.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    pub(crate) size: u64,
    pub(crate) modification_time: i64,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    /// As in the file's [`Add`].
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

pub(crate) fn add_line(add: Add) -> Line {
    Line { add: Some(add), ..Line::default() }
}

pub(crate) fn remove_line(remove: Remove) -> Line {
    Line { remove: Some(remove), ..Line::default() }
}

pub(crate) fn txn_line(version: u64, now_ms: i64) -> Line {
    let txn = Txn { app_id: APP_ID.into(), version, last_updated: Some(now_ms) };
    Line { txn: Some(txn), ..Line::default() }
}

/// A commit as stored.
pub(crate) fn to_json(lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 512);
    for line in lines {
        // Serialising plain data into memory can't fail: all map keys are strings.
        let _ = serde_json::to_writer(&mut out, line);
        out.push(b'\n');
    }
    out
}

/// Reads a stored commit.
pub(crate) fn from_json(json: &[u8]) -> Result<Vec<Line>, serde_json::Error> {
    json.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).map(serde_json::from_slice).collect()
}
