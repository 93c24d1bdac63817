//! One stage of one partition: its instance and its accounts.

use super::{Code, Snapshot, Transform, Trap};
use crate::dead_letters::Verdict;
use crate::metrics::{CountLabels, Metrics, StageLabels};
use crate::poison::Blame;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use weft_model::TopicPartition;
use weft_topology::Stage;
use weft_wasm::{Fault, Output};

/// A stage at work.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) plan: Stage,
    pub(super) instance: Box<dyn Transform>,
    /// Rows pass it by: it kept failing with nobody to blame.
    pub(super) bypassed: bool,
    code: Code,
    /// Hash of the snapshot last given out.
    snapshot: Option<u128>,
    labels: StageLabels,
    metrics: Metrics,
    rows_in: Counter,
    rows_out: Counter,
    rows_emitted: Counter,
    rows_rejected: Counter,
    rows_dropped: Counter,
    rows_deferred: Gauge,
    seconds: Counter<f64, AtomicU64>,
    /// What was added to the metrics so far, of figures that the instance counts itself.
    reported_ns: u64,
    reported_deferred: i64,
    reported: HashMap<String, u64>,
}

/// What one call did to a stage's accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delta {
    rows_in: u64,
    rows_out: u64,
    emitted: u64,
    rejected: u64,
    dropped: u64,
}

impl Delta {
    /// Of a call that went well; `before` and `after` are the rows deferred.
    pub(super) fn of(rows_in: usize, before: usize, after: usize, output: &Output) -> Self {
        let kept = output.batch.as_ref().map_or(0, |batch| batch.num_rows());
        let released: usize = output.released.iter().map(|(_, batch)| batch.num_rows()).sum();
        let emitted: usize = output.emitted.iter().map(|(_, batch)| batch.num_rows()).sum();
        let (available, accounted) = (rows_in + before, kept + released + after);
        debug_assert!(available >= accounted, "a stage made rows of nothing: {available} < {accounted}");
        Self {
            rows_in: rows_in as u64,
            rows_out: (kept + released) as u64,
            emitted: emitted as u64,
            rejected: 0,
            dropped: available.saturating_sub(accounted) as u64,
        }
    }

    /// Of a call that failed.
    pub(super) fn rejected(rows: usize) -> Self {
        Self { rows_in: rows as u64, rejected: rows as u64, ..Self::default() }
    }
}

impl Live {
    pub(super) fn new(
        plan: Stage,
        code: Code,
        instance: Box<dyn Transform>,
        bypassed: bool,
        labels: StageLabels,
        metrics: &Metrics,
    ) -> Self {
        Self {
            rows_in: metrics.rows_in.get_or_create(&labels).clone(),
            rows_out: metrics.rows_out.get_or_create(&labels).clone(),
            rows_emitted: metrics.rows_emitted.get_or_create(&labels).clone(),
            rows_rejected: metrics.rows_rejected.get_or_create(&labels).clone(),
            rows_dropped: metrics.rows_dropped.get_or_create(&labels).clone(),
            rows_deferred: metrics.rows_deferred.get_or_create(&labels).clone(),
            seconds: metrics.module_seconds.get_or_create(&labels).clone(),
            metrics: metrics.clone(),
            plan,
            instance,
            bypassed,
            code,
            snapshot: None,
            labels,
            reported_ns: 0,
            reported_deferred: 0,
            reported: HashMap::new(),
        }
    }

    /// Whether losing the instance would lose something.
    pub(super) fn is_stateful(&self) -> bool {
        self.code.description().stateful || self.instance.deferred_rows() > 0
    }

    pub(super) fn deferred(&self) -> usize {
        self.instance.deferred_rows()
    }

    pub(super) fn verdict(&self, reason: String) -> Verdict {
        let module = Some((self.plan.module.clone(), self.code.digest().to_owned()));
        Verdict { stage: self.plan.id.clone(), reason, module }
    }

    /// Notes that a call failed.
    pub(super) fn fault(&self, fault: &Fault) {
        self.metrics.module_faults.get_or_create(&self.labels).inc();
        tracing::warn!(stage = self.plan.id, module = self.plan.module, %fault, "a module failed");
    }

    /// A fresh instance in place of a dead one.
    pub(super) fn renew(&mut self, source: &TopicPartition) -> Result<(), Trap> {
        self.report();
        let fresh = self.code.instantiate(&self.plan.config, source);
        self.instance = fresh.map_err(|error| Trap {
            stage: self.plan.id.clone(),
            reason: error.to_string(),
            blame: Blame::Nobody,
        })?;
        (self.reported_ns, self.reported) = (0, HashMap::new());
        Ok(())
    }

    /// The snapshot, unless it is the one that was given out before.
    pub(super) fn changed(&mut self, bytes: Vec<u8>) -> Option<Snapshot> {
        let hash = Some(xxhash_rust::xxh3::xxh3_128(&bytes));
        if self.snapshot == hash {
            return None;
        }
        self.snapshot = hash;
        Some(Snapshot {
            stage: self.plan.id.clone(),
            module: self.plan.module.clone(),
            digest: self.code.digest().to_owned(),
            bytes: bytes.into(),
        })
    }

    pub(super) fn count(&self, delta: &Delta) {
        self.rows_in.inc_by(delta.rows_in);
        self.rows_out.inc_by(delta.rows_out);
        self.rows_emitted.inc_by(delta.emitted);
        self.rows_rejected.inc_by(delta.rejected);
        self.rows_dropped.inc_by(delta.dropped);
    }

    /// Brings the metrics up to what the instance counts itself.
    pub(super) fn report(&mut self) {
        let busy = self.instance.busy_ns();
        #[expect(clippy::cast_precision_loss, reason = "seconds of one interval")]
        self.seconds.inc_by(busy.saturating_sub(self.reported_ns) as f64 / 1e9);
        self.reported_ns = busy;
        let deferred = i64::try_from(self.instance.deferred_rows()).unwrap_or(i64::MAX);
        self.rows_deferred.inc_by(deferred - self.reported_deferred);
        self.reported_deferred = deferred;
        for (name, count) in self.instance.counters() {
            let reported = self.reported.entry(name.clone()).or_default();
            let added = count.saturating_sub(*reported);
            *reported = count;
            if added > 0 {
                let labels = CountLabels { stage: self.labels.stage.clone(), module: self.labels.module.clone(), name };
                self.metrics.module_count.get_or_create(&labels).inc_by(added);
            }
        }
    }
}

impl Drop for Live {
    /// The gauge is a sum over partitions: this one's share goes with it.
    fn drop(&mut self) {
        self.report();
        self.rows_deferred.dec_by(self.reported_deferred);
    }
}
