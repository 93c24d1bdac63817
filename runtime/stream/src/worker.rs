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

use crate::commit::{Committer, Outcome, Sealed, Stood};
use crate::decode::Grouper;
use crate::failpoint::Failpoints;
use crate::health::Board;
use crate::loaded::Loaded;
use crate::metrics::{Metrics, PartitionLabels};
use crate::pipeline::{Command, Gate, Partition, Shared, Stopped, blamed};
use crate::poison::{Blame, Poison};
use crate::transform::Chain;
use crate::{Config, Error, Health};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use weft_env::{Clock, Shutdown};
use weft_ledger::State;
use weft_log::{Assignment, Consumer, Log};
use weft_model::{Epoch, ErrorKind, Offset, TopicPartition};
use weft_table::Tables;
use weft_topology::{Start, Topology};
use weft_wasm::Engine;

/// The components a worker stands on.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where records come from, and dead letters go.
    pub log: Arc<dyn Log>,
    /// Where rows go.
    pub tables: Tables,
    /// Runs modules.
    pub engine: Engine,
    /// Runtime for decoding, modules and encoding.
    pub cpu: Handle,
    /// The time that modules are told.
    pub clock: Arc<dyn Clock>,
    /// Ends the worker in good order.
    pub shutdown: Shutdown,
}

/// Runs a topology over the partitions that its consumer group gives it. Waiting is done on the
/// runtime it is started on; everything that keeps a core busy, on [`Parts::cpu`].
#[derive(Debug)]
pub struct Worker;

/// A running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    id: Arc<str>,
    health: Board,
    requests: mpsc::UnboundedSender<Request>,
    control: JoinHandle<Result<(), Error>>,
}

/// Asks for things of a running worker; cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerControl {
    health: Board,
    requests: mpsc::UnboundedSender<Request>,
}

impl Worker {
    /// Loads the topology's modules, makes its topics where absent, joins the group and begins.
    ///
    /// # Errors
    /// When the configuration or a stage of the topology can't work: all that is wrong, at once.
    /// A log that can't be reached is no error: it is tried until it can.
    pub async fn start(
        config: Config,
        parts: Parts,
        topology: Topology,
        registry: &mut Registry,
    ) -> Result<WorkerHandle, Error> {
        let (engine, folder) = (parts.engine.clone(), config.modules.clone());
        // Compiling keeps a core busy for seconds.
        let loading = parts.cpu.spawn_blocking(move || Loaded::load(topology, &engine, &folder));
        let loaded = loading.await.map_err(|error| Error::Bug(error.to_string()))??;
        Self::start_loaded(config, parts, loaded, registry, Failpoints::default()).await
    }

    pub(crate) async fn start_loaded(
        config: Config,
        parts: Parts,
        loaded: Loaded,
        registry: &mut Registry,
        failpoints: Failpoints,
    ) -> Result<WorkerHandle, Error> {
        config.check()?;
        let loaded = Arc::new(loaded);
        let epoch_bytes = loaded.topology.epoch.bytes.unwrap_or(config.epoch_bytes);
        if config.hot_bytes <= epoch_bytes {
            return Err(Error::Config(format!(
                "the topology's epoch.bytes ({epoch_bytes}) must be below the worker's hot_bytes ({})",
                config.hot_bytes
            )));
        }
        let shared = Arc::new(Shared {
            gate: Gate::new(epoch_bytes, config.hot_bytes),
            metrics: Metrics::register(registry),
            health: Board::default(),
            tables: parts.tables.clone(),
            clock: Arc::clone(&parts.clock),
            config,
        });
        let id: Arc<str> = weft_env::ids::worker_id().into();
        let (requests, inbox) = mpsc::unbounded_channel();
        let health = shared.health.clone();
        let committer = Committer { shared, loaded, log: Arc::clone(&parts.log), failpoints };
        let consumer = match join(&committer).await {
            Ok(consumer) => Some(consumer),
            Err(error) if error.kind() == ErrorKind::Retry => None,
            Err(error) => return Err(error),
        };
        let control = Control::new(committer, &parts, Arc::clone(&id), requests.clone(), inbox);
        let control = tokio::spawn(control.run(consumer));
        Ok(WorkerHandle { id, health, requests, control })
    }
}

impl WorkerHandle {
    /// The worker's id for this run.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its condition now.
    pub fn health(&self) -> Health {
        self.health.health()
    }

    /// A handle to ask for things with, to be passed around.
    pub fn control(&self) -> WorkerControl {
        WorkerControl { health: self.health.clone(), requests: self.requests.clone() }
    }

    /// See [`WorkerControl::flush`].
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn flush(&self) -> Result<(), Error> {
        self.control().flush().await
    }

    /// Waits for the worker's end, which [`Shutdown`] brings about.
    ///
    /// # Errors
    /// Why it ended, when not by an orderly shutdown.
    pub async fn join(self) -> Result<(), Error> {
        self.control.await.map_err(|error| Error::Bug(error.to_string()))?
    }

    /// Ends it as if the process were killed.
    #[cfg(test)]
    pub(crate) async fn kill(self) {
        self.control.abort();
        // Cancelled or done: both are dead.
        let _ = self.control.await;
    }
}

impl WorkerControl {
    /// Its condition now.
    pub fn health(&self) -> Health {
        self.health.health()
    }

    /// Processes every record that its partitions hold now, ends the epoch, and returns once it is
    /// committed and published. Waits for as long as that takes.
    ///
    /// # Errors
    /// When the worker has stopped.
    pub async fn flush(&self) -> Result<(), Error> {
        let (answer, done) = oneshot::channel();
        self.requests.send(Request::Flush(answer)).map_err(|_| Error::Stopped)?;
        done.await.map_err(|_| Error::Stopped)
    }
}

type Answer = oneshot::Sender<()>;

#[derive(Debug)]
enum Request {
    /// Process what there is, then commit.
    Flush(Answer),
    /// What there was is processed.
    CaughtUp(Answer),
}

/// Makes the topology's topics and joins the group.
async fn join(committer: &Committer) -> Result<Box<dyn Consumer>, Error> {
    let topology = &committer.loaded.topology;
    for source in &topology.sources {
        committer.log.ensure_topic(&source.topic, source.partitions).await?;
    }
    committer.log.ensure_topic(&topology.dead_letters.topic, topology.dead_letters.partitions).await?;
    let topics: Vec<String> = topology.sources.iter().map(|source| source.topic.clone()).collect();
    Ok(committer.log.consume(&committer.shared.config.group, &topics).await?)
}

/// A partition task, from outside.
#[derive(Debug)]
struct Task {
    commands: mpsc::Sender<Command>,
    position: Arc<AtomicI64>,
    stood: Stood,
    /// The partition was taken away: it seals once more.
    leaving: bool,
}

type Ended = (TopicPartition, Result<(), Stopped>);

/// The loop that owns everything a worker has.
struct Control {
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
    fn new(
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

    async fn run(mut self, consumer: Option<Box<dyn Consumer>>) -> Result<(), Error> {
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
        let ready = self.shared.health.is_joined() && self.assigned.iter().all(|partition| self.tasks.contains_key(partition));
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
        let missing: Vec<_> = self.assigned.iter().filter(|partition| !self.tasks.contains_key(partition)).cloned().collect();
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
                Err(error) if error.kind() == ErrorKind::Fenced => tracing::info!(%partition, "taken away before it was opened"),
                Err(error) => self.shared.health.problem(&opening(&partition), error),
            }
        }
    }

    /// Starts a partition where the ledger stands.
    async fn open(&mut self, consumer: &mut dyn Consumer, source: &TopicPartition, state: &State) -> Result<Task, Error> {
        let loaded = &self.committer.loaded;
        let Some(plan) = loaded.topology.source(&source.topic) else {
            return Err(Error::Bug(format!("{source} was assigned, but the topology doesn't read it")));
        };
        let (first, end) = self.committer.log.bounds(source).await?;
        let known = state.offset(source);
        let from = known.unwrap_or(if plan.start == Start::Earliest { first } else { end });
        if first > from {
            let labels = PartitionLabels { topic: source.topic.to_string(), partition: source.partition };
            self.shared.metrics.records_skipped.get_or_create(&labels).inc_by(u64::try_from(first - from).unwrap_or_default());
            tracing::error!(partition = %source, from, first, "records were removed by the log's retention before they were processed");
        }
        let mut snapshots = HashMap::new();
        for snapshot in state.snapshots_of(source) {
            snapshots.insert(snapshot.stage.clone(), self.shared.tables.get_snapshot(&snapshot.path).await?);
        }
        let poison = self.poison.get(source).cloned().unwrap_or_default();
        let chain = Chain::open(loaded, source, plan.pipeline, snapshots, &poison, &self.shared.metrics)?;
        let reader = consumer.open(source, from).await?;
        let (commands, inbox) = mpsc::channel(4);
        let position = Arc::new(AtomicI64::new(from));
        let partition = Partition {
            source: source.clone(),
            shared: Arc::clone(&self.shared),
            reader,
            grouper: Grouper::new(Loaded::codec_of(plan)?, &loaded.codec, self.shared.config.batch_rows),
            chain,
            poison,
            epoch: self.epoch.clone(),
            commands: inbox,
            position: Arc::clone(&position),
            from,
            // Where reading begins at the end of the log, the ledger has to remember where that was.
            has_rows: known.is_none() && plan.start == Start::Latest,
            letters: Vec::new(),
            waiting: Vec::new(),
            lost: false,
        };
        let name = source.clone();
        self.running.spawn_on(async move { (name, partition.run().await) }, &self.cpu);
        tracing::info!(partition = %source, from, "processing");
        Ok(Task { commands, position, stood: Stood { offset: from, entry: state.last_entry(source) }, leaving: false })
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
    async fn settle(&mut self, outcome: Result<Outcome, tokio::task::JoinError>, consumer: &mut dyn Consumer) -> Result<(), Error> {
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
            // Whoever asked may have given up.
            let _ = answer.send(());
        }
        Ok(())
    }

    /// The partitions stand further on: hints to the log, which frees what nobody needs any more.
    async fn advanced(&mut self, number: u64, advanced: &[(TopicPartition, Offset)], consumer: &mut dyn Consumer) {
        for (partition, offset) in advanced {
            if let Some(task) = self.tasks.get_mut(partition) {
                task.stood = Stood { offset: *offset, entry: number };
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
                    let problem = format!("it keeps failing with no message to blame ({}): rows pass it by until the worker restarts", trap.reason);
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

#[cfg(test)]
mod tests;
