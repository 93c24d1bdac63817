//! skeleton
use crate::{Config, Error, Module};
use std::path::Path;
use std::sync::Arc;

/// Compiles and holds modules. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {}

impl Engine {
    /// An engine with these settings.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {})
    }

    /// Loads a component or a plain core module from a file.
    pub fn load(&self, path: &Path) -> Result<Arc<Module>, Error> {
        Err(Error::NotAModule { path: path.to_owned(), reason: "not built yet".into() })
    }
}
