#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Deferred, Operation};
use crate::fixtures::{spans, text_column};
use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use weft_model::Signal;

fn park(deferred: &mut Deferred, keys: &[u128], named_from: usize) {
    let batch = spans(named_from + keys.len()).slice(named_from, keys.len());
    deferred.run(vec![Operation::Park { signal: Signal::Spans, batch, keys: keys.to_vec() }]).unwrap();
}

fn resolve(deferred: &mut Deferred, keys: &[u128], keep: &[bool]) -> Vec<String> {
    let operation = Operation::Resolve { keys: keys.to_vec(), keep: BooleanBuffer::from(keep) };
    names(deferred.run(vec![operation]).unwrap())
}

fn names(released: Vec<(Signal, RecordBatch)>) -> Vec<String> {
    assert!(released.len() <= 1, "one batch a signal");
    released.iter().flat_map(|(_, batch)| text_column(batch, "name").iter().flatten().map(str::to_owned)).collect()
}

#[test]
fn released_rows_come_in_the_order_they_were_parked() {
    let mut deferred = Deferred::default();
    park(&mut deferred, &[1, 2, 2, 1], 0);
    park(&mut deferred, &[2, 3], 10);
    assert_eq!(deferred.rows(), 6);
    let released = resolve(&mut deferred, &[3, 2, 99, 1], &[true, true, true, false]);
    assert_eq!(released, ["name-1", "name-2", "name-10", "name-11"]);
    assert_eq!((deferred.rows(), deferred.bytes()), (0, 0));
}

#[test]
fn a_key_is_resolved_once() {
    let mut deferred = Deferred::default();
    park(&mut deferred, &[1, 1], 0);
    assert_eq!(resolve(&mut deferred, &[1, 1], &[true, false]), ["name-0", "name-1"]);
    assert!(resolve(&mut deferred, &[1], &[true]).is_empty());
    park(&mut deferred, &[1], 5);
    assert_eq!(resolve(&mut deferred, &[1], &[true]), ["name-5"]);
}

#[test]
fn a_chunk_that_is_mostly_gone_is_rewritten_and_still_right() {
    let mut deferred = Deferred::default();
    let keys: Vec<u128> = (0..100).map(|row| row / 3).collect();
    park(&mut deferred, &keys, 0);
    park(&mut deferred, &keys, 100);
    let full = deferred.bytes();
    let most: Vec<u128> = (0..30).collect();
    assert!(resolve(&mut deferred, &most, &[false; 30]).is_empty());
    assert_eq!(deferred.rows(), 20);
    assert!(deferred.bytes() < full / 2);
    let kept = resolve(&mut deferred, &[31, 30, 33], &[true, true, true]);
    let expected: Vec<String> =
        [90, 91, 92, 93, 94, 95, 99, 190, 191, 192, 193, 194, 195, 199].map(|n| format!("name-{n}")).into();
    assert_eq!(kept, expected);
    assert_eq!(
        resolve(&mut deferred, &[32], &[true]),
        ["name-96", "name-97", "name-98", "name-196", "name-197", "name-198"]
    );
    assert_eq!((deferred.rows(), deferred.bytes()), (0, 0));
}

#[test]
fn parts_are_what_is_left_in_order() {
    let mut deferred = Deferred::default();
    park(&mut deferred, &[1, 2, 3, 4, 5], 0);
    park(&mut deferred, &[2, 6], 10);
    resolve(&mut deferred, &[2, 4], &[false, false]);
    let parts = deferred.parts().unwrap();
    let [(Signal::Spans, batch, keys)] = &parts[..] else { panic!("one part") };
    assert_eq!(keys[..], [1, 3, 5, 6]);
    let names: Vec<&str> = text_column(batch, "name").iter().flatten().collect();
    assert_eq!(names, ["name-0", "name-2", "name-4", "name-11"]);
}

#[test]
fn random_parking_and_resolving_agrees_with_a_plain_map() {
    use std::collections::BTreeMap;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut deferred = Deferred::default();
    let mut model: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
    let mut named = 0;
    for _ in 0..60 {
        let keys: Vec<u128> = (0..next(40)).map(|_| u128::from(next(12))).collect();
        park(&mut deferred, &keys, named);
        for key in keys {
            model.entry(key).or_default().push(named);
            named += 1;
        }
        let keys: Vec<u128> = (0..next(5)).map(|_| u128::from(next(12))).collect();
        let keep: Vec<bool> = keys.iter().map(|_| next(2) == 0).collect();
        let mut expected = Vec::new();
        for (key, keep) in keys.iter().zip(&keep) {
            let rows = model.remove(key).unwrap_or_default();
            if *keep {
                expected.extend(rows);
            }
        }
        expected.sort_unstable();
        let expected: Vec<String> = expected.into_iter().map(|row| format!("name-{row}")).collect();
        assert_eq!(resolve(&mut deferred, &keys, &keep), expected);
        assert_eq!(deferred.rows(), model.values().map(Vec::len).sum::<usize>());
    }
}
