//! Names what is not there, and arguments that make no sense.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::types::{Nulls, Rows, Scalar, Signal, Text};
use weft_test_guests::{Batch, Program, batches, expect, program};

struct BadPaths;

impl Program for BadPaths {
    const NAME: &'static str = "bad-paths";

    fn process(batch: &Batch, _now: u64) -> Result<(), String> {
        for path in ["", ".", "nothing", "resource.", "span.x", "raw.value", "attributes", "exemplar.value", "\u{0}"] {
            expect(path, "path", batch.text(path))?;
            expect(path, "path", batch.ints(path))?;
            expect(path, "path", batch.dictionary(path))?;
            let empty = Text { offsets: vec![0; batch.rows() as usize + 1], data: Vec::new(), validity: Vec::new() };
            expect(path, "path", batch.set_text(path, &empty, Nulls::Clear))?;
            expect(path, "path", batch.set_constant(path, &Scalar::Int(1), Rows::All))?;
            expect(path, "path", batch.hash("body", path))?;
        }
        expect("stream_id", "path", batch.remove("stream_id"))?;
        expect("keys", "path", batch.keys("body"))?;
        expect("regex", "argument", batch.matches("body", "("))?;
        expect("big regex", "argument", batch.matches("body", "(x{1000}){1000}"))?;
        expect("no groups", "argument", batch.extract("body", "x", "attributes"))?;
        expect("pointer", "argument", batch.json_extract("body", "x", "attributes.x"))?;
        expect("emit raw", "argument", batches::emit(Signal::Raw, 1).map(drop))?;
        expect("resolve", "column", batches::resolve(&[1; 15], &[1]))?;
        let spans = batches::emit(Signal::Spans, 1).map_err(|e| e.to_string())?;
        expect("spans without ids", "column", batches::send(spans))?;
        Ok(())
    }
}

program!(BadPaths);
