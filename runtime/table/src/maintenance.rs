//! Retention and compaction of one table.

use crate::Error;
use crate::delta::TableLog;
use crate::write::Writer;
use std::ops::AddAssign;

/// What maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that retention removed.
    pub expired_files: usize,
    /// Files that compaction replaced.
    pub compacted_files: usize,
    /// Files that compaction wrote.
    pub written_files: usize,
}

impl AddAssign for Maintained {
    fn add_assign(&mut self, other: Self) {
        self.expired_files += other.expired_files;
        self.compacted_files += other.compacted_files;
        self.written_files += other.written_files;
    }
}

pub(crate) async fn run(writer: &Writer, log: &TableLog) -> Result<Maintained, Error> {
    let _ = (writer, log);
    Ok(Maintained::default())
}
