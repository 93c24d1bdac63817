//! Metadata of remote write 1.0: sent apart from the samples, once a minute, by metric family.
//!
//! A decoder remembers what it has seen and gives it to later rows of the family. It is a hint for
//! people and user interfaces: after a restart rows lack it until the next round.

use crate::columns::metrics::{Family, kind};
use crate::wire::{Reader, Result};
use hashbrown::HashMap;

/// Families remembered at most; Prometheus servers have a few thousand.
const MAX_FAMILIES: usize = 50_000;

/// Longest help or unit remembered, bytes.
const MAX_TEXT: usize = 4096;

#[derive(Debug)]
struct Entry {
    kind: i32,
    unit: String,
    help: String,
}

/// What has been said of metric families.
#[derive(Debug, Default)]
pub(crate) struct MetadataMemory {
    families: HashMap<String, Entry>,
}

impl MetadataMemory {
    /// Reads a `MetricMetadata`.
    pub(crate) fn read(&mut self, mut reader: Reader<'_>) -> Result<()> {
        let (mut number_of_kind, mut name, mut help, mut unit) = (0, "", "", "");
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => number_of_kind = reader.int32(wire)?,
                2 => name = reader.text(wire)?,
                4 => help = reader.text(wire)?,
                5 => unit = reader.text(wire)?,
                _ => reader.skip(number, wire)?,
            }
        }
        let full = self.families.len() >= MAX_FAMILIES && !self.families.contains_key(name);
        if !full && !name.is_empty() && name.len() + help.len() + unit.len() <= MAX_TEXT {
            let entry =
                Entry { kind: kind::from_prometheus(number_of_kind), unit: unit.to_owned(), help: help.to_owned() };
            self.families.insert(name.to_owned(), entry);
        }
        Ok(())
    }

    /// What is known of a series' family: by its name, or by its name without the suffix that
    /// samples of histograms, summaries and counters carry.
    pub(crate) fn find(&self, name: &str) -> Family<'_> {
        if self.families.is_empty() {
            return Family::default();
        }
        let suffixes = ["", "_total", "_bucket", "_count", "_sum", "_info", "_created"];
        let entry = suffixes.iter().find_map(|suffix| self.families.get(name.strip_suffix(suffix)?));
        entry.map_or_else(Family::default, |entry| Family {
            kind: entry.kind,
            temporality: 0,
            unit: &entry.unit,
            help: &entry.help,
        })
    }
}
