//! What is wrong with a topology, all of it at once.

use std::fmt;
use weft_model::ErrorKind;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when it concerns the file as a whole.
    pub line: u64,
    /// Where in the document, as in `pipelines.spans.stages[2].emits.metrics`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// A topology that can't be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name} can't be used as a topology:{}", listed(.problems))]
pub struct Error {
    /// The file, or `the default topology`.
    pub name: String,
    /// Every mistake found, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Error {
    /// Always [`ErrorKind::Config`]: the operator has to change the file.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
