//! Cumulative counters and histograms that a module derives, and their emission as metrics.
//!
//! An entry is one label set; it holds the values of all instruments. [`Registry::emit`], called at
//! tick, writes every entry that has changed, and unchanged ones once in [`Options::repeat_ms`], so
//! that PromQL's 5-minute lookback always finds them. What is written:
//! * a series that is new begins with a sample of 0 where its counting began, so that `rate()` sees
//!   the first increment; times of one series strictly ascend;
//! * histograms are classic: `_bucket` by `le` up to `+Inf`, `_sum`, `_count`; a bucket carries the
//!   latest exemplar that fell into it since the last emission;
//! * an entry idle for [`Options::stale_ms`] ends with Prometheus's staleness marker and is forgotten.
//!
//! Past [`Options::max_series`] new label sets are added up in one entry labelled
//! `metric_overflow="true"`: totals stay exact whatever the cardinality.

mod write;

use crate::snapshot::{Reader, Writer};
use crate::{Error, HashMap, hash_bytes, mix};

/// How the registry keeps and emits its series.
#[derive(Debug, Clone)]
pub struct Options {
    /// Least time between two emissions, ms.
    pub interval_ms: i64,
    /// An unchanged entry is written again after this time, ms.
    pub repeat_ms: i64,
    /// An entry without change is forgotten after this time, ms.
    pub stale_ms: i64,
    /// Series (each bucket is one) past which new label sets go to the overflow entry.
    pub max_series: usize,
    /// Labels that every series has.
    pub constant_labels: Vec<(String, String)>,
}

/// What is counted for every label set.
#[derive(Debug, Clone, PartialEq)]
pub struct Instrument {
    /// Metric name; for a histogram without its suffixes.
    pub name: String,
    /// Help text.
    pub help: String,
    /// A histogram's upper bounds, ascending, without +Inf; `None` is a counter.
    pub bounds: Option<Vec<f64>>,
}

impl Instrument {
    /// A counter.
    pub fn counter(name: &str, help: &str) -> Self {
        Self { name: name.into(), help: help.into(), bounds: None }
    }

    /// A classic histogram.
    pub fn histogram(name: &str, help: &str, bounds: &[f64]) -> Self {
        Self { name: name.into(), help: help.into(), bounds: Some(bounds.to_vec()) }
    }

    /// Counts held: one, or one a bucket with +Inf.
    fn slots(&self) -> usize {
        self.bounds.as_ref().map_or(1, |bounds| bounds.len() + 1)
    }

    /// Series written: one, or the buckets with sum and count.
    fn series(&self) -> usize {
        self.bounds.as_ref().map_or(1, |bounds| bounds.len() + 3)
    }
}

/// A measurement that stands for its bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The trace it belongs to.
    pub trace_id: [u8; 16],
    /// The measured value.
    pub value: f64,
    /// When, ms since the Unix epoch.
    pub timestamp_ms: i64,
}

/// A label set of a registry; valid until the next [`Registry::emit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(u32);

/// Stands for the end of a chain.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// All label values, one after another.
    labels: Box<[u8]>,
    ends: Box<[u32]>,
    hash: u64,
    /// Next entry with the same hash.
    next: u32,
    overflow: bool,
    dirty: bool,
    updated_ms: i64,
    /// Time of the last sample; 0 before the first.
    written_ms: i64,
    counts: Box<[u64]>,
    sums: Box<[f64]>,
    /// Per instrument: when it began to count, ms; `None` before the first event.
    since: Box<[Option<i64>]>,
    /// Per instrument: whether a sample has been written.
    begun: Box<[bool]>,
    exemplars: Box<[Option<Exemplar>]>,
}

impl Entry {
    fn label(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.labels[start..self.ends[index] as usize]
    }
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    options: Options,
    labels: Vec<String>,
    instruments: Vec<Instrument>,
    /// First count of each instrument, and the number of all.
    slots: Vec<usize>,
    /// First sum of each instrument; counters have none.
    sums: Vec<usize>,
    entries: Vec<Entry>,
    by_hash: HashMap<u64, u32>,
    overflow: Option<u32>,
    /// Time of the last emission, ms; 0 before the first.
    emitted_ms: i64,
    swept_ms: i64,
}

/// The hash of a label set whose values have these hashes, in order.
#[inline]
pub fn hash_labels(hashes: impl IntoIterator<Item = u64>) -> u64 {
    hashes.into_iter().fold(0x51_7cc1_b727_220a, mix)
}

impl Registry {
    /// A registry of series with these labels, besides the constant ones.
    pub fn new(options: Options, labels: Vec<String>, instruments: Vec<Instrument>) -> Self {
        let (mut slots, mut sums) = (vec![0], vec![0]);
        for instrument in &instruments {
            slots.push(slots[slots.len() - 1] + instrument.slots());
            sums.push(sums[sums.len() - 1] + usize::from(instrument.bounds.is_some()));
        }
        Self {
            options,
            labels,
            instruments,
            slots,
            sums,
            entries: Vec::new(),
            by_hash: HashMap::default(),
            overflow: None,
            emitted_ms: 0,
            swept_ms: 0,
        }
    }

    /// How many label sets there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Series that an entry may write.
    fn series_per_entry(&self) -> usize {
        self.instruments.iter().map(Instrument::series).sum()
    }

    fn position(&self, hash: u64, values: &[&[u8]]) -> Option<u32> {
        let mut at = *self.by_hash.get(&hash)?;
        while at != NONE {
            let entry = &self.entries[at as usize];
            if !entry.overflow && values.iter().enumerate().all(|(index, value)| entry.label(index) == *value) {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// The entry of a label set; `hash` is [`hash_labels`] of the values' hashes. The second answer
    /// is false when the limit sent it to the overflow entry.
    pub fn entry(&mut self, hash: u64, values: &[&[u8]]) -> (EntryId, bool) {
        if let Some(at) = self.position(hash, values) {
            return (EntryId(at), true);
        }
        if (self.entries.len() + 1) * self.series_per_entry() <= self.options.max_series {
            return (EntryId(self.insert(hash, values, false)), true);
        }
        let at = match self.overflow {
            Some(at) => at,
            None => self.insert(0, &vec![&[][..]; self.labels.len()], true),
        };
        (EntryId(at), false)
    }

    fn insert(&mut self, hash: u64, values: &[&[u8]], overflow: bool) -> u32 {
        let mut ends = Vec::with_capacity(values.len());
        let mut labels = Vec::new();
        for value in values {
            labels.extend_from_slice(value);
            ends.push(labels.len() as u32);
        }
        let (slots, sums) = (self.slots[self.instruments.len()], self.sums[self.instruments.len()]);
        let at = self.entries.len() as u32;
        self.entries.push(Entry {
            labels: labels.into(),
            ends: ends.into(),
            hash,
            next: NONE,
            overflow,
            dirty: false,
            updated_ms: 0,
            written_ms: 0,
            counts: vec![0; slots].into(),
            sums: vec![0.0; sums].into(),
            since: vec![None; self.instruments.len()].into(),
            begun: vec![false; self.instruments.len()].into(),
            exemplars: vec![None; slots].into(),
        });
        self.link(at);
        at
    }

    fn link(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        if entry.overflow {
            self.overflow = Some(at);
        } else {
            entry.next = self.by_hash.insert(entry.hash, at).unwrap_or(NONE);
        }
    }

    #[inline]
    fn touch(&mut self, id: EntryId, instrument: usize, now_ms: i64) -> &mut Entry {
        let (emitted, interval) = (self.emitted_ms, self.options.interval_ms);
        let entry = &mut self.entries[id.0 as usize];
        entry.dirty = true;
        entry.updated_ms = now_ms;
        if entry.since[instrument].is_none() {
            // The end of the last interval, where it is near; a series of an entry that has been
            // written begins after what was written.
            let near =
                if (1..now_ms).contains(&emitted) && now_ms - emitted <= 60_000 { emitted } else { now_ms - interval };
            entry.since[instrument] = Some(near.min(now_ms - 1));
        }
        entry
    }

    /// Adds to a counter.
    #[inline]
    pub fn add(&mut self, id: EntryId, instrument: usize, amount: u64, now_ms: i64) {
        let slot = self.slots[instrument];
        self.touch(id, instrument, now_ms).counts[slot] += amount;
    }

    /// Adds a measurement to a histogram.
    #[inline]
    pub fn observe(&mut self, id: EntryId, instrument: usize, value: f64, trace_id: Option<[u8; 16]>, now_ms: i64) {
        let Some(bounds) = &self.instruments[instrument].bounds else { return };
        let slot = self.slots[instrument] + bounds.partition_point(|bound| *bound < value);
        let sum = self.sums[instrument];
        let entry = self.touch(id, instrument, now_ms);
        entry.counts[slot] += 1;
        entry.sums[sum] += value;
        if let Some(trace_id) = trace_id {
            entry.exemplars[slot] = Some(Exemplar { trace_id, value, timestamp_ms: now_ms });
        }
    }

    /// Forgets entries; their label sets start anew when they come again.
    fn remove(&mut self, stale: &[bool]) {
        let mut stale = stale.iter();
        self.entries.retain(|_| !stale.next().copied().unwrap_or_default());
        self.relink();
    }

    fn relink(&mut self) {
        self.by_hash.clear();
        self.overflow = None;
        for at in 0..self.entries.len() as u32 {
            self.entries[at as usize].next = NONE;
            self.link(at);
        }
    }

    /// What must be equal for a snapshot to go on: labels, names, bounds.
    fn shape(&self) -> u64 {
        let mut shape = Vec::new();
        for label in &self.labels {
            shape.extend_from_slice(label.as_bytes());
            shape.push(0xff);
        }
        for instrument in &self.instruments {
            shape.push(0xfe);
            shape.extend_from_slice(instrument.name.as_bytes());
            for bound in instrument.bounds.iter().flatten() {
                shape.push(0xff);
                shape.extend_from_slice(&bound.to_bits().to_le_bytes());
            }
        }
        hash_bytes(&shape)
    }

    /// Writes the state.
    pub fn snapshot(&self, out: &mut Writer) {
        out.u64(self.shape());
        out.i64(self.emitted_ms);
        out.i64(self.swept_ms);
        out.u64(self.entries.len() as u64);
        for entry in &self.entries {
            for index in 0..self.labels.len() {
                out.bytes(entry.label(index));
            }
            out.u64(entry.hash);
            out.bool(entry.overflow);
            out.bool(entry.dirty);
            out.i64(entry.updated_ms);
            out.i64(entry.written_ms);
            entry.counts.iter().for_each(|count| out.u64(*count));
            entry.sums.iter().for_each(|sum| out.f64(*sum));
            for (since, begun) in entry.since.iter().zip(&entry.begun) {
                out.i64(since.unwrap_or(i64::MIN));
                out.bool(*begun);
            }
            for exemplar in &entry.exemplars {
                out.bool(exemplar.is_some());
                if let Some(exemplar) = exemplar {
                    out.fixed(&exemplar.trace_id);
                    out.f64(exemplar.value);
                    out.i64(exemplar.timestamp_ms);
                }
            }
        }
    }

    /// Reads a state. False when it is of other labels or instruments (the configuration has
    /// changed): then counting starts anew, which Prometheus sees as a reset, and the rest of the
    /// snapshot can't be read.
    pub fn restore(&mut self, from: &mut Reader<'_>) -> Result<bool, Error> {
        if from.u64()? != self.shape() {
            return Ok(false);
        }
        self.emitted_ms = from.i64()?;
        self.swept_ms = from.i64()?;
        self.entries.clear();
        for _ in 0..from.count()? {
            let values = (0..self.labels.len()).map(|_| from.bytes()).collect::<Result<Vec<_>, _>>()?;
            let hash = from.u64()?;
            let overflow = from.bool()?;
            let at = self.insert(hash, &values, overflow);
            let entry = &mut self.entries[at as usize];
            entry.dirty = from.bool()?;
            entry.updated_ms = from.i64()?;
            entry.written_ms = from.i64()?;
            for count in &mut entry.counts {
                *count = from.u64()?;
            }
            for sum in &mut entry.sums {
                *sum = from.f64()?;
            }
            for (since, begun) in entry.since.iter_mut().zip(&mut entry.begun) {
                *since = Some(from.i64()?).filter(|since| *since != i64::MIN);
                *begun = from.bool()?;
            }
            for exemplar in &mut entry.exemplars {
                *exemplar = match from.bool()? {
                    false => None,
                    true => Some(Exemplar { trace_id: from.fixed()?, value: from.f64()?, timestamp_ms: from.i64()? }),
                };
            }
        }
        self.relink();
        Ok(true)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
