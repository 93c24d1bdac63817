//! One worker of a consumer group: starts and stops partition tasks as partitions come and go, ends
//! epochs, and returns to the ledger's state where it must.
//!
//! # An epoch
//! Rows of all partitions go into the open epoch. When it ends, every task seals its part and goes on
//! with the next epoch at once; the sealed one is committed beside (`commit.rs`). There is one sealed
//! epoch at most: the next ends no earlier than this one is committed, and memory is bounded by the
//! gate that stops reading.
//!
//! # Going back
//! Fenced off, or after a trap in a stateful module, the worker stops all tasks, drops the open epoch
//! (and the sealed one, if it was fenced), and opens what it still owns where the ledger stands.
//! Partitions share files, so an epoch stands or falls as a whole.
//!
//! # Partitions that leave
//! Their tasks seal a last part, which is committed with the rest if the ledger still lets us. If
//! the new owner was faster, the ledger fences us off, and nothing is doubled.

use super::{Answer, Parts, Request, join};
use crate::Error;
use crate::commit::{Committer, Outcome, Sealed, Stood};
use crate::decode::Grouper;
use crate::loaded::Loaded;
use crate::metrics::PartitionLabels;
use crate::pipeline::{Command, Partition, Shared, Stopped, Waiting, blamed};
use crate::poison::{Blame, Poison};
use crate::rekey::{self, Rekeyer, Seen};
use crate::sink::Sink;
use crate::transform::Chain;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use weft_env::Shutdown;
use weft_ledger::State;
use weft_log::{Assignment, Consumer};
use weft_model::{Epoch, ErrorKind, Offset, TopicPartition};
use weft_topology::Start;

/// A partition task, from outside.
#[derive(Debug)]
struct Task {
    commands: mpsc::Sender<Command>,
    position: Arc<AtomicI64>,
    /// `stood.offset`, shared with the task.
    committed: Arc<AtomicI64>,
    stood: Stood,
    /// The partition was taken away: it seals once more.
    leaving: bool,
}

type Ended = (TopicPartition, Result<(), Stopped>);

/// The loop that owns everything a worker has.
pub(super) struct Control {
    committer: Committer,
    shared: Arc<Shared>,
    cpu: Handle,
    shutdown: Shutdown,
    worker: Arc<str>,
    requests: mpsc::UnboundedSender<Request>,
    inbox: mpsc::UnboundedReceiver<Request>,
    interval: Duration,
    /// What the group says is ours.
    assigned: BTreeSet<TopicPartition>,
    tasks: BTreeMap<TopicPartition, Task>,
    running: JoinSet<Ended>,
    poison: HashMap<TopicPartition, Poison>,
    epoch: Epoch,
    /// The sealed epoch on its way; at most one.
    committing: JoinSet<Outcome>,
    sealed: Epoch,
    sealed_at: Instant,
    end_at: Instant,
    end_now: bool,
    /// When the last row that isn't committed may have been taken in.
    clean_at: Instant,
    open_at: Instant,
    open_wait: Duration,
    unpublished: bool,
    /// Who waits for the open, and for the sealed epoch.
    waiting: Vec<Answer>,
    waiting_sealed: Vec<Answer>,
}

impl Control {
    pub(super) fn new(
        committer: Committer,
        parts: &Parts,
        worker: Arc<str>,
        requests: mpsc::UnboundedSender<Request>,
        inbox: mpsc::UnboundedReceiver<Request>,
    ) -> Self {
        let shared = Arc::clone(&committer.shared);
        let interval = committer.loaded.topology.epoch.interval.unwrap_or(shared.config.epoch_interval);
        let now = Instant::now();
        let epoch = Epoch { worker: Arc::clone(&worker), sequence: 1 };
        shared.tables.hot().begin(&epoch);
        Self {
            committer,
            shared,
            cpu: parts.cpu.clone(),
            shutdown: parts.shutdown.clone(),
            worker,
            requests,
            inbox,
            interval,
            assigned: BTreeSet::new(),
            tasks: BTreeMap::new(),
            running: JoinSet::new(),
            poison: HashMap::new(),
            sealed: epoch.clone(),
            epoch,
            committing: JoinSet::new(),
            sealed_at: now,
            end_at: now + interval,
            end_now: false,
            clean_at: now,
            open_at: now,
            open_wait: FIRST_WAIT,
            unpublished: false,
            waiting: Vec::new(),
            waiting_sealed: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, consumer: Option<Box<dyn Consumer>>) -> Result<(), Error> {
        let shutdown = self.shutdown.clone();
        let mut consumer = match consumer {
            Some(consumer) => consumer,
            None => match self.rejoin().await? {
                Some(consumer) => consumer,
                None => return Ok(()),
            },
        };
        let mut figures = tokio::time::interval(Duration::from_secs(1));
        figures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lag = tokio::time::interval(self.shared.config.lag_interval);
        lag.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let idle = self.committing.is_empty();
            let missing = idle && self.assigned.iter().any(|partition| !self.tasks.contains_key(partition));
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                biased;
                () = shutdown.wait() => return self.finish(consumer.as_mut()).await,
                Some(outcome) = self.committing.join_next() => self.settle(outcome, consumer.as_mut()).await?,
                Some(ended) = self.running.join_next() => self.ended(ended).await,
                change = consumer.assignment() => match change {
                    Ok(change) => self.assign(change),
                    Err(error) if error.kind() == ErrorKind::Config => return Err(error.into()),
                    Err(error) => {
                        self.shared.health.problem(GROUP, &error);
                        self.assign(Assignment { added: Vec::new(), removed: self.assigned.iter().cloned().collect() });
                        match self.rejoin().await? {
                            Some(joined) => consumer = joined,
                            None => return self.finish(consumer.as_mut()).await,
                        }
                    }
                },
                Some(request) = self.inbox.recv() => self.request(request).await,
                () = sleep_until(self.open_at), if missing => self.open_missing(consumer.as_mut()).await,
                () = shared.gate.full.notified() => self.end_now = true,
                () = sleep_until(self.end_at), if idle => self.end_now = true,
                _ = figures.tick() => self.figures(),
                _ = lag.tick() => self.lag(),
            }
            if self.end_now && self.committing.is_empty() {
                self.seal(false).await;
            }
        }
    }

    /// Joins the group, trying until it works; `None` when shut down meanwhile.
    async fn rejoin(&self) -> Result<Option<Box<dyn Consumer>>, Error> {
        loop {
            match join(&self.committer).await {
                Ok(consumer) => {
                    self.shared.health.clear(GROUP);
                    return Ok(Some(consumer));
                }
                Err(error) if error.kind() == ErrorKind::Config => return Err(error),
                Err(error) => self.shared.health.problem(GROUP, error),
            }
            tokio::select! {
                () = self.shutdown.wait() => return Ok(None),
                () = tokio::time::sleep(REJOIN) => {}
            }
        }
    }

    /// Takes a change of what is ours in. Opening waits until no epoch is on its way.
    fn assign(&mut self, change: Assignment) {
        for partition in &change.removed {
            self.assigned.remove(partition);
            self.poison.remove(partition);
            self.shared.health.clear(&opening(partition));
            if let Some(task) = self.tasks.get_mut(partition) {
                task.leaving = true;
                self.end_now = true;
            }
        }
        self.assigned.extend(change.added);
        self.shared.health.joined();
        if self.assigned.is_empty() {
            self.shared.health.opened();
        }
        self.open_at = Instant::now();
        self.open_wait = FIRST_WAIT;
        tracing::info!(worker = %self.worker, partitions = self.assigned.len(), "assigned");
    }

    async fn request(&mut self, request: Request) {
        let answer = match request {
            Request::CaughtUp(answer) => {
                self.waiting.push(answer);
                self.end_now = true;
                return;
            }
            Request::Flush(answer) => answer,
        };
        let ready =
            self.shared.health.is_joined() && self.assigned.iter().all(|partition| self.tasks.contains_key(partition));
        let mut caught_up = Vec::with_capacity(self.tasks.len());
        if ready {
            for (partition, task) in self.tasks.iter().filter(|(_, task)| !task.leaving) {
                let (answer, done) = oneshot::channel();
                let end = self.committer.log.bounds(partition).await.map(|(_, end)| end);
                // A task that is gone, or a log that can't be asked: everything is asked again.
                if let Ok(to) = end {
                    let _ = task.commands.send(Command::CatchUp { to, answer }).await;
                }
                caught_up.push(done);
            }
        }
        let requests = self.requests.clone();
        tokio::spawn(async move {
            let mut all = ready;
            for done in caught_up {
                all &= done.await.is_ok();
            }
            if !all {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Fails when the worker has stopped; dropping the answer says so.
            let _ = requests.send(if all { Request::CaughtUp(answer) } else { Request::Flush(answer) });
        });
    }

    /// Opens every partition that is ours and doesn't run.
    async fn open_missing(&mut self, consumer: &mut dyn Consumer) {
        let missing: Vec<_> =
            self.assigned.iter().filter(|partition| !self.tasks.contains_key(partition)).cloned().collect();
        self.open_at = Instant::now() + self.open_wait;
        self.open_wait = (self.open_wait * 2).min(self.shared.config.retry_most);
        self.unpublished = !self.committer.publish().await;
        let state = match self.shared.tables.ledger_state().await {
            Ok(state) => state,
            Err(error) => {
                self.shared.health.problem(LEDGER, error);
                return;
            }
        };
        self.shared.health.clear(LEDGER);
        for partition in missing {
            match self.open(consumer, &partition, &state).await {
                Ok(task) => {
                    self.shared.health.clear(&opening(&partition));
                    self.tasks.insert(partition, task);
                }
                // The group is about to tell us.
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    tracing::info!(%partition, "taken away before it was opened")
                }
                Err(error) => self.shared.health.problem(&opening(&partition), error),
            }
        }
        if self.assigned.iter().all(|partition| self.tasks.contains_key(partition)) {
            self.open_wait = FIRST_WAIT;
            self.shared.health.opened();
        }
    }

    /// Starts a partition where the ledger stands.
    async fn open(
        &mut self,
        consumer: &mut dyn Consumer,
        source: &TopicPartition,
        state: &State,
    ) -> Result<Task, Error> {
        let loaded = &self.committer.loaded;
        let Some(plan) = loaded.topology.source(&source.topic) else {
            return Err(Error::Bug(format!("{source} was assigned, but the topology doesn't read it")));
        };
        let (first, end) = self.committer.log.bounds(source).await?;
        let known = state.offset(source);
        let from = known.unwrap_or(if plan.start == Start::Earliest { first } else { end });
        if first > from {
            let labels = PartitionLabels { topic: source.topic.to_string(), partition: source.partition };
            self.shared
                .metrics
                .records_skipped
                .get_or_create(&labels)
                .inc_by(u64::try_from(first - from).unwrap_or_default());
            tracing::error!(partition = %source, from, first, "records were removed by the log's retention before they were processed");
        }
        let mut snapshots = HashMap::new();
        for snapshot in state.snapshots_of(source) {
            snapshots.insert(snapshot.stage.clone(), self.shared.tables.get_snapshot(&snapshot.path).await?);
        }
        let (commands, inbox) = mpsc::channel(4);
        let (position, committed) = (Arc::new(AtomicI64::new(from)), Arc::new(AtomicI64::new(from)));
        // Where reading begins at the end of the log, the ledger has to remember where that was.
        let first_entry = known.is_none() && plan.start == Start::Latest;
        let sink = Sink::new(source.clone(), Arc::clone(&self.shared), self.epoch.clone(), first_entry);
        let name = source.clone();
        if let Some(rekey) = &plan.rekey {
            let target = loaded.topology.source(&rekey.to).map_or(1, |target| target.partitions);
            let rekeyer = Rekeyer {
                sink,
                reader: consumer.open(source, from).await?,
                partitions: self.committer.log.ensure_topic(&rekey.to, target).await?,
                log: Arc::clone(&self.committer.log),
                to: rekey.to.as_str().into(),
                commands: inbox,
                position: Arc::clone(&position),
                committed: Arc::clone(&committed),
                lost: false,
                pending: None,
                waiting: Waiting::default(),
            };
            self.running.spawn_on(async move { (name, rekeyer.run().await) }, &self.cpu);
        } else {
            let is_target =
                |other: &weft_topology::Source| other.rekey.as_ref().is_some_and(|rekey| rekey.to == *source.topic);
            let seen = match snapshots.remove(rekey::STATE) {
                Some(snapshot) => Some(Seen::restore(&snapshot).map_err(|reason| Error::Open {
                    partition: source.clone(),
                    reason: format!("the memory of what was re-keyed into it doesn't read back: {reason}"),
                    kind: ErrorKind::Corrupt,
                })?),
                None => loaded.topology.sources.iter().any(is_target).then(Seen::default),
            };
            let poison = self.poison.get(source).cloned().unwrap_or_default();
            let partition = Partition {
                sink,
                chain: Chain::open(loaded, source, plan.pipeline, snapshots, &poison, &self.shared.metrics)?,
                reader: consumer.open(source, from).await?,
                grouper: Grouper::new(Loaded::codec_of(plan)?, &loaded.codec, self.shared.config.batch_rows),
                seen,
                poison,
                commands: inbox,
                position: Arc::clone(&position),
                from,
                waiting: Waiting::default(),
                lost: false,
            };
            self.running.spawn_on(async move { (name, partition.run().await) }, &self.cpu);
        }
        tracing::info!(partition = %source, from, "processing");
        let stood = Stood { offset: from, entry: state.last_entry(source) };
        Ok(Task { commands, position, committed, stood, leaving: false })
    }

    /// Ends the open epoch and sends it on its way. `last`: no other follows.
    async fn seal(&mut self, last: bool) {
        let next = Epoch { worker: Arc::clone(&self.worker), sequence: self.epoch.sequence + 1 };
        self.shared.tables.hot().begin(&next);
        self.shared.gate.reset();
        self.end_now = false;
        self.end_at = Instant::now() + self.interval;
        let mut answers = Vec::with_capacity(self.tasks.len());
        for task in self.tasks.values() {
            let (answer, part) = oneshot::channel();
            let next = (!last && !task.leaving).then(|| next.clone());
            // A task that is gone doesn't answer.
            let _ = task.commands.send(Command::Seal { next, answer }).await;
            answers.push(part);
        }
        let mut parts = Vec::with_capacity(answers.len());
        for answer in answers {
            parts.extend(answer.await.ok());
        }
        if parts.len() < self.tasks.len() {
            // The one that didn't answer says why when it is joined.
            self.shared.tables.hot().discard(&next);
            self.go_back().await;
            return;
        }
        let stood = self.tasks.iter().map(|(partition, task)| (partition.clone(), task.stood)).collect();
        self.tasks.retain(|_, task| !last && !task.leaving);
        self.sealed = std::mem::replace(&mut self.epoch, next);
        self.sealed_at = Instant::now();
        self.waiting_sealed.append(&mut self.waiting);
        let sealed = Sealed { epoch: self.sealed.clone(), parts, stood };
        self.committing.spawn_on(self.committer.clone().commit(sealed), &self.cpu);
    }

    /// The sealed epoch has come to its end.
    async fn settle(
        &mut self,
        outcome: Result<Outcome, tokio::task::JoinError>,
        consumer: &mut dyn Consumer,
    ) -> Result<(), Error> {
        match outcome {
            Ok(Outcome::Empty) => {
                if self.unpublished {
                    self.unpublished = !self.committer.publish().await;
                }
                self.clean_at = self.sealed_at;
            }
            Ok(Outcome::Committed { number, advanced, published }) => {
                self.unpublished = !published;
                self.clean_at = self.sealed_at;
                self.advanced(number, &advanced, consumer).await;
                if self.committer.failpoints.pass("trimmed").is_err() {
                    return Err(Error::Stopped);
                }
            }
            Ok(Outcome::Fenced(reason)) => {
                tracing::warn!(reason, "an epoch was fenced off: back to the ledger");
                self.drop_sealed().await;
                return Ok(());
            }
            Ok(Outcome::Killed) => return Err(Error::Stopped),
            Err(error) => {
                self.shared.health.problem(BROKEN, &error);
                self.drop_sealed().await;
                return Ok(());
            }
        }
        for answer in self.waiting_sealed.drain(..) {
            if self.unpublished {
                // The next epoch, empty or not, publishes this one too.
                let requests = self.requests.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(FIRST_WAIT).await;
                    let _ = requests.send(Request::Flush(answer));
                });
            } else {
                // Whoever asked may have given up.
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    /// The partitions stand further on: hints to the log, which frees what nobody needs any more.
    async fn advanced(&mut self, number: u64, advanced: &[(TopicPartition, Offset)], consumer: &mut dyn Consumer) {
        for (partition, offset) in advanced {
            if let Some(task) = self.tasks.get_mut(partition) {
                task.stood = Stood { offset: *offset, entry: number };
                task.committed.store(*offset, Ordering::Relaxed);
            }
            if let Some(poison) = self.poison.get_mut(partition) {
                poison.forget_below(*offset);
            }
        }
        if let Err(error) = consumer.commit(advanced).await {
            tracing::debug!(%error, "the log didn't take the offsets");
        }
        for (partition, offset) in advanced {
            let before = offset - self.shared.config.trim_margin;
            if before > 0
                && let Err(error) = self.committer.log.trim(partition, before).await
            {
                tracing::warn!(%partition, %error, "the log didn't free what is processed");
            }
        }
    }

    /// The sealed epoch won't be: neither will the one that built on it.
    async fn drop_sealed(&mut self) {
        self.shared.tables.hot().discard(&self.sealed);
        // Those who asked for what is in it get it from the ones to come.
        for answer in self.waiting_sealed.drain(..) {
            let _ = self.requests.send(Request::Flush(answer));
        }
        self.go_back().await;
    }

    /// A task has stopped.
    async fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        if self.note(ended) {
            self.go_back().await;
        }
    }

    /// Takes in why a task stopped; answers whether that calls for going back.
    fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) -> bool {
        match ended {
            // It was told to, or it was stopped by going back.
            Ok((_, Ok(()))) => return false,
            Err(error) if error.is_cancelled() => return false,
            Ok((partition, Err(Stopped::Trapped(trap)))) => {
                self.shared.metrics.rollbacks.inc();
                let blame = blamed(&trap.blame);
                tracing::warn!(%partition, stage = trap.stage, reason = trap.reason, blame, "a stateful module trapped: back to the ledger's state");
                let isolated = trap.blame != Blame::Nobody;
                if self.poison.entry(partition).or_default().note(&trap.stage, &trap.reason, &trap.blame) {
                    let problem = format!(
                        "it keeps failing with no message to blame ({}): rows pass it by until the worker restarts",
                        trap.reason
                    );
                    self.shared.health.problem(&format!("stage {}", trap.stage), problem);
                }
                if isolated {
                    // What is behind the message is to be safe soon: a source of such messages must
                    // not keep everything from being committed.
                    self.end_at = Instant::now() + self.interval.min(AFTER_TRAP);
                }
            }
            Ok((partition, Err(Stopped::Broken(reason)))) => {
                self.shared.health.problem(BROKEN, format!("{partition}: {reason}"));
                self.open_at = Instant::now() + REJOIN;
            }
            Err(error) => {
                self.shared.health.problem(BROKEN, error);
                self.open_at = Instant::now() + REJOIN;
            }
        }
        true
    }

    /// Stops every task and drops the open epoch. What is ours is opened again where the ledger
    /// stands, once no epoch is on its way any more.
    async fn go_back(&mut self) {
        self.running.abort_all();
        while let Some(ended) = self.running.join_next().await {
            self.note(ended);
        }
        self.tasks.clear();
        self.shared.tables.hot().discard(&self.epoch);
        self.epoch = Epoch { worker: Arc::clone(&self.worker), sequence: self.epoch.sequence + 2 };
        self.shared.tables.hot().begin(&self.epoch);
        self.shared.gate.reset();
        self.end_now = false;
        for answer in self.waiting.drain(..) {
            let _ = self.requests.send(Request::Flush(answer));
        }
    }

    /// Shutting down: commits what there is, within the time allowed.
    async fn finish(mut self, consumer: &mut dyn Consumer) -> Result<(), Error> {
        let by = Instant::now() + self.shared.config.shutdown_within;
        let late = |what: &str| Err(Error::Unfinished(what.to_owned()));
        if !self.committing.is_empty() {
            match timeout_at(by, self.committing.join_next()).await {
                Ok(Some(outcome)) => self.settle(outcome, consumer).await?,
                Ok(None) => {}
                Err(_) => return late("the store did not take an epoch in time"),
            }
        }
        self.seal(true).await;
        match timeout_at(by, self.committing.join_next()).await {
            Ok(Some(outcome)) => {
                let fenced = matches!(outcome, Ok(Outcome::Fenced(_)));
                self.settle(outcome, consumer).await?;
                if fenced {
                    return late("another worker has the partitions");
                }
            }
            Ok(None) => return late("a module failed at the end"),
            Err(_) => return late("the store did not take the last epoch in time"),
        }
        tracing::info!(worker = %self.worker, "all that was read is committed");
        Ok(())
    }

    fn figures(&mut self) {
        let metrics = &self.shared.metrics;
        metrics.partitions.set(i64::try_from(self.tasks.len()).unwrap_or(i64::MAX));
        metrics.hot_bytes.set(i64::try_from(self.shared.tables.hot().bytes()).unwrap_or(i64::MAX));
        let ahead = self.tasks.values().any(|task| task.position.load(Ordering::Relaxed) > task.stood.offset);
        if !ahead && self.committing.is_empty() {
            self.clean_at = Instant::now();
        }
        metrics.epoch_age.set(self.clean_at.elapsed().as_secs_f64());
    }

    /// Asks the log, beside the loop, how far ahead it is.
    fn lag(&self) {
        let partitions: Vec<_> =
            self.tasks.iter().map(|(partition, task)| (partition.clone(), Arc::clone(&task.position))).collect();
        let (log, metrics) = (Arc::clone(&self.committer.log), self.shared.metrics.clone());
        tokio::spawn(async move {
            for (partition, position) in partitions {
                if let Ok((_, end)) = log.bounds(&partition).await {
                    let labels = PartitionLabels { topic: partition.topic.to_string(), partition: partition.partition };
                    metrics.lag.get_or_create(&labels).set((end - position.load(Ordering::Relaxed)).max(0));
                }
            }
        });
    }
}

fn opening(partition: &TopicPartition) -> String {
    format!("opening {partition}")
}

/// Names of parts in the worker's health.
const GROUP: &str = "consumer group";
const LEDGER: &str = "ledger";
const BROKEN: &str = "worker";

/// Wait before a partition is opened again; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Wait before the group is joined again, and before a broken task is started again.
const REJOIN: Duration = Duration::from_secs(1);
/// The longest epoch after a message was isolated.
const AFTER_TRAP: Duration = Duration::from_secs(1);
