//! A table's log in the store: load, refresh, commit.
//!
//! A commit puts version n+1 if absent. Whoever finds it taken reads it and decides anew, so
//! concurrent publishers and compactors of any number of processes are safe; inside a process they
//! take turns. A put whose answer was lost is recognised by the id in its `commitInfo`.
//!
//! A cached snapshot follows the log version by version: one GET that finds nothing says that it is
//! current. Old versions are cleaned up only long after a checkpoint (`Config::log_retention`);
//! a snapshot that wasn't refreshed for half as long is loaded anew, since "no such version" could
//! then mean that it was cleaned up.

use super::action::{self, CommitInfo, Line, MetaData, Protocol};
use super::snapshot::{Folding, Snapshot};
use super::{checkpoint, schema};
use crate::{Config, Error, objects};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use weft_env::Clock;
use weft_ledger::paths;
use weft_model::Table;

const LAST_CHECKPOINT: &str = "_last_checkpoint";
/// Times that others may be faster before a commit gives up.
const ATTEMPTS: usize = 64;
const CONCURRENT_READS: usize = 16;

/// The log of one table, with the newest snapshot seen.
#[derive(Debug)]
pub(crate) struct TableLog {
    table: Table,
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    checkpoint_commits: u64,
    retention_ms: i64,
    max_age_ms: i64,
    current: RwLock<Arc<Snapshot>>,
    /// Held by whoever reads or writes the log.
    turn: Mutex<Progress>,
    /// Counts refreshes begun: one begun after a caller asked serves that caller too.
    begun: AtomicU64,
}

#[derive(Debug)]
struct Progress {
    /// When the log was last known to have nothing newer, ms.
    current_at_ms: i64,
    /// The number of the refresh that found so.
    refreshed: u64,
}

/// The right to commit: nobody else of this process does meanwhile.
pub(crate) struct Turn<'a> {
    log: &'a TableLog,
    progress: MutexGuard<'a, Progress>,
}

impl TableLog {
    /// Opens a table, making it when absent and adding columns that are new in this version of weft.
    pub(crate) async fn open(
        table: Table,
        store: Arc<dyn ObjectStore>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let retention_ms = millis(config.log_retention.max(Duration::from_secs(600)));
        let now = clock.now_millis();
        let mut loaded = load(table, &store, now - retention_ms).await?;
        if loaded.is_none() {
            create(table, store.as_ref(), now).await?;
            loaded = load(table, &store, now - retention_ms).await?;
        }
        let snapshot = loaded
            .ok_or_else(|| Error::corrupt(format!("the Delta log of {table}"), "it was made but can't be found"))?;
        let log = Self {
            table,
            store,
            clock,
            checkpoint_commits: config.delta_checkpoint_commits.max(1),
            retention_ms,
            max_age_ms: millis(config.refresh),
            current: RwLock::new(Arc::new(snapshot)),
            turn: Mutex::new(Progress { current_at_ms: now, refreshed: 0 }),
            begun: AtomicU64::new(0),
        };
        log.evolve().await?;
        Ok(log)
    }

    /// The newest snapshot this process has seen.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// The newest snapshot there is (or, if so configured, was a moment ago).
    pub(crate) async fn refresh(&self) -> Result<Arc<Snapshot>, Error> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut turn = self.turn().await;
        let age = self.clock.now_millis() - turn.progress.current_at_ms;
        let fresh = self.max_age_ms > 0 && (0..self.max_age_ms).contains(&age);
        if turn.progress.refreshed <= asked && !fresh {
            turn.refresh().await?;
        }
        Ok(self.current())
    }

    /// Waits for the turn.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { log: self, progress: self.turn.lock().await }
    }

    async fn evolve(&self) -> Result<(), Error> {
        let wanted = wanted_schema(self.table)?;
        let table = self.table;
        let mut turn = self.turn().await;
        turn.commit("ADD COLUMNS", |snapshot| {
            let stored = &snapshot.metadata.schema_string;
            match schema::added_columns(stored, &wanted) {
                Some(added) if added.is_empty() => Ok(None),
                Some(added) => {
                    tracing::info!(%table, ?added, "adding columns to the table");
                    let metadata = MetaData { schema_string: wanted.clone(), ..snapshot.metadata.as_ref().clone() };
                    Ok(Some(vec![Line { meta_data: Some(metadata), ..Line::default() }]))
                }
                // Columns at the end that we don't know: a newer weft wrote them.
                None if schema::added_columns(&wanted, stored).is_some() => Ok(None),
                None => Err(Error::Unsupported {
                    table,
                    reason: "its columns are not those of this version of weft; use another location".into(),
                }),
            }
        })
        .await?;
        Ok(())
    }

    fn install(&self, snapshot: Snapshot) {
        *self.current.write() = Arc::new(snapshot);
    }

    fn forget_ms(&self) -> i64 {
        // Readers of other kinds (VACUUM, time travel) expect a week of tombstones by default.
        self.clock.now_millis() - self.retention_ms.max(7 * 24 * 3_600_000)
    }

    fn version_path(&self, version: u64) -> Path {
        version_path(self.table, version)
    }

    /// Deletes commits and checkpoints that are older than the retention and not needed to load the
    /// table any more. Answers how many objects and bytes.
    pub(crate) async fn clean(&self) -> Result<(usize, u64), Error> {
        let mut turn = self.turn().await;
        turn.refresh().await?;
        let listed = list(self.table, self.store.as_ref(), None).await?;
        let Some(newest) = listed.iter().filter_map(|(path, ..)| checkpoint_version(path)).max() else {
            return Ok((0, 0));
        };
        let old = self.clock.now_millis() - self.retention_ms;
        let superseded = |path: &Path| match (commit_version(path), checkpoint_version(path)) {
            (Some(version), _) | (_, Some(version)) => version < newest,
            _ => false,
        };
        let victims: Vec<_> =
            listed.into_iter().filter(|(path, modified_ms, _)| *modified_ms < old && superseded(path)).collect();
        let bytes = victims.iter().map(|(.., size)| size).sum();
        let count = victims.len();
        objects::delete(self.store.as_ref(), victims.into_iter().map(|(path, ..)| path).collect()).await?;
        Ok((count, bytes))
    }
}

impl Turn<'_> {
    /// Reads versions until there is no next. Answers the ids of the commits read.
    pub(crate) async fn refresh(&mut self) -> Result<Vec<String>, Error> {
        let log = self.log;
        let number = log.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let now = log.clock.now_millis();
        let mut ids = Vec::new();
        if now - self.progress.current_at_ms > log.retention_ms / 2 {
            self.reload().await?;
        }
        let current = log.current();
        let mut version = current.version;
        let mut folding = None;
        while let Some(json) = objects::get(log.store.as_ref(), &log.version_path(version + 1)).await? {
            version += 1;
            let lines = parse(log.table, version, &json)?;
            ids.extend(lines.iter().filter_map(|line| line.commit_info.as_ref()?.txn_id.clone()));
            folding.get_or_insert_with(|| Folding::of(&current)).fold(log.table, lines)?;
        }
        if let Some(folding) = folding {
            log.install(folding.finish(log.table, version, log.forget_ms())?);
        }
        self.progress.current_at_ms = now;
        self.progress.refreshed = number;
        Ok(ids)
    }

    /// Forgets the cached snapshot and loads the table from its newest checkpoint.
    pub(crate) async fn reload(&mut self) -> Result<(), Error> {
        let log = self.log;
        let loaded = load(log.table, &log.store, log.forget_ms()).await?;
        log.install(loaded.ok_or_else(|| Error::corrupt(format!("the Delta log of {}", log.table), "it is gone"))?);
        Ok(())
    }

    /// Commits what `build` makes of the newest snapshot; `None` is nothing to do. `build` runs again
    /// when another process was faster.
    pub(crate) async fn commit(
        &mut self,
        operation: &str,
        mut build: impl FnMut(&Snapshot) -> Result<Option<Vec<Line>>, Error>,
    ) -> Result<Arc<Snapshot>, Error> {
        let log = self.log;
        let id = uuid::Uuid::new_v4().to_string();
        // A snapshot seen lately is tried as it is: the put itself says whether it is the newest.
        if log.clock.now_millis() - self.progress.current_at_ms > 60_000 {
            self.refresh().await?;
        }
        for _ in 0..ATTEMPTS {
            let current = log.current();
            let Some(mut lines) = build(&current)? else { return Ok(current) };
            lines.insert(0, commit_info(operation, &id, log.clock.now_millis()));
            let path = log.version_path(current.version + 1);
            match objects::put(log.store.as_ref(), &path, action::to_json(&lines).into(), PutMode::Create).await {
                Ok(()) => {
                    let next = current.after(lines, log.forget_ms())?;
                    let version = next.version;
                    log.install(next);
                    if version % log.checkpoint_commits == 0 {
                        self.checkpoint().await;
                    }
                    return Ok(log.current());
                }
                Err(error) => {
                    // Taken, or unknown: the log tells.
                    let taken = objects::already_exists(&error);
                    if self.refresh().await?.contains(&id) {
                        return Ok(log.current());
                    }
                    if !taken && log.current().version == current.version {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::Contention { action: format!("commit to {}", log.table), attempts: ATTEMPTS })
    }

    /// Writes a checkpoint of the current version. A failure costs later readers time, not data.
    pub(crate) async fn checkpoint(&mut self) {
        if let Err(error) = self.try_checkpoint().await {
            tracing::warn!(table = %self.log.table, %error, "could not write a checkpoint of the Delta log");
        }
    }

    async fn try_checkpoint(&self) -> Result<(), Error> {
        let log = self.log;
        let snapshot = log.current();
        let version = snapshot.version;
        let files = snapshot.files.len();
        let (bytes, rows) = checkpoint::encode(&snapshot)?;
        let size = bytes.len();
        let path = log_path(log.table, &format!("{version:020}.checkpoint.parquet"));
        objects::put(log.store.as_ref(), &path, bytes.into(), PutMode::Overwrite).await?;
        let hint = serde_json::json!({ "version": version, "size": rows, "sizeInBytes": size, "numOfAddFiles": files });
        let path = log_path(log.table, LAST_CHECKPOINT);
        objects::put(log.store.as_ref(), &path, hint.to_string().into_bytes().into(), PutMode::Overwrite).await
    }
}

fn commit_info(operation: &str, id: &str, now_ms: i64) -> Line {
    let info = CommitInfo {
        timestamp: now_ms,
        operation: operation.into(),
        operation_parameters: BTreeMap::new(),
        engine_info: concat!("weft/", env!("CARGO_PKG_VERSION")).into(),
        txn_id: Some(id.into()),
    };
    Line { commit_info: Some(info), ..Line::default() }
}

fn wanted_schema(table: Table) -> Result<String, Error> {
    schema::schema_string(&table.schema())
        .ok_or_else(|| Error::Bug(format!("the schema of {table} has a type that Delta doesn't know")))
}

async fn create(table: Table, store: &dyn ObjectStore, now_ms: i64) -> Result<(), Error> {
    let metadata = MetaData {
        id: uuid::Uuid::new_v4().to_string(),
        name: Some(table.name().into()),
        description: None,
        format: action::Format::default(),
        schema_string: wanted_schema(table)?,
        partition_columns: Vec::new(),
        created_time: Some(now_ms),
        configuration: BTreeMap::new(),
    };
    let lines = [
        commit_info("CREATE TABLE", &uuid::Uuid::new_v4().to_string(), now_ms),
        Line { protocol: Some(Protocol { min_reader_version: 1, min_writer_version: 2 }), ..Line::default() },
        Line { meta_data: Some(metadata), ..Line::default() },
    ];
    match objects::put(store, &version_path(table, 0), action::to_json(&lines).into(), PutMode::Create).await {
        // Made by another process a moment ago.
        Err(error) if objects::already_exists(&error) => Ok(()),
        other => other,
    }
}

/// `None` when the table doesn't exist.
async fn load(table: Table, store: &Arc<dyn ObjectStore>, forget_ms: i64) -> Result<Option<Snapshot>, Error> {
    // The hint may be behind, or name a checkpoint that was cleaned up: then everything is listed.
    let hinted = match objects::get(store.as_ref(), &log_path(table, LAST_CHECKPOINT)).await? {
        Some(json) => serde_json::from_slice::<serde_json::Value>(&json).ok().and_then(|hint| hint["version"].as_u64()),
        None => None,
    };
    if let Some(version) = hinted {
        let listed = list(table, store.as_ref(), Some(version)).await?;
        if let Some(snapshot) = fold(table, store, Some(version), &listed, forget_ms).await? {
            return Ok(Some(snapshot));
        }
    }
    let listed = list(table, store.as_ref(), None).await?;
    let newest = listed.iter().filter_map(|(path, ..)| checkpoint_version(path)).max();
    if newest.is_none() && !listed.iter().any(|(path, ..)| commit_version(path).is_some()) {
        return Ok(None);
    }
    let snapshot = fold(table, store, newest, &listed, forget_ms).await?;
    let gap =
        || Error::corrupt(format!("the Delta log of {table}"), "versions are missing and no checkpoint covers them");
    snapshot.ok_or_else(gap).map(Some)
}

/// Checkpoint plus later commits; `None` when the checkpoint or a commit is missing.
async fn fold(
    table: Table,
    store: &Arc<dyn ObjectStore>,
    checkpoint: Option<u64>,
    listed: &[(Path, i64, u64)],
    forget_ms: i64,
) -> Result<Option<Snapshot>, Error> {
    let mut folding = Folding::default();
    if let Some(version) = checkpoint {
        let path = log_path(table, &format!("{version:020}.checkpoint.parquet"));
        let Some(bytes) = objects::get(store.as_ref(), &path).await? else { return Ok(None) };
        folding.fold(table, checkpoint::decode(path.as_ref(), bytes)?)?;
    }
    let first = checkpoint.map_or(0, |version| version + 1);
    let mut versions: Vec<u64> =
        listed.iter().filter_map(|(path, ..)| commit_version(path)).filter(|version| *version >= first).collect();
    versions.sort_unstable();
    if versions.iter().zip(first..).any(|(found, expected)| *found != expected) {
        return Ok(None);
    }
    let commits: Vec<(u64, Option<Bytes>)> = stream::iter(versions)
        .map(|version| async move {
            let json = objects::get(store.as_ref(), &version_path(table, version)).await?;
            Ok::<_, Error>((version, json))
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let mut last = checkpoint;
    for (version, json) in commits {
        let Some(json) = json else { return Ok(None) };
        folding.fold(table, parse(table, version, &json)?)?;
        last = Some(version);
    }
    last.map(|version| folding.finish(table, version, forget_ms)).transpose()
}

fn parse(table: Table, version: u64, json: &[u8]) -> Result<Vec<Line>, Error> {
    action::from_json(json).map_err(|error| Error::corrupt(version_path(table, version).as_ref(), error))
}

/// Path, modification time (ms) and size of the log's files, from a version on if given.
async fn list(table: Table, store: &dyn ObjectStore, from: Option<u64>) -> Result<Vec<(Path, i64, u64)>, Error> {
    let prefix = log_path(table, "");
    let listed = match from {
        None => store.list(Some(&prefix)),
        Some(version) => store.list_with_offset(Some(&prefix), &version_path(table, version)),
    };
    listed
        .map_ok(|meta| (meta.location, meta.last_modified.timestamp_millis(), meta.size))
        .try_collect()
        .await
        .map_err(Error::store(format!("list {prefix}")))
}

fn commit_version(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn checkpoint_version(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".checkpoint.parquet")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn log_path(table: Table, file: &str) -> Path {
    Path::from(paths::delta_log(table, file))
}

fn version_path(table: Table, version: u64) -> Path {
    log_path(table, &format!("{version:020}.json"))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
