#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::fixtures::{metric_rows, samples};
use std::collections::BTreeMap;

fn joined(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut joiner = Joiner::new(batches).unwrap();
    let mut out = Vec::new();
    while let Some(batch) = joiner.next_batch().unwrap() {
        out.push(batch);
    }
    out
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[test]
fn samples_of_a_series_come_in_ascending_time_whatever_order_they_arrived_in() {
    let out = joined(&[
        metric_rows(&[("a", "x", &[(30, 3.5)]), ("a", "x", &[(10, 1.5), (50, 5.5)])]),
        metric_rows(&[("a", "x", &[(40, 4.5), (20, 2.5)])]),
    ]);
    assert_eq!(rows(&out), 1);
    let times = out[0].column_by_name(metrics::TIMESTAMPS).unwrap().as_list::<i32>().value(0);
    assert_eq!(times.as_primitive::<Int64Type>().values(), &[10, 20, 30, 40, 50]);
    let values = out[0].column_by_name(metrics::VALUES).unwrap().as_list::<i32>().value(0);
    assert_eq!(values.as_primitive::<Float64Type>().values(), &[1.5, 2.5, 3.5, 4.5, 5.5]);
    assert_eq!(int64(&out[0], metrics::MIN_TIME).unwrap().value(0), 10);
    assert_eq!(int64(&out[0], metrics::MAX_TIME).unwrap().value(0), 50);
}

#[test]
fn of_samples_at_one_time_the_last_written_stays() {
    let out = joined(&[metric_rows(&[("a", "x", &[(10, 1.0), (20, 2.0)])]), metric_rows(&[("a", "x", &[(10, 9.0)])])]);
    let found: Vec<_> = samples(&out).into_iter().map(|(_, _, time, bits)| (time, f64::from_bits(bits))).collect();
    assert_eq!(found, [(10, 9.0), (20, 2.0)]);
}

#[test]
fn only_samples_that_are_all_whole_become_integers() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let out = joined(&[metric_rows(&[
        ("fraction", "x", &[(1, 1.0), (2, 0.5)]),
        ("huge", "x", &[(1, 1e300)]),
        ("minus_zero", "x", &[(1, -0.0)]),
        ("stale", "x", &[(1, 1.0), (2, stale)]),
        ("whole", "x", &[(1, 1.0), (2, -7.0)]),
    ])]);
    let ints = out[0].column_by_name(metrics::INT_VALUES).unwrap();
    assert_eq!((0..5).map(|row| ints.is_valid(row)).collect::<Vec<_>>(), [false, false, false, false, true]);
    // Bit patterns survive.
    assert!(samples(&out).contains(&("stale".into(), "x".into(), 2, stale.to_bits())));
    assert!(samples(&out).contains(&("minus_zero".into(), "x".into(), 1, (-0.0f64).to_bits())));
}

#[test]
fn a_series_with_very_many_samples_takes_several_rows() {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let many: Vec<(i64, f64)> = (0..40_000).map(|at| (at, at as f64 / 2.0)).collect();
    let out = joined(&[metric_rows(&[("a", "x", &many)])]);
    assert_eq!(rows(&out), 3);
    assert_eq!(samples(&out).len(), 40_000);
}

#[test]
fn histograms_stay_apart_from_floats_of_the_same_series() {
    let floats = metric_rows(&[("a", "x", &[(1, 1.0)]), ("a", "x", &[(2, 1.0)])]);
    let histogram = one_histogram_each(&floats, 3);
    let out = joined(&[floats, histogram]);
    assert_eq!(rows(&out), 2);
    let histograms = out[0].column_by_name(metrics::HISTOGRAMS).unwrap().as_list::<i32>();
    assert_eq!((histograms.is_valid(0), histograms.is_valid(1)), (false, true));
    assert_eq!(histograms.value(1).len(), 2);
    let sums = histograms.value(1);
    let sums = sums.as_struct().column_by_name("sum").unwrap().as_primitive::<Float64Type>();
    assert_eq!(sums.values(), &[0.0, 1.0]);
}

/// The same rows with a histogram (sum = row number) in place of each sample, at times 1, 2, ….
fn one_histogram_each(batch: &RecordBatch, custom: usize) -> RecordBatch {
    let rows = batch.num_rows();
    let element = DataType::Struct(metrics::histogram_fields());
    let fields = metrics::histogram_fields();
    let columns = fields.iter().map(|field| -> ArrayRef {
        match field.data_type() {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            DataType::Float64 => Arc::new((0..rows).map(|row| Some(row as f64)).collect::<Float64Array>()),
            DataType::Int32 => Arc::new(Int32Array::from(vec![-53; rows])),
            DataType::Boolean => Arc::new(arrow::array::BooleanArray::from(vec![false; rows])),
            DataType::List(inner) if inner.data_type() == &DataType::Float64 => {
                let values = Float64Array::from(vec![1.0; rows * custom]);
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(custom, rows));
                Arc::new(ListArray::new(Arc::clone(inner), offsets, Arc::new(values), None))
            }
            DataType::List(inner) => {
                let empty = arrow::array::new_empty_array(inner.data_type());
                Arc::new(ListArray::new(Arc::clone(inner), OffsetBuffer::new_zeroed(rows), empty, None))
            }
            other => unreachable!("{other}"),
        }
    });
    let values = arrow::array::StructArray::new(metrics::histogram_fields(), columns.collect(), None);
    let list =
        ListArray::new(element_field(element), OffsetBuffer::from_lengths(vec![1; rows]), Arc::new(values), None);
    let mut given: BTreeMap<&str, ArrayRef> = BTreeMap::new();
    for name in
        [metrics::NAME, metrics::LABELS, metrics::SERIES_ID, metrics::MIN_TIME, metrics::MAX_TIME, metrics::TIMESTAMPS]
    {
        given.insert(name, Arc::clone(batch.column_by_name(name).unwrap()));
    }
    given.insert(metrics::HISTOGRAMS, Arc::new(list));
    crate::fixtures::batch(weft_model::Table::Metrics, rows, given)
}

#[test]
fn start_times_are_kept_beside_their_samples_and_unknown_ones_are_zero() {
    let plain = metric_rows(&[("a", "x", &[(30, 1.0)]), ("a", "x", &[(10, 1.0)])]);
    let started = metric_rows(&[("a", "x", &[(20, 2.0)])]);
    let starts = ListArray::new(
        element_field(DataType::Int64),
        OffsetBuffer::from_lengths([1]),
        Arc::new(Int64Array::from(vec![5])),
        None,
    );
    let mut columns = started.columns().to_vec();
    columns[started.schema().index_of(metrics::START_TIMES).unwrap()] = Arc::new(starts);
    let started = RecordBatch::try_new(started.schema(), columns).unwrap();
    let out = joined(&[plain, started]);
    let starts = out[0].column_by_name(metrics::START_TIMES).unwrap().as_list::<i32>().value(0);
    assert_eq!(starts.as_primitive::<Int64Type>().values(), &[0, 5, 0]);
}

#[test]
fn the_latest_known_kind_unit_and_help_describe_a_series() {
    let bare = metric_rows(&[("a", "x", &[(2, 1.0)])]);
    let described = {
        let batch = metric_rows(&[("a", "x", &[(1, 1.0)])]);
        let mut columns = batch.columns().to_vec();
        columns[batch.schema().index_of(metrics::KIND).unwrap()] = Arc::new(Int32Array::from(vec![2]));
        columns[batch.schema().index_of(metrics::UNIT).unwrap()] = Arc::new(StringArray::from(vec![Some("s")]));
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    };
    let out = joined(&[described, bare]);
    assert_eq!(out[0].column_by_name(metrics::KIND).unwrap().as_primitive::<Int32Type>().value(0), 2);
    assert_eq!(out[0].column_by_name(metrics::UNIT).unwrap().as_string::<i32>().value(0), "s");
}
