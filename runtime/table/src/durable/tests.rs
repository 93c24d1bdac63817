#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

#[tokio::test]
async fn a_name_is_won_by_one_of_many_writers() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(DurableFolder::open(folder.path()).unwrap());
    let path = ObjectPath::from("deep/er/name.json");
    let puts = (0..16).map(|writer| {
        let (store, path) = (Arc::clone(&store), path.clone());
        tokio::spawn(async move { store.put_opts(&path, format!("{writer}").into(), create()).await.map(|_| writer) })
    });
    let results: Vec<_> = futures::future::join_all(puts).await.into_iter().map(Result::unwrap).collect();
    let won: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(results.iter().all(|r| r.is_ok() || matches!(r, Err(object_store::Error::AlreadyExists { .. }))));
    let content = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(content, won[0].to_string());
}

#[tokio::test]
async fn overwriting_replaces_and_listings_show_no_staging_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableFolder::open(folder.path()).unwrap();
    let path = ObjectPath::from("a/b");
    store.put(&path, "one".into()).await.unwrap();
    store.put(&path, "two".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
    fs::write(folder.path().join(STAGING).join("1-1#0"), "half").unwrap();
    let listed: Vec<_> = store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["a/b"]);
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableFolder::open(folder.path()).unwrap();
    // A file where a folder is needed.
    fs::write(folder.path().join("a"), "in the way").unwrap();
    assert!(store.put(&ObjectPath::from("a/b"), "x".into()).await.is_err());
    assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
}

#[tokio::test]
async fn another_process_on_the_same_folder_sees_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let one = DurableFolder::open(folder.path()).unwrap();
    let two = DurableFolder::open(folder.path()).unwrap();
    one.put(&ObjectPath::from("x"), "1".into()).await.unwrap();
    assert_eq!(two.get(&ObjectPath::from("x")).await.unwrap().bytes().await.unwrap(), "1");
    let taken = two.put_opts(&ObjectPath::from("x"), "2".into(), create()).await;
    assert!(matches!(taken, Err(object_store::Error::AlreadyExists { .. })));
}
