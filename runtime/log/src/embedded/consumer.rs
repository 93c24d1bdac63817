//! Reading the embedded log. One process owns it, so a consumer gets every partition at once; a
//! second consumer of the same group and topic takes over from the first, as a new Kafka member
//! would with a group of one partition.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use weft_model::{Offset, TopicPartition};

use super::store::Limits;
use super::{Inner, Partition};
use crate::header_names::Names;
use crate::{Assignment, Consumer, Error, PartitionReader, Record};

/// A consumer's place in its group: the topics that another has taken over.
#[derive(Debug)]
pub(super) struct Member {
    lost: watch::Sender<BTreeSet<Arc<str>>>,
}

impl Member {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { lost: watch::channel(BTreeSet::new()).0 })
    }

    pub(super) fn lose(&self, topic: &Arc<str>) {
        self.lost.send_modify(|lost| {
            lost.insert(Arc::clone(topic));
        });
    }
}

#[derive(Debug)]
pub(super) struct EmbeddedConsumer {
    log: Arc<Inner>,
    held: HashMap<TopicPartition, Arc<Partition>>,
    /// Readers given out; `true` sent: not this one's any more.
    readers: HashMap<TopicPartition, watch::Sender<bool>>,
    announced: bool,
    lost: watch::Receiver<BTreeSet<Arc<str>>>,
    _member: Arc<Member>,
}

impl EmbeddedConsumer {
    pub(super) fn new(log: Arc<Inner>, member: Arc<Member>, held: HashMap<TopicPartition, Arc<Partition>>) -> Self {
        let lost = member.lost.subscribe();
        Self { log, held, readers: HashMap::new(), announced: false, lost, _member: member }
    }

    /// Lets go of what another consumer has taken over; answers it, sorted.
    fn let_go(&mut self) -> Vec<TopicPartition> {
        let lost = self.lost.borrow_and_update();
        let mut removed: Vec<_> = self.held.keys().filter(|tp| lost.contains(&tp.topic)).cloned().collect();
        removed.sort();
        for tp in &removed {
            self.held.remove(tp);
            if let Some(reader) = self.readers.remove(tp) {
                reader.send_replace(true);
            }
        }
        removed
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn assignment(&mut self) -> Result<Assignment, Error> {
        if !self.announced {
            self.announced = true;
            let mut added: Vec<_> = self.held.keys().cloned().collect();
            added.sort();
            return Ok(Assignment { added, removed: Vec::new() });
        }
        loop {
            let removed = self.let_go();
            if !removed.is_empty() {
                return Ok(Assignment { added: Vec::new(), removed });
            }
            // The sender lives in `_member`: this can't fail.
            self.lost.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    async fn open(&mut self, tp: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>, Error> {
        let lost = self.lost.borrow().contains(&tp.topic);
        let partition = self.held.get(tp).filter(|_| !lost).ok_or_else(|| Error::NotAssigned(tp.clone()))?;
        let (first, end) = partition.bounds();
        if from > end {
            return Err(Error::BeyondEnd { tp: tp.clone(), from, end });
        }
        let (revoked, watch) = watch::channel(false);
        if let Some(before) = self.readers.insert(tp.clone(), revoked) {
            before.send_replace(true);
        }
        Ok(Box::new(EmbeddedReader {
            log: Arc::clone(&self.log),
            partition: Arc::clone(partition),
            end: partition.next.subscribe(),
            revoked: watch,
            position: from.max(first),
        }))
    }

    async fn commit(&self, _offsets: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        // Nobody else looks at this log: there is no lag monitor to inform.
        Ok(())
    }
}

#[derive(Debug)]
struct EmbeddedReader {
    log: Arc<Inner>,
    partition: Arc<Partition>,
    end: watch::Receiver<Offset>,
    revoked: watch::Receiver<bool>,
    position: Offset,
}

impl EmbeddedReader {
    /// Whether there is something to read; waits for it until `deadline`.
    async fn wait(&mut self, deadline: Instant) -> Result<bool, Error> {
        loop {
            // The consumer gone (`has_changed` fails) means the same as a reader replaced.
            if *self.revoked.borrow() || self.revoked.has_changed().is_err() {
                return Err(Error::NotAssigned(self.partition.tp.clone()));
            }
            if self.position < *self.end.borrow_and_update() {
                return Ok(true);
            }
            let changed = async {
                tokio::select! {
                    _ = self.end.changed() => {}
                    _ = self.revoked.changed() => {}
                }
            };
            if timeout_at(deadline, changed).await.is_err() {
                return Ok(false);
            }
        }
    }
}

#[async_trait]
impl PartitionReader for EmbeddedReader {
    async fn read(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, Error> {
        let deadline = Instant::now() + wait;
        let limits = Limits { records: max_records.max(1), bytes: max_bytes };
        while self.wait(deadline).await? {
            let (from, end) = (self.position.max(self.partition.bounds().0), *self.end.borrow());
            let (log, slot) = (Arc::clone(&self.log), self.partition.slot);
            // Names are kept per read, not per reader: the closure outlives a dropped future.
            let read =
                move || log.shared.with_store(|store| store.read(slot, from, end, limits, &mut Names::default()));
            let records = tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)??;
            if let Some(last) = records.last() {
                self.position = last.offset + 1;
                return Ok(records);
            }
            // Nothing between `from` and `end`: trimmed under our feet, or missing.
            let (first, _) = self.partition.bounds();
            if first <= from && from < end {
                let reason = format!("offsets {from} to {end} of {} are missing", self.partition.tp);
                return Err(Error::Corrupt { place: self.log.shared.dir.display().to_string(), reason });
            }
            self.position = first.max(from);
        }
        Ok(Vec::new())
    }
}
