//! The few things this crate does with single objects, with errors that say what was tried.

use crate::Error;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

/// An object's bytes; `None` when there is no such object.
pub(crate) async fn get(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>, Error> {
    let read = async { store.get(path).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(Error::store(format!("read {path}"))(error)),
    }
}

/// Writes an object whole. Any error other than "already exists" leaves open whether it was written.
pub(crate) async fn put(store: &dyn ObjectStore, path: &Path, payload: PutPayload, mode: PutMode) -> Result<(), Error> {
    let options = PutOptions { mode, ..PutOptions::default() };
    store.put_opts(path, payload, options).await.map(drop).map_err(Error::store(format!("write {path}")))
}

/// Whether a put with [`PutMode::Create`] failed because the name is taken (perhaps by the same put:
/// stores retry inside).
pub(crate) fn already_exists(error: &Error) -> bool {
    use object_store::Error as E;
    matches!(error, Error::Store { source: E::AlreadyExists { .. } | E::Precondition { .. }, .. })
}

/// Deletes objects; those that are gone already don't matter.
pub(crate) async fn delete(store: &dyn ObjectStore, paths: Vec<Path>) -> Result<(), Error> {
    let deleted = store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
    deleted
        .filter(|result| futures::future::ready(!matches!(result, Err(object_store::Error::NotFound { .. }))))
        .try_for_each(|_| futures::future::ready(Ok(())))
        .await
        .map_err(Error::store("delete what nothing names"))
}
