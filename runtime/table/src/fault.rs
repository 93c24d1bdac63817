//! An object store that fails on purpose: errors, delays, lost answers, sudden death.
//!
//! For tests, here and in the crates above (feature `test-util`). Faults are decided by operation,
//! path and count, never by time or chance, so a failing test fails again.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing an object.
    Put,
    /// Reading one.
    Get,
    /// Listing.
    List,
    /// Deleting.
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and an error says so.
    Fail,
    /// It happens, but the answer is an error.
    LostAnswer,
    /// It happens, later.
    Delay(Duration),
}

/// Where a fault strikes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Operations of this kind …
    pub operation: Operation,
    /// … on paths that contain this text …
    pub path: String,
    /// … but not the first so many …
    pub skip: usize,
    /// … and then so many times …
    pub times: usize,
    /// … go wrong like this.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    /// Writes and deletes that still happen before the store dies; `None` is immortal.
    lives: Option<usize>,
    /// Whether the fatal write itself happens.
    last_gasp: bool,
    dead: bool,
    mutations: usize,
    log: Vec<(Operation, String)>,
}

/// Wraps a store; see the module.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Mutex<Plan>,
}

impl FaultStore {
    /// A store that works until told otherwise.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, plan: Mutex::default() })
    }

    /// Adds a fault.
    pub fn inject(&self, rule: Rule) {
        self.plan.lock().rules.push(rule);
    }

    /// Every operation fails from now on (`true`), or none does and all rules are forgotten.
    pub fn set_unavailable(&self, unavailable: bool) {
        let mut plan = self.plan.lock();
        plan.dead = unavailable;
        plan.lives = None;
        plan.rules.clear();
    }

    /// Dies at write or delete number `mutations` (from 0): that one happens only if `last_gasp`, and
    /// everything from then on fails. What a process sees that is killed there.
    pub fn die_at(&self, mutations: usize, last_gasp: bool) {
        let mut plan = self.plan.lock();
        plan.lives = Some(mutations);
        plan.last_gasp = last_gasp;
    }

    /// Writes and deletes asked for so far.
    pub fn mutations(&self) -> usize {
        self.plan.lock().mutations
    }

    /// Every operation asked for so far, with its path.
    pub fn operations(&self) -> Vec<(Operation, String)> {
        self.plan.lock().log.clone()
    }

    fn decide(&self, operation: Operation, path: &str) -> Option<Fault> {
        let mut plan = self.plan.lock();
        plan.log.push((operation, path.to_string()));
        if plan.dead {
            return Some(Fault::Fail);
        }
        if matches!(operation, Operation::Put | Operation::Delete) {
            plan.mutations += 1;
            if let Some(lives) = plan.lives {
                if lives == 0 {
                    plan.dead = true;
                    return Some(if plan.last_gasp { Fault::LostAnswer } else { Fault::Fail });
                }
                plan.lives = Some(lives - 1);
            }
        }
        let matches = |rule: &&mut Rule| rule.operation == operation && rule.times > 0 && path.contains(&rule.path);
        let mut fault = None;
        for rule in plan.rules.iter_mut().filter(matches) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if fault.is_none() {
                rule.times -= 1;
                fault = Some(rule.fault);
            }
        }
        fault
    }

    async fn around<T>(&self, operation: Operation, path: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.decide(operation, path) {
            None => work.await,
            Some(Fault::Fail) => Err(injected(path)),
            Some(Fault::LostAnswer) => {
                work.await?;
                Err(injected(path))
            }
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                work.await
            }
        }
    }
}

fn injected(path: &str) -> Error {
    Error::Generic { store: "fault", source: format!("injected fault at {path}").into() }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.around(Operation::Put, location.as_ref(), self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.around(Operation::Put, location.as_ref(), self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around(Operation::Get, location.as_ref(), self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.around(Operation::Get, location.as_ref(), self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.decide(Operation::Delete, "") {
            Some(Fault::Fail) => futures::stream::iter([Err(injected("delete"))]).boxed(),
            Some(Fault::LostAnswer) => {
                let lost = self.inner.delete_stream(locations).map(|result| result.and(Err(injected("delete"))));
                lost.boxed()
            }
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.decide(Operation::List, prefix.map_or("", Path::as_ref)) {
            Some(Fault::Fail | Fault::LostAnswer) => futures::stream::iter([Err(injected("list"))]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.decide(Operation::List, prefix.map_or("", Path::as_ref)) {
            Some(Fault::Fail | Fault::LostAnswer) => futures::stream::iter([Err(injected("list"))]).boxed(),
            _ => self.inner.list_with_offset(prefix, offset),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.map_or("", Path::as_ref);
        self.around(Operation::List, path, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around(Operation::Put, to.as_ref(), self.inner.copy_opts(from, to, options)).await
    }
}
