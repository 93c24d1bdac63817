#![allow(clippy::unwrap_used, reason = "tests")]

use super::{FORMAT, Header, Snapshot};
use crate::fixtures;
use weft_model::Signal;

fn snapshot() -> Snapshot {
    let rows = 10;
    let keys = (0..rows).map(|row| u128::from(row as u64) << 64 | 7).collect();
    Snapshot {
        header: Header::new("m", "1.2.3", "abcd"),
        state: b"state".to_vec(),
        deferred: vec![(Signal::Spans, fixtures::spans(rows), keys), (Signal::Logs, fixtures::logs(1), vec![9])],
    }
}

#[test]
fn a_snapshot_reads_back_as_it_was() {
    let blob = snapshot().encode().unwrap();
    let read = Snapshot::decode(&blob).unwrap();
    let written = snapshot();
    assert_eq!((read.header.module.as_str(), read.header.version.as_str()), ("m", "1.2.3"));
    assert_eq!(read.state, written.state);
    assert_eq!(read.deferred, written.deferred);
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed() {
    let blob = snapshot().encode().unwrap();
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x40;
        assert!(Snapshot::decode(&damaged).is_err(), "byte {at}");
        assert!(Snapshot::decode(&blob[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut blob = snapshot().encode().unwrap();
    blob[8..10].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    let error = Snapshot::decode(&blob).unwrap_err();
    assert!(error.contains("newer weft"), "{error}");
}
