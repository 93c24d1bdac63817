//! Shared strings for header names.

use std::sync::Arc;

/// Header names seen lately: the same few names come with every record, one allocation serves all.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Arc<str>>);

impl Names {
    /// The name as a shared string.
    pub(crate) fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = name.into();
        if self.0.len() < 16 {
            self.0.push(Arc::clone(&fresh));
        }
        fresh
    }
}
