//! `weft bench wasm`: what each module costs a row, on batches of real shape, with the copies in and
//! out of the guest; and the cost of the empty call.

use super::{Report, Row, generate, usage};
use crate::settings::default_modules;
use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use std::path::Path;
use weft_codec::{Codec, Decoder, Message};
use weft_model::{Signal, TopicPartition};
use weft_wasm::Engine;

const ROWS: [usize; 3] = [1_024, 8_192, 65_536];
const NOW_NS: i64 = generate::START_MS * 1_000_000;

/// Rows of `signal`, at least `rows` of them, cut to it.
fn batch(signal: Signal, rows: usize) -> Result<Option<RecordBatch>> {
    let (codec, messages): (Codec, Box<dyn Iterator<Item = generate::Encoded>>) = match signal {
        Signal::Spans => (Codec::OtlpTraces, Box::new(generate::spans(rows))),
        Signal::Logs => (Codec::OtlpLogs, Box::new(generate::logs(rows))),
        Signal::Metrics => (Codec::RemoteWrite, Box::new(generate::samples(rows.div_ceil(10_000)))),
        Signal::Raw => return Ok(None),
    };
    let mut decoder = Decoder::new(codec, &weft_codec::Config::default());
    for message in messages {
        let message = Message {
            topic: "bench",
            partition: 0,
            offset: 0,
            timestamp_ms: generate::START_MS,
            key: None,
            value: &message.body,
            headers: &[],
        };
        decoder.push(&message).map_err(|error| anyhow!("decoding the bench's own data: {error}"))?;
    }
    let batch = decoder.finish().map_err(|error| anyhow!("decoding the bench's own data: {error}"))?;
    Ok(Some(batch.slice(0, rows.min(batch.num_rows()))))
}

/// Measures every module of `modules` (or of the default folder) with its default configuration.
pub(super) fn run(modules: Option<&Path>, scale: f64) -> Result<Report> {
    let folder = match modules {
        Some(folder) => folder.to_owned(),
        None => default_modules()?,
    };
    let engine = Engine::new(weft_wasm::Config::default())?;
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("reading the modules folder {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    let mut report = Report::new("wasm");
    for file in files {
        let module = engine.load(&file)?;
        for signal in module.description().accepts.clone() {
            for rows in ROWS {
                let Some(input) = batch(signal, rows)? else { continue };
                // Some modules need a configuration to be of use; they say so, and are passed over.
                let mut instance = match module.instantiate("{}", &TopicPartition::new("bench", 0)) {
                    Ok(instance) => instance,
                    Err(error) => {
                        report.note(format!("{}: not measured: {error}", module.name()));
                        break;
                    }
                };
                // RecordBatch clones share their buffers: the input costs nothing to repeat.
                let mut call = || {
                    instance
                        .process(signal, input.clone(), NOW_NS)
                        .map_err(|fault| anyhow!("{}: {fault}", module.name()))
                };
                call()?;
                let calls = ((2_000_000.0 * scale) as usize / input.num_rows()).clamp(3, 2_000);
                let before = usage::cpu_time();
                for _ in 0..calls {
                    call()?;
                }
                let nanos = (usage::cpu_time() - before).as_nanos() as f64;
                let total = (calls * input.num_rows()) as f64;
                report.row(Row {
                    what: format!("{} {signal} {rows} rows a batch", module.name()),
                    figures: vec![("ns per row", nanos / total), ("µs per call", nanos / 1e3 / calls as f64)],
                });
            }
        }
    }
    Ok(report)
}
