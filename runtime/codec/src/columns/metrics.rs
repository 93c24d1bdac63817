//! Columns of the metrics signal.

use super::{Ends, LabelMap, Lists, OptionalText, Text, doubles, ints, list, longs};
use crate::Error;
use arrow::array::{Array as _, BinaryArray, BooleanArray, ListArray, RecordBatch, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use std::sync::Arc;
use weft_model::attributes::element_field;
use weft_model::metrics::{exemplar_fields, histogram_fields, schema};

/// The value that says a series has ended: Prometheus's stale marker.
pub(crate) const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Integers of larger magnitude aren't all exact as floats.
const MAX_INTEGER: i64 = 1 << 53;

/// Kinds of metrics, as the model numbers them.
pub(crate) mod kind {
    pub(crate) const UNKNOWN: i32 = 0;
    pub(crate) const GAUGE: i32 = 1;
    pub(crate) const COUNTER: i32 = 2;
    pub(crate) const HISTOGRAM: i32 = 3;
    pub(crate) const SUMMARY: i32 = 4;
    pub(crate) const INFO: i32 = 5;
    pub(crate) const STATE_SET: i32 = 6;
    pub(crate) const GAUGE_HISTOGRAM: i32 = 7;

    /// From the number that both remote-write protocols give a type.
    pub(crate) fn from_prometheus(number: i32) -> i32 {
        match number {
            1 => COUNTER,
            2 => GAUGE,
            3 => HISTOGRAM,
            4 => GAUGE_HISTOGRAM,
            5 => SUMMARY,
            6 => INFO,
            7 => STATE_SET,
            _ => UNKNOWN,
        }
    }
}

/// What a row says of its series besides labels and samples.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Family<'a> {
    pub(crate) kind: i32,
    pub(crate) temporality: i32,
    pub(crate) unit: &'a str,
    pub(crate) help: &'a str,
}

/// When a sample was taken and, where known (else 0), when its counter began: ms since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Instant {
    pub(crate) time: i64,
    pub(crate) start: i64,
}

/// A native histogram whose parts have been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: f64,
    pub(crate) positive: Buckets,
    pub(crate) negative: Buckets,
    pub(crate) custom_values: Vec<f64>,
    pub(crate) reset_hint: i32,
    pub(crate) is_float: bool,
}

/// One side of a native histogram: spans as pairs of offset and length, and the buckets' counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets {
    pub(crate) offsets: Vec<i32>,
    pub(crate) lengths: Vec<i32>,
    pub(crate) counts: Vec<f64>,
}

impl Buckets {
    pub(crate) fn clear(&mut self) {
        self.offsets.clear();
        self.lengths.clear();
        self.counts.clear();
    }

    /// Opens a span.
    pub(crate) fn span(&mut self, offset: i32, length: i32) {
        self.offsets.push(offset);
        self.lengths.push(length);
    }
}

#[derive(Debug, Default)]
struct BucketColumns {
    offsets: Lists<i32>,
    lengths: Lists<i32>,
    counts: Lists<f64>,
}

impl BucketColumns {
    fn push(&mut self, buckets: &Buckets) {
        self.offsets.push_row(buckets.offsets.iter().copied());
        self.lengths.push_row(buckets.lengths.iter().copied());
        self.counts.push_row(buckets.counts.iter().copied());
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows);
        self.lengths.truncate(rows);
        self.counts.truncate(rows);
    }

    fn bytes(&self) -> usize {
        self.offsets.bytes() + self.lengths.bytes() + self.counts.bytes()
    }
}

/// Native histograms of all rows.
#[derive(Debug, Default)]
struct HistogramColumns {
    ends: Ends,
    count: Vec<f64>,
    sum: Vec<f64>,
    schema: Vec<i32>,
    zero_threshold: Vec<f64>,
    zero_count: Vec<f64>,
    positive: BucketColumns,
    negative: BucketColumns,
    custom_values: Lists<f64>,
    reset_hint: Vec<i32>,
    is_float: Vec<bool>,
}

impl HistogramColumns {
    fn push(&mut self, histogram: &Histogram) {
        self.count.push(histogram.count);
        self.sum.push(histogram.sum);
        self.schema.push(histogram.schema);
        self.zero_threshold.push(histogram.zero_threshold);
        self.zero_count.push(histogram.zero_count);
        self.positive.push(&histogram.positive);
        self.negative.push(&histogram.negative);
        self.custom_values.push_row(histogram.custom_values.iter().copied());
        self.reset_hint.push(histogram.reset_hint);
        self.is_float.push(histogram.is_float);
    }

    fn truncate(&mut self, rows: usize) {
        let histograms = self.ends.truncate(rows);
        self.count.truncate(histograms);
        self.sum.truncate(histograms);
        self.schema.truncate(histograms);
        self.zero_threshold.truncate(histograms);
        self.zero_count.truncate(histograms);
        self.positive.truncate(histograms);
        self.negative.truncate(histograms);
        self.custom_values.truncate(histograms);
        self.reset_hint.truncate(histograms);
        self.is_float.truncate(histograms);
    }

    fn finish(self, nulls: Option<NullBuffer>) -> Result<arrow::array::ArrayRef, Error> {
        let values = StructArray::try_new(
            histogram_fields(),
            vec![
                doubles(self.count),
                doubles(self.sum),
                ints(self.schema),
                doubles(self.zero_threshold),
                doubles(self.zero_count),
                self.positive.offsets.finish::<Int32Type>(None)?,
                self.positive.lengths.finish::<Int32Type>(None)?,
                self.positive.counts.finish::<Float64Type>(None)?,
                self.negative.offsets.finish::<Int32Type>(None)?,
                self.negative.lengths.finish::<Int32Type>(None)?,
                self.negative.counts.finish::<Float64Type>(None)?,
                self.custom_values.finish::<Float64Type>(None)?,
                ints(self.reset_hint),
                Arc::new(BooleanArray::from(self.is_float)),
            ],
            None,
        )?;
        list(values.data_type().clone(), self.ends, Arc::new(values), nulls)
    }
}

/// Exemplars of all rows. The caller appends to the columns, labels last, then calls [`Self::end`].
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    ends: Ends,
    timestamp: Vec<i64>,
    value: Vec<f64>,
    trace_id: OptionalText,
    span_id: OptionalText,
    pub(crate) labels: LabelMap,
}

impl Exemplars {
    /// Closes an exemplar whose labels have been appended.
    pub(crate) fn end(&mut self, timestamp: i64, value: f64, trace_id: &[u8], span_id: &[u8]) {
        self.timestamp.push(timestamp);
        self.value.push(value);
        self.trace_id.push(trace_id);
        self.span_id.push(span_id);
        self.labels.end_row();
    }

    /// Exemplars so far, those of the open row included.
    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    /// The earliest and latest time among those of the open row.
    pub(crate) fn open_times(&self) -> Option<(i64, i64)> {
        let open = self.timestamp.get(self.ends.last()..)?;
        Some((*open.iter().min()?, *open.iter().max()?))
    }

    fn truncate(&mut self, rows: usize) {
        let exemplars = self.ends.truncate(rows);
        self.timestamp.truncate(exemplars);
        self.value.truncate(exemplars);
        self.trace_id.truncate(exemplars);
        self.span_id.truncate(exemplars);
        self.labels.truncate(exemplars);
    }

    fn finish(self) -> Result<arrow::array::ArrayRef, Error> {
        let rows = self.ends.rows();
        let present: Vec<bool> = (0..rows).map(|row| self.ends.at(row) < self.ends.at(row + 1)).collect();
        let fields = exemplar_fields();
        if self.value.is_empty() {
            let element = element_field(arrow::datatypes::DataType::Struct(fields));
            return Ok(Arc::new(ListArray::new_null(element, rows)));
        }
        let values = StructArray::try_new(
            fields,
            vec![
                longs(self.timestamp),
                doubles(self.value),
                self.trace_id.finish_binary()?,
                self.span_id.finish_binary()?,
                self.labels.finish()?,
            ],
            None,
        )?;
        list(values.data_type().clone(), self.ends, Arc::new(values), super::validity(&present))
    }
}

/// Which of the three sample columns a row uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Samples {
    Floats,
    Integers,
    Histograms,
}

/// All columns.
#[derive(Debug, Default)]
pub(crate) struct MetricColumns {
    name: Text,
    pub(crate) labels: LabelMap,
    kind: Vec<i32>,
    temporality: Vec<i32>,
    unit: OptionalText,
    help: OptionalText,
    min_time: Vec<i64>,
    max_time: Vec<i64>,
    timestamps: Lists<i64>,
    start_times: Lists<i64>,
    has_start: Vec<bool>,
    samples: Vec<Samples>,
    values: Lists<f64>,
    integers: Lists<i64>,
    histograms: HistogramColumns,
    pub(crate) exemplars: Exemplars,
    /// Rows there were when the message now being read began.
    mark: usize,
}

/// The integer a float is, where it is one that the integer column can give back bit for bit.
#[inline]
fn integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    ((integer as f64).to_bits() == value.to_bits() && integer.unsigned_abs() <= MAX_INTEGER as u64).then_some(integer)
}

impl MetricColumns {
    pub(crate) fn rows(&self) -> usize {
        self.kind.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        let histograms = &self.histograms;
        self.rows() * 64
            + self.name.bytes()
            + self.labels.bytes()
            + self.unit.bytes()
            + self.help.bytes()
            + self.timestamps.bytes()
            + self.start_times.bytes()
            + self.values.bytes()
            + self.integers.bytes()
            + histograms.count.len() * 64
            + histograms.positive.bytes()
            + histograms.negative.bytes()
            + histograms.custom_values.bytes()
            + self.exemplars.len() * 64
            + self.exemplars.labels.bytes()
    }

    /// Closes a row of float samples. The row's labels must have been appended, and its exemplars.
    pub(crate) fn push_floats(&mut self, name: &str, family: &Family<'_>, instants: &[Instant], values: &[f64]) {
        let start = self.integers.data.len();
        for &value in values {
            match integer(value) {
                Some(integer) => self.integers.data.push(integer),
                None => {
                    self.integers.data.truncate(start);
                    self.values.data.extend_from_slice(values);
                    self.end_row(name, family, instants, Samples::Floats);
                    return;
                }
            }
        }
        self.end_row(name, family, instants, Samples::Integers);
    }

    /// Adds a histogram to the open row.
    pub(crate) fn push_histogram(&mut self, histogram: &Histogram) {
        self.histograms.push(histogram);
    }

    /// Closes a row of histograms, one for each instant.
    pub(crate) fn end_histograms(&mut self, name: &str, family: &Family<'_>, instants: &[Instant]) {
        self.end_row(name, family, instants, Samples::Histograms);
    }

    fn end_row(&mut self, name: &str, family: &Family<'_>, instants: &[Instant], samples: Samples) {
        let exemplar_times = if instants.is_empty() { self.exemplars.open_times() } else { None };
        let (mut min, mut max) = exemplar_times.unwrap_or((i64::MAX, i64::MIN));
        let mut has_start = false;
        for instant in instants {
            min = min.min(instant.time);
            max = max.max(instant.time);
            has_start |= instant.start != 0;
        }
        self.min_time.push(min);
        self.max_time.push(max);
        self.timestamps.push_row(instants.iter().map(|instant| instant.time));
        if has_start {
            self.start_times.data.extend(instants.iter().map(|instant| instant.start));
        }
        self.start_times.end_row();
        self.has_start.push(has_start);
        self.samples.push(samples);
        self.values.end_row();
        self.integers.end_row();
        self.histograms.ends.push(self.histograms.count.len());
        self.exemplars.ends.push(self.exemplars.len());
        self.name.push(name.as_bytes());
        self.labels.end_row();
        self.kind.push(family.kind);
        self.temporality.push(family.temporality);
        self.unit.push(family.unit.as_bytes());
        self.help.push(family.help.as_bytes());
    }

    /// Notes that a message begins.
    pub(crate) fn begin(&mut self) {
        self.mark = self.rows();
    }

    /// Whether the last row is of this series, and of the message now being read.
    pub(crate) fn last_is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        if self.rows() == self.mark {
            return false;
        }
        let row = self.rows() - 1;
        self.name.get(row) == name.as_bytes() && self.labels.row_equals(row, labels)
    }

    /// Whether two closed rows have the same name, labels and times.
    pub(crate) fn rows_equal(&self, left: usize, right: usize) -> bool {
        self.name.get(left) == self.name.get(right)
            && self.labels.rows_equal(left, right)
            && self.timestamps.row(left) == self.timestamps.row(right)
    }

    /// Gives the last row the exemplars appended since.
    pub(crate) fn extend_last_exemplars(&mut self) {
        let rows = self.rows();
        self.exemplars.ends.truncate(rows.saturating_sub(1));
        self.exemplars.ends.push(self.exemplars.value.len());
    }

    /// Cuts back to `rows` rows, which also drops what was appended for an open row.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.name.truncate(rows);
        self.labels.truncate(rows);
        self.kind.truncate(rows);
        self.temporality.truncate(rows);
        self.unit.truncate(rows);
        self.help.truncate(rows);
        self.min_time.truncate(rows);
        self.max_time.truncate(rows);
        self.timestamps.truncate(rows);
        self.start_times.truncate(rows);
        self.has_start.truncate(rows);
        self.samples.truncate(rows);
        self.values.truncate(rows);
        self.integers.truncate(rows);
        self.histograms.truncate(rows);
        self.exemplars.truncate(rows);
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, Error> {
        let rows = self.rows();
        let nulls = |wanted: Samples| {
            let valid: Vec<bool> = self.samples.iter().map(|&samples| samples == wanted).collect();
            super::validity(&valid)
        };
        let columns = vec![
            self.name.finish_utf8(None)?,
            self.labels.finish()?,
            Arc::new(BinaryArray::new_null(rows)) as _,
            ints(self.kind),
            ints(self.temporality),
            self.unit.finish_utf8()?,
            self.help.finish_utf8()?,
            longs(self.min_time),
            longs(self.max_time),
            self.timestamps.finish::<Int64Type>(None)?,
            self.start_times.finish::<Int64Type>(super::validity(&self.has_start))?,
            self.values.finish::<Float64Type>(nulls(Samples::Floats))?,
            self.integers.finish::<Int64Type>(nulls(Samples::Integers))?,
            self.histograms.finish(nulls(Samples::Histograms))?,
            self.exemplars.finish()?,
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
