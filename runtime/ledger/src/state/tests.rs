#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::Checkpoint;

fn entry(number: u64, worker: &str, advances: &[(i32, i64, i64, u64)]) -> Entry {
    let partitions = advances
        .iter()
        .map(|(partition, from, to, after)| Advance {
            topic: "t".into(),
            partition: *partition,
            from: *from,
            to: *to,
            after: *after,
        })
        .collect();
    Entry {
        number,
        worker: worker.into(),
        epoch_sequence: number,
        written_at_ms: 0,
        partitions,
        files: Vec::new(),
        snapshots: Vec::new(),
    }
}

fn snapshot(partition: i32, stage: &str, path: &str) -> SnapshotRef {
    SnapshotRef {
        topic: "t".into(),
        partition,
        stage: stage.into(),
        module: "m".into(),
        digest: "d".into(),
        path: path.into(),
    }
}

#[test]
fn a_partition_may_start_anywhere_once_and_must_go_on_from_there() {
    let mut state = State::default();
    state.apply(&entry(1, "a", &[(0, 700, 710, 0)])).unwrap();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(state.offset(&partition), Some(710));
    assert!(state.apply(&entry(2, "a", &[(0, 711, 712, 1)])).is_err());
    assert!(state.apply(&entry(2, "a", &[(0, 710, 712, 0)])).is_err());
    assert_eq!(state.next, 2, "a refused entry changes nothing");
    state.apply(&entry(2, "a", &[(0, 710, 712, 1)])).unwrap();
}

#[test]
fn an_entry_that_fits_in_part_is_refused_whole() {
    let mut state = State::default();
    state.apply(&entry(1, "a", &[(0, 0, 5, 0), (1, 0, 5, 0)])).unwrap();
    let before = state.clone();
    let error = state.apply(&entry(2, "a", &[(0, 5, 9, 1), (1, 4, 9, 1)])).unwrap_err();
    assert!(matches!(error, Error::Invalid { number: 2, ref partition, .. } if partition.partition == 1));
    assert_eq!(state, before);
}

#[test]
fn entries_apply_in_order_only() {
    let mut state = State::default();
    assert_eq!(state.apply(&entry(2, "a", &[(0, 0, 1, 0)])), Err(Error::OutOfOrder { expected: 1, found: 2 }));
}

#[test]
fn a_snapshot_replaces_the_one_of_its_partition_and_stage() {
    let mut state = State::default();
    let mut first = entry(1, "a", &[(0, 0, 1, 0), (1, 0, 1, 0)]);
    first.snapshots = vec![snapshot(0, "tail", "p1"), snapshot(1, "tail", "p2"), snapshot(0, "span_metrics", "p3")];
    state.apply(&first).unwrap();
    let mut second = entry(2, "a", &[(0, 1, 2, 1)]);
    second.snapshots = vec![snapshot(0, "tail", "p4")];
    state.apply(&second).unwrap();
    let paths = |partition| {
        let partition = TopicPartition::new("t", partition);
        state.snapshots_of(&partition).map(|snapshot| snapshot.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(paths(0), ["p3", "p4"]);
    assert_eq!(paths(1), ["p2"]);
}

#[test]
fn a_checkpoint_is_the_state_it_was_made_of() {
    let mut state = State::default();
    let mut first = entry(1, "a", &[(0, 3, 9, 0), (7, 0, 0, 0)]);
    first.snapshots = vec![snapshot(0, "tail", "p1")];
    state.apply(&first).unwrap();
    let json = Checkpoint::from(&state).to_json();
    assert_eq!(State::from(Checkpoint::from_json(2, &json).unwrap()), state);
    assert!(Checkpoint::from_json(3, &json).is_err());
}

#[test]
fn an_entry_reads_back_and_a_damaged_one_is_told() {
    let mut entry = entry(5, "a", &[(0, 3, 9, 4)]);
    entry.files = vec![crate::DataFile {
        table: weft_model::Table::Metrics,
        path: "metrics/data/x.parquet".into(),
        size: 10,
        rows: 2,
        written_at_ms: 3,
        stats: crate::FileStats {
            min_time_ns: i64::MIN,
            max_time_ns: i64::MAX,
            columns: BTreeMap::from([(
                "name".into(),
                crate::ColumnRange {
                    min: Some(crate::Value::Text("1".into())),
                    max: Some(crate::Value::Int(1)),
                    nulls: 0,
                },
            )]),
        },
    }];
    let json = entry.to_json();
    assert_eq!(Entry::from_json(5, &json).unwrap(), entry);
    assert!(Entry::from_json(6, &json).is_err());
    assert!(Entry::from_json(5, &json[..json.len() - 1]).is_err());
    assert!(Entry::from_json(5, b"").is_err());
}

#[test]
fn an_older_worker_reads_a_newer_ones_entry() {
    let json = br#"{"number":1,"worker":"w","epoch_sequence":1,"written_at_ms":0,"partitions":[],"files":[],"snapshots":[],"new":true}"#;
    assert_eq!(Entry::from_json(1, json).unwrap().number, 1);
}
