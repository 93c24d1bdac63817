#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::delta::txn_line;
use crate::fixtures::NOON;
use object_store::memory::InMemory;
use weft_env::ManualClock;
use weft_model::ErrorKind;

const TABLE: Table = Table::Logs;

async fn open(store: &Arc<dyn ObjectStore>) -> Result<TableLog, Error> {
    let config = Config { delta_checkpoint_commits: 4, ..Config::default() };
    TableLog::open(TABLE, Arc::clone(store), &config, ManualClock::at(NOON)).await
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn commit_txn(log: &TableLog, to: u64) {
    let commit = |snapshot: &Snapshot| Ok((snapshot.txn < to).then(|| vec![add(to), txn_line(to, 0)]));
    log.turn().await.commit("WRITE", commit).await.unwrap();
}

fn add(number: u64) -> Line {
    let json = format!(
        r#"{{"add":{{"path":"data/{number}.parquet","partitionValues":{{}},"size":1,"modificationTime":0,"dataChange":true}}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

async fn put(store: &Arc<dyn ObjectStore>, path: Path, text: &str) {
    objects::put(store.as_ref(), &path, text.to_string().into(), PutMode::Overwrite).await.unwrap();
}

async fn delete(store: &Arc<dyn ObjectStore>, files: &[String]) {
    let paths = files.iter().map(|file| log_path(TABLE, file)).collect();
    objects::delete(store.as_ref(), paths).await.unwrap();
}

#[tokio::test]
async fn processes_that_make_a_table_at_once_make_one() {
    let store = memory();
    let opened = futures::future::join_all((0..8).map(|_| open(&store))).await;
    let ids: std::collections::BTreeSet<_> =
        opened.iter().map(|log| log.as_ref().unwrap().current().metadata.id.clone()).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_table_loads_from_its_checkpoint_without_the_commits_before() {
    let store = memory();
    let log = open(&store).await.unwrap();
    for number in 1..=6 {
        commit_txn(&log, number).await;
    }
    let commits: Vec<_> = (0..=4).map(|version| format!("{version:020}.json")).collect();
    delete(&store, &commits).await;
    let again = open(&store).await.unwrap().current();
    let before = log.current();
    assert_eq!((again.version, again.txn), (6, 6));
    assert_eq!(again.files, before.files);
    assert_eq!(again.metadata, before.metadata);
}

#[tokio::test]
async fn a_stale_or_damaged_hint_is_survived() {
    let store = memory();
    let log = open(&store).await.unwrap();
    for number in 1..=9 {
        commit_txn(&log, number).await;
    }
    for hint in [r#"{"version":4}"#, r#"{"version":3}"#, "no json"] {
        put(&store, log_path(TABLE, LAST_CHECKPOINT), hint).await;
        delete(&store, &[format!("{:020}.checkpoint.parquet", 4), format!("{:020}.json", 2)]).await;
        assert_eq!(open(&store).await.unwrap().current().txn, 9, "{hint}");
    }
}

#[tokio::test]
async fn missing_versions_are_damage_not_an_empty_table() {
    let store = memory();
    let log = open(&store).await.unwrap();
    for number in 1..=3 {
        commit_txn(&log, number).await;
    }
    delete(&store, &[format!("{:020}.json", 2)]).await;
    assert_eq!(open(&store).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn actions_of_other_writers_are_read_and_unknown_ones_skipped() {
    let store = memory();
    let log = open(&store).await.unwrap();
    commit_txn(&log, 1).await;
    let foreign = concat!(
        r#"{"commitInfo":{"timestamp":1,"operation":"OPTIMIZE","clientVersion":"delta-rs"}}"#,
        "\n",
        r#"{"cdc":{"path":"x","size":1}}"#,
        "\n",
        r#"{"remove":{"path":"data/1.parquet","dataChange":false}}"#,
        "\n",
        r#"{"add":{"path":"part%20one.parquet","partitionValues":{},"size":7,"modificationTime":5,"dataChange":false,"stats":"{\"numRecords\":3}","tags":{}}}"#,
        "\n",
        r#"{"txn":{"appId":"other","version":8}}"#,
        "\n"
    );
    put(&store, version_path(TABLE, 2), foreign).await;
    let snapshot = log.refresh().await.unwrap();
    assert_eq!((snapshot.version, snapshot.txn, snapshot.files.len()), (2, 1, 1));
    assert_eq!((snapshot.files[0].path.as_ref(), snapshot.files[0].rows), ("logs/part one.parquet", 3));
    commit_txn(&log, 2).await;
    commit_txn(&log, 3).await;
    // Through a checkpoint, too.
    assert_eq!(open(&store).await.unwrap().current().other_txns["other"], 8);
}

#[tokio::test]
async fn a_table_that_needs_more_than_we_know_is_refused_with_a_reason() {
    let store = memory();
    let log = open(&store).await.unwrap();
    let upgrade = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    put(&store, version_path(TABLE, 1), upgrade).await;
    let error = log.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("reader 3"), "{error}");
}

#[tokio::test]
async fn a_table_with_other_columns_is_refused() {
    let store = memory();
    open(&store).await.unwrap();
    let json = objects::get(store.as_ref(), &version_path(TABLE, 0)).await.unwrap().unwrap();
    let text = String::from_utf8(json.to_vec()).unwrap().replace("severity_number", "level");
    put(&store, version_path(TABLE, 0), &text).await;
    assert_eq!(open(&store).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn racing_committers_build_on_each_other() {
    let store = memory();
    let logs = futures::future::join_all((0..6).map(|_| open(&store))).await;
    let tasks = logs.into_iter().zip(1u64..).map(|(log, number)| {
        tokio::spawn(async move {
            let log = log.unwrap();
            log.turn().await.commit("WRITE", |_| Ok(Some(vec![add(number)]))).await.unwrap();
        })
    });
    futures::future::join_all(tasks).await;
    let snapshot = open(&store).await.unwrap().current();
    assert_eq!((snapshot.version, snapshot.files.len()), (6, 6));
}
