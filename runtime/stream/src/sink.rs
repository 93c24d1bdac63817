//! Where a partition's rows and dead letters of the open epoch go.

use crate::dead_letters::{self, Letter};
use crate::metrics::{StageLabel, TableLabel};
use crate::pipeline::{Shared, Stopped};
use arrow::array::RecordBatch;
use std::sync::Arc;
use weft_model::{Epoch, Table, TopicPartition};

/// The open end of one partition's pipeline.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) source: TopicPartition,
    pub(crate) shared: Arc<Shared>,
    epoch: Epoch,
    /// Something was pushed since the epoch began.
    has_rows: bool,
    letters: Vec<Letter>,
}

impl Sink {
    /// `has_rows`: the partition takes part in the first epoch whatever happens.
    pub(crate) fn new(source: TopicPartition, shared: Arc<Shared>, epoch: Epoch, has_rows: bool) -> Self {
        Self { source, shared, epoch, has_rows, letters: Vec::new() }
    }

    /// Makes rows visible to queries.
    pub(crate) fn push(&mut self, table: Table, rows: RecordBatch) -> Result<(), Stopped> {
        self.has_rows = true;
        self.shared.gate.pushed(&rows);
        let stored = TableLabel { table: table.name() };
        self.shared.metrics.rows_stored.get_or_create(&stored).inc_by(rows.num_rows() as u64);
        self.shared.tables.hot().push(&self.epoch, table, rows).map_err(|error| Stopped::Broken(error.to_string()))
    }

    /// Gives things up.
    pub(crate) fn give_up(&mut self, letters: &[Letter]) -> Result<(), Stopped> {
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters {
            let stage = StageLabel { stage: letter.verdict.stage.clone() };
            self.shared.metrics.dead_letters.get_or_create(&stage).inc();
        }
        let rows = dead_letters::to_rows(&self.source, letters, self.shared.clock.now_nanos());
        self.push(Table::DeadLetters, rows.map_err(|error| Stopped::Broken(error.to_string()))?)?;
        self.letters.extend_from_slice(letters);
        Ok(())
    }

    /// Whether the open epoch has anything of this partition.
    pub(crate) fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// Goes on with the next epoch, if there is one; answers whether there were rows, and the letters.
    pub(crate) fn turn(&mut self, next: Option<Epoch>) -> (bool, Vec<Letter>) {
        if let Some(next) = next {
            self.epoch = next;
        }
        (std::mem::take(&mut self.has_rows), std::mem::take(&mut self.letters))
    }
}
