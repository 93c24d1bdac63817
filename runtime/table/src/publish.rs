//! Ledger → Delta tables: every entry's files, several entries to a commit, each exactly once.
//!
//! Each commit carries `txn` (appId `weft`, version = last ledger entry it holds). A publisher adds
//! what lies after the `txn` of the version it builds on, and puts the next version if absent. If
//! somebody else was faster it reads that commit and starts again from *its* `txn`. So whatever
//! number of publishers run, crash or lose their answers, each entry is added by exactly one commit.
//!
//! A table that got no files isn't committed to for every entry; its `txn` is brought up to date once
//! it lags [`LAG`] entries, so that a new process never has to read far back and entries can be swept.

use crate::delta::{Line, Snapshot, TableLog, Turn, add_line, add_of, txn_line};
use crate::ledger::Ledger;
use crate::{Error, write::file_info};
use std::sync::Arc;
use weft_ledger::Entry;

/// Entries without files for a table after which its `txn` is moved on all the same.
const LAG: u64 = 100;

/// Brings a table up to the ledger's last entry. `flush` moves the `txn` on even without files.
pub(crate) async fn publish(
    log: &TableLog,
    ledger: &Ledger,
    last: u64,
    now_ms: i64,
    flush: bool,
) -> Result<Arc<Snapshot>, Error> {
    let current = log.current();
    if current.txn >= last {
        return Ok(current);
    }
    let mut turn = log.turn().await;
    let known = log.current().txn;
    let entries = match ledger.entries(known + 1..=last).await {
        Ok(entries) => entries,
        Err(error) => {
            // Swept: then this snapshot is so far behind that the commits after it may be gone too.
            turn.reload().await?;
            if log.current().txn <= known {
                return Err(error);
            }
            ledger.entries(log.current().txn + 1..=last).await?
        }
    };
    add(&mut turn, &entries, last, now_ms, flush).await
}

async fn add(
    turn: &mut Turn<'_>,
    entries: &[Arc<Entry>],
    last: u64,
    now_ms: i64,
    flush: bool,
) -> Result<Arc<Snapshot>, Error> {
    let first = entries.first().map_or(last + 1, |entry| entry.number);
    turn.commit("WRITE", |snapshot| {
        if snapshot.txn >= last {
            return Ok(None);
        }
        if snapshot.txn + 1 < first {
            let what = format!("the Delta log of {}", snapshot.table);
            return Err(Error::corrupt(what, format!("its txn went back to {} from {}", snapshot.txn, first - 1)));
        }
        let files = entries.iter().filter(|entry| entry.number > snapshot.txn).flat_map(|entry| &entry.files);
        let adds: Vec<Line> = files
            .filter(|file| file.table == snapshot.table)
            .map(|file| add_line(add_of(snapshot.table, &file_info(file), true)))
            .collect();
        if adds.is_empty() && !flush && last - snapshot.txn < LAG {
            return Ok(None);
        }
        let mut lines = vec![txn_line(last, now_ms)];
        lines.extend(adds);
        Ok(Some(lines))
    })
    .await
}
