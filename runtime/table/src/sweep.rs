//! Deletes what nothing names.
//!
//! # Why it is safe
//! - Candidates are listed **before** the ledger and the logs are read. A file that is committed
//!   after the listing is named by what is read afterwards, or its epoch is still in progress: then
//!   it is younger than the grace period, since [`crate::Config::commit_within`] refuses older epochs.
//! - A file that compaction or retention removed is still read by queries on older snapshots: its age
//!   is counted from the removal, which the log's tombstone tells.
//! - A module snapshot that was superseded is still read by a worker that read the ledger before: its
//!   age is counted from when its successor was written.
//! - A ledger entry goes only when a checkpoint covers it and all tables have published it; the
//!   newest checkpoint stays for ever ([`crate::ledger`] says why).

use crate::delta::TableLog;
use crate::ledger::Ledger;
use crate::write::Writer;
use crate::{Error, Hot, objects};
use futures::TryStreamExt;
use object_store::path::Path;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use weft_ledger::paths;
use weft_model::{Epoch, Table};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Data files.
    pub data_files: usize,
    /// Module snapshots.
    pub snapshots: usize,
    /// Ledger entries and checkpoints.
    pub ledger: usize,
    /// Delta commits and checkpoints.
    pub delta: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

struct Candidate {
    path: Path,
    modified_ms: i64,
    size: u64,
}

/// See [`crate::Tables::sweep`], which publishes before.
pub(crate) async fn sweep(
    writer: &Writer,
    hot: &Hot,
    ledger: &Ledger,
    logs: &[TableLog],
    older_than: Duration,
) -> Result<Swept, Error> {
    let old = writer.clock.now_millis() - i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
    let mut swept = Swept::default();
    // 1. What is there. Before anything that says what is needed.
    let own: HashSet<Epoch> = hot.uncommitted().into_iter().collect();
    let mut data = Vec::new();
    for table in Table::ALL {
        data.extend(list(writer, &paths::data_folder(table)).await?);
    }
    let snapshots = list(writer, paths::SNAPSHOTS).await?;
    // 2. What is needed: the tables, and entries that aren't in the tables yet.
    let state = ledger.refresh().await?;
    let mut named: HashSet<Path> = HashSet::new();
    let mut removed: HashMap<Path, i64> = HashMap::new();
    let mut published = state.next - 1;
    for log in logs {
        let snapshot = log.refresh().await?;
        named.extend(snapshot.files.iter().map(|file| file.path.clone()));
        removed.extend(snapshot.tombstones.iter().map(|gone| (gone.path.clone(), gone.removed_ms)));
        published = published.min(snapshot.txn);
    }
    for entry in ledger.entries(published + 1..=state.next - 1).await? {
        named.extend(entry.files.iter().map(|file| Path::from(file.path.as_str())));
    }
    named.extend(state.snapshots.values().map(|snapshot| Path::from(snapshot.path.as_str())));
    // 3. The difference.
    let successors = successors(&snapshots, &named);
    let unneeded = |candidate: &Candidate| {
        let path = candidate.path.as_ref();
        let epoch = Epoch::of_file(path).or_else(|| paths::snapshot_epoch(path));
        let removed_ms = removed.get(&candidate.path).copied().unwrap_or(0);
        let superseded_ms = successors.get(folder(path)).copied().unwrap_or(0);
        let unused_since = candidate.modified_ms.max(removed_ms).max(superseded_ms);
        !named.contains(&candidate.path) && !epoch.is_some_and(|epoch| own.contains(&epoch)) && unused_since <= old
    };
    swept.data_files = delete(writer, data.into_iter().filter(&unneeded).collect(), &mut swept.bytes).await?;
    swept.snapshots = delete(writer, snapshots.into_iter().filter(&unneeded).collect(), &mut swept.bytes).await?;
    // 4. The ledger's own past.
    ledger.checkpoint().await?;
    let newest = ledger.newest_checkpoint().await?.unwrap_or(0);
    let covered = |path: &Path| match (paths::entry_number(path.as_ref()), paths::checkpoint_number(path.as_ref())) {
        (Some(number), _) => number < newest && number <= published,
        (_, Some(next)) => next < newest,
        _ => false,
    };
    let past = list(writer, paths::LEDGER).await?;
    let past = past.into_iter().filter(|candidate| candidate.modified_ms <= old && covered(&candidate.path)).collect();
    swept.ledger = delete(writer, past, &mut swept.bytes).await?;
    // 5. The logs' own past.
    for log in logs {
        let (count, bytes) = log.clean().await?;
        swept.delta += count;
        swept.bytes += bytes;
    }
    Ok(swept)
}

/// When the snapshot was written that the ledger names now, by the folder of its partition and stage.
fn successors(snapshots: &[Candidate], named: &HashSet<Path>) -> HashMap<String, i64> {
    let current = snapshots.iter().filter(|candidate| named.contains(&candidate.path));
    current.map(|candidate| (folder(candidate.path.as_ref()).to_string(), candidate.modified_ms)).collect()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

async fn list(writer: &Writer, folder: &str) -> Result<Vec<Candidate>, Error> {
    let listed = writer.store.list(Some(&Path::from(folder))).map_ok(|meta| Candidate {
        path: meta.location,
        modified_ms: meta.last_modified.timestamp_millis(),
        size: meta.size,
    });
    listed.try_collect().await.map_err(Error::store(format!("list {folder}")))
}

async fn delete(writer: &Writer, victims: Vec<Candidate>, bytes: &mut u64) -> Result<usize, Error> {
    let count = victims.len();
    *bytes += victims.iter().map(|victim| victim.size).sum::<u64>();
    for victim in &victims {
        tracing::debug!(path = %victim.path, "deleting what nothing names");
    }
    objects::delete(writer.store.as_ref(), victims.into_iter().map(|victim| victim.path).collect()).await?;
    Ok(count)
}

#[cfg(test)]
mod tests;
