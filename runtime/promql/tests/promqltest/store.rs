//! Samples of a script as hot rows of the `metrics` table.

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;
use weft_ledger::{Advance, Proposed};
use weft_model::attributes::{LabelMapBuilder, element_field};
use weft_model::{Epoch, Table, metrics, series};
use weft_promql::{Config, Engine, Labels};
use weft_table::{Location, Tables};

/// A series to load.
pub(crate) struct Load {
    pub(crate) labels: Labels,
    /// Times in ms.
    pub(crate) floats: Vec<(i64, f64)>,
    /// Times of native histograms.
    pub(crate) histograms: Vec<i64>,
}

/// Tables in memory, and the engine over them.
pub(crate) struct Store {
    pub(crate) tables: Tables,
    pub(crate) epoch: Epoch,
    pub(crate) engine: Engine,
}

impl Store {
    pub(crate) async fn open() -> Self {
        let clock = weft_env::SystemClock::shared();
        let tables = Tables::open(&Location::Memory, weft_table::Config::default(), clock).await.unwrap();
        let query = weft_query::Config { partitions: 2, ..weft_query::Config::default() };
        let query = weft_query::Engine::new(tables.clone(), query).unwrap();
        let engine = Engine::new(
            query,
            Config { experimental_functions: true, type_and_unit_labels: true, ..Config::default() },
        );
        let epoch = Epoch { worker: "0".repeat(32).into(), sequence: 1 };
        tables.hot().begin(&epoch);
        Self { tables, epoch, engine }
    }

    #[allow(dead_code, reason = "not every test that shares this clears")]
    pub(crate) fn clear(&self) {
        self.tables.hot().discard(&self.epoch);
        self.tables.hot().begin(&self.epoch);
    }

    /// Makes the hot rows files of the table.
    #[allow(dead_code, reason = "not every test that shares this commits")]
    pub(crate) async fn commit(&self) {
        let batches = self.tables.hot().batches(&self.epoch);
        let files = self.tables.write_epoch(&self.epoch, batches, &[]).await.unwrap();
        let advance = Advance { topic: "t".into(), partition: 0, from: 0, to: 1, after: 0 };
        let proposed = Proposed { epoch: self.epoch.clone(), partitions: vec![advance], files, snapshots: vec![] };
        self.tables.commit(&proposed).await.unwrap();
        self.tables.publish().await.unwrap();
    }

    pub(crate) fn load(&self, loads: &[Load]) {
        let rows: Vec<Row<'_>> = loads.iter().flat_map(Row::of).collect();
        if !rows.is_empty() {
            self.tables.hot().push(&self.epoch, Table::Metrics, batch(&rows)).unwrap();
        }
    }
}

struct Row<'a> {
    labels: &'a Labels,
    times: Vec<i64>,
    /// Absent for native histograms.
    values: Option<Vec<f64>>,
}

impl<'a> Row<'a> {
    fn of(load: &'a Load) -> Vec<Self> {
        let labels = &load.labels;
        let mut rows = Vec::new();
        if !load.floats.is_empty() {
            let (times, values) = load.floats.iter().copied().unzip();
            rows.push(Self { labels, times, values: Some(values) });
        }
        if !load.histograms.is_empty() {
            rows.push(Self { labels, times: load.histograms.clone(), values: None });
        }
        rows
    }
}

fn batch(rows: &[Row<'_>]) -> RecordBatch {
    let schema = metrics::schema();
    let mut labels = LabelMapBuilder::new();
    for row in rows {
        row.labels.iter().filter(|(name, _)| *name != "__name__").for_each(|(name, value)| labels.label(name, value));
        labels.finish_row();
    }
    let ids: Vec<[u8; 16]> = rows.iter().map(|row| series::id(row.labels.iter())).collect();
    let mut ends = vec![0];
    let mut value_ends = vec![0];
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for row in rows {
        times.extend_from_slice(&row.times);
        values.extend_from_slice(row.values.as_deref().unwrap_or_default());
        ends.push(i32::try_from(times.len()).unwrap());
        value_ends.push(i32::try_from(values.len()).unwrap());
    }
    let present: Vec<bool> = rows.iter().map(|row| row.values.is_some()).collect();
    let times: ArrayRef = Arc::new(Int64Array::from(times));
    let values: ArrayRef = Arc::new(arrow::array::Float64Array::from(values));
    let list = |kind: DataType, ends: Vec<i32>, child: ArrayRef, nulls| {
        Arc::new(ListArray::new(element_field(kind), OffsetBuffer::new(ScalarBuffer::from(ends)), child, nulls))
            as ArrayRef
    };
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        metrics::NAME => Arc::new(
            rows.iter().map(|row| Some(row.labels.get("__name__").unwrap_or_default())).collect::<StringArray>(),
        ) as ArrayRef,
        metrics::LABELS => Arc::new(std::mem::take(&mut labels).finish()),
        metrics::SERIES_ID => Arc::new(BinaryArray::from_iter_values(&ids)),
        metrics::KIND | metrics::TEMPORALITY => Arc::new(Int32Array::from(vec![0; rows.len()])),
        metrics::MIN_TIME => Arc::new(rows.iter().map(|row| row.times.first().copied()).collect::<Int64Array>()),
        metrics::MAX_TIME => Arc::new(rows.iter().map(|row| row.times.last().copied()).collect::<Int64Array>()),
        metrics::TIMESTAMPS => list(DataType::Int64, ends.clone(), Arc::clone(&times), None),
        metrics::VALUES => {
            list(DataType::Float64, value_ends.clone(), Arc::clone(&values), Some(NullBuffer::from(present.clone())))
        }
        _ => new_null_array(field.data_type(), rows.len()),
    });
    RecordBatch::try_new(metrics::schema(), columns.collect()).unwrap()
}
