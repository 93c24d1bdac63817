//! Orderly shutdown: one token, watched by every loop.

use tokio::sync::watch;

/// Cloneable; once [`Shutdown::begin`] is called every clone sees it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: std::sync::Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { sender: std::sync::Arc::new(watch::channel(false).0) }
    }
}

impl Shutdown {
    /// A token nobody has tripped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every loop to finish what it holds and stop.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// Completes when it begins; at once if it has.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in `self`, so waiting can't fail before the value changes.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}
