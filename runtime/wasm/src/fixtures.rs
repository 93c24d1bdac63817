//! What this crate's tests share: batches, the guest programs of `tests/guests`, and engines.

use crate::host::State;
use crate::host::batch::Batch;
use crate::{Config, Engine, Instance, Module};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;
use wasmtime::component::Resource;
use weft_model::attributes::{LabelMapBuilder, TypedMapBuilder, element_field};
use weft_model::{Signal, TopicPartition, logs, metrics, raw, spans};

/// The file of a guest program; all are built at the first call.
pub(crate) fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("target/guests");
        let built = Command::new(root.join("guest-sdk/build"))
            .arg("-o")
            .arg(&folder)
            .arg("weft-test-guests")
            .output()
            .expect("guest-sdk/build runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder
    });
    folder.join(format!("{name}.wasm"))
}

/// An engine with small limits, shared: its pool is made once.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(config()).expect("an engine"));
    &ENGINE
}

pub(crate) fn config() -> Config {
    Config {
        memory_bytes: 16 << 20,
        call_timeout: Duration::from_secs(30),
        output_rows: 10_000,
        output_bytes: 64 << 20,
        deferred_rows: 5_000,
        instances: 64,
        ..Config::default()
    }
}

pub(crate) fn module(name: &str) -> Arc<Module> {
    engine().load(&guest(name)).expect("a module")
}

pub(crate) fn instance(name: &str) -> Instance {
    module(name).instantiate("{}", &source()).expect("an instance")
}

pub(crate) fn source() -> TopicPartition {
    TopicPartition::new("otlp_spans", 3)
}

/// A state in a call on `batch`, and the batch's handle: the host without a guest.
pub(crate) fn in_call(signal: Signal, batch: RecordBatch) -> (State, u32) {
    let mut state = State::new("test".into(), Arc::new(config()), vec![Signal::Metrics, Signal::Logs, Signal::Spans]);
    state.begin(NOW, true);
    let handle = state.call.open(Batch::of(signal, batch, NOW));
    (state, handle)
}

/// The time of calls, ns.
pub(crate) const NOW: i64 = 1_700_000_000_000_000_000;

pub(crate) fn borrow(handle: u32) -> Resource<Batch> {
    Resource::new_borrow(handle)
}

/// Rows in the schema of a signal: the columns given, the others as an emitted batch has them.
pub(crate) fn rows_of(signal: Signal, rows: usize, columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let schema = signal.schema();
    let columns = schema.fields().iter().map(|field| {
        let given = columns.iter().find(|(name, _)| name == field.name());
        match given {
            Some((_, array)) => Arc::clone(array),
            None if field.is_nullable() => new_null_array(field.data_type(), rows),
            None => crate::host::batch::zero_column(field.data_type(), rows),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("columns of the schema")
}

/// Spans named `name-i`, in traces of four, each second one slow; `resource.service.name`,
/// `span.http.status_code` (int) and, on even rows, `span.user`.
pub(crate) fn spans(rows: usize) -> RecordBatch {
    let mut resource = TypedMapBuilder::new();
    let mut attributes = TypedMapBuilder::new();
    for row in 0..rows {
        resource.string("service.name", if row % 8 < 4 { "api" } else { "web" });
        resource.string("host.name", "h1");
        resource.finish_row();
        attributes.int("http.status_code", if row % 4 == 3 { 500 } else { 200 });
        if row % 2 == 0 {
            attributes.string("user", &format!("user-{row}"));
        }
        attributes.double("ratio", row as f64 / 2.0);
        attributes.bool("cached", row % 3 == 0);
        attributes.finish_row();
    }
    let id = |row: usize| (row as u128 / 4 + 1).to_be_bytes();
    rows_of(
        Signal::Spans,
        rows,
        &[
            (spans::TRACE_ID, Arc::new(BinaryArray::from_iter_values((0..rows).map(id)))),
            (
                spans::SPAN_ID,
                Arc::new(BinaryArray::from_iter_values((0..rows).map(|row| (row as u64 + 1).to_be_bytes()))),
            ),
            (spans::NAME, Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("name-{row}"))))),
            (spans::START_TIME, Arc::new(Int64Array::from_iter_values((0..rows).map(|row| 1000 + row as i64)))),
            (spans::END_TIME, Arc::new(Int64Array::from_iter_values((0..rows).map(|row| 2000 + row as i64)))),
            (
                spans::DURATION,
                Arc::new(Int64Array::from_iter_values((0..rows).map(|row| if row % 2 == 0 { 10 } else { 2_000_000 }))),
            ),
            (
                spans::STATUS_CODE,
                Arc::new(arrow::array::Int32Array::from_iter_values(
                    (0..rows).map(|row| if row % 8 == 3 { 2 } else { 0 }),
                )),
            ),
            (spans::RESOURCE, Arc::new(resource.finish())),
            (spans::ATTRIBUTES, Arc::new(attributes.finish())),
        ],
    )
}

/// Log records with JSON bodies, two stream labels, and null bodies on every fifth row.
pub(crate) fn logs(rows: usize) -> RecordBatch {
    let mut labels = LabelMapBuilder::new();
    for row in 0..rows {
        labels.label("app", "api");
        labels.label("pod", &format!("pod-{}", row % 3));
        labels.finish_row();
    }
    let body = |row: usize| {
        (row % 5 != 4).then(|| format!(r#"{{"level":"info","ms":{row},"user":{{"id":"u{row}"}},"ok":true}}"#))
    };
    rows_of(
        Signal::Logs,
        rows,
        &[
            (logs::BODY, Arc::new((0..rows).map(body).collect::<StringArray>())),
            (logs::TIME, Arc::new(Int64Array::from_iter_values((0..rows).map(|row| NOW + row as i64)))),
            (logs::STREAM_LABELS, Arc::new(labels.finish())),
        ],
    )
}

/// Series with two samples each, integers on even rows and floats on odd ones.
pub(crate) fn metrics(rows: usize) -> RecordBatch {
    let mut labels = LabelMapBuilder::new();
    for row in 0..rows {
        labels.label("instance", &format!("i{row}"));
        labels.finish_row();
    }
    let pairs = |value: &dyn Fn(usize, i64) -> f64| -> Vec<f64> {
        (0..rows).flat_map(|row| [value(row, 0), value(row, 1)]).collect()
    };
    let times = pairs(&|row, sample| (1000 * row as i64 + sample) as f64);
    let times = Int64Array::from_iter_values(times.iter().map(|time| *time as i64));
    let list = |values: ArrayRef, valid: &dyn Fn(usize) -> bool| -> ArrayRef {
        let valid: Vec<bool> = (0..rows).map(valid).collect();
        let offsets = arrow::buffer::OffsetBuffer::from_lengths(valid.iter().map(|valid| if *valid { 2 } else { 0 }));
        let nulls = arrow::buffer::NullBuffer::from(valid);
        let field = element_field(values.data_type().clone());
        Arc::new(arrow::array::ListArray::new(field, offsets, values, Some(nulls)))
    };
    let even = rows.div_ceil(2);
    let ints: ArrayRef = Arc::new(Int64Array::from_iter_values((0..even as i64 * 2).map(|at| at * 10)));
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..(rows - even) * 2).map(|at| at as f64 + 0.5)));
    rows_of(
        Signal::Metrics,
        rows,
        &[
            (metrics::NAME, Arc::new(StringArray::from_iter_values((0..rows).map(|_| "requests_total")))),
            (metrics::LABELS, Arc::new(labels.finish())),
            (metrics::TIMESTAMPS, list(Arc::new(times), &|_| true)),
            (metrics::MAX_TIME, Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| 1000 * row + 1)))),
            (metrics::INT_VALUES, list(ints, &|row| row % 2 == 0)),
            (metrics::VALUES, list(floats, &|row| row % 2 == 1)),
        ],
    )
}

/// Records of a log with values of text, and on row 1 bytes that are none.
pub(crate) fn raw(rows: usize) -> RecordBatch {
    let value = |row: usize| if row == 1 { vec![0xff, 0xfe] } else { format!("line {row}").into_bytes() };
    rows_of(Signal::Raw, rows, &[(raw::VALUE, Arc::new(BinaryArray::from_iter_values((0..rows).map(value))))])
}

/// The text column of a batch, by name.
pub(crate) fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> &'a StringArray {
    batch.column_by_name(name).expect("a column").as_string()
}

/// A row of a typed map as `key=value` texts, in their order.
pub(crate) fn entries(batch: &RecordBatch, name: &str, row: usize) -> Vec<String> {
    let map = batch.column_by_name(name).expect("a column").as_map().value(row);
    let keys = map.column(0).as_string::<i32>();
    (0..map.len())
        .map(|at| {
            let values: &dyn Array = map.column(1);
            let text = match values.as_struct_opt() {
                None => values.as_string_opt::<i32>().map(|text| text.value(at).to_owned()),
                Some(values) => values
                    .columns()
                    .iter()
                    .find(|child| child.is_valid(at))
                    .map(|child| arrow::util::display::array_value_to_string(child, at).expect("a value")),
            };
            format!("{}={}", keys.value(at), text.unwrap_or_default())
        })
        .collect()
}
