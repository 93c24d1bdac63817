//! Places where a test lets a worker die as if it were killed.

use std::fmt;
use std::sync::Arc;

type Hook = dyn Fn(&'static str) -> bool + Send + Sync;

/// Asked at every step of an epoch; does nothing outside tests.
#[derive(Clone, Default)]
pub(crate) struct Failpoints(Option<Arc<Hook>>);

/// The worker dies here: nothing is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Killed;

impl Failpoints {
    /// `hook` says at which step to die.
    #[cfg(test)]
    pub(crate) fn new(hook: impl Fn(&'static str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Passes a step.
    pub(crate) fn pass(&self, step: &'static str) -> Result<(), Killed> {
        match &self.0 {
            Some(hook) if hook(step) => Err(Killed),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failpoints")
    }
}
