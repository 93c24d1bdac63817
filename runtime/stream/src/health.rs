//! Whether a worker is ready, and what is wrong where it is not.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A worker's condition now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// It has joined its group, processes what it was assigned, and nothing is wrong.
    pub ready: bool,
    /// What is wrong, in words for the operator. Each goes away by itself once it is right again.
    pub problems: Vec<String>,
}

/// Where the parts of a worker note what is wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    joined: AtomicBool,
    opened: AtomicBool,
    problems: Mutex<BTreeMap<String, String>>,
}

impl Board {
    /// The first assignment is known.
    pub(crate) fn joined(&self) {
        self.shared.joined.store(true, Ordering::Relaxed);
    }

    /// All partitions of it are being processed.
    pub(crate) fn opened(&self) {
        self.shared.opened.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.shared.joined.load(Ordering::Relaxed)
    }

    /// Notes a problem of `part`, in place of the one it had.
    pub(crate) fn problem(&self, part: &str, problem: impl ToString) {
        let problem = problem.to_string();
        let before = self.shared.problems.lock().insert(part.to_owned(), problem.clone());
        if before.as_ref() != Some(&problem) {
            tracing::warn!(part, problem, "the worker has a problem");
        }
    }

    /// `part` is right again.
    pub(crate) fn clear(&self, part: &str) {
        if self.shared.problems.lock().remove(part).is_some() {
            tracing::info!(part, "the worker's problem is over");
        }
    }

    pub(crate) fn health(&self) -> Health {
        let problems: Vec<String> =
            self.shared.problems.lock().iter().map(|(part, problem)| format!("{part}: {problem}")).collect();
        Health { ready: self.shared.opened.load(Ordering::Relaxed) && problems.is_empty(), problems }
    }
}
