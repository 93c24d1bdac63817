#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::encode::encode;
use crate::fixtures::{NOON, decode, log_rows, metric_rows, samples, span_rows};
use weft_model::{logs, spans};

fn file(table: Table, batch: RecordBatch, modules: &str) -> (String, Bytes) {
    let metadata = [("weft.modules".to_string(), modules.to_string())];
    let encoded = encode(table, &[batch], &Config::default(), &metadata).unwrap().unwrap();
    ("file".into(), encoded.bytes.into())
}

fn texts(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let column = |batch: &RecordBatch| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
    batches
        .iter()
        .flat_map(|batch| column(batch).iter().map(|text| text.unwrap().to_string()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_merged_file_is_sorted_and_holds_every_row_once() {
    // More rows than a batch or a chunk, interleaving in all inputs.
    let files: Vec<_> = (0..3u8)
        .map(|file_number| {
            let names: Vec<String> = (0..10_000).map(|row| format!("{file_number}-{row}")).collect();
            let rows: Vec<_> = (0u32..)
                .zip(&names)
                .map(|(row, name)| {
                    let mut id = [0; 16];
                    id[..4].copy_from_slice(&(row.wrapping_mul(2_654_435_761)).to_be_bytes());
                    (id, NOON + i64::from(row), name.as_str())
                })
                .collect();
            file(Table::Spans, span_rows(&rows), if file_number == 0 { "a" } else { "b" })
        })
        .collect();
    let merged = merge(Table::Spans, &files, &Config::default()).unwrap().unwrap();
    assert_eq!(merged.rows, 30_000);
    let batches = decode(merged.bytes);
    let ids: Vec<Vec<u8>> = batches
        .iter()
        .flat_map(|batch| {
            let ids = batch.column_by_name(spans::TRACE_ID).unwrap().as_binary::<i32>();
            ids.iter().map(|id| id.unwrap().to_vec()).collect::<Vec<_>>()
        })
        .collect();
    assert!(ids.is_sorted());
    let mut names = texts(&batches, spans::NAME);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 30_000);
    assert_eq!((merged.stats.min_time_ns, merged.stats.max_time_ns), (NOON, NOON + 9_999 + 1000));
}

#[test]
fn rows_of_one_series_are_joined_and_the_newest_file_wins() {
    let files = [
        file(Table::Metrics, metric_rows(&[("a", "x", &[(1, 1.0), (2, 2.0)]), ("b", "x", &[(1, 0.5)])]), "m"),
        file(Table::Metrics, metric_rows(&[("a", "x", &[(2, 9.5), (3, 3.0)]), ("c", "x", &[(1, 7.0)])]), "m"),
    ];
    let merged = merge(Table::Metrics, &files, &Config::default()).unwrap().unwrap();
    assert_eq!(merged.rows, 3);
    let wanted =
        metric_rows(&[("a", "x", &[(1, 1.0), (2, 9.5), (3, 3.0)]), ("b", "x", &[(1, 0.5)]), ("c", "x", &[(1, 7.0)])]);
    assert_eq!(samples(&decode(merged.bytes)), samples(&[wanted]));
}

#[test]
fn pieces_of_metrics_never_part_a_series() {
    let begins = vec![true, false, false, true, true, false];
    let order = Ordered { places: vec![(0, 0); 6], begins };
    assert_eq!(pieces(&order, 2), [0..3, 3..6]);
    assert_eq!(pieces(&order, 3), [0..3, 3..6]);
    assert_eq!(pieces(&order, 1), [0..3, 3..4, 4..6]);
}

#[test]
fn a_merged_file_names_all_modules_that_made_its_rows() {
    let files = [
        file(Table::Logs, log_rows(&[("s", NOON, "1")]), "b"),
        file(Table::Logs, log_rows(&[("s", NOON, "2")]), "a"),
        file(Table::Logs, log_rows(&[("s", NOON, "3")]), "b"),
    ];
    let merged = merge(Table::Logs, &files, &Config::default()).unwrap().unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(merged.bytes.clone())).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(metadata.iter().any(|pair| pair.key == "weft.modules" && pair.value.as_deref() == Some("a,b")));
    assert_eq!(texts(&decode(merged.bytes), logs::BODY), ["1", "2", "3"]);
}

#[test]
fn a_damaged_input_is_told_by_its_name() {
    let files = [("logs/data/x.parquet".to_string(), Bytes::from_static(b"PAR1 no PAR1"))];
    let error = merge(Table::Logs, &files, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("logs/data/x.parquet"), "{error}");
}
