#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{
    content_type, decode, double, get, labels, labels_of, message, pair, pairs, sample, series_v1, varint, wrap,
};
use crate::wire::write;
use crate::{Codec, Config, Decoder, Error, Message, validate};
use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use proptest::prelude::*;
use weft_model::metrics;

const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

fn longs(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<i64>> {
    let lists: &ListArray = get(batch, name);
    lists.is_valid(row).then(|| lists.value(row).as_primitive::<Int64Type>().values().to_vec())
}

fn floats(batch: &RecordBatch, row: usize) -> Option<Vec<u64>> {
    let lists: &ListArray = get(batch, metrics::VALUES);
    let bits = |array: &Float64Array| array.values().iter().map(|value| value.to_bits()).collect();
    lists.is_valid(row).then(|| bits(lists.value(row).as_primitive::<Float64Type>()))
}

fn structs(batch: &RecordBatch, name: &str, row: usize) -> StructArray {
    get::<ListArray>(batch, name).value(row).as_struct().clone()
}

fn name(batch: &RecordBatch, row: usize) -> &str {
    get::<StringArray>(batch, metrics::NAME).value(row)
}

/// Rows of a request, and how many series were refused.
fn push(body: &[u8]) -> (RecordBatch, usize) {
    let mut decoder = Decoder::new(Codec::RemoteWrite, &Config::default());
    decoder.push(&message(body)).unwrap();
    let rejected = decoder.take_rejected();
    assert_eq!(validate(Codec::RemoteWrite, None, body).unwrap().rejected, rejected);
    (decoder.finish().unwrap(), rejected)
}

#[test]
fn a_series_becomes_a_row_with_its_samples() {
    let body =
        wrap(1, &[series_v1(&[("__name__", "up"), ("b", "2"), ("a", "1"), ("empty", "")], &[(1.5, 10), (2.0, 20)])]);
    let (batch, rejected) = push(&body);
    assert_eq!((batch.num_rows(), rejected), (1, 0));
    assert_eq!(name(&batch, 0), "up");
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(longs(&batch, metrics::TIMESTAMPS, 0), Some(vec![10, 20]));
    assert_eq!(floats(&batch, 0), Some(vec![1.5_f64.to_bits(), 2.0_f64.to_bits()]));
    assert_eq!((longs(&batch, metrics::INT_VALUES, 0), longs(&batch, metrics::START_TIMES, 0)), (None, None));
    assert_eq!(get::<Int64Array>(&batch, metrics::MIN_TIME).value(0), 10);
    assert_eq!(get::<Int64Array>(&batch, metrics::MAX_TIME).value(0), 20);
    assert!(get::<ListArray>(&batch, metrics::HISTOGRAMS).is_null(0));
    assert!(get::<ListArray>(&batch, metrics::EXEMPLARS).is_null(0));
}

#[test]
fn only_what_integers_give_back_bit_for_bit_is_kept_as_integers() {
    let exact = 9_007_199_254_740_992.0;
    let rows: [(&[f64], bool); 8] = [
        (&[0.0, 1.0, -3.0], true),
        (&[exact, -exact], true),
        (&[exact * 2.0], false),
        (&[1.0, 0.5], false),
        (&[-0.0], false),
        (&[f64::NAN], false),
        (&[f64::INFINITY], false),
        (&[f64::from_bits(STALE_BITS)], false),
    ];
    for (values, integers) in rows {
        let samples: Vec<(f64, i64)> = values.iter().map(|&value| (value, 5)).collect();
        let (batch, _) = push(&wrap(1, &[series_v1(&[("__name__", "m")], &samples)]));
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        if integers {
            let back = longs(&batch, metrics::INT_VALUES, 0).unwrap();
            assert_eq!(back.iter().map(|&value| (value as f64).to_bits()).collect::<Vec<_>>(), bits);
            assert_eq!(floats(&batch, 0), None);
        } else {
            assert_eq!(floats(&batch, 0), Some(bits), "{values:?}");
            assert_eq!(longs(&batch, metrics::INT_VALUES, 0), None);
        }
    }
}

#[test]
fn series_with_invalid_labels_are_skipped_and_counted() {
    let body = wrap(
        1,
        &[
            series_v1(&[("job", "no name")], &[(1.0, 1)]),
            series_v1(&[("__name__", "a"), ("x", "1"), ("x", "2")], &[(1.0, 1)]),
            series_v1(&[("__name__", "a"), ("", "1")], &[(1.0, 1)]),
            series_v1(&[("__name__", "good")], &[(1.0, 1)]),
        ],
    );
    let (batch, rejected) = push(&body);
    assert_eq!((batch.num_rows(), rejected), (1, 3));
    assert_eq!(name(&batch, 0), "good");
    let reason = validate(Codec::RemoteWrite, None, &body).unwrap().rejected_reason.unwrap();
    assert!(reason.contains("there is no metric name"), "{reason}");
}

#[test]
fn absurd_times_and_broken_bytes_refuse_the_request() {
    for time in [-1, i64::MAX, i64::MIN, i64::MAX / 1_000_000 + 1] {
        let body = wrap(1, &[series_v1(&[("__name__", "a")], &[(1.0, time)])]);
        let error = validate(Codec::RemoteWrite, None, &body).unwrap_err();
        assert!(error.to_string().contains("a timestamp is negative or after the year 2262"), "{error}");
    }
    let body = wrap(1, &[wrap(1, &[vec![0x0a, 1, 0xff]])]);
    assert!(validate(Codec::RemoteWrite, None, &body).unwrap_err().to_string().contains("not UTF-8"));
}

fn exemplar_v1(labels: &[(&str, &str)], value: f64, time: i64) -> Vec<u8> {
    let mut exemplar = wrap(1, &labels.iter().map(|(name, value)| pair(name, value)).collect::<Vec<_>>());
    double(&mut exemplar, 2, value);
    varint(&mut exemplar, 3, time as u64);
    exemplar
}

#[test]
fn exemplars_sent_apart_join_the_series_before_them() {
    let labels_of_series = [("__name__", "m"), ("a", "1")];
    let trace = "0123456789abcdef0123456789abcdef";
    let with = |exemplar: Vec<u8>| [series_v1(&labels_of_series, &[]), wrap(3, &[exemplar])].concat();
    let body = wrap(
        1,
        &[
            series_v1(&labels_of_series, &[(1.0, 100)]),
            with(exemplar_v1(&[("trace_id", trace), ("user", "u")], 0.5, 99)),
            with(exemplar_v1(&[("trace_id", "SHOUTED"), ("span_id", "00000000000000ff")], 0.75, 98)),
            [series_v1(&[("__name__", "other")], &[]), wrap(3, &[exemplar_v1(&[], 2.0, 97)])].concat(),
        ],
    );
    let (batch, _) = push(&body);
    assert_eq!(batch.num_rows(), 2);
    let exemplars = structs(&batch, metrics::EXEMPLARS, 0);
    assert_eq!(exemplars.len(), 2);
    let ids = exemplars.column(2).as_binary::<i32>();
    assert_eq!((ids.value(0)[0], ids.value(0).len(), ids.is_null(1)), (0x01, 16, true));
    assert_eq!(exemplars.column(3).as_binary::<i32>().value(1), [0, 0, 0, 0, 0, 0, 0, 255]);
    let map = exemplars.column(4).as_any().downcast_ref::<MapArray>().unwrap();
    assert_eq!(labels_of(map, 0), pairs(&[("user", "u")]));
    assert_eq!(labels_of(map, 1), pairs(&[("trace_id", "SHOUTED")]));
    // No sample to lie with: a row of its own, whose times are the exemplar's.
    assert_eq!(name(&batch, 1), "other");
    assert_eq!(longs(&batch, metrics::TIMESTAMPS, 1), Some(vec![]));
    assert_eq!(longs(&batch, metrics::INT_VALUES, 1), Some(vec![]));
    assert_eq!(get::<Int64Array>(&batch, metrics::MIN_TIME).value(1), 97);
    assert_eq!(validate(Codec::RemoteWrite, None, &body).unwrap().exemplars, 3);
}

#[test]
fn metadata_of_version_1_is_given_to_rows_of_its_family() {
    let mut metadata = Vec::new();
    varint(&mut metadata, 1, 1);
    write::bytes(&mut metadata, 2, b"http_requests_total");
    write::bytes(&mut metadata, 4, b"All requests.");
    let mut histogram = Vec::new();
    varint(&mut histogram, 1, 3);
    write::bytes(&mut histogram, 2, b"latency");
    write::bytes(&mut histogram, 5, b"seconds");
    let mut decoder = Decoder::new(Codec::RemoteWrite, &Config::default());
    assert_eq!(decoder.push(&message(&wrap(3, &[metadata, histogram]))).unwrap(), 0);
    let series = |name: &str| series_v1(&[("__name__", name)], &[(1.0, 1)]);
    decoder.push(&message(&wrap(1, &[series("http_requests_total"), series("latency_bucket"), series("x")]))).unwrap();
    let batch = decoder.finish().unwrap();
    assert_eq!(get::<Int32Array>(&batch, metrics::KIND).values(), &[2, 3, 0]);
    assert_eq!(get::<StringArray>(&batch, metrics::HELP).value(0), "All requests.");
    assert_eq!(get::<StringArray>(&batch, metrics::UNIT).value(1), "seconds");
    assert!(get::<StringArray>(&batch, metrics::HELP).is_null(2));
}

fn packed(numbers: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for &number in numbers {
        write::varint(&mut out, number);
    }
    out
}

/// Symbols, then series by their parts.
fn v2(symbols: &[&str], series: &[Vec<u8>]) -> Vec<u8> {
    let symbols: Vec<Vec<u8>> = symbols.iter().map(|symbol| symbol.as_bytes().to_vec()).collect();
    [wrap(4, &symbols), wrap(5, series)].concat()
}

/// A counter with metadata, start times and an exemplar.
pub(crate) fn request_v2() -> Vec<u8> {
    let mut metadata = Vec::new();
    varint(&mut metadata, 1, 1);
    varint(&mut metadata, 3, 5);
    varint(&mut metadata, 4, 6);
    let mut exemplar = Vec::new();
    write::bytes(&mut exemplar, 1, &packed(&[3, 4]));
    double(&mut exemplar, 2, 9.0);
    varint(&mut exemplar, 3, 1_500);
    let mut series = Vec::new();
    write::bytes(&mut series, 1, &packed(&[1, 2, 3, 4]));
    write::bytes(&mut series, 2, &sample(3.0, 2_000, 1_000));
    write::bytes(&mut series, 2, &sample(4.0, 3_000, 0));
    write::bytes(&mut series, 4, &exemplar);
    write::bytes(&mut series, 5, &metadata);
    v2(&["", "__name__", "m_total", "job", "j", "Help!", "bytes"], &[series])
}

#[test]
fn version_2_reads_symbols_metadata_and_start_times() {
    let (batch, rejected) = push(&request_v2());
    assert_eq!((batch.num_rows(), rejected), (1, 0));
    assert_eq!(name(&batch, 0), "m_total");
    assert_eq!(labels(&batch, metrics::LABELS, 0), pairs(&[("job", "j")]));
    assert_eq!(longs(&batch, metrics::INT_VALUES, 0), Some(vec![3, 4]));
    assert_eq!(longs(&batch, metrics::START_TIMES, 0), Some(vec![1_000, 0]));
    assert_eq!(get::<Int32Array>(&batch, metrics::KIND).value(0), 2);
    assert_eq!(get::<StringArray>(&batch, metrics::HELP).value(0), "Help!");
    assert_eq!(get::<StringArray>(&batch, metrics::UNIT).value(0), "bytes");
    let exemplars = structs(&batch, metrics::EXEMPLARS, 0);
    let map = exemplars.column(4).as_any().downcast_ref::<MapArray>().unwrap();
    assert_eq!(labels_of(map, 0), pairs(&[("job", "j")]));
    let counts = validate(Codec::RemoteWrite, None, &request_v2()).unwrap();
    assert_eq!((counts.items, counts.histograms, counts.exemplars), (2, 0, 1));
}

#[test]
fn version_2_refuses_series_it_cannot_resolve_and_keeps_the_rest() {
    let series = |references: &[u64], samples: bool| {
        let mut series = Vec::new();
        write::bytes(&mut series, 1, &packed(references));
        if samples {
            write::bytes(&mut series, 2, &sample(1.0, 1, 0));
        }
        series
    };
    let symbols = ["", "__name__", "m"];
    let body =
        v2(&symbols, &[series(&[1, 2], true), series(&[1, 9], true), series(&[1, 2, 1], true), series(&[1, 2], false)]);
    let (batch, rejected) = push(&body);
    assert_eq!((batch.num_rows(), rejected), (1, 3));
    assert!(validate(Codec::RemoteWrite, None, &v2(&["x"], &[])).is_err());
}

#[test]
fn the_content_type_says_which_version() {
    let push = |value: &[u8], header: Option<&str>| {
        let headers = header.map(content_type).unwrap_or_default();
        let mut decoder = Decoder::new(Codec::RemoteWrite, &Config::default());
        let rows = decoder.push(&Message { headers: &headers, ..message(value) });
        assert_eq!(rows.is_ok(), validate(Codec::RemoteWrite, header, value).is_ok());
        rows
    };
    let v1 = wrap(1, &[series_v1(&[("__name__", "a")], &[(1.0, 1)])]);
    let proto2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    assert_eq!(push(&request_v2(), Some(proto2)), Ok(1));
    assert_eq!(push(&v1, Some(proto2)), Ok(0));
    assert_eq!(push(&v1, Some("application/x-protobuf")), Ok(1));
    assert_eq!(push(&v1, Some("application/x-protobuf; proto=prometheus.WriteRequest")), Ok(1));
    assert_eq!(push(&request_v2(), None), Ok(1));
    for bad in ["text/plain", "application/x-protobuf;proto=io.prometheus.write.v3.Request"] {
        assert!(matches!(push(&v1, Some(bad)), Err(Error::ContentType { .. })), "{bad}");
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn span(offset: i64, length: u64) -> Vec<u8> {
    let mut span = Vec::new();
    varint(&mut span, 1, zigzag(offset));
    varint(&mut span, 2, length);
    span
}

fn integer_histogram(schema: i64, count: u64, spans: &[(i64, u64)], deltas: &[i64]) -> Vec<u8> {
    let mut histogram = Vec::new();
    varint(&mut histogram, 1, count);
    double(&mut histogram, 3, 12.5);
    varint(&mut histogram, 4, zigzag(schema));
    double(&mut histogram, 5, 0.001);
    varint(&mut histogram, 6, 1);
    for &(offset, length) in spans {
        write::bytes(&mut histogram, 11, &span(offset, length));
    }
    write::bytes(&mut histogram, 12, &packed(&deltas.iter().map(|&delta| zigzag(delta)).collect::<Vec<_>>()));
    varint(&mut histogram, 14, 2);
    varint(&mut histogram, 15, 5_000);
    histogram
}

fn with_histograms(histograms: &[Vec<u8>]) -> Vec<u8> {
    wrap(1, &[[series_v1(&[("__name__", "h")], &[]), wrap(4, histograms)].concat()])
}

/// One integer histogram and one of floats with custom buckets.
pub(crate) fn request_with_histograms() -> Vec<u8> {
    let mut custom = Vec::new();
    double(&mut custom, 2, 6.5);
    double(&mut custom, 3, 1.0);
    varint(&mut custom, 4, zigzag(-53));
    double(&mut custom, 7, 0.0);
    write::bytes(&mut custom, 11, &span(0, 3));
    write::bytes(&mut custom, 13, &[1.5_f64, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    varint(&mut custom, 15, 6_000);
    write::bytes(&mut custom, 16, &[0.5_f64, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    with_histograms(&[integer_histogram(3, 8, &[(-2, 2), (1, 1)], &[2, 1, -1]), custom])
}

fn numbers<T: arrow::datatypes::ArrowPrimitiveType>(
    histograms: &StructArray,
    name: &str,
    row: usize,
) -> Vec<T::Native> {
    let lists = histograms.column_by_name(name).unwrap().as_list::<i32>().value(row);
    lists.as_primitive::<T>().values().to_vec()
}

#[test]
fn native_histograms_have_absolute_counts() {
    let (batch, rejected) = push(&request_with_histograms());
    assert_eq!((batch.num_rows(), rejected), (1, 0));
    assert_eq!(longs(&batch, metrics::TIMESTAMPS, 0), Some(vec![5_000, 6_000]));
    assert_eq!((floats(&batch, 0), longs(&batch, metrics::INT_VALUES, 0)), (None, None));
    let histograms = structs(&batch, metrics::HISTOGRAMS, 0);
    let column = |name: &str| histograms.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
    assert_eq!(column("count"), [8.0, 6.5]);
    assert_eq!(column("sum"), [12.5, 1.0]);
    assert_eq!(column("zero_count"), [1.0, 0.0]);
    assert_eq!(numbers::<Int32Type>(&histograms, "positive_offsets", 0), [-2, 1]);
    assert_eq!(numbers::<Int32Type>(&histograms, "positive_lengths", 0), [2, 1]);
    assert_eq!(numbers::<Float64Type>(&histograms, "positive_counts", 0), [2.0, 3.0, 2.0]);
    assert_eq!(numbers::<Float64Type>(&histograms, "positive_counts", 1), [1.5, 2.0, 3.0]);
    assert_eq!(numbers::<Float64Type>(&histograms, "custom_values", 1), [0.5, 1.0]);
    let floats: &BooleanArray = histograms.column_by_name("is_float").unwrap().as_boolean();
    assert_eq!((floats.value(0), floats.value(1)), (false, true));
    let hints = histograms.column_by_name("reset_hint").unwrap().as_primitive::<Int32Type>();
    assert_eq!(hints.values(), &[2, 0]);
    assert_eq!(validate(Codec::RemoteWrite, None, &request_with_histograms()).unwrap().histograms, 2);
}

#[test]
fn schemas_above_8_are_reduced() {
    // Schema 9: buckets 1 and 2 fall into 1, 3 into 2, 7 and 8 into 4.
    let body = with_histograms(&[integer_histogram(9, 16, &[(1, 3), (3, 2)], &[1, 1, 1, 1, 1])]);
    let (batch, rejected) = push(&body);
    assert_eq!(rejected, 0);
    let histograms = structs(&batch, metrics::HISTOGRAMS, 0);
    assert_eq!(histograms.column_by_name("schema").unwrap().as_primitive::<Int32Type>().value(0), 8);
    assert_eq!(numbers::<Int32Type>(&histograms, "positive_offsets", 0), [1, 1]);
    assert_eq!(numbers::<Int32Type>(&histograms, "positive_lengths", 0), [2, 1]);
    assert_eq!(numbers::<Float64Type>(&histograms, "positive_counts", 0), [3.0, 3.0, 9.0]);
}

#[test]
fn invalid_histograms_are_refused_and_the_rest_kept() {
    let good = integer_histogram(3, 2, &[(0, 1)], &[1]);
    let bad = [
        integer_histogram(3, 9, &[(0, 1)], &[1]),
        integer_histogram(3, 2, &[(0, 2)], &[1]),
        integer_histogram(3, 1, &[(0, 2)], &[1, -2]),
        integer_histogram(3, 3, &[(0, 1), (-1, 1)], &[1, 0]),
        integer_histogram(60, 2, &[(0, 1)], &[1]),
        integer_histogram(-5, 2, &[(0, 1)], &[1]),
        integer_histogram(-53, 2, &[(0, 1)], &[1]),
        integer_histogram(3, 2, &[(0, u64::from(u32::MAX))], &[1]),
        integer_histogram(3, 3, &[(i64::from(i32::MAX), 2)], &[1, 0]),
    ];
    for histogram in bad {
        let (batch, rejected) = push(&with_histograms(&[histogram.clone(), good.clone()]));
        assert_eq!((rejected, longs(&batch, metrics::TIMESTAMPS, 0)), (1, Some(vec![5_000])));
        let (batch, rejected) = push(&with_histograms(&[histogram]));
        assert_eq!((rejected, batch.num_rows()), (1, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn samples_come_back_bit_for_bit(samples in prop::collection::vec((any::<u64>(), 0..super::MAX_TIME_MS), 1..20)) {
        let samples: Vec<(f64, i64)> = samples.into_iter().map(|(bits, time)| (f64::from_bits(bits), time)).collect();
        let batch = decode(Codec::RemoteWrite, &wrap(1, &[series_v1(&[("__name__", "m")], &samples)]));
        let bits = floats(&batch, 0)
            .unwrap_or_else(|| longs(&batch, metrics::INT_VALUES, 0).unwrap().iter().map(|&v| (v as f64).to_bits()).collect());
        prop_assert_eq!(bits, samples.iter().map(|(value, _)| value.to_bits()).collect::<Vec<_>>());
        let times: Vec<i64> = samples.iter().map(|(_, time)| *time).collect();
        prop_assert_eq!(longs(&batch, metrics::TIMESTAMPS, 0), Some(times));
        prop_assert!(get::<BinaryArray>(&batch, metrics::SERIES_ID).is_null(0));
    }
}
