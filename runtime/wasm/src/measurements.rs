//! What calls cost, against the same work done natively. Not run by default:
//! `cargo test --release -p weft-wasm -- --ignored --nocapture measure`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "measurements")]

use crate::bindings::weft::telemetry::batches::HostBatch;
use crate::fixtures::{NOW, borrow, in_call, instance, rows_of, source, spans};
use crate::host::columns::{Nulls, Rows, Scalar, Text};
use crate::{Config, Engine};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use weft_model::Signal;

/// The fastest of several runs of `work`, ns.
fn fastest(mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..30 {
        let started = Instant::now();
        work();
        best = best.min(started.elapsed().as_nanos() as f64);
    }
    best
}

/// Spans with the filter's columns as they are met: a few names, one row in ten slow.
fn traffic(rows: usize) -> RecordBatch {
    let names = ["GET /users", "GET /health", "POST /orders", "SELECT orders", "GET /orders/{id}"];
    let batch = spans(rows);
    let replaced: [(&str, ArrayRef); 2] = [
        ("name", Arc::new(StringArray::from_iter_values((0..rows).map(|row| names[row * 7 % 5])))),
        (
            "duration_nano",
            Arc::new(Int64Array::from_iter_values(
                (0..rows as i64).map(|row| if row * 13 % 10 == 0 { 2_000_000 } else { 1000 }),
            )),
        ),
    ];
    let all: Vec<(String, ArrayRef)> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let given = replaced.iter().find(|(name, _)| name == field.name());
            (field.name().clone(), Arc::clone(given.map_or(column, |(_, array)| array)))
        })
        .collect();
    let all: Vec<(&str, ArrayRef)> = all.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect();
    rows_of(Signal::Spans, rows, &all)
}

fn native_mask(batch: &RecordBatch) -> BooleanArray {
    let names = batch.column_by_name("name").unwrap().as_string::<i32>();
    let durations = batch.column_by_name("duration_nano").unwrap().as_primitive::<Int64Type>();
    let mut mask = vec![0_u8; batch.num_rows().div_ceil(8)];
    for (at, (range, duration)) in names.value_offsets().windows(2).zip(durations.values()).enumerate() {
        let name = &names.value_data()[range[0] as usize..range[1] as usize];
        let keep = name == b"GET /health" || *duration >= 1_000_000;
        mask[at / 8] |= u8::from(keep) << (at % 8);
    }
    BooleanArray::new(arrow::buffer::BooleanBuffer::new(mask.into(), 0, batch.num_rows()), None)
}

#[test]
#[ignore = "a measurement, to be run in release"]
fn measure_calls() {
    let mut filter = instance("filter");
    let empty = spans(0);
    let calls = 10_000;
    let per_call = fastest(|| {
        for _ in 0..calls {
            black_box(filter.process(Signal::Spans, empty.clone(), NOW).unwrap());
        }
    }) / f64::from(calls);
    let per_tick = fastest(|| {
        for _ in 0..calls {
            black_box(filter.tick(NOW).unwrap());
        }
    }) / f64::from(calls);
    println!("process of an empty batch {per_call:.0} ns, tick {per_tick:.0} ns");
    for rows in [1024, 8192, 65_536] {
        let batch = traffic(rows);
        let repeat = (1 << 18) / rows;
        let per_row = |total: f64| total / (repeat * rows) as f64;
        let mut run = |now: i64| {
            per_row(fastest(|| {
                for _ in 0..repeat {
                    black_box(filter.process(Signal::Spans, batch.clone(), now).unwrap());
                }
            }))
        };
        let (whole, guest) = (run(NOW), run(0));
        let native_guest = per_row(fastest(|| {
            for _ in 0..repeat {
                black_box(native_mask(&batch));
            }
        }));
        let native = per_row(fastest(|| {
            for _ in 0..repeat {
                black_box(filter_record_batch(&batch, &native_mask(&batch)).unwrap());
            }
        }));
        println!(
            "{rows} rows, ns/row: decide {guest:.2} (native {native_guest:.2}), decide and filter all columns {whole:.2} (native {native:.2})"
        );
    }
}

#[test]
#[ignore = "a measurement, to be run in release"]
fn measure_columns() {
    let rows = 8192;
    let batch = spans(rows);
    type Work = Box<dyn FnMut(&mut crate::host::State, u32)>;
    let per_row = |mut work: Work| {
        fastest(|| {
            let (mut state, handle) = in_call(Signal::Spans, batch.clone());
            work(&mut state, handle);
            black_box(state.take(Some(handle)).unwrap());
        }) / rows as f64
    };
    let nothing = per_row(Box::new(|_, _| {}));
    println!("take and finish {nothing:.2} ns/row");
    for path in ["name", "resource.service.name", "span.user", "span.nothing"] {
        let cost = per_row(Box::new(move |state, handle| {
            black_box(state.text(borrow(handle), path.into()).unwrap().unwrap());
        }));
        let dictionary = per_row(Box::new(move |state, handle| {
            black_box(state.dictionary(borrow(handle), path.into()).unwrap().unwrap());
        }));
        println!("text {path} {cost:.2} ns/row, dictionary {dictionary:.2} ns/row");
    }
    let cost = per_row(Box::new(|state, handle| {
        for path in ["resource.a", "resource.b", "resource.c"] {
            state.set_constant(borrow(handle), path.into(), Scalar::Text("value".into()), Rows::All).unwrap().unwrap();
        }
    }));
    println!("three constants into resource (2 keys) {cost:.2} ns/row");
    let users = Text::of(&StringArray::from_iter_values((0..rows).map(|row| format!("u{row}"))));
    let cost = per_row(Box::new(move |state, handle| {
        state.set_text(borrow(handle), "span.user".into(), users.clone(), Nulls::Clear).unwrap().unwrap();
    }));
    println!("one text into attributes (3.5 keys) {cost:.2} ns/row");
}

#[test]
#[ignore = "a measurement, to be run in release"]
fn measure_loading() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Config { cache_dir: Some(folder.path().to_owned()), ..Config::default() };
    let path = crate::fixtures::guest("tail");
    for what in ["compile", "from the cache"] {
        let engine = Engine::new(settings.clone()).unwrap();
        let started = Instant::now();
        let module = engine.load(&path).unwrap();
        println!("load tail, {what}: {:?}", started.elapsed());
        let started = Instant::now();
        black_box(module.instantiate("{}", &source()).unwrap());
        println!("instantiate: {:?}", started.elapsed());
    }
}

#[test]
#[ignore = "a measurement, to be run in release"]
fn measure_standard_modules() {
    let engine = Engine::new(Config { instances: 64, ..Config::default() }).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/modules");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "wasm")) {
        let module = engine.load(&file).unwrap();
        for &signal in &module.description().accepts {
            let batch = match signal {
                Signal::Spans => traffic(8192),
                Signal::Logs => crate::fixtures::logs(8192),
                Signal::Metrics => crate::fixtures::metrics(8192),
                Signal::Raw => crate::fixtures::raw(8192),
            };
            let mut instance = match module.instantiate("{}", &source()) {
                Ok(instance) => instance,
                Err(error) => {
                    println!("{}: {error}", module.name());
                    break;
                }
            };
            let mut last = None;
            let total = fastest(|| {
                last = Some(instance.process(signal, batch.clone(), NOW));
                let _ = instance.tick(NOW);
            });
            match last.unwrap() {
                Ok(output) => println!(
                    "{} {signal}: {:.1} ns/row, kept {:?}, emitted {}",
                    module.name(),
                    total / 8192.0,
                    output.batch.map(|batch| batch.num_rows()),
                    output.emitted.len()
                ),
                Err(fault) => println!("{} {signal}: {fault}", module.name()),
            }
        }
    }
}
