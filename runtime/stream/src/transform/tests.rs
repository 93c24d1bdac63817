#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{Chain, Fault, Kind, Output};
use crate::fixtures::{bodies, loaded, message};
use crate::metrics::Metrics;
use crate::poison::{Blame, Poison};
use arrow::array::RecordBatch;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::Arc;
use weft_codec::{Codec, Config, Decoder, Message};
use weft_model::TopicPartition;

fn batch(lines: &[&str]) -> RecordBatch {
    let mut decoder = Decoder::new(Codec::OtlpLogs, &Config::default());
    let value = message(lines);
    let message =
        Message { topic: "t", partition: 0, offset: 0, timestamp_ms: 0, key: None, value: &value, headers: &[] };
    decoder.push(&message).unwrap();
    decoder.finish().unwrap()
}

fn chain(modules: &[&str], poison: &Poison) -> Chain {
    let metrics = Metrics::register(&mut Registry::default());
    let source = TopicPartition::new("otlp_logs", 0);
    Chain::open(&Arc::new(loaded(modules)), &source, 0, HashMap::new(), poison, &metrics).unwrap()
}

fn run(chain: &mut Chain, lines: &[&str], kind: Kind, poison: &Poison) -> Result<Output, Fault> {
    chain.run(batch(lines), kind, poison, 0)
}

fn stored(output: &Output) -> Vec<String> {
    output.rows.iter().flat_map(|(_, rows)| bodies(rows)).collect()
}

#[test]
fn a_fault_among_many_messages_is_repeated_one_by_one_where_no_state_was_touched() {
    let poison = Poison::default();
    let mut chain = chain(&["picky"], &poison);
    assert!(matches!(run(&mut chain, &["a", "trap"], Kind::Many(0..2), &poison), Err(Fault::Singly)));
    // The dead instance was replaced.
    assert_eq!(stored(&run(&mut chain, &["a"], Kind::One(0), &poison).unwrap()), ["a"]);
    let output = run(&mut chain, &["trap"], Kind::One(1), &poison).unwrap();
    assert_eq!((stored(&output).len(), output.rejected.len()), (0, 1));
}

#[test]
fn behind_a_stateful_module_a_fault_among_many_messages_means_going_back() {
    let poison = Poison::default();
    let mut chain = chain(&["counter", "picky"], &poison);
    let Err(Fault::Rollback(trap)) = run(&mut chain, &["a", "reject"], Kind::Many(4..6), &poison) else {
        panic!("the counter has counted rows that are to be run again")
    };
    assert_eq!((trap.stage.as_str(), trap.blame), ("logs.picky", Blame::OneOf(4..6)));
    let output = run(&mut chain, &["reject"], Kind::One(5), &poison).unwrap();
    assert_eq!(output.rejected[0].stage, "logs.picky", "one message by itself is given up, no more");
}

#[test]
fn a_message_known_to_trap_a_stage_passes_those_before_it_and_never_reaches_it() {
    let mut poison = Poison::default();
    poison.note("logs.counter", "trapped: over poison", &Blame::Message(7));
    let mut chain = chain(&["picky", "counter"], &poison);
    let output = run(&mut chain, &["poison"], Kind::One(7), &poison).unwrap();
    assert_eq!(output.rejected[0].reason, "trapped: over poison");
    let Err(Fault::Rollback(trap)) = run(&mut chain, &["poison"], Kind::One(8), &poison) else {
        panic!("another message is another matter")
    };
    assert_eq!(trap.blame, Blame::Message(8));
}

#[test]
fn a_snapshot_is_given_out_only_when_it_has_changed() {
    let poison = Poison::default();
    let mut chain = chain(&["counter"], &poison);
    run(&mut chain, &["a"], Kind::One(0), &poison).unwrap();
    assert_eq!(chain.snapshots().unwrap().len(), 1);
    assert!(chain.snapshots().unwrap().is_empty());
    run(&mut chain, &["b"], Kind::One(1), &poison).unwrap();
    assert_eq!(chain.snapshots().unwrap()[0].bytes.as_ref(), 2u64.to_be_bytes());
}
