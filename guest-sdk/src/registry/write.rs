//! Emission: which entries are due, and their samples as a metrics batch.

use super::{Entry, Registry};
use crate::{
    BlobsBuilder, Dictionary, DictionaryBuilder, Emitted, Error, FloatsBuilder, IntsBuilder, Nulls, Signal, emit,
};

/// Rows of one emitted batch, at most: a batch is copied through the guest's memory.
const BATCH_ROWS: usize = 16_384;
/// Prometheus's staleness marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// How often stale entries are looked for, ms.
const SWEEP_MS: i64 = 15_000;

/// The model's metric kinds.
const COUNTER: i64 = 2;
const HISTOGRAM: i64 = 3;
const CUMULATIVE: i64 = 2;

/// The columns of a batch of samples.
struct Columns {
    names: DictionaryBuilder,
    help: DictionaryBuilder,
    labels: Vec<DictionaryBuilder>,
    le: DictionaryBuilder,
    overflow: DictionaryBuilder,
    kinds: IntsBuilder,
    values: FloatsBuilder,
    times: IntsBuilder,
    starts: IntsBuilder,
    exemplar_ids: BlobsBuilder,
    exemplar_values: FloatsBuilder,
    exemplar_times: IntsBuilder,
    exemplars: bool,
    rows: usize,
}

/// A row's place in a family: dictionary keys of its name and `le`.
struct Series {
    name: u32,
    help: u32,
    le: u32,
    kind: i64,
}

impl Columns {
    fn new(labels: usize) -> Self {
        let dictionary = || DictionaryBuilder::with_capacity(1024);
        Self {
            names: dictionary(),
            help: dictionary(),
            labels: (0..labels).map(|_| dictionary()).collect(),
            le: dictionary(),
            overflow: dictionary(),
            kinds: IntsBuilder::with_capacity(1024),
            values: FloatsBuilder::with_capacity(1024),
            times: IntsBuilder::with_capacity(1024),
            starts: IntsBuilder::with_capacity(1024),
            exemplar_ids: BlobsBuilder::with_capacity(1024, 0),
            exemplar_values: FloatsBuilder::with_capacity(1024),
            exemplar_times: IntsBuilder::with_capacity(1024),
            exemplars: false,
            rows: 0,
        }
    }

    fn sample(&mut self, series: &Series, value: f64, time: i64, start: i64, exemplar: Option<&super::Exemplar>) {
        self.names.push_key(series.name);
        self.help.push_key(series.help);
        self.le.push_key(series.le);
        self.kinds.push(Some(series.kind));
        self.values.push(Some(value));
        self.times.push(Some(time));
        self.starts.push(Some(start));
        self.exemplar_ids.push(exemplar.map(|exemplar| &exemplar.trace_id[..]));
        self.exemplar_values.push(exemplar.map(|exemplar| exemplar.value));
        self.exemplar_times.push(exemplar.map(|exemplar| exemplar.timestamp_ms));
        self.exemplars |= exemplar.is_some();
        self.rows += 1;
    }

    /// Gives the rows since `from` the labels of their entry.
    fn label(&mut self, entry: &Entry, from: usize) {
        let rows = self.rows - from;
        for (index, column) in self.labels.iter_mut().enumerate() {
            let value = std::str::from_utf8(entry.label(index)).unwrap_or_default();
            column.push_n(Some(value).filter(|value| !value.is_empty()), rows);
        }
        self.overflow.push_n(entry.overflow.then_some("true"), rows);
    }
}

impl Registry {
    /// Emits what is due at `now_ms`, if an interval has passed since the last emission.
    pub fn emit(&mut self, now_ms: i64) -> Result<(), Error> {
        if now_ms < self.emitted_ms.saturating_add(self.options.interval_ms) {
            return Ok(());
        }
        let sweep = now_ms - self.swept_ms >= SWEEP_MS;
        let mut columns = Columns::new(self.labels.len());
        let mut stale = vec![false; self.entries.len()];
        for (at, stale) in stale.iter_mut().enumerate() {
            let entry = &self.entries[at];
            // A clock that stepped back: the entry's next sample must wait until it has caught up.
            if now_ms <= entry.written_ms {
                continue;
            }
            *stale = sweep && !entry.dirty && now_ms - entry.updated_ms >= self.options.stale_ms;
            if !(*stale || entry.dirty || now_ms - entry.written_ms >= self.options.repeat_ms) {
                continue;
            }
            self.write(at, now_ms, *stale, &mut columns);
            if columns.rows >= BATCH_ROWS {
                self.send(std::mem::replace(&mut columns, Columns::new(self.labels.len())))?;
            }
        }
        if columns.rows > 0 {
            self.send(columns)?;
        }
        if stale.contains(&true) {
            self.remove(&stale);
        }
        if sweep {
            self.swept_ms = now_ms;
        }
        self.emitted_ms = now_ms;
        Ok(())
    }

    fn write(&mut self, at: usize, now_ms: i64, stale: bool, columns: &mut Columns) {
        let entry = &mut self.entries[at];
        let from = columns.rows;
        for (index, instrument) in self.instruments.iter().enumerate() {
            let Some(since) = entry.since[index] else { continue };
            // A series of an entry already written must begin after what is there.
            let start = if entry.begun[index] { since } else { since.max(entry.written_ms).min(now_ms - 1) };
            let first = !entry.begun[index];
            entry.begun[index] = true;
            entry.since[index] = Some(start);
            let help = columns.help.key(&instrument.help);
            let slots = self.slots[index]..self.slots[index + 1];
            let push = |columns: &mut Columns, series: &Series, value: f64, exemplar: Option<&super::Exemplar>| {
                if first {
                    columns.sample(series, 0.0, start, start, None);
                }
                let value = if stale { f64::from_bits(STALE) } else { value };
                columns.sample(series, value, now_ms, start, exemplar);
            };
            let Some(bounds) = &instrument.bounds else {
                let series =
                    Series { name: columns.names.key(&instrument.name), help, le: Dictionary::NULL, kind: COUNTER };
                push(columns, &series, entry.counts[slots.start] as f64, None);
                continue;
            };
            let name = columns.names.key(&format!("{}_bucket", instrument.name));
            let mut count = 0;
            for (place, slot) in slots.enumerate() {
                count += entry.counts[slot];
                let le = match bounds.get(place) {
                    Some(bound) => columns.le.key(&bound.to_string()),
                    None => columns.le.key("+Inf"),
                };
                let series = Series { name, help, le, kind: HISTOGRAM };
                let exemplar = entry.exemplars[slot].take();
                push(columns, &series, count as f64, exemplar.as_ref().filter(|_| !stale));
            }
            for (suffix, value) in [("_sum", entry.sums[self.sums[index]]), ("_count", count as f64)] {
                let name = columns.names.key(&format!("{}{suffix}", instrument.name));
                push(columns, &Series { name, help, le: Dictionary::NULL, kind: HISTOGRAM }, value, None);
            }
        }
        entry.dirty = false;
        entry.written_ms = now_ms;
        columns.label(&self.entries[at], from);
    }

    fn send(&self, columns: Columns) -> Result<(), Error> {
        let batch: Emitted = emit(Signal::Metrics, columns.rows)?;
        let rows = columns.rows;
        let clear = Nulls::Clear;
        batch.set_dictionary("name", &columns.names.finish(), clear)?;
        batch.set_dictionary("help", &columns.help.finish(), clear)?;
        batch.set_ints("kind", &columns.kinds.finish(), clear)?;
        let temporality = std::iter::repeat_n(Some(CUMULATIVE), rows).collect();
        batch.set_ints("temporality", &temporality, clear)?;
        for (label, column) in self.labels.iter().zip(columns.labels) {
            batch.set_dictionary(&format!("label.{label}"), &column.finish(), clear)?;
        }
        batch.set_dictionary("label.le", &columns.le.finish(), clear)?;
        if self.overflow.is_some() {
            batch.set_dictionary("label.metric_overflow", &columns.overflow.finish(), clear)?;
        }
        for (label, value) in &self.options.constant_labels {
            batch.set_constant(&format!("label.{label}"), &crate::Scalar::Text(value.clone()), crate::Rows::All)?;
        }
        batch.set_ints("timestamp", &columns.times.finish(), clear)?;
        batch.set_ints("start", &columns.starts.finish(), clear)?;
        batch.set_floats("value", &columns.values.finish(), clear)?;
        if columns.exemplars {
            batch.set_blobs("exemplar.trace_id", &columns.exemplar_ids.finish(), clear)?;
            batch.set_floats("exemplar.value", &columns.exemplar_values.finish(), clear)?;
            batch.set_ints("exemplar.timestamp", &columns.exemplar_times.finish(), clear)?;
        }
        batch.send()
    }
}
