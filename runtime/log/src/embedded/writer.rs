//! The one thread that writes. It takes whatever appends have queued up while it was busy, makes
//! them durable with one disk sync, publishes the partitions' new ends and only then answers.
//!
//! It also decides when memory tables go to sorted files (over all partitions, so that memory and
//! journals stay bounded however many there are), and opens the database anew after a failed
//! write: the engine refuses all writes after one, because it can't know what reached the disk.
//! Opening reads the journal back up to the last whole batch, so what was answered is there, and
//! the ends of the partitions are what is on disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use weft_model::Offset;

use super::{Partition, Shared};
use crate::Error;

/// The most one sync makes durable: past this, waiting for more only adds latency.
const GROUP_BYTES: usize = 16 << 20;
/// How long to leave the disk alone after opening anew failed.
const REOPEN_EVERY: Duration = Duration::from_millis(500);
/// Full memory tables waiting for the disk, over all partitions, before appends wait too.
const SEALED: usize = 4;

/// What the writer is asked to do.
pub(super) enum Job {
    /// Append `entries`: partition slot and stored form of each.
    Append { entries: Vec<(usize, Bytes)>, bytes: usize, answer: oneshot::Sender<Result<Vec<(i32, Offset)>, Error>> },
    /// Records of `slot` below `first` are needed no more.
    Trim { slot: usize, first: Offset, answer: oneshot::Sender<Result<(), Error>> },
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { bytes, .. } => *bytes,
            Self::Trim { .. } => 0,
        }
    }

    fn fail(self, error: Error) {
        // Nobody waiting any more is not an error: the future was dropped.
        match self {
            Self::Append { answer, .. } => drop(answer.send(Err(error))),
            Self::Trim { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    queued: Arc<AtomicUsize>,
    unsealed: Unsealed,
    /// When opening anew failed last, and how.
    broken: Option<(Instant, Error)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queued: Arc<AtomicUsize>) -> Self {
        let unsealed = Unsealed::measure(&shared);
        Self { shared, queued, unsealed, broken: None }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while bytes < GROUP_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.bytes();
                group.push(job);
            }
            self.write(group, bytes);
        }
    }

    fn write(&mut self, group: Vec<Job>, bytes: usize) {
        let partitions: Vec<Arc<Partition>> = self.shared.slots.read().clone();
        let mut ends: Vec<Option<Offset>> = vec![None; partitions.len()];
        let outcome = self.commit(&group, bytes, &partitions, &mut ends);
        // Before anyone is answered: who then appends again finds room.
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        if let Err(error) = outcome {
            tracing::warn!(%error, appends = group.len(), "the log could not write");
            for job in group {
                job.fail(error.clone());
            }
            return;
        }
        // Answers are numbered from where the group began; `next` still holds that.
        let mut offsets: Vec<Offset> = partitions.iter().map(|partition| *partition.next.borrow()).collect();
        for (partition, end) in partitions.iter().zip(&ends) {
            if let Some(end) = end {
                partition.next.send_replace(*end);
            }
        }
        for job in group {
            match job {
                Job::Append { entries, answer, .. } => {
                    let numbered = entries.iter().map(|(slot, _)| {
                        let offset = offsets[*slot];
                        offsets[*slot] += 1;
                        (partitions[*slot].tp.partition, offset)
                    });
                    let _ = answer.send(Ok(numbered.collect()));
                }
                Job::Trim { slot, first, answer } => {
                    partitions[slot].first.fetch_max(first, Ordering::Release);
                    let _ = answer.send(Ok(()));
                }
            }
        }
        self.seal();
    }

    /// One batch, one sync. `ends` gets the new end of each partition written to.
    fn commit(
        &mut self,
        group: &[Job],
        bytes: usize,
        partitions: &[Arc<Partition>],
        ends: &mut [Option<Offset>],
    ) -> Result<(), Error> {
        self.ensure_open()?;
        self.ensure_space(bytes)?;
        let outcome = self.wait_for_flushes(partitions.len()).and_then(|()| {
            let store = self.shared.store.read();
            let store = store.as_ref().ok_or(Error::Closed)?;
            let mut batch = store.batch(group.len());
            for job in group {
                match job {
                    Job::Append { entries, .. } => {
                        for (slot, stored) in entries {
                            let end = ends[*slot].get_or_insert_with(|| *partitions[*slot].next.borrow());
                            store.insert(&mut batch, *slot, *end, stored.clone())?;
                            *end += 1;
                            self.unsealed.add(*slot, stored.len());
                        }
                    }
                    Job::Trim { slot, first, .. } => store.insert_first(&mut batch, &partitions[*slot].tp, *first),
                }
            }
            store.commit(batch)
        });
        if outcome.is_err() {
            // At once, not at the next append: reads go on from a sound database.
            if let Err(error) = self.reopen() {
                tracing::error!(%error, "the log could not be opened anew; trying again with the next append");
            }
        }
        outcome
    }

    /// Opens anew what a failure has closed, unless that was tried a moment ago.
    fn ensure_open(&mut self) -> Result<(), Error> {
        match &self.broken {
            None => Ok(()),
            Some((when, error)) if when.elapsed() < REOPEN_EVERY => Err(error.clone()),
            Some(_) => self.reopen(),
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let outcome = self.shared.reopen();
        self.broken = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
        if outcome.is_ok() {
            self.unsealed = Unsealed::measure(&self.shared);
        }
        outcome
    }

    /// Refuses before the disk does: the engine survives a full disk only by being opened anew, and
    /// needs room to turn journals into sorted files.
    fn ensure_space(&self, bytes: usize) -> Result<(), Error> {
        let dir: &PathBuf = &self.shared.dir;
        // Unknown is no reason to refuse; a full disk still ends in an error of the write.
        let Ok(stat) = rustix::fs::statvfs(dir) else { return Ok(()) };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = self.shared.config.reserve_bytes.saturating_add(bytes as u64);
        if free < needed {
            let reason = format!("{free} bytes are free, {needed} needed");
            return Err(Error::DiskFull { dir: dir.clone(), reason });
        }
        Ok(())
    }

    /// Waits while the disk is behind. The engine would wait itself, but without ever looking
    /// whether its background thread has failed.
    fn wait_for_flushes(&self, slots: usize) -> Result<(), Error> {
        loop {
            {
                let store = self.shared.store.read();
                let store = store.as_ref().ok_or(Error::Closed)?;
                let mut total = 0;
                let mut most = 0;
                for slot in 0..slots {
                    let sealed = store.sealed(slot);
                    total += sealed;
                    most = most.max(sealed);
                }
                if most < 2 && total < SEALED {
                    return Ok(());
                }
                store.check()?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn seal(&mut self) {
        let store = self.shared.store.read();
        let Some(store) = store.as_ref() else { return };
        let budget = self.shared.config.memory_bytes / 3;
        while let Some(slot) = self.unsealed.next_to_seal(budget) {
            // A failure shows with the next commit, which opens the database anew.
            let outcome = store.seal(slot).and_then(|()| store.seal_meta());
            if let Err(error) = outcome {
                tracing::warn!(%error, "the log could not set a memory table aside");
            }
        }
    }
}

/// What each partition holds in memory only, and since when.
struct Unsealed {
    slots: Vec<Held>,
    total: u64,
    /// Bytes ever written, as a clock.
    written: u64,
}

#[derive(Clone, Copy, Default)]
struct Held {
    bytes: u64,
    since: u64,
}

impl Unsealed {
    /// As the database was found at start.
    fn measure(shared: &Shared) -> Self {
        let count = shared.slots.read().len();
        let store = shared.store.read();
        let bytes = |slot| store.as_ref().map_or(0, |store| store.unsealed_bytes(slot));
        let slots: Vec<Held> = (0..count).map(|slot| Held { bytes: bytes(slot), since: 0 }).collect();
        let total = slots.iter().map(|held| held.bytes).sum();
        Self { slots, total, written: 0 }
    }

    fn add(&mut self, slot: usize, bytes: usize) {
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Held::default());
        }
        let held = &mut self.slots[slot];
        if held.bytes == 0 {
            held.since = self.written;
        }
        held.bytes += bytes as u64;
        self.total += bytes as u64;
        self.written += bytes as u64;
    }

    /// The partition to write out next: the fullest while all together are over `budget`, or one
    /// that has held a little for so long that it keeps old journals from being deleted.
    fn next_to_seal(&mut self, budget: u64) -> Option<usize> {
        let stale = |held: &Held| held.bytes > 0 && self.written - held.since > 4 * budget;
        let slot = if self.total > budget {
            (0..self.slots.len()).max_by_key(|slot| self.slots[*slot].bytes)?
        } else {
            self.slots.iter().position(stale)?
        };
        self.total -= self.slots[slot].bytes;
        self.slots[slot].bytes = 0;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::Unsealed;

    fn empty() -> Unsealed {
        Unsealed { slots: Vec::new(), total: 0, written: 0 }
    }

    #[test]
    fn the_fullest_partition_is_written_out_first() {
        let mut unsealed = empty();
        unsealed.add(0, 30);
        unsealed.add(1, 60);
        unsealed.add(2, 20);
        assert_eq!(unsealed.next_to_seal(100), Some(1));
        assert_eq!(unsealed.next_to_seal(100), None);
    }

    #[test]
    fn a_quiet_partition_is_written_out_before_it_holds_up_many_journals() {
        let mut unsealed = empty();
        unsealed.add(0, 1);
        let mut sealed = Vec::new();
        for _ in 0..10 {
            unsealed.add(1, 60);
            sealed.extend(unsealed.next_to_seal(100));
        }
        assert!(sealed.contains(&0), "{sealed:?}");
    }
}
