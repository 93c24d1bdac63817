//! Measures the way of an epoch into the tables, on one core: rows per second and bytes on disk.
//!
//! `cargo run --release -p weft-table --example measure [folder]` writes 300,000 one-sample rows of
//! 10,000 series, 100,000 log records of 1 KB and 60,000 spans, some epochs of each, then compacts.
//! With a folder the tables stay there, to be read with other Delta readers.
#![allow(clippy::print_stdout, reason = "a measurement is there to be read")]

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, new_empty_array,
    new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weft_env::SystemClock;
use weft_ledger::Proposed;
use weft_model::attributes::{LabelMapBuilder, TypedMapBuilder, element_field};
use weft_model::{Epoch, Table, TopicPartition, logs, metrics, series, spans};
use weft_table::{Compaction, Config, Location, Tables};

const EPOCHS: u64 = 10;

/// xorshift: the same data at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn batch(table: Table, rows: usize, mut given: BTreeMap<&str, ArrayRef>) -> RecordBatch {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        given.remove(field.name().as_str()).unwrap_or_else(|| match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, rows),
            DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
            DataType::List(element) => {
                let empty = new_empty_array(element.data_type());
                Arc::new(ListArray::new(Arc::clone(element), OffsetBuffer::new_zeroed(rows), empty, None))
            }
            _ => attributes(rows, |_, _| {}),
        })
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("columns fit the schema")
}

fn attributes(rows: usize, mut fill: impl FnMut(usize, &mut TypedMapBuilder)) -> ArrayRef {
    let mut builder = TypedMapBuilder::new();
    for row in 0..rows {
        fill(row, &mut builder);
        builder.finish_row();
    }
    Arc::new(builder.finish())
}

fn metric_batches(epoch: u64, now_ms: i64, random: &mut Random) -> Vec<RecordBatch> {
    let start = now_ms + i64::try_from(epoch).unwrap_or(0) * 30_000;
    (0..30i64).map(|scrape| metric_batch(start + scrape * 1000, random)).collect()
}

fn metric_batch(time: i64, random: &mut Random) -> RecordBatch {
    const ROWS: usize = 10_000;
    let mut labels = LabelMapBuilder::new();
    let (mut names, mut ids, mut values, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..ROWS {
        let name = format!("http_server_request_duration_{}", row % 50);
        let pairs = [
            ("instance", format!("10.0.{}.{}:9090", row / 200 % 4, row % 200)),
            ("job", "api".into()),
            ("le", format!("{}", row / 800)),
            ("method", ["GET", "POST"][row % 2].into()),
            ("namespace", format!("ns-{}", row % 7)),
            ("service", format!("service-{}", row % 20)),
        ];
        pairs.iter().for_each(|(key, value)| labels.label(key, value));
        labels.finish_row();
        let pairs = pairs.iter().map(|(key, value)| (*key, value.as_str()));
        ids.push(series::id([("__name__", name.as_str())].into_iter().chain(pairs)));
        names.push(name);
        times.push(time + i64::try_from(random.below(20)).unwrap_or(0));
        // Half counters, half gauges.
        #[expect(clippy::cast_precision_loss, reason = "made-up values")]
        values.push(if row % 2 == 0 {
            (time / 100 + random.below(50) as i64) as f64
        } else {
            random.below(1_000_000) as f64 / 997.0
        });
    }
    let offsets: Vec<i32> = (0..=10_000).collect();
    let list = |values: ArrayRef| -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets.clone()));
        Arc::new(ListArray::new(element_field(values.data_type().clone()), offsets, values, None))
    };
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (metrics::NAME, Arc::new(StringArray::from(names)) as ArrayRef),
        (metrics::LABELS, Arc::new(labels.finish())),
        (metrics::SERIES_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
        (metrics::MIN_TIME, Arc::new(Int64Array::from(times.clone()))),
        (metrics::MAX_TIME, Arc::new(Int64Array::from(times.clone()))),
        (metrics::TIMESTAMPS, list(Arc::new(Int64Array::from(times)))),
        (metrics::VALUES, list(Arc::new(Float64Array::from(values)))),
    ]);
    batch(Table::Metrics, ROWS, given)
}

fn log_batches(now_ns: i64, random: &mut Random) -> Vec<RecordBatch> {
    (0..20).map(|part| log_batch(now_ns + part * 50_000_000, random)).collect()
}

fn log_batch(start_ns: i64, random: &mut Random) -> RecordBatch {
    const ROWS: usize = 5000;
    let mut labels = LabelMapBuilder::new();
    let (mut ids, mut times, mut bodies, mut services, mut traces) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..ROWS {
        let service = format!("service-{}", random.below(50));
        let pod = format!("pod-{}", random.below(4));
        labels.label("pod", &pod);
        labels.label("service_name", &service);
        labels.finish_row();
        ids.push(series::id([("pod", pod.as_str()), ("service_name", service.as_str())]));
        times.push(start_ns + i64::try_from(row).unwrap_or(0) * 10_000);
        let mut body = format!(
            "{{\"level\":\"info\",\"ts\":{row},\"method\":\"GET\",\"path\":\"/api/v1/users/{}\",\"status\":{},\"duration\":{}",
            random.below(100_000),
            [200, 201, 404, 500][random.below(4) as usize],
            random.below(10_000)
        );
        while body.len() < 1000 {
            body.push_str(&format!(",\"field_{}\":\"{:x}\"", body.len() % 17, random.next()));
        }
        body.push('}');
        bodies.push(body);
        services.push(service);
        traces.push((row % 2 == 0).then(|| [random.next().to_be_bytes(), random.next().to_be_bytes()].concat()));
    }
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (logs::TIME, Arc::new(Int64Array::from(times)) as ArrayRef),
        (logs::BODY, Arc::new(StringArray::from(bodies))),
        (logs::BODY_TYPE, Arc::new(Int32Array::from(vec![1; ROWS]))),
        (logs::SERVICE_NAME, Arc::new(StringArray::from(services.clone()))),
        (logs::TRACE_ID, Arc::new(traces.iter().map(Option::as_ref).collect::<BinaryArray>())),
        (logs::STREAM_LABELS, Arc::new(labels.finish())),
        (logs::STREAM_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
        (
            logs::RESOURCE,
            attributes(ROWS, |row, map| {
                map.string("service.name", &services[row]);
                map.string("k8s.namespace.name", "production");
            }),
        ),
    ]);
    batch(Table::Logs, ROWS, given)
}

fn span_batches(now_ns: i64, random: &mut Random) -> Vec<RecordBatch> {
    (0..20).map(|part| span_batch(now_ns + part * 50_000_000, random)).collect()
}

fn span_batch(start_ns: i64, random: &mut Random) -> RecordBatch {
    const ROWS: usize = 3000;
    let mut trace = vec![0; 16];
    let (mut traces, mut ids, mut starts, mut durations, mut names) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..ROWS {
        if row % 10 == 0 {
            trace = [random.next().to_be_bytes(), random.next().to_be_bytes()].concat();
        }
        traces.push(trace.clone());
        ids.push(random.next().to_be_bytes());
        starts.push(start_ns + i64::try_from(random.below(50_000_000)).unwrap_or(0));
        durations.push(i64::try_from(random.below(900_000_000)).unwrap_or(0));
        names.push(format!("GET /api/v1/resource/{}", random.below(40)));
    }
    let ends: Vec<i64> = starts.iter().zip(&durations).map(|(start, duration)| start + duration).collect();
    let given: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        (spans::TRACE_ID, Arc::new(BinaryArray::from_iter_values(traces)) as ArrayRef),
        (spans::SPAN_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
        (spans::PARENT_SPAN_ID, Arc::new(BinaryArray::from_iter_values(ids.iter()))),
        (spans::NAME, Arc::new(StringArray::from(names))),
        (spans::START_TIME, Arc::new(Int64Array::from(starts))),
        (spans::END_TIME, Arc::new(Int64Array::from(ends))),
        (spans::DURATION, Arc::new(Int64Array::from(durations))),
        (spans::SERVICE_NAME, Arc::new(StringArray::from(vec!["api"; ROWS]))),
        (
            spans::RESOURCE,
            attributes(ROWS, |row, map| {
                map.string("service.name", "api");
                map.string("host.name", ["a", "b", "c"][row % 3]);
                map.string("telemetry.sdk.language", "rust");
                map.int("process.pid", 4242);
            }),
        ),
        (
            spans::ATTRIBUTES,
            attributes(ROWS, |_, map| {
                map.string("http.request.method", "GET");
                map.int("http.response.status_code", [200, 404, 500][random.below(3) as usize]);
                map.string("http.route", "/api/v1/resource/{id}");
                map.string("url.path", &format!("/api/v1/resource/{}", random.below(100_000)));
                map.string("client.address", &format!("10.1.{}.{}", random.below(255), random.below(255)));
                map.bool("cache.hit", random.below(2) == 0);
            }),
        ),
    ]);
    batch(Table::Spans, ROWS, given)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let location: Location = std::env::args().nth(1).as_deref().unwrap_or("memory://").parse()?;
    let compaction = Compaction { min_files: 4, ..Compaction::default() };
    let clock = SystemClock::shared();
    let now = clock.now_nanos();
    let tables =
        Tables::open(&location, Config { compaction, delta_checkpoint_commits: 4, ..Config::default() }, clock).await?;
    let worker = weft_env::ids::worker_id();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let partition = TopicPartition::new("measure", 0);
    let mut times: BTreeMap<Table, (Duration, u64, u64, u64)> = BTreeMap::new();
    let (mut commit, mut publish) = (Duration::ZERO, Duration::ZERO);
    for sequence in 1..=EPOCHS {
        let epoch = Epoch { worker: worker.as_str().into(), sequence };
        let made = [
            (Table::Metrics, metric_batches(sequence, now / 1_000_000, &mut random)),
            (Table::Logs, log_batches(now, &mut random)),
            (Table::Spans, span_batches(now, &mut random)),
        ];
        let mut files = Vec::new();
        for (table, batches) in made {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let begun = Instant::now();
            let written = tables.write_epoch(&epoch, BTreeMap::from([(table, batches)]), &[]).await?;
            let sum = times.entry(table).or_default();
            sum.0 += begun.elapsed();
            sum.1 += rows as u64;
            sum.2 += written.iter().map(|file| file.rows).sum::<u64>();
            sum.3 += written.iter().map(|file| file.size).sum::<u64>();
            files.extend(written);
        }
        let state = tables.ledger_state().await?;
        let from = state.offset(&partition).unwrap_or(0);
        let proposed =
            Proposed { epoch, partitions: vec![state.advance(&partition, 0, from + 1)], files, snapshots: Vec::new() };
        let begun = Instant::now();
        tables.commit(&proposed).await?;
        commit += begun.elapsed();
        let begun = Instant::now();
        tables.publish().await?;
        publish += begun.elapsed();
    }
    for (table, (time, pushed, written, bytes)) in times {
        println!(
            "{table}: {pushed} rows pushed, {written} written, {:.0} rows/s, {:.2} bytes a row pushed",
            pushed as f64 / time.as_secs_f64(),
            bytes as f64 / pushed as f64
        );
    }
    println!("commit {:?} and publish {:?} an epoch", commit / EPOCHS as u32, publish / EPOCHS as u32);
    let begun = Instant::now();
    println!("{:?} in {:?}", tables.maintenance().await?, begun.elapsed());
    for table in [Table::Metrics, Table::Logs, Table::Spans] {
        let view = tables.view(table).await?;
        let (rows, bytes) = view.files.iter().fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.size));
        println!("{table} after compaction: {} files, {rows} rows, {bytes} bytes", view.files.len());
    }
    let begun = Instant::now();
    let reopened = Tables::open(&location, Config::default(), SystemClock::shared()).await?;
    println!("opened again in {:?}, ledger at {}", begun.elapsed(), reopened.ledger_state().await?.next);
    Ok(())
}
