//! Every object path of weft's store, relative to its root. `/` separates; nothing needs escaping
//! in a URL.
//!
//! ```text
//! _ledger/00000000000000000042.json              entry 42
//! _ledger/checkpoint/00000000000000000101.json   entries 1 to 100 folded
//! _snapshots/<topic>/<partition>/<stage>/<epoch>.bin
//! <table>/_delta_log/00000000000000000007.json   version 7 of a table
//! <table>/data/2026-11-22/<epoch>-000.parquet    a data file
//! <table>/data/2026-11-22/compacted-<uuid>.parquet
//! ```

use weft_model::{Epoch, Table, TopicPartition};

/// Folder of entries and checkpoints.
pub const LEDGER: &str = "_ledger";
/// Folder of checkpoints.
pub const CHECKPOINTS: &str = "_ledger/checkpoint";
/// Folder of module snapshots.
pub const SNAPSHOTS: &str = "_snapshots";

/// An entry.
pub fn entry(number: u64) -> String {
    format!("{LEDGER}/{number:020}.json")
}

/// The number of an entry's path; `None` for other objects.
pub fn entry_number(path: &str) -> Option<u64> {
    numbered(path.strip_prefix(LEDGER)?.strip_prefix('/')?)
}

/// The checkpoint before entry `next`.
pub fn checkpoint(next: u64) -> String {
    format!("{CHECKPOINTS}/{next:020}.json")
}

/// The entry that a checkpoint's path stands before; `None` for other objects.
pub fn checkpoint_number(path: &str) -> Option<u64> {
    numbered(path.strip_prefix(CHECKPOINTS)?.strip_prefix('/')?)
}

fn numbered(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A module snapshot of an epoch.
pub fn snapshot(partition: &TopicPartition, stage: &str, epoch: &Epoch) -> String {
    format!("{SNAPSHOTS}/{}/{}/{}/{epoch}.bin", escape(&partition.topic), partition.partition, escape(stage))
}

/// The epoch that wrote a snapshot, by its path.
pub fn snapshot_epoch(path: &str) -> Option<Epoch> {
    let (worker, sequence) = path.rsplit('/').next()?.strip_suffix(".bin")?.split_once('-')?;
    Some(Epoch { worker: worker.into(), sequence: sequence.parse().ok()? })
}

/// Folder of a table's data files.
pub fn data_folder(table: Table) -> String {
    format!("{}/data", table.name())
}

/// A data file of an epoch; `day` is the UTC date of writing, `2026-11-22`: folders of a day keep
/// listings short, they mean nothing to readers.
pub fn data_file(table: Table, day: &str, epoch: &Epoch, part: usize) -> String {
    format!("{}/data/{day}/{}", table.name(), epoch.file_name(part))
}

/// A file that compaction wrote. Its name carries no epoch: it may hold rows of many.
pub fn compacted_file(table: Table, day: &str, id: &str) -> String {
    format!("{}/data/{day}/compacted-{id}.parquet", table.name())
}

/// A file of a table's Delta log.
pub fn delta_log(table: Table, file: &str) -> String {
    format!("{}/_delta_log/{file}", table.name())
}

/// Bytes outside `[A-Za-z0-9_.-]` become `=XX`: topics and stages are named by users. A leading dot
/// too, so that `.` and `..` can't occur.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if index == 0 => out.push_str("=2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("={byte:02X}")),
        }
    }
    if out.is_empty() { "=".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        assert_eq!(entry_number(&entry(42)), Some(42));
        assert_eq!(checkpoint_number(&checkpoint(101)), Some(101));
        assert_eq!(entry_number(&checkpoint(101)), None);
        assert_eq!(entry_number("_ledger/0042.json"), None);
        let epoch = Epoch { worker: "0123456789abcdef0123456789abcdef".into(), sequence: 3 };
        let path = snapshot(&TopicPartition::new("t", 0), "tail", &epoch);
        assert_eq!(snapshot_epoch(&path), Some(epoch.clone()));
        assert_eq!(Epoch::of_file(&data_file(Table::Spans, "2026-11-22", &epoch, 1)), Some(epoch));
        assert_eq!(Epoch::of_file(&compacted_file(Table::Spans, "2026-11-22", "1-2-3")), None);
    }

    #[test]
    fn names_of_users_cannot_leave_their_folder() {
        let epoch = Epoch { worker: "w".into(), sequence: 1 };
        let path = snapshot(&TopicPartition::new("../a/b c", 0), "..", &epoch);
        assert_eq!(path, "_snapshots/=2E./a=2Fb=20c/0/=2E./w-00000001.bin".replace("=2E./a", "=2E.=2Fa"));
        assert_ne!(escape("a/b"), escape("a=2Fb"));
        assert_eq!(escape(""), "=");
    }
}
