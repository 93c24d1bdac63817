#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::fixtures::{NOON, decode, log_rows, metric_rows, samples, span_rows};
use arrow::array::AsArray;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use weft_ledger::Value;

fn encoded(table: Table, batches: &[RecordBatch]) -> Encoded {
    encode(table, batches, &Config::default(), &[("weft.modules".into(), "abc".into())]).unwrap().unwrap()
}

#[test]
fn a_file_reads_back_with_exactly_the_models_schema() {
    let batches = [
        (Table::Logs, log_rows(&[("a", NOON, "x")])),
        (Table::Spans, span_rows(&[([1; 16], NOON, "x")])),
        (Table::Metrics, metric_rows(&[("up", "a", &[(1, 1.0)])])),
    ];
    for (table, batch) in batches {
        let file = encoded(table, &[batch]);
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.bytes)).unwrap();
        assert_eq!(builder.schema().as_ref().fields(), table.schema().fields(), "{table}");
        let metadata = builder.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(metadata.iter().any(|pair| pair.key == "weft.modules" && pair.value.as_deref() == Some("abc")));
    }
}

#[test]
fn spans_are_sorted_by_trace_and_start_across_batches() {
    let batches = [
        span_rows(&[([9; 16], NOON, "d"), ([1; 16], NOON + 5, "b")]),
        span_rows(&[([1; 16], NOON, "a"), ([9; 16], NOON - 1, "c")]),
    ];
    let file = encoded(Table::Spans, &batches);
    let names: Vec<String> = decode(file.bytes)
        .iter()
        .flat_map(|batch| {
            batch
                .column_by_name(spans::NAME)
                .unwrap()
                .as_string::<i32>()
                .iter()
                .map(|n| n.unwrap().to_string())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(file.stats.min_time_ns, NOON - 1);
    assert_eq!(file.stats.max_time_ns, NOON + 5 + 1000);
    assert_eq!(file.stats.columns[spans::NAME].max, Some(Value::Text("d".into())));
}

#[test]
fn point_lookups_have_bloom_filters_and_sorted_columns_are_declared() {
    let batches = [
        (Table::Logs, log_rows(&[("a", NOON, "x")]), logs::TRACE_ID),
        (Table::Spans, span_rows(&[([1; 16], NOON, "x")]), spans::TRACE_ID),
        (Table::Metrics, metric_rows(&[("up", "a", &[(1, 1.0)])]), metrics::SERIES_ID),
    ];
    for (table, batch, column) in batches {
        let file = encoded(table, &[batch]);
        let reader = SerializedFileReader::new(Bytes::from(file.bytes)).unwrap();
        let group = reader.metadata().row_group(0);
        let leaf = group.columns().iter().find(|leaf| leaf.column_path().string() == column).unwrap();
        assert!(leaf.bloom_filter_offset().is_some(), "{table}");
        let sorted = group.sorting_columns().unwrap();
        let names: Vec<_> = sorted
            .iter()
            .map(|sorted| group.column(usize::try_from(sorted.column_idx).unwrap()).column_path().string())
            .collect();
        assert_eq!(names, sort::columns(table));
    }
}

#[test]
fn no_rows_make_no_file() {
    assert!(encode(Table::Logs, &[], &Config::default(), &[]).unwrap().is_none());
    let empty = log_rows(&[]);
    assert!(encode(Table::Logs, &[empty], &Config::default(), &[]).unwrap().is_none());
}

#[test]
fn a_metrics_file_holds_every_sample_once() {
    let first = metric_rows(&[("b", "x", &[(1, 0.5)]), ("a", "x", &[(1, 1.0), (2, 2.0)])]);
    let second = metric_rows(&[("b", "x", &[(2, 1.5)]), ("a", "y", &[(7, 3.0)])]);
    let file = encoded(Table::Metrics, &[first.clone(), second.clone()]);
    assert_eq!(file.rows, 3);
    let decoded = decode(file.bytes);
    assert_eq!(samples(&decoded), samples(&[first, second]));
    let names = decoded[0].column_by_name(metrics::NAME).unwrap().as_string::<i32>();
    assert!(names.iter().is_sorted());
}
