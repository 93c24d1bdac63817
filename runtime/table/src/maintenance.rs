//! Retention and compaction of one table.
//!
//! Both are Delta commits like any other: put if absent, decided anew on the newest snapshot when
//! another process was faster. Compaction commits `remove` and `add` with `dataChange = false`, and
//! only if every file it read is still in the table; else its output is deleted again. Publishers
//! only add, so they never make a compaction fail. Two processes that compact the same files do the
//! work twice and the slower one's is thrown away: run maintenance in one.
//!
//! # What is joined with what
//! Files much smaller than the target, of one time window and one size class (each four times the
//! one before): a row is rewritten once per class, not once per compaction. A joined file's name
//! carries no epoch, because it holds rows of many; [`crate::view`] says why none is needed.

use crate::delta::{Line, TableLog, add_line, add_of, remove_line, remove_of};
use crate::write::{Writer, day, file_info};
use crate::{Config, Error, FileInfo, merge, objects};
use object_store::PutMode;
use object_store::path::Path;
use std::collections::{BTreeMap, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;
use weft_ledger::{DataFile, paths};
use weft_model::Table;

/// What maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that retention removed.
    pub expired_files: usize,
    /// Files that compaction replaced.
    pub compacted_files: usize,
    /// Files that compaction wrote.
    pub written_files: usize,
}

impl AddAssign for Maintained {
    fn add_assign(&mut self, other: Self) {
        self.expired_files += other.expired_files;
        self.compacted_files += other.compacted_files;
        self.written_files += other.written_files;
    }
}

/// See [`crate::Tables::maintenance`].
pub(crate) async fn run(writer: &Writer, log: &TableLog) -> Result<Maintained, Error> {
    let snapshot = log.refresh().await?;
    let table = snapshot.table;
    let mut done = Maintained { expired_files: expire(writer, log, table).await?, ..Maintained::default() };
    if writer.config.compaction.enabled {
        for files in bins(&writer.config, &log.current().files) {
            if compact(writer, log, table, &files).await? {
                done.compacted_files += files.len();
                done.written_files += 1;
            }
        }
    }
    Ok(done)
}

async fn expire(writer: &Writer, log: &TableLog, table: Table) -> Result<usize, Error> {
    let Some(kept) = writer.config.retention.get(&table) else { return Ok(0) };
    let now_ms = writer.clock.now_millis();
    let oldest_ns = writer.clock.now_nanos().saturating_sub(i64::try_from(kept.as_nanos()).unwrap_or(i64::MAX));
    let mut count = 0;
    let mut turn = log.turn().await;
    turn.commit("DELETE", |snapshot| {
        let expired = snapshot.files.iter().filter(|file| file.stats.max_time_ns < oldest_ns);
        let lines: Vec<Line> = expired.map(|file| remove_line(remove_of(table, file, now_ms, true))).collect();
        count = lines.len();
        Ok((!lines.is_empty()).then_some(lines))
    })
    .await?;
    Ok(count)
}

/// Files to join, oldest first in each bin.
fn bins(config: &Config, files: &[Arc<FileInfo>]) -> Vec<Vec<Arc<FileInfo>>> {
    let config = &config.compaction;
    let window = i64::try_from(config.window.as_nanos()).unwrap_or(i64::MAX).max(1);
    let mut groups: BTreeMap<(i64, u32), Vec<Arc<FileInfo>>> = BTreeMap::new();
    for file in files {
        // Rows of unknown time or number are another writer's business.
        let small = file.size < config.target_bytes / 2 && file.rows > 0 && file.rows < config.target_rows / 2;
        if small && file.stats.max_time_ns != i64::MAX {
            let class = (file.size / 16_384).max(1).ilog2() / 2;
            groups.entry((file.stats.max_time_ns.div_euclid(window), class)).or_default().push(Arc::clone(file));
        }
    }
    let mut bins = Vec::new();
    for files in groups.into_values() {
        // In the order of their commits: the last write of a sample wins.
        let (mut bin, mut bytes, mut rows) = (Vec::new(), 0, 0);
        for file in files {
            if bytes + file.size > config.target_bytes || rows + file.rows > config.target_rows {
                bins.push(std::mem::take(&mut bin));
                (bytes, rows) = (0, 0);
            }
            bytes += file.size;
            rows += file.rows;
            bin.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.len() >= config.min_files.max(2));
    bins
}

/// Joins files into one and swaps it in. False when another process was there first.
pub(crate) async fn compact(
    writer: &Writer,
    log: &TableLog,
    table: Table,
    files: &[Arc<FileInfo>],
) -> Result<bool, Error> {
    let mut inputs = Vec::new();
    for file in files {
        match objects::get(writer.store.as_ref(), &file.path).await? {
            Some(bytes) => inputs.push((file.path.to_string(), bytes)),
            None if still_there(&log.refresh().await?.files, files) => {
                return Err(Error::corrupt(file.path.to_string(), "the table names it, but it doesn't exist"));
            }
            None => return Ok(false),
        }
    }
    let config = Arc::clone(&writer.config);
    let merged = tokio::task::spawn_blocking(move || merge::merge(table, &inputs, &config)).await;
    let merged = merged.map_err(|error| Error::Bug(format!("joining files was cut off: {error}")))??;
    let Some(merged) = merged else { return Ok(false) };
    let now_ms = writer.clock.now_millis();
    let path = paths::compacted_file(table, &day(now_ms), &uuid::Uuid::new_v4().to_string());
    let object = Path::from(path.as_str());
    let size = merged.bytes.len() as u64;
    objects::put(writer.store.as_ref(), &object, merged.bytes.into(), PutMode::Create).await?;
    let written = DataFile { table, path, size, rows: merged.rows, written_at_ms: now_ms, stats: merged.stats };
    let mut raced = false;
    let mut turn = log.turn().await;
    turn.commit("OPTIMIZE", |snapshot| {
        raced = !still_there(&snapshot.files, files);
        if raced {
            return Ok(None);
        }
        let removes = files.iter().map(|file| remove_line(remove_of(table, file, now_ms, false)));
        let add = add_line(add_of(table, &file_info(&written), false));
        Ok(Some(removes.chain([add]).collect()))
    })
    .await?;
    drop(turn);
    if raced {
        objects::delete(writer.store.as_ref(), vec![object]).await?;
    }
    Ok(!raced)
}

fn still_there(all: &[Arc<FileInfo>], wanted: &[Arc<FileInfo>]) -> bool {
    let paths: HashSet<&Path> = all.iter().map(|file| &file.path).collect();
    wanted.iter().all(|file| paths.contains(&file.path))
}

#[cfg(test)]
mod tests;
