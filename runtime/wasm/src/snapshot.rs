//! An instance's state as one blob.
//!
//! ```text
//! "WEFTSNAP" | format: u16 | header length: u32 | header: JSON | body: zstd | xxh3-128 of all before
//! body = guest state | for each part of the header: Arrow IPC stream | 16-byte keys, one a row
//! ```
//! Numbers are little-endian. The header says who wrote it and the lengths of the body's pieces.

use crate::host::defer::keys_in;
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use weft_model::Signal;
use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 8] = b"WEFTSNAP";
/// The format this build writes, and the newest it reads.
const FORMAT: u16 = 1;
const SUM: usize = 16;
const FIXED: usize = MAGIC.len() + 2 + 4;
/// Snapshots are written every few seconds: the fastest level.
const ZSTD_LEVEL: i32 = 1;

/// Who wrote a snapshot, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) module: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    #[serde(default)]
    state_bytes: usize,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    signal: String,
    rows: usize,
    ipc_bytes: usize,
}

impl Header {
    pub(crate) fn new(module: &str, version: &str, digest: &str) -> Self {
        Self {
            module: module.to_owned(),
            version: version.to_owned(),
            digest: digest.to_owned(),
            state_bytes: 0,
            parts: Vec::new(),
        }
    }

    fn body_bytes(&self) -> Option<usize> {
        self.parts.iter().try_fold(self.state_bytes, |sum, part| {
            sum.checked_add(part.ipc_bytes)?.checked_add(part.rows.checked_mul(16)?)
        })
    }
}

/// A snapshot in its pieces.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) header: Header,
    pub(crate) state: Vec<u8>,
    /// Parked rows and their keys, by signal.
    pub(crate) deferred: Vec<(Signal, RecordBatch, Vec<u128>)>,
}

impl Snapshot {
    pub(crate) fn encode(self) -> Result<Vec<u8>, String> {
        let Self { mut header, state, deferred } = self;
        header.state_bytes = state.len();
        let mut body = state;
        for (signal, batch, keys) in deferred {
            let from = body.len();
            let mut writer = StreamWriter::try_new(&mut body, &batch.schema()).map_err(|error| error.to_string())?;
            writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| error.to_string())?;
            drop(writer);
            let part = Part { signal: signal.name().to_owned(), rows: keys.len(), ipc_bytes: body.len() - from };
            header.parts.push(part);
            body.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        let body = zstd::bulk::compress(&body, ZSTD_LEVEL).map_err(|error| error.to_string())?;
        let head = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
        let mut blob = Vec::with_capacity(FIXED + head.len() + body.len() + SUM);
        blob.extend_from_slice(MAGIC);
        blob.extend_from_slice(&FORMAT.to_le_bytes());
        blob.extend_from_slice(&(head.len() as u32).to_le_bytes());
        blob.extend_from_slice(&head);
        blob.extend_from_slice(&body);
        blob.extend_from_slice(&xxh3_128(&blob).to_le_bytes());
        Ok(blob)
    }

    pub(crate) fn decode(blob: &[u8]) -> Result<Self, String> {
        const CUT: &str = "the snapshot is damaged: it is cut off";
        if !blob.starts_with(MAGIC) {
            return Err("not a snapshot of a module".into());
        }
        let format = blob.get(8..10).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes).ok_or(CUT)?;
        if format > FORMAT {
            return Err(format!("the snapshot has format {format}, this weft reads up to {FORMAT}: use a newer weft"));
        }
        let (content, sum) = blob.split_at_checked(blob.len().saturating_sub(SUM)).ok_or(CUT)?;
        if xxh3_128(content).to_le_bytes() != sum {
            return Err("the snapshot is damaged: its checksum doesn't match".into());
        }
        let head = content.get(10..FIXED).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes).ok_or(CUT)?;
        let (head, body) = content[FIXED..].split_at_checked(head as usize).ok_or(CUT)?;
        let header: Header =
            serde_json::from_slice(head).map_err(|error| format!("the snapshot's header can't be read: {error}"))?;
        let bytes = header.body_bytes().ok_or("the snapshot's header can't be right")?;
        let body = zstd::bulk::decompress(body, bytes).map_err(|error| format!("the snapshot is damaged: {error}"))?;
        if body.len() != bytes {
            return Err(CUT.into());
        }
        let (state, mut rest) = body.split_at(header.state_bytes);
        let mut deferred = Vec::with_capacity(header.parts.len());
        for part in &header.parts {
            let signal: Signal = part.signal.parse()?;
            let (ipc, after) = rest.split_at(part.ipc_bytes);
            let (keys, after) = after.split_at(part.rows * 16);
            rest = after;
            let damaged = |error: arrow::error::ArrowError| format!("the snapshot's parked {signal}: {error}");
            let reader = StreamReader::try_new(ipc, None).map_err(damaged)?;
            let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(damaged)?;
            let schema = signal.schema();
            let batch = match batches.as_slice() {
                [batch] if batch.schema().fields() == schema.fields() && batch.num_rows() == part.rows => batch.clone(),
                [_] => return Err(format!("the snapshot's parked {signal} have another schema than this weft's")),
                _ => return Err(format!("the snapshot's parked {signal} are not one batch")),
            };
            deferred.push((signal, batch, keys_in(keys).collect()));
        }
        Ok(Self { state: state.to_vec(), header, deferred })
    }
}

#[cfg(test)]
mod tests;
