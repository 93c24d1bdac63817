//! The module chains of one partition: a batch goes in at the source's pipeline, rows for tables
//! come out.
//!
//! Role: calls the instances in order, sends on what they emit and release, keeps the row accounts.
//! It does not read, commit, or decide what a fault means for the worker: it says who is to blame
//! ([`Fault`]), and `pipeline.rs` and `worker.rs` act.
//!
//! # Faults
//! A run is one batch, of many messages, of one, or of none (a tick).
//! - In a batch of one message, a stage that fails rejects the message: [`Output::rejected`].
//! - In a batch of many, nothing of the run is kept and the messages are to be run one by one:
//!   [`Fault::Singly`]. That is only sound while no stateful module saw the batch.
//! - Otherwise the state is ahead of what can be undone here: [`Fault::Rollback`].
//! - Rows without a message (emitted, released) that a stateless stage fails on are kept as they are
//!   in the dead letters.

use crate::Error;
use crate::dead_letters::Verdict;
use crate::loaded::Loaded;
use crate::metrics::{Metrics, StageLabels};
use crate::poison::{Blame, Poison, Skip};
use arrow::array::RecordBatch;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use weft_model::{ErrorKind, Offset, Signal, Table, TopicPartition};
use weft_topology::Route;
mod code;
mod stage;

pub(crate) use code::{Code, Transform};
#[cfg(test)]
pub(crate) use code::{Make, Native};
use stage::{Delta, Live};

#[cfg(test)]
mod tests;

/// The last step of every chain, in dead letters.
const DERIVE: &str = "derive";

/// All stages that rows of one partition can reach.
#[derive(Debug)]
pub(crate) struct Chain {
    loaded: Arc<Loaded>,
    source: TopicPartition,
    entry: usize,
    /// As the topology's pipelines; those out of reach have no stages here.
    pipelines: Vec<Vec<Live>>,
}

/// What a batch is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Several messages, by their offsets.
    Many(Range<Offset>),
    /// One message.
    One(Offset),
    /// None.
    Tick,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Rows for tables, complete.
    pub(crate) rows: Vec<(Table, RecordBatch)>,
    /// The message of this run is to go to the dead letters, for each of these reasons.
    pub(crate) rejected: Vec<Verdict>,
    /// Rows without a message that are to go there.
    pub(crate) rejected_rows: Vec<(Signal, RecordBatch, Verdict)>,
    /// Raw rows that no module turned into anything.
    pub(crate) unparsed: Vec<(RecordBatch, Verdict)>,
}

/// A run that can't stand.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Run each message of the batch by itself.
    Singly,
    /// Go back to the ledger's state.
    Rollback(Trap),
}

/// A fault that a stateful module's state did not survive.
#[derive(Debug, Clone)]
pub(crate) struct Trap {
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) blame: Blame,
}

/// State of a stage at the end of an epoch.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) stage: String,
    pub(crate) module: String,
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

/// One batch on its way.
#[derive(Debug)]
struct Item {
    pipeline: usize,
    stage: usize,
    signal: Signal,
    batch: RecordBatch,
    /// Whether these are the rows of the messages themselves.
    own: bool,
}

/// A run under way.
struct Run<'a> {
    kind: Kind,
    skips: &'a [Skip],
    /// Whether a stateful module was called.
    touched: bool,
    output: Output,
    deltas: Vec<(usize, usize, Delta)>,
}

impl Chain {
    /// Instantiates every stage in reach of the source and restores `snapshots` (stage, bytes).
    ///
    /// # Errors
    /// When a module can't be instantiated or doesn't take its snapshot: the partition must not run
    /// without the state.
    pub(crate) fn open(
        loaded: &Arc<Loaded>,
        source: &TopicPartition,
        entry: usize,
        mut snapshots: HashMap<String, Bytes>,
        poison: &Poison,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let failed = |stage: &str, kind: ErrorKind, reason: String| Error::Open {
            partition: source.clone(),
            reason: format!("stage {stage}: {reason}"),
            kind,
        };
        let mut pipelines: Vec<Vec<Live>> = loaded.topology.pipelines.iter().map(|_| Vec::new()).collect();
        for at in reach(loaded, entry) {
            let pipeline = &loaded.topology.pipelines[at];
            for (stage, code) in pipeline.stages.iter().zip(&loaded.modules[at]) {
                let mut instance = code
                    .instantiate(&stage.config, source)
                    .map_err(|error| failed(&stage.id, error.kind(), error.to_string()))?;
                if let Some(snapshot) = snapshots.remove(&stage.id) {
                    instance.restore(&snapshot).map_err(|fault| {
                        let advice = "put the module's earlier version back, or rename the stage to give up its state";
                        failed(
                            &stage.id,
                            ErrorKind::Config,
                            format!("module '{}' doesn't take its snapshot: {fault}; {advice}", stage.module),
                        )
                    })?;
                }
                let labels = StageLabels {
                    stage: stage.id.clone(),
                    module: stage.module.clone(),
                    signal: pipeline.signal.to_string(),
                };
                pipelines[at].push(Live::new(
                    stage.clone(),
                    code.clone(),
                    instance,
                    poison.is_bypassed(&stage.id),
                    labels,
                    metrics,
                ));
            }
        }
        for stage in snapshots.keys() {
            tracing::warn!(partition = %source, stage, "the ledger has state of a stage that the topology doesn't have (any more): it is kept in the store, unused");
        }
        Ok(Self { loaded: Arc::clone(loaded), source: source.clone(), entry, pipelines })
    }

    /// Runs a decoded batch through.
    pub(crate) fn run(
        &mut self,
        batch: RecordBatch,
        kind: Kind,
        poison: &Poison,
        now_ns: i64,
    ) -> Result<Output, Fault> {
        let skips = if let Kind::One(offset) = kind { poison.skips(offset) } else { &[] };
        let mut run = Run { kind, skips, touched: false, output: Output::default(), deltas: Vec::new() };
        let signal = self.loaded.topology.pipelines[self.entry].signal;
        let item = Item { pipeline: self.entry, stage: 0, signal, batch, own: true };
        self.walk(vec![item], &mut run, now_ns)?;
        Ok(self.settle(run))
    }

    /// Lets time pass for every module, in the order of flow.
    pub(crate) fn tick(&mut self, now_ns: i64) -> Result<Output, Fault> {
        let mut run =
            Run { kind: Kind::Tick, skips: &[], touched: true, output: Output::default(), deltas: Vec::new() };
        for pipeline in 0..self.pipelines.len() {
            for stage in 0..self.pipelines[pipeline].len() {
                let live = &mut self.pipelines[pipeline][stage];
                if live.bypassed {
                    continue;
                }
                let before = live.deferred();
                let stateful = live.is_stateful();
                let result = live.instance.tick(now_ns);
                match result {
                    Ok(output) => {
                        run.deltas.push((pipeline, stage, Delta::of(0, before, live.deferred(), &output)));
                        let items = self.onward(pipeline, stage, output, false);
                        self.walk(items, &mut run, now_ns)?;
                    }
                    Err(fault) => {
                        live.fault(&fault);
                        if fault.is_fatal() && stateful {
                            return Err(self.trap(pipeline, stage, &fault, &run));
                        }
                        if fault.is_fatal() {
                            self.renew(pipeline, stage)?;
                        }
                    }
                }
            }
        }
        self.pipelines.iter_mut().flatten().for_each(Live::report);
        Ok(self.settle(run))
    }

    /// The state of every stateful module that changed since it was last asked.
    pub(crate) fn snapshots(&mut self) -> Result<Vec<Snapshot>, Fault> {
        let mut snapshots = Vec::new();
        for pipeline in 0..self.pipelines.len() {
            for stage in 0..self.pipelines[pipeline].len() {
                let live = &mut self.pipelines[pipeline][stage];
                if live.bypassed || !live.is_stateful() {
                    continue;
                }
                match live.instance.snapshot() {
                    Ok(bytes) => snapshots.extend(live.changed(bytes)),
                    Err(fault) => {
                        live.fault(&fault);
                        let trap = Trap {
                            stage: live.plan.id.clone(),
                            reason: format!("snapshot: {fault}"),
                            blame: Blame::Nobody,
                        };
                        return Err(Fault::Rollback(trap));
                    }
                }
            }
        }
        Ok(snapshots)
    }

    /// Carries every item to its end.
    fn walk(&mut self, mut work: Vec<Item>, run: &mut Run<'_>, now_ns: i64) -> Result<(), Fault> {
        while let Some(mut item) = work.pop() {
            if item.batch.num_rows() == 0 {
                continue;
            }
            let Some(live) = self.pipelines[item.pipeline].get_mut(item.stage) else {
                self.finish(item, run)?;
                continue;
            };
            if live.bypassed {
                item.stage += 1;
                work.push(item);
                continue;
            }
            let rows = item.batch.num_rows();
            if let Some(skip) = run.skips.iter().find(|skip| skip.stage == live.plan.id) {
                run.deltas.push((item.pipeline, item.stage, Delta::rejected(rows)));
                let verdict = live.verdict(skip.reason.clone());
                Self::reject(run, verdict, item.own, item.signal, item.batch)?;
                continue;
            }
            // Kept for the dead letters; the messages themselves are kept by the caller.
            let kept = (!item.own).then(|| item.batch.clone());
            let before = live.deferred();
            let result = live.instance.process(item.signal, item.batch, now_ns);
            run.touched |= live.is_stateful() || before > 0;
            match result {
                Ok(output) => {
                    run.deltas.push((item.pipeline, item.stage, Delta::of(rows, before, live.deferred(), &output)));
                    work.extend(self.onward(item.pipeline, item.stage, output, item.own));
                }
                Err(fault) => {
                    live.fault(&fault);
                    if fault.is_fatal() && live.is_stateful() {
                        return Err(self.trap(item.pipeline, item.stage, &fault, run));
                    }
                    let verdict = live.verdict(fault.to_string());
                    if fault.is_fatal() {
                        self.renew(item.pipeline, item.stage)?;
                    }
                    run.deltas.push((item.pipeline, item.stage, Delta::rejected(rows)));
                    let kept = kept.unwrap_or_else(|| RecordBatch::new_empty(item.signal.schema()));
                    Self::reject(run, verdict, item.own, item.signal, kept)?;
                }
            }
        }
        Ok(())
    }

    /// Where a call's output goes next: its own rows last, so that they are taken first.
    fn onward(&self, pipeline: usize, stage: usize, output: weft_wasm::Output, own: bool) -> Vec<Item> {
        let signal = self.loaded.topology.pipelines[pipeline].signal;
        let mut items = Vec::with_capacity(output.emitted.len() + output.released.len() + 1);
        let route = |signal: Signal, batch: RecordBatch| {
            let (pipeline, stage) = match self.pipelines[pipeline][stage].plan.emits.get(&signal) {
                Some(Route::Pipeline(to)) => (*to, 0),
                // Past the last stage there is only the table.
                Some(Route::Table(_)) | None => (pipeline, usize::MAX),
            };
            Item { pipeline, stage, signal, batch, own: false }
        };
        items.extend(output.emitted.into_iter().rev().map(|(signal, batch)| route(signal, batch)));
        for (of, batch) in output.released.into_iter().rev() {
            items.push(if of == signal {
                Item { pipeline, stage: stage + 1, signal, batch, own: false }
            } else {
                route(of, batch)
            });
        }
        items.extend(output.batch.map(|batch| Item { pipeline, stage: stage + 1, signal, batch, own }));
        items
    }

    /// The end of a chain: derived columns, then the table.
    fn finish(&self, item: Item, run: &mut Run<'_>) -> Result<(), Fault> {
        let Some(table) = item.signal.table() else {
            let pipeline = &self.loaded.topology.pipelines[item.pipeline];
            let verdict = Verdict {
                stage: pipeline.name.clone(),
                reason: format!("no module of pipeline '{}' made anything of this record", pipeline.name),
                module: None,
            };
            run.output.unparsed.push((item.batch, verdict));
            return Ok(());
        };
        let kept = (!item.own).then(|| item.batch.clone());
        match weft_codec::derive(item.signal, item.batch, &self.loaded.codec) {
            Ok(rows) => run.output.rows.push((table, rows)),
            Err(error) => {
                let verdict = Verdict { stage: DERIVE.to_owned(), reason: error.to_string(), module: None };
                let kept = kept.unwrap_or_else(|| RecordBatch::new_empty(item.signal.schema()));
                Self::reject(run, verdict, item.own, item.signal, kept)?;
            }
        }
        Ok(())
    }

    /// Gives rows up, or says that the run must be repeated to know whose they are.
    fn reject(run: &mut Run<'_>, verdict: Verdict, own: bool, signal: Signal, rows: RecordBatch) -> Result<(), Fault> {
        match &run.kind {
            _ if !own => run.output.rejected_rows.push((signal, rows, verdict)),
            Kind::Many(range) if run.touched => {
                let blame = Blame::OneOf(range.clone());
                return Err(Fault::Rollback(Trap { stage: verdict.stage, reason: verdict.reason, blame }));
            }
            Kind::Many(_) => return Err(Fault::Singly),
            Kind::One(_) | Kind::Tick => run.output.rejected.push(verdict),
        }
        Ok(())
    }

    fn trap(&self, pipeline: usize, stage: usize, fault: &weft_wasm::Fault, run: &Run<'_>) -> Fault {
        let blame = match &run.kind {
            Kind::Many(range) => Blame::OneOf(range.clone()),
            Kind::One(offset) => Blame::Message(*offset),
            Kind::Tick => Blame::Nobody,
        };
        let stage = self.pipelines[pipeline][stage].plan.id.clone();
        Fault::Rollback(Trap { stage, reason: fault.to_string(), blame })
    }

    /// A fresh instance in place of a dead one that had no state.
    fn renew(&mut self, pipeline: usize, stage: usize) -> Result<(), Fault> {
        let source = self.source.clone();
        self.pipelines[pipeline][stage].renew(&source).map_err(Fault::Rollback)
    }

    /// A run stands: its accounts are added up.
    fn settle(&self, run: Run<'_>) -> Output {
        for (pipeline, stage, delta) in &run.deltas {
            self.pipelines[*pipeline][*stage].count(delta);
        }
        run.output
    }
}

/// Pipelines that rows entering at `entry` can get to, in the order of flow.
fn reach(loaded: &Loaded, entry: usize) -> Vec<usize> {
    let mut reached = vec![false; loaded.topology.pipelines.len()];
    reached[entry] = true;
    for at in 0..reached.len() {
        if !reached[at] {
            continue;
        }
        for route in loaded.topology.pipelines[at].stages.iter().flat_map(|stage| stage.emits.values()) {
            if let Route::Pipeline(to) = route {
                reached[*to] = true;
            }
        }
    }
    (0..reached.len()).filter(|at| reached[*at]).collect()
}
