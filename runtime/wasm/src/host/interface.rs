//! The guest's calls of interface `batches`: finds the batch, counts what crosses, and hands on.

use super::batch::Batch;
use super::columns::{Attributes, Blobs, Bools, Dictionary, Error, Floats, Ints, Nulls, Rows, Scalar, Signal, Text};
use super::edits::{BOOL, DOUBLE, INT, Index, STRING, Source};
use super::write::{self, Mode};
use super::{Budget, State, defer, emit, kernels, read};
use crate::bindings::weft::telemetry::batches::{Host, HostBatch};
use std::sync::Arc;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// What a method on a batch works with.
struct Open<'a> {
    batch: &'a mut Batch,
    budget: &'a mut Budget,
    regexes: &'a mut kernels::Regexes,
    stats: &'a mut crate::Stats,
    columns: usize,
}

impl Open<'_> {
    /// Charges a pushed column, before it is looked at.
    fn pushed(&mut self, path: &str, bytes: usize) -> Result<(), Error> {
        self.stats.bytes_out += bytes as u64;
        self.budget.charge(bytes)?;
        self.batch.note_written(path, self.columns)
    }
}

impl State {
    /// The batch of a handle. wasmtime has checked that the guest has it; one kept from an earlier
    /// call leads nowhere, which is a trap.
    fn open(&mut self, handle: &Resource<Batch>) -> wasmtime::Result<Open<'_>> {
        let (batch, budget) = self.call.batch_and_budget(handle.rep());
        Ok(Open {
            batch: batch.ok_or_else(|| wasmtime::format_err!("the batch belongs to an earlier call"))?,
            budget,
            regexes: &mut self.regexes,
            stats: &mut self.stats,
            columns: self.config.columns,
        })
    }

    /// Counts what the guest pulls.
    fn pulled<T>(&mut self, answer: Result<T, Error>, size: impl Fn(&T) -> usize) -> Answer<T> {
        if let Ok(column) = &answer {
            self.stats.bytes_in += size(column) as u64;
        }
        Ok(answer)
    }
}

impl HostBatch for State {
    fn signal(&mut self, handle: Resource<Batch>) -> wasmtime::Result<Signal> {
        Ok(self.open(&handle)?.batch.signal.into())
    }

    fn rows(&mut self, handle: Resource<Batch>) -> wasmtime::Result<u32> {
        Ok(self.open(&handle)?.batch.rows as u32)
    }

    fn text(&mut self, handle: Resource<Batch>, path: String) -> Answer<Text> {
        let open = self.open(&handle)?;
        let column = read::text(open.batch, open.budget, &path).map(|array| Text::of(&array));
        self.pulled(column, Text::size)
    }

    fn dictionary(&mut self, handle: Resource<Batch>, path: String) -> Answer<Dictionary> {
        let open = self.open(&handle)?;
        let column = read::dictionary(open.batch, open.budget, &path);
        self.pulled(column, Dictionary::size)
    }

    fn ints(&mut self, handle: Resource<Batch>, path: String) -> Answer<Ints> {
        let open = self.open(&handle)?;
        let column = read::ints(open.batch, open.budget, &path).map(|array| Ints::of(&array));
        self.pulled(column, Ints::size)
    }

    fn floats(&mut self, handle: Resource<Batch>, path: String) -> Answer<Floats> {
        let open = self.open(&handle)?;
        let column = read::floats(open.batch, open.budget, &path).map(|array| Floats::of(&array));
        self.pulled(column, Floats::size)
    }

    fn bools(&mut self, handle: Resource<Batch>, path: String) -> Answer<Bools> {
        let open = self.open(&handle)?;
        let column = read::bools(open.batch, open.budget, &path).map(|array| Bools::of(&array));
        self.pulled(column, Bools::size)
    }

    fn blobs(&mut self, handle: Resource<Batch>, path: String) -> Answer<Blobs> {
        let open = self.open(&handle)?;
        let column = read::blobs(open.batch, open.budget, &path).map(|array| Blobs::of(&array));
        self.pulled(column, Blobs::size)
    }

    fn keys(&mut self, handle: Resource<Batch>, path: String) -> Answer<Vec<String>> {
        let open = self.open(&handle)?;
        let keys = read::keys(open.batch, open.budget, &path);
        self.pulled(keys, |keys| keys.iter().map(String::len).sum())
    }

    fn set_text(&mut self, handle: Resource<Batch>, path: String, column: Text, nulls: Nulls) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let array = column.into_array(open.batch.rows)?;
            let source = Source::of(STRING, Arc::new(array), Index::Rows);
            write::put(open.batch, open.budget, &path, source, Mode::guest(nulls))
        }))
    }

    fn set_dictionary(
        &mut self,
        handle: Resource<Batch>,
        path: String,
        column: Dictionary,
        nulls: Nulls,
    ) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let (keys, values) = column.into_parts(open.batch.rows)?;
            let source = Source::of(STRING, Arc::new(values), Index::Keys(keys));
            write::put(open.batch, open.budget, &path, source, Mode::guest(nulls))
        }))
    }

    fn set_ints(&mut self, handle: Resource<Batch>, path: String, column: Ints, nulls: Nulls) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let array = column.into_array(open.batch.rows)?;
            let source = Source::of(INT, Arc::new(array), Index::Rows);
            write::put(open.batch, open.budget, &path, source, Mode::guest(nulls))
        }))
    }

    fn set_floats(&mut self, handle: Resource<Batch>, path: String, column: Floats, nulls: Nulls) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let array = column.into_array(open.batch.rows)?;
            let source = Source::of(DOUBLE, Arc::new(array), Index::Rows);
            write::put(open.batch, open.budget, &path, source, Mode::guest(nulls))
        }))
    }

    fn set_bools(&mut self, handle: Resource<Batch>, path: String, column: Bools, nulls: Nulls) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let array = column.into_array(open.batch.rows)?;
            let source = Source::of(BOOL, Arc::new(array), Index::Rows);
            write::put(open.batch, open.budget, &path, source, Mode::guest(nulls))
        }))
    }

    fn set_blobs(&mut self, handle: Resource<Batch>, path: String, column: Blobs, nulls: Nulls) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, column.size()).and_then(|()| {
            let array = column.into_array(open.batch.rows)?;
            write::put(open.batch, open.budget, &path, write::blobs(array), Mode::guest(nulls))
        }))
    }

    fn set_attributes(&mut self, handle: Resource<Batch>, path: String, entries: Attributes) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, entries.size()).and_then(|()| write::put_attributes(open.batch, &path, entries)))
    }

    fn retain(&mut self, handle: Resource<Batch>, mask: Vec<u8>) -> Answer<()> {
        let open = self.open(&handle)?;
        Ok(open.batch.retain(mask, open.budget))
    }

    fn set_constant(&mut self, handle: Resource<Batch>, path: String, value: Scalar, rows: Rows) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, 0).and_then(|()| kernels::set_constant(open.batch, open.budget, &path, value, rows)))
    }

    fn copy(&mut self, handle: Resource<Batch>, source: String, target: String, rows: Rows) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&target, 0).and_then(|()| kernels::copy(open.batch, open.budget, &source, &target, rows)))
    }

    fn rename(&mut self, handle: Resource<Batch>, source: String, target: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&target, 0).and_then(|()| kernels::rename(open.batch, open.budget, &source, &target)))
    }

    fn remove(&mut self, handle: Resource<Batch>, path: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&path, 0).and_then(|()| write::remove(open.batch, &path)))
    }

    fn matches(&mut self, handle: Resource<Batch>, path: String, regex: String) -> Answer<Vec<u8>> {
        let open = self.open(&handle)?;
        Ok(kernels::matches(open.batch, open.budget, open.regexes, &path, &regex))
    }

    fn replace(&mut self, handle: Resource<Batch>, path: String, regex: String, replacement: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open
            .pushed(&path, 0)
            .and_then(|()| kernels::replace(open.batch, open.budget, open.regexes, &path, &regex, &replacement)))
    }

    fn extract(&mut self, handle: Resource<Batch>, path: String, regex: String, target: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open
            .pushed(&target, 0)
            .and_then(|()| kernels::extract(open.batch, open.budget, open.regexes, &path, &regex, &target)))
    }

    fn hash(&mut self, handle: Resource<Batch>, path: String, target: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open.pushed(&target, 0).and_then(|()| kernels::hash(open.batch, open.budget, &path, &target)))
    }

    fn json_extract(&mut self, handle: Resource<Batch>, path: String, pointer: String, target: String) -> Answer<()> {
        let mut open = self.open(&handle)?;
        Ok(open
            .pushed(&target, 0)
            .and_then(|()| kernels::json_extract(open.batch, open.budget, &path, &pointer, &target)))
    }

    fn defer(&mut self, handle: Resource<Batch>, keys: Vec<u8>, mask: Vec<u8>) -> Answer<()> {
        self.open(&handle)?;
        Ok(defer::defer(self, handle.rep(), &keys, mask))
    }

    fn drop(&mut self, handle: Resource<Batch>) -> wasmtime::Result<()> {
        // An emitted batch that was never sent; the one of process is only lent.
        if let Some(slot) = self.call.slot(handle.rep()) {
            *slot = None;
        }
        Ok(())
    }
}

impl Host for State {
    fn emit(&mut self, signal: Signal, rows: u32) -> Answer<Resource<Batch>> {
        Ok(emit::emit(self, signal.into(), rows).map(Resource::new_own))
    }

    fn send(&mut self, handle: Resource<Batch>) -> Answer<()> {
        let batch = self.call.slot(handle.rep()).and_then(Option::take);
        let batch = batch.ok_or_else(|| wasmtime::format_err!("the batch belongs to an earlier call"))?;
        Ok(emit::send(self, batch))
    }

    fn resolve(&mut self, keys: Vec<u8>, keep: Vec<u8>) -> Answer<()> {
        Ok(defer::resolve(self, &keys, keep))
    }
}

#[cfg(test)]
mod tests;
