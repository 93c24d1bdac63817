//! The `metrics` signal and table: one row a series and time window, samples as lists.
//!
//! In flight a row holds what one message said of a series, often one sample; the writer joins the
//! rows of a series. Of `values`, `int_values` and `histograms` exactly one is non-null in a row,
//! and it has as many elements as `timestamps`. Timestamps ascend within a written row.
//! Names and labels are Prometheus's: OTLP is translated when decoded.

use crate::attributes::{label_map, list_of};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// Metric name: the `__name__` label.
pub const NAME: &str = "name";
/// All other labels, sorted by name, none empty. `Map<Utf8, Utf8>`.
pub const LABELS: &str = "labels";
/// 16 bytes: hash of all labels with `__name__` ([`crate::series::id`]). Null in flight until derived.
pub const SERIES_ID: &str = "series_id";
/// 0 unknown, 1 gauge, 2 counter, 3 histogram, 4 summary, 5 info, 6 state set, 7 gauge histogram.
pub const KIND: &str = "kind";
/// OTLP AggregationTemporality: 0 unspecified, 1 delta, 2 cumulative.
pub const TEMPORALITY: &str = "temporality";
/// Unit as the sender gave it; null when absent.
pub const UNIT: &str = "unit";
/// Help text; null when absent.
pub const HELP: &str = "help";
/// Earliest of `timestamps`, ms since the Unix epoch.
pub const MIN_TIME: &str = "min_time";
/// Latest of `timestamps`, ms since the Unix epoch.
pub const MAX_TIME: &str = "max_time";
/// Sample times, ms since the Unix epoch. `List<Int64>`.
pub const TIMESTAMPS: &str = "timestamps";
/// Start (created) times beside the samples, ms, 0 unknown; null when none is known. `List<Int64>`.
pub const START_TIMES: &str = "start_times";
/// Float samples. NaN bit patterns are kept: 0x7ff0000000000002 is the staleness marker. `List<Float64>`.
pub const VALUES: &str = "values";
/// Samples that are all integers of magnitude up to 2^53 (and no -0). `List<Int64>`.
pub const INT_VALUES: &str = "int_values";
/// Native histograms. `List<Struct>`, see [`histogram_fields`].
pub const HISTOGRAMS: &str = "histograms";
/// Exemplars. `List<Struct>`, see [`exemplar_fields`]; null when none.
pub const EXEMPLARS: &str = "exemplars";

/// A native histogram: count, sum, schema (-53 custom buckets), zero threshold and count, spans as
/// parallel lists of offsets and lengths, bucket counts absolute, custom bounds, reset hint
/// (0 unknown, 1 reset, 2 not reset, 3 gauge), whether the counts are floats.
pub fn histogram_fields() -> Fields {
    Fields::from(vec![
        Field::new("count", DataType::Float64, false),
        Field::new("sum", DataType::Float64, false),
        Field::new("schema", DataType::Int32, false),
        Field::new("zero_threshold", DataType::Float64, false),
        Field::new("zero_count", DataType::Float64, false),
        Field::new("positive_offsets", list_of(DataType::Int32), false),
        Field::new("positive_lengths", list_of(DataType::Int32), false),
        Field::new("positive_counts", list_of(DataType::Float64), false),
        Field::new("negative_offsets", list_of(DataType::Int32), false),
        Field::new("negative_lengths", list_of(DataType::Int32), false),
        Field::new("negative_counts", list_of(DataType::Float64), false),
        Field::new("custom_values", list_of(DataType::Float64), false),
        Field::new("reset_hint", DataType::Int32, false),
        Field::new("is_float", DataType::Boolean, false),
    ])
}

/// An exemplar: time in ms, value, ids where the sender gave them, remaining labels.
pub fn exemplar_fields() -> Fields {
    Fields::from(vec![
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
        Field::new("trace_id", DataType::Binary, true),
        Field::new("span_id", DataType::Binary, true),
        Field::new("labels", label_map(), false),
    ])
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(NAME, DataType::Utf8, false),
        Field::new(LABELS, label_map(), false),
        Field::new(SERIES_ID, DataType::Binary, true),
        Field::new(KIND, DataType::Int32, false),
        Field::new(TEMPORALITY, DataType::Int32, false),
        Field::new(UNIT, DataType::Utf8, true),
        Field::new(HELP, DataType::Utf8, true),
        Field::new(MIN_TIME, DataType::Int64, false),
        Field::new(MAX_TIME, DataType::Int64, false),
        Field::new(TIMESTAMPS, list_of(DataType::Int64), false),
        Field::new(START_TIMES, list_of(DataType::Int64), true),
        Field::new(VALUES, list_of(DataType::Float64), true),
        Field::new(INT_VALUES, list_of(DataType::Int64), true),
        Field::new(HISTOGRAMS, list_of(DataType::Struct(histogram_fields())), true),
        Field::new(EXEMPLARS, list_of(DataType::Struct(exemplar_fields())), true),
    ]))
});

/// The schema, columns in the order above.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
