//! skeleton
use crate::{Error, Instance};
use weft_model::{Signal, TopicPartition};

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Signals it takes.
    pub accepts: Vec<Signal>,
    /// Signals it may emit.
    pub emits: Vec<Signal>,
    /// Paths it reads; a trailing `*` stands for any key.
    pub reads: Vec<String>,
    /// Paths it writes.
    pub writes: Vec<String>,
    /// JSON schema of its configuration.
    pub config_schema: String,
    /// Whether its snapshot is worth keeping.
    pub stateful: bool,
}

/// A compiled module.
#[derive(Debug)]
pub struct Module {
    digest: String,
    description: Description,
}

impl Module {
    /// The name it gives itself.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// SHA-256 of the file, lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A fresh, configured instance for one partition. `config_json` is the module's own configuration.
    pub fn instantiate(&self, config_json: &str, source: &TopicPartition) -> Result<Instance, Error> {
        let _ = (config_json, source);
        Err(Error::Config("not built yet".into()))
    }
}
