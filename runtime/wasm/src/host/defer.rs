//! Parked rows of an instance, under 16-byte keys.
//!
//! Rows are kept as they came, a chunk for each `defer`; an index leads from a key to its runs of
//! rows. Releasing marks rows as gone; a chunk that is mostly gone is rewritten. Released rows come
//! out in the order they were parked, whatever the order of the keys: replay gives the same rows.

use super::State;
use super::columns::{Error, bits_in};
use super::emit::check_works;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use weft_model::Signal;

/// Bytes of a key.
const KEY: usize = 16;
/// A chunk is rewritten when fewer than one in so many of its rows are left.
const SPARSE: usize = 4;

/// What a call does to the parked rows; done when it succeeds.
#[derive(Debug)]
pub(crate) enum Operation {
    Park { signal: Signal, batch: RecordBatch, keys: Vec<u128> },
    Resolve { keys: Vec<u128>, keep: BooleanBuffer },
}

/// Keys from their bytes, 16 a key, as guests give them and snapshots keep them.
pub(crate) fn keys_in(keys: &[u8]) -> impl Iterator<Item = u128> + '_ {
    keys.chunks_exact(KEY).map(|key| key.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// Parks the rows of `batch` whose bit is set.
pub(super) fn defer(state: &mut State, handle: u32, keys: &[u8], mask: Vec<u8>) -> Result<(), Error> {
    check_works(&state.call)?;
    let (limit_rows, limit_bytes) = (state.config.deferred_rows, state.config.deferred_bytes);
    let call = &mut state.call;
    let (mut budget, parked_rows, parked_bytes) = (call.budget, call.parked_rows, call.parked_bytes);
    let Some(batch) = call.slot(handle).and_then(Option::as_mut) else {
        return Err(Error::Argument("the batch is gone".into()));
    };
    if keys.len() != batch.rows * KEY {
        return Err(Error::Column(format!(
            "{} bytes of keys for {} rows: there must be {KEY} each",
            keys.len(),
            batch.rows
        )));
    }
    let mask = BooleanArray::new(bits_in(mask, batch.rows, "mask")?, None);
    let rows = mask.true_count();
    if rows == 0 {
        return Ok(());
    }
    if state.deferred.rows + parked_rows + rows > limit_rows {
        return Err(Error::Limit(format!("an instance may park {limit_rows} rows (deferred_rows)")));
    }
    let keys = keys_in(keys).zip(mask.values()).filter_map(|(key, parked)| parked.then_some(key)).collect();
    let signal = batch.signal;
    let taken = batch.split(&mask, &mut budget)?;
    let bytes = taken.get_array_memory_size();
    if state.deferred.bytes.saturating_add(parked_bytes).saturating_add(bytes) > limit_bytes {
        return Err(Error::Limit(format!("an instance may park {limit_bytes} bytes (deferred_bytes)")));
    }
    call.budget = budget;
    call.parked_rows += rows;
    call.parked_bytes += bytes;
    call.operations.push(Operation::Park { signal, batch: taken, keys });
    Ok(())
}

/// Releases or drops the rows of each key.
pub(super) fn resolve(state: &mut State, keys: &[u8], keep: Vec<u8>) -> Result<(), Error> {
    check_works(&state.call)?;
    if !keys.len().is_multiple_of(KEY) {
        return Err(Error::Column(format!("{} bytes of keys: {KEY} are one", keys.len())));
    }
    let keys: Vec<u128> = keys_in(keys).collect();
    let keep = bits_in(keep, keys.len(), "keep")?;
    state.call.operations.push(Operation::Resolve { keys, keep });
    Ok(())
}

/// Rows that lie together and have one key; a list by `next`.
#[derive(Debug, Clone, Copy)]
struct Run {
    chunk: u64,
    start: u32,
    len: u32,
    next: u32,
}

const END: u32 = u32::MAX;

#[derive(Debug)]
struct Chunk {
    signal: Signal,
    batch: RecordBatch,
    keys: Vec<u128>,
    alive: Vec<bool>,
    live: usize,
    bytes: usize,
}

/// All parked rows of an instance.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    chunks: BTreeMap<u64, Chunk>,
    next: u64,
    index: HashMap<u128, u32>,
    runs: Vec<Run>,
    free: Vec<u32>,
    rows: usize,
    bytes: usize,
}

impl Deferred {
    /// Rows parked.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Does what a call asked for, in its order; what was released.
    pub(crate) fn run(&mut self, operations: Vec<Operation>) -> Result<Vec<(Signal, RecordBatch)>, Error> {
        let mut released = Vec::new();
        for operation in operations {
            match operation {
                Operation::Park { signal, batch, keys } => self.park(signal, batch, keys),
                Operation::Resolve { keys, keep } => self.resolve(&keys, &keep, &mut released)?,
            }
        }
        Ok(released)
    }

    fn link(&mut self, key: u128, chunk: u64, start: u32, len: u32) {
        let next = self.index.get(&key).copied().unwrap_or(END);
        let run = Run { chunk, start, len, next };
        let at = match self.free.pop() {
            Some(at) => {
                self.runs[at as usize] = run;
                at
            }
            None => {
                self.runs.push(run);
                (self.runs.len() - 1) as u32
            }
        };
        self.index.insert(key, at);
    }

    /// Adds rows; as many keys as rows.
    pub(crate) fn park(&mut self, signal: Signal, batch: RecordBatch, keys: Vec<u128>) {
        let number = self.next;
        self.next += 1;
        let mut start = 0;
        for group in keys.chunk_by(|one, other| one == other) {
            self.link(group[0], number, start, group.len() as u32);
            start += group.len() as u32;
        }
        let bytes = batch.get_array_memory_size() + keys.len() * (KEY + 1);
        let rows = batch.num_rows();
        self.rows += rows;
        self.bytes += bytes;
        self.chunks.insert(number, Chunk { signal, batch, alive: vec![true; rows], live: rows, keys, bytes });
    }

    fn resolve(
        &mut self,
        keys: &[u128],
        keep: &BooleanBuffer,
        released: &mut Vec<(Signal, RecordBatch)>,
    ) -> Result<(), Error> {
        // By chunk, in the order of parking: the runs to release.
        let mut touched: BTreeMap<u64, Vec<(u32, u32)>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let mut run = self.index.remove(key).unwrap_or(END);
            while run != END {
                let Run { chunk, start, len, next } = self.runs[run as usize];
                self.free.push(run);
                run = next;
                let kept = touched.entry(chunk).or_default();
                if keep.value(at) {
                    kept.push((start, len));
                }
                if let Some(chunk) = self.chunks.get_mut(&chunk) {
                    chunk.alive[start as usize..(start + len) as usize].fill(false);
                    chunk.live -= len as usize;
                    self.rows -= len as usize;
                }
            }
        }
        let mut parts: Vec<(Signal, Vec<RecordBatch>)> = Vec::new();
        for (number, kept) in &touched {
            let Some(chunk) = self.chunks.get(number) else { continue };
            if kept.is_empty() {
                continue;
            }
            let mut mask = vec![false; chunk.batch.num_rows()];
            for &(start, len) in kept {
                mask[start as usize..(start + len) as usize].fill(true);
            }
            let part = filter_record_batch(&chunk.batch, &BooleanArray::from(mask))?;
            match parts.iter_mut().find(|(signal, _)| *signal == chunk.signal) {
                Some((_, list)) => list.push(part),
                None => parts.push((chunk.signal, vec![part])),
            }
        }
        for (signal, list) in parts {
            let schema = list[0].schema();
            released.push((signal, concat_batches(&schema, &list)?));
        }
        for number in touched.into_keys() {
            self.tidy(number)?;
        }
        Ok(())
    }

    /// Frees what a chunk no longer needs.
    fn tidy(&mut self, number: u64) -> Result<(), Error> {
        let Some(chunk) = self.chunks.get_mut(&number) else { return Ok(()) };
        if chunk.live == 0 {
            self.bytes -= chunk.bytes;
            self.chunks.remove(&number);
            return Ok(());
        }
        if chunk.live * SPARSE > chunk.alive.len() {
            return Ok(());
        }
        let mask = BooleanArray::from(std::mem::take(&mut chunk.alive));
        chunk.batch = filter_record_batch(&chunk.batch, &mask)?;
        let keys = std::mem::take(&mut chunk.keys);
        let mut moved = Vec::with_capacity(chunk.live);
        for (old, key) in keys.into_iter().enumerate() {
            if mask.value(old) {
                moved.push((old as u32, key));
            }
        }
        chunk.keys = moved.iter().map(|&(_, key)| key).collect();
        chunk.alive = vec![true; chunk.live];
        self.bytes -= chunk.bytes;
        chunk.bytes = chunk.batch.get_array_memory_size() + chunk.live * (KEY + 1);
        self.bytes += chunk.bytes;
        for (new, (old, key)) in moved.into_iter().enumerate() {
            let mut run = self.index.get(&key).copied().unwrap_or(END);
            while run != END {
                let at = &mut self.runs[run as usize];
                // Rows only move down: a run that was moved already starts below all old ones to come.
                if at.chunk == number && at.start == old {
                    at.start = new as u32;
                    break;
                }
                run = at.next;
            }
        }
        Ok(())
    }

    /// What is parked, for a snapshot: rows and keys of each signal, in the order of parking.
    pub(crate) fn parts(&self) -> Result<Vec<(Signal, RecordBatch, Vec<u128>)>, Error> {
        let mut parts: Vec<(Signal, Vec<RecordBatch>, Vec<u128>)> = Vec::new();
        for chunk in self.chunks.values() {
            let (batch, keys) = if chunk.live == chunk.alive.len() {
                (chunk.batch.clone(), chunk.keys.clone())
            } else {
                let mask = BooleanArray::from(chunk.alive.clone());
                let keys = chunk.keys.iter().zip(&chunk.alive).filter_map(|(key, alive)| alive.then_some(*key));
                (filter_record_batch(&chunk.batch, &mask)?, keys.collect())
            };
            match parts.iter_mut().find(|(signal, ..)| *signal == chunk.signal) {
                Some((_, batches, all)) => {
                    batches.push(batch);
                    all.extend(keys);
                }
                None => parts.push((chunk.signal, vec![batch], keys)),
            }
        }
        parts
            .into_iter()
            .map(|(signal, batches, keys)| Ok((signal, concat_batches(&signal.schema(), &batches)?, keys)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
