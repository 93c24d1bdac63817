//! The ledger's promise, on random schedules: every offset is covered once, whoever wins, stalls,
//! dies, retries or comes back as a zombie.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{Checkpoint, Entry};
use proptest::prelude::*;
use std::sync::Arc;
use weft_model::Epoch;

const PARTITIONS: i32 = 3;
const WORKERS: usize = 3;

/// What a worker believes of a partition it holds.
#[derive(Debug, Clone)]
struct Held {
    offset: i64,
    after: u64,
}

#[derive(Debug, Clone)]
struct Worker {
    run: u64,
    sequence: u64,
    /// The ledger as this worker last read it.
    state: State,
    held: Vec<Option<Held>>,
    /// A proposal that may or may not be in the ledger already.
    unsettled: Option<Proposed>,
}

#[derive(Debug, Clone)]
enum Step {
    /// The worker is given the partition; whoever had it isn't told.
    Assign { worker: usize, partition: usize },
    /// The worker proposes an epoch of some records of all it holds.
    Epoch { worker: usize, records: i64, answer: Answer },
    /// The worker dies and starts again, with nothing.
    Restart { worker: usize },
    /// The worker's cached state becomes a checkpoint read back.
    Checkpoint { worker: usize },
}

/// What becomes of the put and of its answer.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Given,
    /// The put landed if the number was free, but the worker isn't told.
    Lost,
    /// The put never arrived.
    Never,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![4 => Just(Answer::Given), 1 => Just(Answer::Lost), 1 => Just(Answer::Never)];
    prop_oneof![
        3 => (0..WORKERS, 0..PARTITIONS as usize).prop_map(|(worker, partition)| Step::Assign { worker, partition }),
        8 => (0..WORKERS, 0i64..4, answer).prop_map(|(worker, records, answer)| Step::Epoch { worker, records, answer }),
        1 => (0..WORKERS).prop_map(|worker| Step::Restart { worker }),
        1 => (0..WORKERS).prop_map(|worker| Step::Checkpoint { worker }),
    ]
}

/// The store: numbers are won once.
#[derive(Debug, Default)]
struct Store(Vec<Entry>);

impl Store {
    fn put_if_absent(&mut self, entry: Entry) -> bool {
        let free = entry.number as usize == self.0.len() + 1;
        if free {
            self.0.push(entry);
        }
        free
    }

    fn read_on(&self, state: &mut State) {
        for entry in &self.0[state.next as usize - 1..] {
            state.apply(entry).expect("only valid entries are stored");
        }
    }
}

impl Worker {
    fn new(run: u64) -> Self {
        Self { run, sequence: 0, state: State::default(), held: vec![None; PARTITIONS as usize], unsettled: None }
    }

    fn propose(&mut self, records: i64) -> Option<Proposed> {
        self.sequence += 1;
        let partitions: Vec<_> = (0i32..)
            .zip(&self.held)
            .filter_map(|(partition, held)| {
                let held = held.as_ref()?;
                Some(crate::Advance {
                    topic: "t".into(),
                    partition,
                    from: held.offset,
                    to: held.offset + records,
                    after: held.after,
                })
            })
            .collect();
        let epoch = Epoch { worker: Arc::from(format!("{:032x}", self.run)), sequence: self.sequence };
        (!partitions.is_empty()).then_some(Proposed { epoch, partitions, files: Vec::new(), snapshots: Vec::new() })
    }

    /// The commit loop as the store's owner runs it. True when the proposal is settled.
    fn commit(&mut self, store: &mut Store, proposed: &Proposed, answer: Answer) -> bool {
        let mut refreshed = false;
        loop {
            match decide(&self.state, proposed) {
                Decision::Committed { number } => {
                    for advance in &proposed.partitions {
                        let held = Held { offset: advance.to, after: number };
                        self.held[advance.partition as usize] = Some(held);
                    }
                    return true;
                }
                Decision::Fenced { .. } if !refreshed => {
                    store.read_on(&mut self.state);
                    refreshed = true;
                }
                Decision::Fenced { partitions } => {
                    for partition in partitions {
                        self.held[partition.partition as usize] = None;
                    }
                    return true;
                }
                Decision::Commit { number } => {
                    if !matches!(answer, Answer::Never) {
                        store.put_if_absent(proposed.entry(number, 0));
                    }
                    if !matches!(answer, Answer::Given) {
                        return false;
                    }
                    store.read_on(&mut self.state);
                    refreshed = true;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_offset_is_covered_twice_or_skipped(steps in proptest::collection::vec(step(), 1..80)) {
        let mut store = Store::default();
        let mut runs = 0;
        let mut workers: Vec<_> = (0..WORKERS).map(|_| { runs += 1; Worker::new(runs) }).collect();
        for step in steps {
            match step {
                Step::Assign { worker, partition } => {
                    let worker = &mut workers[worker];
                    store.read_on(&mut worker.state);
                    let partition_id = TopicPartition::new("t", partition as i32);
                    let offset = worker.state.offset(&partition_id).unwrap_or(0);
                    worker.held[partition] = Some(Held { offset, after: worker.state.last_entry(&partition_id) });
                }
                Step::Epoch { worker, records, answer } => {
                    let worker = &mut workers[worker];
                    // An epoch whose outcome is open is settled before the next one.
                    if let Some(open) = worker.unsettled.take() {
                        if !worker.commit(&mut store, &open, Answer::Given) {
                            worker.unsettled = Some(open);
                        }
                    } else if let Some(proposed) = worker.propose(records) {
                        prop_assert!(proposed.check().is_ok());
                        if !worker.commit(&mut store, &proposed, answer) {
                            worker.unsettled = Some(proposed);
                        }
                    }
                }
                Step::Restart { worker } => {
                    runs += 1;
                    workers[worker] = Worker::new(runs);
                }
                Step::Checkpoint { worker } => {
                    let state = &mut workers[worker].state;
                    let next = state.next;
                    let json = Checkpoint::from(&*state).to_json();
                    *state = State::from(Checkpoint::from_json(next, &json).unwrap());
                }
            }
        }
        // Every partition is covered from 0 without gap or overlap, by a chain of entries.
        for partition in 0..PARTITIONS {
            let (mut at, mut last) = (0, 0);
            for entry in &store.0 {
                for advance in entry.partitions.iter().filter(|advance| advance.partition == partition) {
                    prop_assert_eq!(advance.from, at, "entry {} of {}", entry.number, entry.worker);
                    prop_assert_eq!(advance.after, last);
                    (at, last) = (advance.to, entry.number);
                }
            }
        }
        // No epoch is entered twice, and a fresh reader finds all of it valid.
        let mut epochs: Vec<_> = store.0.iter().map(Entry::epoch).collect();
        epochs.sort();
        epochs.dedup();
        prop_assert_eq!(epochs.len(), store.0.len());
        store.read_on(&mut State::default());
    }
}

fn proposal(worker: &str, sequence: u64, advances: &[(i32, i64, i64, u64)]) -> Proposed {
    let partitions = advances.iter().map(|(partition, from, to, after)| crate::Advance {
        topic: "t".into(),
        partition: *partition,
        from: *from,
        to: *to,
        after: *after,
    });
    let epoch = Epoch { worker: worker.into(), sequence };
    Proposed { epoch, partitions: partitions.collect(), files: Vec::new(), snapshots: Vec::new() }
}

#[test]
fn fencing_names_exactly_the_partitions_that_were_lost() {
    let mut state = State::default();
    state.apply(&proposal("a", 1, &[(0, 0, 5, 0), (1, 0, 5, 0)]).entry(1, 0)).unwrap();
    state.apply(&proposal("b", 1, &[(1, 5, 8, 1)]).entry(2, 0)).unwrap();
    let decision = decide(&state, &proposal("a", 2, &[(0, 5, 9, 1), (1, 5, 9, 1)]));
    assert_eq!(decision, Decision::Fenced { partitions: vec![TopicPartition::new("t", 1)] });
    assert_eq!(decide(&state, &proposal("a", 3, &[(0, 5, 9, 1)])), Decision::Commit { number: 3 });
}

#[test]
fn two_workers_that_release_rows_from_one_offset_do_not_both_commit() {
    let mut state = State::default();
    state.apply(&proposal("a", 1, &[(0, 0, 5, 0)]).entry(1, 0)).unwrap();
    let (zombie, owner) = (proposal("a", 2, &[(0, 5, 5, 1)]), proposal("b", 1, &[(0, 5, 5, 1)]));
    state.apply(&owner.entry(2, 0)).unwrap();
    assert!(matches!(decide(&state, &zombie), Decision::Fenced { .. }));
}

#[test]
fn an_epoch_already_entered_is_recognised_even_when_others_went_on() {
    let mut state = State::default();
    let mine = proposal("a", 1, &[(0, 0, 5, 0), (1, 0, 5, 0)]);
    state.apply(&mine.entry(1, 0)).unwrap();
    state.apply(&proposal("b", 1, &[(0, 5, 6, 1)]).entry(2, 0)).unwrap();
    assert_eq!(decide(&state, &mine), Decision::Committed { number: 1 });
}

#[test]
fn malformed_proposals_are_told_before_anything_is_written() {
    assert!(proposal("a", 1, &[]).check().is_err());
    assert!(proposal("a", 1, &[(0, 5, 4, 0)]).check().is_err());
    assert!(proposal("a", 1, &[(0, 0, 1, 0), (0, 1, 2, 0)]).check().is_err());
    assert!(proposal("a", 1, &[(0, 0, 1, 0)]).check().is_ok());
}
