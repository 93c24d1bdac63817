//! Sessions over hot and committed rows: what SQL sees, what it may not do, and its limits.

#![allow(clippy::unwrap_used, reason = "tests")]

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_ledger::{Advance, Proposed};
use weft_model::attributes::{LabelMapBuilder, map_array};
use weft_model::{Epoch, ErrorKind, Table, TopicPartition, dead_letters, metrics, raw, series};
use weft_query::{Config, Engine, Error};
use weft_table::{Location, Tables};

fn epoch(sequence: u64) -> Epoch {
    Epoch { worker: "ab".repeat(16).into(), sequence }
}

async fn tables() -> Tables {
    Tables::open(&Location::Memory, weft_table::Config::default(), weft_env::SystemClock::shared()).await.unwrap()
}

/// Dead letters with times and offsets from `from` on, of one topic.
fn letters(topic: &str, from: i64, rows: i64) -> RecordBatch {
    let count = usize::try_from(rows).unwrap();
    let numbers = || Arc::new(Int64Array::from_iter_values(from..from + rows)) as ArrayRef;
    let text = |text: &str| Arc::new(StringArray::from(vec![text; count])) as ArrayRef;
    let schema = dead_letters::schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        dead_letters::TIME | dead_letters::OFFSET | dead_letters::TIMESTAMP => numbers(),
        dead_letters::TOPIC => text(topic),
        dead_letters::PARTITION => Arc::new(Int32Array::from(vec![0; count])),
        dead_letters::STAGE => text("decode"),
        dead_letters::REASON => text("no reason"),
        dead_letters::VALUE => Arc::new(BinaryArray::from_vec(vec![b"x"; count])),
        dead_letters::HEADERS => {
            let empty = |kind| new_null_array(&kind, 0);
            Arc::new(map_array(
                raw::header_map(),
                vec![0; count + 1],
                empty(DataType::Utf8),
                empty(DataType::Binary),
                None,
            ))
        }
        _ => new_null_array(field.data_type(), count),
    });
    RecordBatch::try_new(dead_letters::schema(), columns.collect()).unwrap()
}

/// One series of `metrics` without samples to speak of.
fn metric(name: &str, labels: &[(&str, &str)]) -> RecordBatch {
    let mut map = LabelMapBuilder::new();
    labels.iter().for_each(|(name, value)| map.label(name, value));
    map.finish_row();
    let map: ArrayRef = Arc::new(map.finish());
    let one = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let schema = metrics::schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        metrics::NAME => Arc::new(StringArray::from(vec![name])) as ArrayRef,
        metrics::LABELS => Arc::clone(&map),
        metrics::SERIES_ID => Arc::new(BinaryArray::from_iter_values([series::id(labels.iter().copied())])),
        metrics::KIND | metrics::TEMPORALITY => Arc::new(Int32Array::from(vec![0])),
        metrics::MIN_TIME | metrics::MAX_TIME => one(1000),
        metrics::TIMESTAMPS => arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1000)])])
            .retyped(field.data_type()),
        metrics::INT_VALUES => arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(7)])])
            .retyped(field.data_type()),
        _ => new_null_array(field.data_type(), 1),
    });
    RecordBatch::try_new(metrics::schema(), columns.collect()).unwrap()
}

trait Retyped {
    fn retyped(self, kind: &DataType) -> ArrayRef;
}

impl Retyped for arrow::array::ListArray {
    fn retyped(self, kind: &DataType) -> ArrayRef {
        let DataType::List(field) = kind else { return Arc::new(self) };
        let (_, offsets, values, nulls) = self.into_parts();
        Arc::new(arrow::array::ListArray::new(Arc::clone(field), offsets, values, nulls))
    }
}

async fn commit(tables: &Tables, epoch: &Epoch, from: i64, batches: Vec<RecordBatch>, after: u64) -> u64 {
    let files = tables.write_epoch(epoch, BTreeMap::from([(Table::DeadLetters, batches)]), &[]).await.unwrap();
    let partition = TopicPartition::new("t", 0);
    let advance = Advance { topic: partition.topic, partition: 0, from, to: from + 100, after };
    let proposed = Proposed { epoch: epoch.clone(), partitions: vec![advance], files, snapshots: vec![] };
    let number = tables.commit(&proposed).await.unwrap().number;
    tables.publish().await.unwrap();
    number
}

async fn count(engine: &Engine, query: &str) -> i64 {
    let session = engine.session();
    let batches = session.collect(session.sql(query).await.unwrap()).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn hot_and_committed_rows_are_seen_once() {
    let tables = tables().await;
    let engine = Engine::new(tables.clone(), Config::default()).unwrap();
    let first = epoch(1);
    tables.hot().begin(&first);
    tables.hot().push(&first, Table::DeadLetters, letters("a", 0, 100)).unwrap();
    assert_eq!(count(&engine, "select count(*) from dead_letters").await, 100);
    let number = commit(&tables, &first, 0, vec![letters("a", 0, 100)], 0).await;
    assert_eq!(count(&engine, "select count(*) from dead_letters").await, 100);
    let second = epoch(2);
    tables.hot().begin(&second);
    tables.hot().push(&second, Table::DeadLetters, letters("b", 100, 50)).unwrap();
    assert_eq!(count(&engine, "select count(*) from dead_letters").await, 150);
    assert_eq!(count(&engine, "select count(*) from dead_letters where topic = 'b'").await, 50);
    assert_eq!(
        count(&engine, "select count(distinct \"offset\") from dead_letters where time_unix_nano >= 90").await,
        60
    );
    commit(&tables, &second, 100, vec![letters("b", 100, 50)], number).await;
    assert_eq!(count(&engine, "select count(*) from dead_letters where topic = 'a' and time_unix_nano < 10").await, 10);
}

#[tokio::test]
async fn files_that_statistics_rule_out_are_not_scanned() {
    let tables = tables().await;
    let engine = Engine::new(tables.clone(), Config::default()).unwrap();
    let number = commit(&tables, &epoch(1), 0, vec![letters("a", 0, 100)], 0).await;
    commit(&tables, &epoch(2), 100, vec![letters("b", 1000, 100)], number).await;
    let session = engine.session();
    let frame =
        session.sql("select topic from dead_letters where time_unix_nano >= 1050 and topic = 'b'").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    assert!(shown.contains("DataSourceExec: file_groups={1 group"), "{shown}");
    assert_eq!(shown.matches(".parquet").count(), 1, "{shown}");
    assert!(shown.contains("pruning_predicate"), "{shown}");
    assert_eq!(
        count(&engine, "select count(*) from dead_letters where time_unix_nano >= 1050 and topic = 'b'").await,
        50
    );
    // The same beside hot rows.
    tables.hot().begin(&epoch(3));
    tables.hot().push(&epoch(3), Table::DeadLetters, letters("b", 2000, 10)).unwrap();
    let session = engine.session();
    let frame =
        session.sql("select topic from dead_letters where time_unix_nano >= 1050 and topic = 'b'").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    assert_eq!(shown.matches(".parquet").count(), 1, "{shown}");
    assert!(shown.contains("predicate=time_unix_nano@0 >= 1050 AND topic@1 = b, pruning_predicate"), "{shown}");
    assert_eq!(
        count(&engine, "select count(*) from dead_letters where time_unix_nano >= 1050 and topic = 'b'").await,
        60
    );
}

#[tokio::test]
async fn a_label_is_a_plain_string() {
    let tables = tables().await;
    let engine = Engine::new(tables.clone(), Config::default()).unwrap();
    tables.hot().begin(&epoch(1));
    tables.hot().push(&epoch(1), Table::Metrics, metric("up", &[("job", "x"), ("service", "api")])).unwrap();
    tables.hot().push(&epoch(1), Table::Metrics, metric("up", &[("job", "y")])).unwrap();
    let session = engine.session();
    let query = "select labels['service'] as service, label(labels, 'job') as job, attr(labels, 'job') from metrics order by job";
    let batches = session.collect(session.sql(query).await.unwrap()).await.unwrap();
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(batch.schema().field(0).data_type(), &DataType::Utf8);
    let services = batch.column(0).as_string::<i32>();
    assert_eq!((services.value(0), services.is_null(1)), ("api", true));
    assert_eq!(count(&engine, "select count(*) from metrics where labels['service'] = 'api'").await, 1);
    assert_eq!(count(&engine, "select int_values[1] from metrics limit 1").await, 7);
}

#[tokio::test]
async fn only_queries_are_answered() {
    let engine = Engine::new(tables().await, Config::default()).unwrap();
    for statement in [
        "create table t (a int)",
        "insert into dead_letters select * from dead_letters",
        "drop table metrics",
        "delete from metrics",
        "set datafusion.execution.batch_size = 1",
        "copy metrics to '/tmp/x.parquet'",
    ] {
        let error = engine.session().sql(statement).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reject, "{statement}: {error}");
    }
    let error = engine.session().sql("select nothing from metrics").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reject, "{error}");
    let Error::Invalid { line, column, .. } = engine.session().sql("select 1 +\n )").await.unwrap_err() else {
        unreachable!("a syntax error is an invalid query")
    };
    assert_eq!((line, column), (Some(2), Some(2)));
}

#[tokio::test]
async fn a_query_ends_at_its_limits() {
    let tables = tables().await;
    tables.hot().begin(&epoch(1));
    tables.hot().push(&epoch(1), Table::DeadLetters, letters("a", 0, 20_000)).unwrap();
    let slow = Engine::new(tables.clone(), Config { timeout_ms: 50, ..Config::default() }).unwrap();
    let session = slow.session();
    let endless =
        "select max(a.\"offset\" + b.\"offset\" + c.\"offset\") from dead_letters a, dead_letters b, dead_letters c";
    let error = session.collect(session.sql(endless).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    let small = Engine::new(tables, Config { memory_bytes: 10_000, ..Config::default() }).unwrap();
    let session = small.session();
    let error = session
        .collect(session.sql("select \"offset\", count(*) from dead_letters group by 1").await.unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Resources(_)), "{error}");
}

#[tokio::test]
async fn a_dropped_stream_stops_its_query() {
    let tables = tables().await;
    tables.hot().begin(&epoch(1));
    tables.hot().push(&epoch(1), Table::DeadLetters, letters("a", 0, 5000)).unwrap();
    let cpu = tokio::runtime::Handle::current();
    let engine = Engine::on(tables, Config::default(), cpu.clone()).unwrap();
    let session = engine.session();
    let frame = session.sql("select a.\"offset\" from dead_letters a, dead_letters b, dead_letters c").await.unwrap();
    let mut stream = session.stream(frame).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    drop(stream);
    // Its tasks end at their next await: nothing else runs on this runtime.
    while cpu.metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}
