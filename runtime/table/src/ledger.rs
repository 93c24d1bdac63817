//! The ledger in the store: entries by put-if-absent, the folded state cached, checkpoints.
//!
//! # Numbers must not be won twice
//! Entries are deleted some time after a checkpoint covers them ([`crate::Tables::sweep`]). A worker
//! whose cached state is older than that would find the number it believes to be next absent again,
//! and its put would succeed without meaning anything. So:
//! - a refresh lists the checkpoints first and starts anew from the newest if that is ahead;
//! - after a put that succeeded the checkpoints are listed again: if one covers the number, the put
//!   was void. A sweep deletes an entry only once a checkpoint covering it is durable, and the newest
//!   checkpoint is never deleted, so a put into a swept number always sees that checkpoint.
//!
//! # Lost answers
//! A put may succeed though its answer is an error, and stores retry inside, so "already exists" may
//! mean ourselves. Entries carry worker and epoch: after either answer the ledger is read on, and
//! [`decide`] recognises the epoch.

use crate::{Config, Error, Hot, objects};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex as TurnMutex;
use weft_env::Clock;
use weft_ledger::{Checkpoint, Decision, Entry, Proposed, State, decide, paths};

/// Races that may be lost before a commit gives up: each lost race is somebody else's epoch.
const ATTEMPTS: usize = 256;
const CONCURRENT_READS: usize = 16;
/// Entries kept in memory after they were read or written.
const REMEMBERED: usize = 1024;

/// The ledger of a deployment.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    checkpoint_entries: u64,
    commit_within_ms: i64,
    cached: Mutex<Cached>,
    /// One refresh or commit of this process at a time.
    turn: TurnMutex<()>,
}

#[derive(Debug, Default)]
struct Cached {
    state: Arc<State>,
    entries: BTreeMap<u64, Arc<Entry>>,
}

impl Ledger {
    /// Opens the ledger and reads it.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let ledger = Self {
            store,
            clock,
            checkpoint_entries: config.ledger_checkpoint_entries.max(1),
            commit_within_ms: i64::try_from(config.commit_within.as_millis()).unwrap_or(i64::MAX),
            cached: Mutex::default(),
            turn: TurnMutex::new(()),
        };
        ledger.refresh().await?;
        Ok(ledger)
    }

    /// The state as last seen.
    pub(crate) fn cached(&self) -> Arc<State> {
        Arc::clone(&self.cached.lock().state)
    }

    /// The state as it is.
    pub(crate) async fn refresh(&self) -> Result<Arc<State>, Error> {
        let _turn = self.turn.lock().await;
        self.refresh_in_turn().await
    }

    async fn refresh_in_turn(&self) -> Result<Arc<State>, Error> {
        if self.newest_checkpoint().await?.is_some_and(|next| next > self.cached().next) {
            self.load().await?;
        }
        // Entries were found absent one by one before, so usually this is one read.
        while let Some(json) = self.read(self.cached().next).await? {
            self.apply(&json)?;
        }
        Ok(self.cached())
    }

    /// From the newest checkpoint, and what a listing shows after it.
    async fn load(&self) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let Some(newest) = self.newest_checkpoint().await? else { return Ok(()) };
            let path = Path::from(paths::checkpoint(newest));
            // Superseded and swept between listing and reading: list again.
            let Some(json) = objects::get(self.store.as_ref(), &path).await? else { continue };
            let state = State::from(Checkpoint::from_json(newest, &json)?);
            let numbers = self.numbers_from(newest).await?;
            {
                let mut cached = self.cached.lock();
                cached.state = Arc::new(state);
                cached.entries.clear();
            }
            // The listing shows how far to read ahead; the caller reads on one by one behind it.
            let contiguous: Vec<u64> =
                numbers.into_iter().zip(newest..).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
            let entries = stream::iter(contiguous).map(|number| self.read(number)).buffered(CONCURRENT_READS);
            let entries: Vec<_> = entries.try_collect().await?;
            for json in entries.into_iter().map_while(|json| json) {
                self.apply(&json)?;
            }
            return Ok(());
        }
        Err(Error::Contention { action: "read the newest ledger checkpoint".into(), attempts: ATTEMPTS })
    }

    async fn read(&self, number: u64) -> Result<Option<Entry>, Error> {
        let path = Path::from(paths::entry(number));
        let json = objects::get(self.store.as_ref(), &path).await?;
        Ok(json.map(|json| Entry::from_json(number, &json)).transpose()?)
    }

    fn apply(&self, entry: &Entry) -> Result<(), Error> {
        let mut cached = self.cached.lock();
        Arc::make_mut(&mut cached.state).apply(entry)?;
        cached.entries.insert(entry.number, Arc::new(entry.clone()));
        while cached.entries.len() > REMEMBERED {
            cached.entries.pop_first();
        }
        Ok(())
    }

    /// The entry of a number that is below the state's next; `None` when it was swept.
    pub(crate) async fn entry(&self, number: u64) -> Result<Option<Arc<Entry>>, Error> {
        let known = self.cached.lock().entries.get(&number).cloned();
        match known {
            Some(entry) => Ok(Some(entry)),
            None => Ok(self.read(number).await?.map(Arc::new)),
        }
    }

    /// Entries of a range of numbers, in order.
    pub(crate) async fn entries(&self, numbers: std::ops::RangeInclusive<u64>) -> Result<Vec<Arc<Entry>>, Error> {
        stream::iter(numbers)
            .map(|number| async move {
                let gone = || Error::corrupt(paths::entry(number), "it is gone though it isn't published everywhere");
                self.entry(number).await?.ok_or_else(gone)
            })
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await
    }

    /// Makes an epoch the next entry; see [`crate::Tables::commit`].
    pub(crate) async fn commit(&self, proposed: &Proposed, hot: &Hot) -> Result<u64, Error> {
        proposed.check()?;
        let _turn = self.turn.lock().await;
        let number = self.commit_in_turn(proposed, hot).await?;
        hot.committed(&proposed.epoch, number);
        Ok(number)
    }

    async fn commit_in_turn(&self, proposed: &Proposed, hot: &Hot) -> Result<u64, Error> {
        let mut refreshed = false;
        for _ in 0..ATTEMPTS {
            let number = match decide(&self.cached(), proposed) {
                Decision::Committed { number } => return Ok(number),
                Decision::Commit { number } => number,
                // Only a state that is up to date can fence.
                Decision::Fenced { .. } if !refreshed => {
                    self.refresh_in_turn().await?;
                    refreshed = true;
                    continue;
                }
                Decision::Fenced { partitions } => return Err(Error::Fenced { partitions }),
            };
            self.check_age(proposed)?;
            let entry = proposed.entry(number, self.clock.now_millis());
            // Before the put: a view must never take `Open` for "not in the ledger" afterwards.
            hot.attempting(&proposed.epoch, number);
            let path = Path::from(paths::entry(number));
            match objects::put(self.store.as_ref(), &path, entry.to_json().into(), PutMode::Create).await {
                Ok(()) => {
                    if self.newest_checkpoint().await?.is_some_and(|next| next > number) {
                        tracing::warn!(
                            number,
                            "a ledger entry was put under a number that was swept; reading the ledger anew"
                        );
                        self.refresh_in_turn().await?;
                        continue;
                    }
                    self.apply(&entry)?;
                    if number % self.checkpoint_entries == 0
                        && let Err(error) = self.checkpoint().await
                    {
                        tracing::warn!(%error, "could not write a checkpoint of the ledger");
                    }
                    return Ok(number);
                }
                Err(error) => {
                    let taken = objects::already_exists(&error);
                    let state = self.refresh_in_turn().await?;
                    refreshed = true;
                    if !taken && state.next == number {
                        // Not written, or not yet: the same proposal can be committed again later.
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::Contention { action: format!("commit epoch {}", proposed.epoch), attempts: ATTEMPTS })
    }

    /// Refuses epochs whose files a sweep may have taken for litter.
    fn check_age(&self, proposed: &Proposed) -> Result<(), Error> {
        let Some(oldest) = proposed.files.iter().map(|file| file.written_at_ms).min() else { return Ok(()) };
        let age_ms = self.clock.now_millis() - oldest;
        if age_ms > self.commit_within_ms {
            return Err(Error::Expired { epoch: proposed.epoch.clone(), age_seconds: age_ms / 1000 });
        }
        Ok(())
    }

    /// Writes the cached state down, if it isn't yet.
    pub(crate) async fn checkpoint(&self) -> Result<(), Error> {
        let state = self.cached();
        if state.next == 1 {
            return Ok(());
        }
        let path = Path::from(paths::checkpoint(state.next));
        let json = Checkpoint::from(state.as_ref()).to_json();
        match objects::put(self.store.as_ref(), &path, json.into(), PutMode::Create).await {
            Err(error) if objects::already_exists(&error) => Ok(()),
            other => other,
        }
    }

    /// What the newest checkpoint stands before.
    pub(crate) async fn newest_checkpoint(&self) -> Result<Option<u64>, Error> {
        let listed: Vec<_> = self.list(paths::CHECKPOINTS, None).await?;
        Ok(listed.iter().filter_map(|(path, ..)| paths::checkpoint_number(path.as_ref())).max())
    }

    async fn numbers_from(&self, first: u64) -> Result<Vec<u64>, Error> {
        let before = first.checked_sub(1).map(|number| Path::from(paths::entry(number)));
        let listed = self.list(paths::LEDGER, before.as_ref()).await?;
        let numbers = listed.iter().filter_map(|(path, ..)| paths::entry_number(path.as_ref()));
        let mut numbers: Vec<u64> = numbers.filter(|number| *number >= first).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Path, modification time (ms) and size of everything in a folder of the ledger.
    pub(crate) async fn list(&self, folder: &str, after: Option<&Path>) -> Result<Vec<(Path, i64, u64)>, Error> {
        let prefix = Path::from(folder);
        let listed = match after {
            None => self.store.list(Some(&prefix)),
            Some(after) => self.store.list_with_offset(Some(&prefix), after),
        };
        listed
            .map_ok(|meta| (meta.location, meta.last_modified.timestamp_millis(), meta.size))
            .try_collect()
            .await
            .map_err(Error::store(format!("list {folder}")))
    }
}
