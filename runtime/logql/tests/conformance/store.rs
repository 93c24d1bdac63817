//! Entries as rows of the `logs` table's hot buffer, and the engine over them.

use crate::script::Entry;
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use object_store::memory::InMemory;
use std::sync::Arc;
use weft_env::clock::ManualClock;
use weft_ledger::{Advance, Proposed};
use weft_logql::{Config, Engine};
use weft_model::attributes::{LabelMapBuilder, TypedMapBuilder};
use weft_model::{Epoch, Table, logs, series};
use weft_table::Tables;

pub(crate) struct Store {
    pub(crate) engine: Engine,
    tables: Tables,
    epoch: Epoch,
}

impl Store {
    pub(crate) async fn open() -> Self {
        let clock = ManualClock::at(crate::BASE);
        let tables = Tables::open_store(Arc::new(InMemory::new()), weft_table::Config::default(), clock).await.unwrap();
        let query = weft_query::Engine::new(tables.clone(), weft_query::Config::default()).unwrap();
        let epoch = Epoch { worker: "0123456789abcdef0123456789abcdef".into(), sequence: 1 };
        tables.hot().begin(&epoch);
        Self { engine: Engine::new(query, Config::default()), tables, epoch }
    }

    pub(crate) fn clear(&mut self) {
        self.tables.hot().discard(&self.epoch);
        self.epoch.sequence += 1;
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
        self.tables.hot().discard(&self.epoch);
    }

    pub(crate) fn load(&self, entries: &[Entry], base: i64) {
        let rows = entries.len();
        let (mut streams, mut attributes, mut ids) = (LabelMapBuilder::new(), TypedMapBuilder::new(), Vec::new());
        for entry in entries {
            // As the push receiver does: a stream has no labels with an empty value.
            let labels = entry.labels.iter().filter(|(_, value)| !value.is_empty());
            let mut labels: Vec<_> = labels.map(|(n, v)| (n.as_str(), v.as_str())).collect();
            labels.sort_unstable();
            ids.push(series::id(labels.iter().copied()));
            labels.iter().for_each(|(name, value)| streams.label(name, value));
            streams.finish_row();
            entry.metadata.iter().for_each(|(name, value)| attributes.string(name, value));
            attributes.finish_row();
        }
        let empty = || {
            let mut map = TypedMapBuilder::new();
            (0..rows).for_each(|_| map.finish_row());
            Arc::new(map.finish()) as ArrayRef
        };
        let mut streams: Option<ArrayRef> = Some(Arc::new(streams.finish()));
        let mut attributes: Option<ArrayRef> = Some(Arc::new(attributes.finish()));
        let schema = logs::schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                logs::TIME => Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| base + entry.time))),
                logs::BODY => Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.line))),
                logs::STREAM_LABELS => streams.take().unwrap(),
                logs::SERVICE_NAME => Arc::new(
                    entries
                        .iter()
                        .map(|entry| {
                            entry.labels.iter().find(|(name, _)| name == "service_name").map(|(_, value)| value)
                        })
                        .collect::<StringArray>(),
                ),
                logs::STREAM_ID => Arc::new(BinaryArray::from_iter_values(&ids)),
                logs::ATTRIBUTES => attributes.take().unwrap(),
                logs::RESOURCE | logs::SCOPE => empty(),
                _ if field.is_nullable() => new_null_array(field.data_type(), rows),
                _ if *field.data_type() == DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
                name => panic!("no value for column {name}"),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        self.tables.hot().push(&self.epoch, Table::Logs, batch).unwrap();
    }
}
