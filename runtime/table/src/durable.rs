//! A folder as an object store whose writes survive power loss.
//!
//! `object_store`'s `LocalFileSystem` (0.13) writes a staging file and links or renames it into
//! place, but never calls fsync: after a crash a ledger entry could be there while the Parquet files
//! it names are empty. Here a put returns only when content and name are on disk:
//!
//! 1. write `_staging/<n>#<n>` in the root, fsync it;
//! 2. hard-link (create: fails if the name exists) or rename (overwrite) it to its name;
//! 3. fsync the folder, and once per process each folder above it.
//!
//! Listings skip names that end in `#<digits>`, as `LocalFileSystem` does. Staging files left by a
//! crash are removed at the next open once they are an hour old. Reads are `LocalFileSystem`'s.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const STORE: &str = "folder";
const STAGING: &str = "_staging";
const STALE: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub(crate) struct DurableFolder {
    inner: LocalFileSystem,
    disk: Arc<Disk>,
}

#[derive(Debug)]
struct Disk {
    root: PathBuf,
    staged: AtomicU64,
    /// Folders known to be on disk with all folders above them.
    synced: Mutex<HashSet<PathBuf>>,
}

impl DurableFolder {
    /// The folder at `path`, made when absent.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, Error> {
        let failed = |error: io::Error| Error::Config(format!("can't use the folder {}: {error}", path.display()));
        fs::create_dir_all(path.join(STAGING)).map_err(failed)?;
        let root = path.canonicalize().map_err(failed)?;
        for above in root.ancestors().take(2) {
            // The root's own name must survive too; a parent we may not open is somebody else's duty.
            let _ = sync_folder(above);
        }
        remove_stale(&root.join(STAGING));
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(Error::store("open the folder"))?;
        Ok(Self { inner, disk: Arc::new(Disk { root, staged: AtomicU64::new(0), synced: Mutex::default() }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &ObjectPath,
        work: impl FnOnce(&Disk, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let target = self.inner.path_to_filesystem(path)?;
        let disk = Arc::clone(&self.disk);
        let name = path.to_string();
        let result = tokio::task::spawn_blocking(move || work(&disk, &target)).await?;
        result.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path: name, source: error.into() },
            ErrorKind::NotFound => object_store::Error::NotFound { path: name, source: error.into() },
            _ => object_store::Error::Generic { store: STORE, source: error.into() },
        })
    }
}

impl Disk {
    fn put(&self, target: &Path, payload: &PutPayload, create: bool) -> io::Result<()> {
        let staging = self.stage()?;
        let placed = staging.1.place(payload, || {
            self.prepare(target)?;
            if create { fs::hard_link(&staging.0, target) } else { fs::rename(&staging.0, target) }
        });
        // After a rename it is gone already; after a failure nobody will use it.
        let _ = fs::remove_file(&staging.0);
        placed?;
        self.sync_parent(target)
    }

    fn stage(&self) -> io::Result<(PathBuf, Staged)> {
        loop {
            let number = self.staged.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(STAGING).join(format!("{}-{number}#0", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => return Ok((path, Staged(file))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(self.root.join(STAGING))?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the folders above `target`, durably.
    fn prepare(&self, target: &Path) -> io::Result<()> {
        let Some(parent) = target.parent() else { return Ok(()) };
        if self.synced.lock().contains(parent) && parent.exists() {
            return Ok(());
        }
        fs::create_dir_all(parent)?;
        // Others may have made some of them a moment ago without being done syncing.
        for folder in parent.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            sync_folder(folder)?;
        }
        self.synced.lock().insert(parent.to_owned());
        Ok(())
    }

    fn sync_parent(&self, target: &Path) -> io::Result<()> {
        target.parent().map_or(Ok(()), sync_folder)
    }
}

struct Staged(File);

impl Staged {
    fn place(&self, payload: &PutPayload, name: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut file = &self.0;
        for part in payload {
            file.write_all(part)?;
        }
        file.sync_all()?;
        name()
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_stale(staging: &Path) {
    let Ok(entries) = fs::read_dir(staging) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl std::fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableFolder({})", self.disk.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "put with PutMode::Update".into(),
                    implementer: STORE.into(),
                });
            }
        };
        self.blocking(location, move |disk, target| disk.put(target, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        let target = self.inner.path_to_filesystem(location)?;
        Ok(Box::new(DurableUpload { inner, target, disk: Arc::clone(&self.disk) }))
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&ObjectPath>,
        offset: &ObjectPath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.blocking(to, |disk, target| {
            disk.prepare(target)?;
            disk.sync_parent(target)
        })
        .await
    }
}

#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    target: PathBuf,
    disk: Arc<Disk>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let (disk, target) = (Arc::clone(&self.disk), self.target.clone());
        let synced = tokio::task::spawn_blocking(move || {
            File::open(&target)?.sync_all()?;
            disk.prepare(&target)?;
            disk.sync_parent(&target)
        });
        synced.await?.map_err(|error| object_store::Error::Generic { store: STORE, source: error.into() })?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
