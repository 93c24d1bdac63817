//! Pushes columns that don't fit, and wants a typed error for each.
#![cfg(target_arch = "wasm32")]

use weft_test_guests::types::{Attributes, Blobs, Bools, Dictionary, Floats, Ints, Nulls, Text};
use weft_test_guests::{Batch, Program, expect, program};

struct BadColumns;

fn text(offsets: &[u32], data: &[u8], validity: &[u8]) -> Text {
    Text { offsets: offsets.to_vec(), data: data.to_vec(), validity: validity.to_vec() }
}

fn even(rows: u32, data: &[u8]) -> Text {
    let offsets: Vec<u32> = (0..=rows).map(|row| row.min(data.len() as u32)).collect();
    text(&offsets, data, &[])
}

impl Program for BadColumns {
    const NAME: &'static str = "bad-columns";

    fn process(batch: &Batch, _now: u64) -> Result<(), String> {
        let rows = batch.rows();
        let n = rows as usize;
        let clear = Nulls::Clear;
        let body = |column: Text| batch.set_text("body", &column, clear);
        expect("too short", "column", body(even(rows - 1, b"ab")))?;
        expect("too long", "column", body(even(rows + 1, b"ab")))?;
        expect("no offsets", "column", body(text(&[], b"", &[])))?;
        let mut descending = vec![2; n + 1];
        descending[n] = 1;
        expect("descending", "column", body(text(&descending, b"abc", &[])))?;
        expect("past the end", "column", body(text(&vec![9; n + 1], b"abc", &[])))?;
        expect("offsets of 4 GiB", "column", body(text(&vec![u32::MAX; n + 1], b"abc", &[])))?;
        expect("validity", "column", body(Text { validity: vec![255; n / 8 / 2], ..even(rows, b"ab") }))?;
        let ints = |values: Vec<i64>| Ints { values, validity: Vec::new() };
        expect("ints", "column", batch.set_ints("attributes.x", &ints(vec![1; n + 1]), clear))?;
        expect("no ints", "column", batch.set_ints("attributes.x", &ints(vec![]), clear))?;
        expect("32 bits", "column", batch.set_ints("severity_number", &ints(vec![1 << 40; n]), clear))?;
        expect("ints as text", "column", batch.set_ints("body", &ints(vec![1; n]), clear))?;
        let floats = Floats { bits: vec![0; n + 1], validity: Vec::new() };
        expect("floats", "column", batch.set_floats("attributes.x", &floats, clear))?;
        let bools = Bools { values: vec![0; n / 8 / 2], validity: Vec::new() };
        expect("bools", "column", batch.set_bools("attributes.x", &bools, clear))?;
        let key = |key: u32| Dictionary { keys: vec![key; n], values: even(1, b"a") };
        expect("dictionary key", "column", batch.set_dictionary("attributes.x", &key(1), clear))?;
        let blobs = |bytes: u32| Blobs {
            offsets: (0..=rows).map(|row| row * bytes).collect(),
            data: vec![7; n * bytes as usize],
            validity: Vec::new(),
        };
        expect("id of 15 bytes", "column", batch.set_blobs("trace_id", &blobs(15), clear))?;
        expect("mask", "column", batch.retain(&vec![255; n / 8 / 2]))?;
        expect("defer", "column", batch.defer(&[0; 16], &vec![255; n]))?;
        let attributes = |kinds: Vec<u8>, values: &[u8]| {
            let count = kinds.len() as u32;
            let entries = Attributes {
                offsets: (0..=rows).map(|row| row.min(count)).collect(),
                keys: Dictionary { keys: vec![0; kinds.len()], values: even(1, b"k") },
                values: text(&(0..=count).collect::<Vec<_>>(), values, &[]),
                kinds,
            };
            batch.set_attributes("attributes", &entries)
        };
        expect("kind", "column", attributes(vec![5], b"1"))?;
        expect("not an int", "column", attributes(vec![1], b"x"))?;
        expect("not a bool", "column", attributes(vec![3], b"1"))?;
        expect("not JSON", "column", attributes(vec![4], b"{"))?;
        expect("values and kinds", "column", attributes(vec![0, 0], b"1"))?;
        if batch.rows() == rows { Ok(()) } else { Err("rows were lost".into()) }
    }
}

program!(BadColumns);
