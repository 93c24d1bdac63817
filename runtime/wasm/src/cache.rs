//! Compiled code on disk, one file a module, named by what it was made from: the module's SHA-256
//! and wasmtime's hash of version, target and settings. Another of these is another file, so that
//! nothing is ever stale; old files may be deleted at any time.
//!
//! A file ends in a checksum. One that doesn't match (torn, damaged) is ignored and written anew.

use crate::Error;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Bytes of the checksum.
const SUM: usize = 16;

#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    compatibility: u64,
}

impl Cache {
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<Self, Error> {
        std::fs::create_dir_all(dir)
            .map_err(|error| Error::Config(format!("can't make cache_dir '{}': {error}", dir.display())))?;
        let mut hasher = Xxh3::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), compatibility: hasher.finish() })
    }

    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{:016x}.cwasm", self.compatibility))
    }

    /// The compiled module, if a sound file has it.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!("compiled module '{}' can't be read: {error}", path.display());
                }
                return None;
            }
        };
        let code = bytes.len().checked_sub(SUM).map(|at| bytes.split_at(at));
        let Some((code, _)) = code.filter(|(code, sum)| xxh3_128(code).to_le_bytes() == **sum) else {
            tracing::warn!("compiled module '{}' is damaged: compiling again", path.display());
            return None;
        };
        match load(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!("compiled module '{}' doesn't load, compiling again: {error:#}", path.display());
                None
            }
        }
    }

    /// Keeps a compiled module. That it can't be kept is no reason not to run it.
    pub(crate) fn put(&self, digest: &str, component: &Component) {
        if let Err(error) = self.write(digest, component) {
            tracing::warn!("compiled module can't be kept in '{}': {error:#}", self.dir.display());
        }
    }

    fn write(&self, digest: &str, component: &Component) -> wasmtime::Result<()> {
        /// Engines of one process may write the same module at once.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let code = component.serialize()?;
        let path = self.path(digest);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&code)?;
            file.write_all(&xxh3_128(&code).to_le_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)
        };
        write().inspect_err(|_| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&temporary);
        })?;
        Ok(())
    }
}

#[allow(unsafe_code, reason = "compiled code can't be checked, only trusted: see the comment")]
fn load(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Component::serialize` gave, unchanged: its checksum was compared on
    // these very bytes. That nobody else writes into the folder is the operator's to see to, and is
    // documented with `cache_dir`. wasmtime checks version and settings itself.
    unsafe { Component::deserialize(engine, code) }
}
