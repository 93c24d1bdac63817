//! A record as stored: the value under its offset's key.
//!
//! ```text
//! u8 flags (1: has a key, 2: has headers) · i64 timestamp in ms
//! [u32 length, key]  [u32 count, count × (u32 length, name, u32 length, value)]  payload to the end
//! ```
//! Integers are little-endian. The storage engine checksums the whole, so nothing is checksummed
//! here; lengths are still checked, since a wrong one must not end in a panic.

use bytes::{Buf, Bytes};
use weft_model::Offset;

use crate::header_names::Names;
use crate::{NewRecord, Record};

const HAS_KEY: u8 = 1;
const HAS_HEADERS: u8 = 2;

/// The stored form of `record`; `now_ms` is its time if it has none.
pub(super) fn encode(record: &NewRecord, now_ms: i64) -> Bytes {
    let overhead = 17 + 8 * record.headers.len();
    let mut out = Vec::with_capacity(overhead + record.bytes());
    let has_headers = if record.headers.is_empty() { 0 } else { HAS_HEADERS };
    out.push(if record.key.is_some() { HAS_KEY } else { 0 } | has_headers);
    out.extend_from_slice(&record.timestamp_ms.unwrap_or(now_ms).to_le_bytes());
    if let Some(key) = &record.key {
        put(&mut out, key);
    }
    if !record.headers.is_empty() {
        out.extend_from_slice(&(record.headers.len() as u32).to_le_bytes());
        for (name, value) in &record.headers {
            put(&mut out, name.as_bytes());
            put(&mut out, value);
        }
    }
    out.extend_from_slice(&record.value);
    out.into()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Lengths fit: `Config::record_bytes` is capped far below 4 GiB.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The record stored as `stored`; its parts share the buffer. `None` when it isn't well-formed.
pub(super) fn decode(offset: Offset, mut stored: Bytes, names: &mut Names) -> Option<Record> {
    let flags = stored.try_get_u8().ok()?;
    let timestamp_ms = stored.try_get_i64_le().ok()?;
    if flags & !(HAS_KEY | HAS_HEADERS) != 0 {
        return None;
    }
    let key = if flags & HAS_KEY == 0 { None } else { Some(take(&mut stored)?) };
    let mut headers = Vec::new();
    if flags & HAS_HEADERS != 0 {
        let count = stored.try_get_u32_le().ok()? as usize;
        // Each takes eight bytes at least: a wrong count can't ask for more memory than there is.
        if count > stored.len() / 8 {
            return None;
        }
        headers.reserve_exact(count);
        for _ in 0..count {
            let name = take(&mut stored)?;
            let value = take(&mut stored)?;
            headers.push((names.intern(std::str::from_utf8(&name).ok()?), value));
        }
    }
    Some(Record { offset, timestamp_ms, key, value: stored, headers })
}

fn take(stored: &mut Bytes) -> Option<Bytes> {
    let length = stored.try_get_u32_le().ok()? as usize;
    (length <= stored.len()).then(|| stored.split_to(length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;

    use super::{decode, encode};
    use crate::NewRecord;
    use crate::header_names::Names;

    fn full() -> NewRecord {
        NewRecord {
            key: Some(Bytes::from_static(b"key")),
            headers: vec![("a".into(), Bytes::from_static(b"1")), ("a".into(), Bytes::new())],
            timestamp_ms: Some(-5),
            ..NewRecord::new("t", &b"payload"[..])
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for record in [
            full(),
            NewRecord::new("t", Bytes::new()),
            NewRecord { key: Some(Bytes::new()), ..NewRecord::new("t", &b"x"[..]) },
        ] {
            let read = decode(7, encode(&record, 42), &mut Names::default()).unwrap();
            assert_eq!(read.offset, 7);
            assert_eq!(read.timestamp_ms, record.timestamp_ms.unwrap_or(42));
            assert_eq!((read.key, read.value, read.headers), (record.key, record.value, record.headers));
        }
    }

    #[test]
    fn a_cut_or_garbled_record_is_refused_without_panic() {
        let stored = encode(&full(), 0);
        for cut in 0..stored.len() - b"payload".len() {
            assert!(decode(0, stored.slice(..cut), &mut Names::default()).is_none(), "cut at {cut}");
        }
        for position in 0..stored.len() {
            let mut garbled = stored.to_vec();
            garbled[position] = 0xff;
            // Either refused or read as something else; never a panic.
            let _ = decode(0, garbled.into(), &mut Names::default());
        }
    }
}
