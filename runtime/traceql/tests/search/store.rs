//! Spans as rows of the hot buffer, and the engine over them.

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use object_store::memory::InMemory;
use std::sync::Arc;
use weft_env::clock::ManualClock;
use weft_ledger::{Advance, Proposed};
use weft_model::attributes::TypedMapBuilder;
use weft_model::{Epoch, Table, spans};
use weft_table::Tables;
use weft_traceql::{Config, Engine};

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const START: i64 = 1_700_006_400 * SECOND;

enum Attribute {
    Text(&'static str),
    Int(i64),
    Json(&'static str),
}

/// A span; `parent` 0 is none, `at` seconds from the start.
#[derive(Default)]
pub(crate) struct Span {
    pub(crate) trace: u8,
    pub(crate) id: u8,
    pub(crate) parent: u8,
    pub(crate) at: i64,
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    pub(crate) kind: i32,
    pub(crate) duration: i64,
    pub(crate) status: i32,
    pub(crate) attributes: Vec<(&'static str, AttributeValue)>,
}

pub(crate) struct AttributeValue(Attribute);

impl Span {
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.attributes.push((name, AttributeValue(Attribute::Text(value))));
        self
    }

    pub(crate) fn with_int(mut self, name: &'static str, value: i64) -> Self {
        self.attributes.push((name, AttributeValue(Attribute::Int(value))));
        self
    }

    pub(crate) fn with_json(mut self, name: &'static str, value: &'static str) -> Self {
        self.attributes.push((name, AttributeValue(Attribute::Json(value))));
        self
    }
}

pub(crate) fn trace_id(trace: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[15] = trace;
    id
}

fn span_id(id: u8) -> [u8; 8] {
    [0, 0, 0, 0, 0, 0, 0, id]
}

pub(crate) struct Store {
    pub(crate) engine: Engine,
    tables: Tables,
    epoch: Epoch,
}

impl Store {
    pub(crate) async fn open() -> Self {
        let clock = ManualClock::at(START);
        let tables = Tables::open_store(Arc::new(InMemory::new()), weft_table::Config::default(), clock).await.unwrap();
        let query = weft_query::Engine::new(tables.clone(), weft_query::Config::default()).unwrap();
        let epoch = Epoch { worker: "0123456789abcdef0123456789abcdef".into(), sequence: 1 };
        tables.hot().begin(&epoch);
        Self { engine: Engine::new(query, Config::default()), tables, epoch }
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

    pub(crate) fn load(&self, all: &[Span]) {
        let rows = all.len();
        let (mut attributes, mut resource, mut scope) =
            (TypedMapBuilder::new(), TypedMapBuilder::new(), TypedMapBuilder::new());
        for span in all {
            for (name, value) in &span.attributes {
                match value.0 {
                    Attribute::Text(text) => attributes.string(name, text),
                    Attribute::Int(int) => attributes.int(name, int),
                    Attribute::Json(json) => attributes.json(name, json),
                }
            }
            attributes.finish_row();
            resource.string("service.name", span.service);
            resource.finish_row();
            scope.finish_row();
        }
        let mut attributes: Option<ArrayRef> = Some(Arc::new(attributes.finish()));
        let mut resource: Option<ArrayRef> = Some(Arc::new(resource.finish()));
        let mut scope: Option<ArrayRef> = Some(Arc::new(scope.finish()));
        let start = |span: &Span| START + span.at * SECOND;
        let schema = spans::schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                spans::TRACE_ID => Arc::new(BinaryArray::from_iter_values(all.iter().map(|span| trace_id(span.trace)))),
                spans::SPAN_ID => Arc::new(BinaryArray::from_iter_values(all.iter().map(|span| span_id(span.id)))),
                spans::PARENT_SPAN_ID => Arc::new(
                    all.iter().map(|span| (span.parent > 0).then(|| span_id(span.parent))).collect::<BinaryArray>(),
                ),
                spans::NAME => Arc::new(StringArray::from_iter_values(all.iter().map(|span| span.name))),
                spans::KIND => Arc::new(Int32Array::from_iter_values(all.iter().map(|span| span.kind))),
                spans::STATUS_CODE => Arc::new(Int32Array::from_iter_values(all.iter().map(|span| span.status))),
                spans::START_TIME => Arc::new(Int64Array::from_iter_values(all.iter().map(start))),
                spans::END_TIME => {
                    Arc::new(Int64Array::from_iter_values(all.iter().map(|span| start(span) + span.duration)))
                }
                spans::DURATION => Arc::new(Int64Array::from_iter_values(all.iter().map(|span| span.duration))),
                spans::SERVICE_NAME => Arc::new(StringArray::from_iter_values(all.iter().map(|span| span.service))),
                spans::ATTRIBUTES => attributes.take().unwrap(),
                spans::RESOURCE => resource.take().unwrap(),
                spans::SCOPE => scope.take().unwrap(),
                name => match field.data_type() {
                    _ if field.is_nullable() => new_null_array(field.data_type(), rows),
                    DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
                    DataType::List(element) => Arc::new(ListArray::new(
                        Arc::clone(element),
                        OffsetBuffer::new_zeroed(rows),
                        new_empty_array(element.data_type()),
                        None,
                    )),
                    _ => panic!("no value for column {name}"),
                },
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        self.tables.hot().push(&self.epoch, Table::Spans, batch).unwrap();
    }
}
