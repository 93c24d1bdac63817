//! Batches and stores for this crate's tests.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::{Config, Tables};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_env::ManualClock;
use weft_model::attributes::{LabelMapBuilder, TypedMapBuilder, element_field};
use weft_model::{Epoch, Table, logs, metrics, spans};

/// The instant tests' clocks stand at: 2100-01-01 12:00 UTC, ns. Stores stamp objects with the real
/// time, so whatever a test writes is old by the test's clock, on any machine.
pub(crate) const NOON: i64 = 4_102_488_000_000_000_000;

pub(crate) fn epoch(worker: u8, sequence: u64) -> Epoch {
    Epoch { worker: format!("{worker:032x}").into(), sequence }
}

pub(crate) async fn open(store: &Arc<dyn ObjectStore>, config: Config) -> Tables {
    Tables::open_store(Arc::clone(store), config, ManualClock::at(NOON)).await.unwrap()
}

fn empty_typed_maps(rows: usize) -> ArrayRef {
    let mut builder = TypedMapBuilder::new();
    (0..rows).for_each(|_| builder.finish_row());
    Arc::new(builder.finish())
}

/// A batch of a table from some of its columns; the others are null, empty or 0.
pub(crate) fn batch(table: Table, rows: usize, mut given: BTreeMap<&str, ArrayRef>) -> RecordBatch {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        given.remove(field.name().as_str()).unwrap_or_else(|| match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, rows),
            DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
            DataType::Utf8 => Arc::new(StringArray::from(vec![""; rows])),
            DataType::Binary => Arc::new(BinaryArray::from_iter_values(vec![b""; rows])),
            kind if *kind == weft_model::attributes::typed_map() => empty_typed_maps(rows),
            DataType::Map(..) => {
                let mut builder = LabelMapBuilder::new();
                (0..rows).for_each(|_| builder.finish_row());
                arrow::compute::cast(&(Arc::new(builder.finish()) as ArrayRef), field.data_type()).unwrap()
            }
            DataType::List(element) => {
                let empty = arrow::array::new_empty_array(element.data_type());
                Arc::new(ListArray::new(Arc::clone(element), OffsetBuffer::new_zeroed(rows), empty, None))
            }
            other => unreachable!("no default for {other}"),
        })
    });
    RecordBatch::try_new(table.schema(), columns.collect()).unwrap()
}

/// Log records: (stream, time ns, body).
pub(crate) fn log_rows(rows: &[(&str, i64, &str)]) -> RecordBatch {
    let mut labels = LabelMapBuilder::new();
    for (stream, ..) in rows {
        labels.label("service_name", stream);
        labels.finish_row();
    }
    let ids: Vec<_> = rows.iter().map(|(stream, ..)| weft_model::series::id([("service_name", *stream)])).collect();
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (logs::TIME, Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()) as ArrayRef),
        (logs::BODY, Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>())),
        (logs::SERVICE_NAME, Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>())),
        (logs::STREAM_LABELS, Arc::new(labels.finish())),
        (logs::STREAM_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
    ]);
    batch(Table::Logs, rows.len(), given)
}

/// Spans: (trace id, start ns, name).
pub(crate) fn span_rows(rows: &[([u8; 16], i64, &str)]) -> RecordBatch {
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (spans::TRACE_ID, Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        (spans::START_TIME, Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>())),
        (spans::END_TIME, Arc::new(rows.iter().map(|row| Some(row.1 + 1000)).collect::<Int64Array>())),
        (spans::DURATION, Arc::new(rows.iter().map(|_| Some(1000)).collect::<Int64Array>())),
        (spans::NAME, Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>())),
        (spans::SERVICE_NAME, Arc::new(rows.iter().map(|_| Some("api")).collect::<StringArray>())),
    ]);
    batch(Table::Spans, rows.len(), given)
}

/// (name, value of label `instance`, samples).
pub(crate) type Series<'a> = (&'a str, &'a str, &'a [(i64, f64)]);

/// Metric rows of float samples.
pub(crate) fn metric_rows(rows: &[Series<'_>]) -> RecordBatch {
    let mut labels = LabelMapBuilder::new();
    let (mut ids, mut offsets, mut times, mut values) = (Vec::new(), vec![0], Vec::new(), Vec::new());
    for (name, instance, samples) in rows {
        labels.label("instance", instance);
        labels.finish_row();
        ids.push(weft_model::series::id([("__name__", *name), ("instance", *instance)]));
        times.extend(samples.iter().map(|sample| sample.0));
        values.extend(samples.iter().map(|sample| sample.1));
        offsets.push(i32::try_from(times.len()).unwrap());
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let list = |values: ArrayRef| -> ArrayRef {
        let element = element_field(values.data_type().clone());
        Arc::new(ListArray::new(element, offsets.clone(), values, None))
    };
    let bound = |pick: fn(&[(i64, f64)]) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(pick(row.2))).collect::<Int64Array>())
    };
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (metrics::NAME, Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()) as ArrayRef),
        (metrics::LABELS, Arc::new(labels.finish())),
        (metrics::SERIES_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
        (metrics::MIN_TIME, bound(|samples| samples.iter().map(|sample| sample.0).min().unwrap_or(0))),
        (metrics::MAX_TIME, bound(|samples| samples.iter().map(|sample| sample.0).max().unwrap_or(0))),
        (metrics::TIMESTAMPS, list(Arc::new(Int64Array::from(times)))),
        (metrics::VALUES, list(Arc::new(Float64Array::from(values)))),
    ]);
    batch(Table::Metrics, rows.len(), given)
}

/// Reads a Parquet file's batches.
pub(crate) fn decode(bytes: impl Into<bytes::Bytes>) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.into()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// Every batch a view shows: hot and from files.
pub(crate) async fn everything(tables: &Tables, table: Table) -> Vec<RecordBatch> {
    let view = tables.view(table).await.unwrap();
    let mut batches = view.hot;
    for file in view.files.iter() {
        let bytes = crate::objects::get(tables.store().as_ref(), &file.path).await.unwrap().unwrap();
        assert_eq!(bytes.len() as u64, file.size);
        let decoded = decode(bytes);
        assert_eq!(decoded.iter().map(RecordBatch::num_rows).sum::<usize>() as u64, file.rows);
        batches.extend(decoded);
    }
    batches
}

/// The bodies of all log records a view shows, sorted.
pub(crate) async fn bodies(tables: &Tables) -> Vec<String> {
    let mut bodies = Vec::new();
    for batch in everything(tables, Table::Logs).await {
        let column = batch.column_by_name(logs::BODY).unwrap().as_string::<i32>();
        bodies.extend(column.iter().map(|body| body.unwrap().to_string()));
    }
    bodies.sort();
    bodies
}

/// All samples a view of metrics shows, as (name, instance, time, value bits), sorted.
pub(crate) fn samples(batches: &[RecordBatch]) -> Vec<(String, String, i64, u64)> {
    let mut all = Vec::new();
    for batch in batches {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
        let list = |name: &str| batch.column_by_name(name).unwrap().as_list::<i32>();
        let labels = batch.column_by_name(metrics::LABELS).unwrap().as_map();
        for row in 0..batch.num_rows() {
            let entries = labels.value(row);
            let instance = entries.column(1).as_string::<i32>().value(0).to_string();
            let times = list(metrics::TIMESTAMPS).value(row);
            let times = times.as_primitive::<arrow::datatypes::Int64Type>();
            let floats: Vec<f64> = if list(metrics::VALUES).is_valid(row) {
                let values = list(metrics::VALUES).value(row);
                values.as_primitive::<arrow::datatypes::Float64Type>().values().to_vec()
            } else {
                let values = list(metrics::INT_VALUES).value(row);
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                values
                    .as_primitive::<arrow::datatypes::Int64Type>()
                    .values()
                    .iter()
                    .map(|value| *value as f64)
                    .collect()
            };
            assert_eq!(times.len(), floats.len());
            for (time, value) in times.values().iter().zip(floats) {
                all.push((text(metrics::NAME).value(row).to_string(), instance.clone(), *time, value.to_bits()));
            }
        }
    }
    all.sort();
    all
}
