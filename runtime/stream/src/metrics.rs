//! The worker's own Prometheus metrics, all with the prefix `weft_`.
//!
//! Every stage keeps to: rows in = rows out + rejected + dropped + growth of what it has deferred.
//! Rows out are those of the batch it was given and those it released; what it emitted beside them
//! is counted apart.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::{AtomicI64, AtomicU64};

type FloatGauge = Gauge<f64, AtomicU64>;
type FloatCounter = Counter<f64, AtomicU64>;

/// Labels of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabels {
    pub(crate) stage: String,
    pub(crate) module: String,
    pub(crate) signal: String,
}

/// Labels of a module's own counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CountLabels {
    pub(crate) stage: String,
    pub(crate) module: String,
    pub(crate) name: String,
}

/// Labels of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PartitionLabels {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TopicLabels {
    pub(crate) topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabel {
    pub(crate) stage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TableLabel {
    pub(crate) table: &'static str,
}

/// All metrics of a worker. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) records_read: Family<TopicLabels, Counter>,
    pub(crate) bytes_read: Family<TopicLabels, Counter>,
    pub(crate) rows_in: Family<StageLabels, Counter>,
    pub(crate) rows_out: Family<StageLabels, Counter>,
    pub(crate) rows_emitted: Family<StageLabels, Counter>,
    pub(crate) rows_rejected: Family<StageLabels, Counter>,
    pub(crate) rows_dropped: Family<StageLabels, Counter>,
    pub(crate) rows_deferred: Family<StageLabels, Gauge>,
    pub(crate) module_seconds: Family<StageLabels, FloatCounter>,
    pub(crate) module_faults: Family<StageLabels, Counter>,
    pub(crate) module_count: Family<CountLabels, Counter>,
    pub(crate) rows_stored: Family<TableLabel, Counter>,
    pub(crate) dead_letters: Family<StageLabel, Counter>,
    pub(crate) lag: Family<PartitionLabels, Gauge<i64, AtomicI64>>,
    pub(crate) records_skipped: Family<PartitionLabels, Counter>,
    pub(crate) partitions: Gauge,
    pub(crate) hot_bytes: Gauge,
    pub(crate) epoch_age: FloatGauge,
    pub(crate) epoch_duration: Histogram,
    pub(crate) epochs: Counter,
    pub(crate) rollbacks: Counter,
    pub(crate) fenced: Counter,
    pub(crate) store_failures: Counter,
}

impl Metrics {
    /// Metrics registered under `weft_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            records_read: Family::default(),
            bytes_read: Family::default(),
            rows_in: Family::default(),
            rows_out: Family::default(),
            rows_emitted: Family::default(),
            rows_rejected: Family::default(),
            rows_dropped: Family::default(),
            rows_deferred: Family::default(),
            module_seconds: Family::default(),
            module_faults: Family::default(),
            module_count: Family::default(),
            rows_stored: Family::default(),
            dead_letters: Family::default(),
            lag: Family::default(),
            records_skipped: Family::default(),
            partitions: Gauge::default(),
            hot_bytes: Gauge::default(),
            epoch_age: FloatGauge::default(),
            epoch_duration: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
            epochs: Counter::default(),
            rollbacks: Counter::default(),
            fenced: Counter::default(),
            store_failures: Counter::default(),
        };
        let to = registry.sub_registry_with_prefix("weft");
        to.register("records_read", "Records read from the log", metrics.records_read.clone());
        to.register("bytes_read", "Bytes of keys, values and headers read from the log", metrics.bytes_read.clone());
        to.register("stage_rows_in", "Rows given to a stage", metrics.rows_in.clone());
        to.register(
            "stage_rows_out",
            "Rows that left a stage for the next, released ones included",
            metrics.rows_out.clone(),
        );
        to.register("stage_rows_emitted", "Rows that a stage's module made anew", metrics.rows_emitted.clone());
        to.register(
            "stage_rows_rejected",
            "Rows that went to the dead letters at a stage",
            metrics.rows_rejected.clone(),
        );
        to.register("stage_rows_dropped", "Rows that a stage's module dropped", metrics.rows_dropped.clone());
        to.register("stage_rows_deferred", "Rows that a stage's module holds back now", metrics.rows_deferred.clone());
        to.register_with_unit(
            "module_cpu",
            "Time inside a stage's module",
            Unit::Seconds,
            metrics.module_seconds.clone(),
        );
        to.register("module_faults", "Calls of a stage's module that failed", metrics.module_faults.clone());
        to.register("module_count", "A module's own counters", metrics.module_count.clone());
        to.register("rows_stored", "Rows that reached a table's hot buffer", metrics.rows_stored.clone());
        to.register("dead_letters", "Records given up, by the stage that did", metrics.dead_letters.clone());
        to.register("consumer_lag_records", "Records in the log that are not processed yet", metrics.lag.clone());
        to.register(
            "records_lost_to_retention",
            "Records that the log's retention removed before they were read",
            metrics.records_skipped.clone(),
        );
        to.register("partitions", "Partitions being processed", metrics.partitions.clone());
        to.register_with_unit(
            "hot",
            "Memory of rows that are not committed and published yet",
            Unit::Bytes,
            metrics.hot_bytes.clone(),
        );
        to.register_with_unit(
            "epoch_age",
            "Age of the oldest rows that are not committed; 0 when all are",
            Unit::Seconds,
            metrics.epoch_age.clone(),
        );
        to.register_with_unit(
            "epoch_duration",
            "From an epoch's end to its being committed and published",
            Unit::Seconds,
            metrics.epoch_duration.clone(),
        );
        to.register("epochs_committed", "Epochs committed", metrics.epochs.clone());
        to.register(
            "rollbacks",
            "Returns to the ledger's state after a fault in a stateful module",
            metrics.rollbacks.clone(),
        );
        to.register("epochs_fenced", "Epochs dropped because another worker had the partition", metrics.fenced.clone());
        to.register("store_failures", "Failed attempts to write, commit or publish", metrics.store_failures.clone());
        metrics
    }
}
