//! A small tail sampler that behaves: parks spans by trace, and at a tick keeps the traces that had an
//! error. It counts, logs, emits a log for each decision, and keeps its state in snapshots.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use weft_test_guests::host::{self, Level};
use weft_test_guests::types::{Error, Nulls, Signal, Text};
use weft_test_guests::{Batch, Program, batches, program, words};

thread_local!(static TRACES: RefCell<BTreeMap<[u8; 16], bool>> = const { RefCell::new(BTreeMap::new()) });

struct Tail;

impl Program for Tail {
    const NAME: &'static str = "tail";

    fn process(batch: &Batch, now: u64) -> Result<(), String> {
        work(batch, now).map_err(words)
    }

    fn tick(_now: u64) -> Result<(), String> {
        decide().map_err(words)
    }

    fn snapshot() -> Vec<u8> {
        TRACES.with_borrow(|traces| {
            traces.iter().flat_map(|(key, failed)| key.iter().copied().chain([u8::from(*failed)])).collect()
        })
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let traces = state.chunks(17).map(|chunk| match chunk.split_last() {
            Some((failed, key)) => {
                let key = <[u8; 16]>::try_from(key).map_err(|_| "state of another length".to_owned())?;
                Ok((key, *failed == 1))
            }
            None => Err("empty".to_owned()),
        });
        let traces = traces.collect::<Result<_, String>>()?;
        TRACES.set(traces);
        Ok(())
    }
}

fn work(batch: &Batch, now: u64) -> Result<(), Error> {
    let ids = batch.blobs("trace_id")?;
    let status = batch.ints("status")?;
    TRACES.with_borrow_mut(|traces| {
        for (id, status) in ids.data.chunks_exact(16).zip(&status.values) {
            if let Ok(id) = <[u8; 16]>::try_from(id) {
                *traces.entry(id).or_default() |= *status == 2;
            }
        }
    });
    host::count("spans", u64::from(batch.rows()));
    host::log(Level::Debug, "parked a batch");
    batch.defer(&ids.data, &vec![0xff; batch.rows().div_ceil(8) as usize])?;
    // What a caller asks to be rejected, is: after the rows were parked.
    if now == 13 { Err(Error::Argument("unlucky".into())) } else { Ok(()) }
}

fn decide() -> Result<(), Error> {
    let traces = TRACES.take();
    if traces.is_empty() {
        return Ok(());
    }
    let keys: Vec<u8> = traces.keys().flatten().copied().collect();
    let mut keep = vec![0; traces.len().div_ceil(8)];
    for (at, failed) in traces.values().enumerate() {
        keep[at / 8] |= u8::from(*failed) << (at % 8);
    }
    batches::resolve(&keys, &keep)?;
    let logs = batches::emit(Signal::Logs, 1)?;
    let line = format!("decided {} traces", traces.len());
    let body = Text { offsets: vec![0, line.len() as u32], data: line.into_bytes(), validity: Vec::new() };
    logs.set_text("body", &body, Nulls::Clear)?;
    batches::send(logs)
}

program!(Tail);
