//! Writes into one map column, collected over a call and applied in one rebuild.
//!
//! Every write is kept as an [`Edit`]: a key and where its values are ([`Source`], Arrow arrays as
//! they were pushed). [`Edits::apply`] goes over the rows once, decides for each touched key what
//! becomes of it, and notes runs of entries to copy, from the base map or from a source; the new
//! key and value arrays are then copied run by run. Rows and keys that no edit touches are copied
//! in bulk.

use super::Budget;
use super::columns::{Error, NULL_KEY, Nulls, Rows};
use super::paths::MapKind;
use super::read::Hints;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, MapArray, MutableArrayData, StringArray, make_array, new_null_array,
    types::{Float64Type, Int64Type},
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use hashbrown::HashMap;
use std::sync::Arc;
use weft_model::attributes::{label_map, map_array, typed_map, value_fields};
use weft_model::raw::header_map;

/// Children of a typed value, in the order of [`value_fields`].
pub(super) const STRING: usize = 0;
pub(super) const INT: usize = 1;
pub(super) const DOUBLE: usize = 2;
pub(super) const BOOL: usize = 3;
pub(super) const BYTES: usize = 4;
pub(super) const JSON: usize = 5;
pub(super) const SLOTS: usize = 6;

/// How a row finds its value in a source.
#[derive(Debug, Clone)]
pub(super) enum Index {
    /// Value i is row i's.
    Rows,
    /// Row i's is value keys[i].
    Keys(Vec<u32>),
    /// Value 0 is every row's.
    Constant,
}

/// Pushed values: one array a type, all of one length, of which each value has at most one.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) slots: [Option<ArrayRef>; SLOTS],
    /// Which values there are; a present value without any type is OTLP's empty value.
    pub(super) present: Option<NullBuffer>,
    pub(super) index: Index,
    pub(super) len: usize,
}

impl Source {
    /// Values of one type, absent where null.
    pub(super) fn of(slot: usize, values: ArrayRef, index: Index) -> Self {
        let (present, len) = (values.nulls().cloned(), values.len());
        let mut slots = [const { None }; SLOTS];
        slots[slot] = Some(values);
        Self { slots, present, index, len }
    }

    /// The value of a row, `None` where it is null.
    pub(super) fn at(&self, row: usize) -> Option<u32> {
        let index = match &self.index {
            Index::Rows => row as u32,
            Index::Constant => 0,
            Index::Keys(keys) => keys[row],
        };
        if index == NULL_KEY || self.present.as_ref().is_some_and(|present| present.is_null(index as usize)) {
            return None;
        }
        Some(index)
    }

    /// All values as text: what labels hold.
    pub(super) fn to_text(&self) -> Result<StringArray, Error> {
        if let Some(text) = self.slots[STRING].as_ref().or(self.slots[JSON].as_ref())
            && self.slots.iter().flatten().count() == 1
        {
            return Ok(text.as_string::<i32>().clone());
        }
        let mut builder = arrow::array::StringBuilder::with_capacity(self.len, self.len * 8);
        let mut scratch = String::new();
        for index in 0..self.len {
            scratch.clear();
            match self.format(index, &mut scratch) {
                true => builder.append_value(&scratch),
                false => builder.append_null(),
            }
        }
        Ok(builder.finish())
    }

    /// Appends value `index` as text; false when there is none.
    pub(super) fn format(&self, index: usize, text: &mut String) -> bool {
        use std::fmt::Write as _;
        if self.present.as_ref().is_some_and(|present| present.is_null(index)) {
            return false;
        }
        let Some((slot, values)) = self.slots.iter().enumerate().find_map(|(slot, values)| {
            values.as_ref().filter(|values| values.is_valid(index)).map(|values| (slot, values))
        }) else {
            return false;
        };
        match slot {
            STRING | JSON => text.push_str(values.as_string::<i32>().value(index)),
            // Writing into a String can't fail.
            INT => drop(write!(text, "{}", values.as_primitive::<Int64Type>().value(index))),
            DOUBLE => drop(write!(text, "{}", values.as_primitive::<Float64Type>().value(index))),
            BOOL => drop(write!(text, "{}", values.as_boolean().value(index))),
            _ => text.push_str(&super::read::hex(values.as_binary::<i32>().value(index))),
        }
        true
    }

    /// As the values of a map of `kind`.
    fn into_kind(self, kind: MapKind) -> Result<Self, Error> {
        match kind {
            MapKind::Typed => Ok(self),
            MapKind::Labels => Ok(Self::of(STRING, Arc::new(self.to_text()?), self.index)),
            MapKind::Headers => {
                let bytes = match &self.slots[BYTES] {
                    Some(bytes) if self.slots.iter().flatten().count() == 1 => Arc::clone(bytes),
                    _ => Arc::new(BinaryArray::from(self.to_text()?)),
                };
                Ok(Self::of(BYTES, bytes, self.index))
            }
        }
    }

    /// Bytes of a value of variable size.
    fn value_bytes(&self, slot: usize, index: usize) -> usize {
        match (&self.slots[slot], slot) {
            (Some(values), STRING | JSON) => values.as_string::<i32>().value_length(index) as usize,
            (Some(values), BYTES) => values.as_binary::<i32>().value_length(index) as usize,
            _ => 8,
        }
    }
}

#[derive(Debug)]
enum Edit {
    Put {
        key: u32,
        source: u32,
        rows: Rows,
        nulls: Nulls,
    },
    Remove {
        key: u32,
    },
    /// Entries of many keys: row i has offsets[i]..offsets[i+1], value j belongs to keys[j].
    Entries {
        source: u32,
        offsets: OffsetBuffer<i32>,
        keys: Vec<u32>,
    },
}

/// What becomes of a key in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Keep,
    Remove,
    Set(u32, u32),
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// 0 is the base map, n source n-1.
    source: u32,
    key: u32,
    start: u32,
    len: u32,
}

/// The edits of one map.
#[derive(Debug)]
pub(super) struct Edits {
    rows: usize,
    names: Vec<String>,
    ids: HashMap<String, u32>,
    sources: Vec<Source>,
    list: Vec<Edit>,
}

impl Edits {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, names: Vec::new(), ids: HashMap::new(), sources: Vec::new(), list: Vec::new() }
    }

    pub(super) fn touches(&self, key: &str) -> bool {
        self.ids.contains_key(key)
    }

    fn key(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// Writes a column under a key.
    pub(super) fn put(
        &mut self,
        kind: MapKind,
        key: &str,
        source: Source,
        rows: Rows,
        nulls: Nulls,
    ) -> Result<(), Error> {
        let source = source.into_kind(kind)?;
        let key = self.key(key);
        self.list.push(Edit::Put { key, source: self.sources.len() as u32, rows, nulls });
        self.sources.push(source);
        Ok(())
    }

    /// Removes a key from every row.
    pub(super) fn remove(&mut self, key: &str) {
        let key = self.key(key);
        self.list.push(Edit::Remove { key });
    }

    /// Writes entries of many keys: entry j is named names[keys[j]].
    pub(super) fn entries(
        &mut self,
        kind: MapKind,
        offsets: OffsetBuffer<i32>,
        mut keys: Vec<u32>,
        names: &StringArray,
        source: Source,
    ) -> Result<(), Error> {
        let source = source.into_kind(kind)?;
        let ids: Vec<u32> = (0..names.len()).map(|name| self.key(names.value(name))).collect();
        for key in &mut keys {
            *key = ids[*key as usize];
        }
        self.list.push(Edit::Entries { source: self.sources.len() as u32, offsets, keys });
        self.sources.push(source);
        Ok(())
    }

    /// The map with all edits applied, in the order they were made.
    pub(super) fn apply(&self, base: &MapArray, kind: MapKind, budget: &mut Budget) -> Result<MapArray, Error> {
        let (runs, offsets) = self.plan(base, kind)?;
        let total = *offsets.last().unwrap_or(&0) as usize;
        let names = StringArray::from_iter_values(&self.names);
        let base_keys = base.keys().to_data();
        let name_data = names.to_data();
        let mut keys = MutableArrayData::new(vec![&base_keys, &name_data], false, total);
        for run in &runs {
            match run.source {
                0 => keys.try_extend(0, run.start as usize, (run.start + run.len) as usize)?,
                _ => keys.try_extend(1, run.key as usize, run.key as usize + 1)?,
            }
        }
        let keys = make_array(keys.freeze());
        let (data_type, values) = match kind {
            MapKind::Labels => (label_map(), self.child(base.values(), STRING, &runs, total, budget)?),
            MapKind::Headers => (header_map(), self.child(base.values(), BYTES, &runs, total, budget)?),
            MapKind::Typed => {
                let structs = base.values().as_struct();
                let children = (0..SLOTS)
                    .map(|slot| self.child(structs.column(slot), slot, &runs, total, budget))
                    .collect::<Result<Vec<_>, _>>()?;
                let values = arrow::array::StructArray::try_new(value_fields(), children, None)?;
                (typed_map(), Arc::new(values) as ArrayRef)
            }
        };
        Ok(map_array(data_type, offsets, keys, values, None))
    }

    /// One child of the values: the runs of the base and of the sources that have this type.
    fn child(
        &self,
        base: &ArrayRef,
        slot: usize,
        runs: &[Run],
        total: usize,
        budget: &mut Budget,
    ) -> Result<ArrayRef, Error> {
        // Where each source stands among the arrays to copy from.
        let mut places = vec![None; self.sources.len()];
        let mut arrays = vec![base.to_data()];
        for (place, source) in places.iter_mut().zip(&self.sources) {
            if let Some(values) = &source.slots[slot] {
                *place = Some(arrays.len());
                arrays.push(values.to_data());
            }
        }
        if arrays.len() == 1 && base.null_count() == base.len() {
            return Ok(new_null_array(base.data_type(), total));
        }
        let pushed = runs
            .iter()
            .filter(|run| run.source > 0)
            .map(|run| self.sources[run.source as usize - 1].value_bytes(slot, run.start as usize))
            .try_fold(0_usize, usize::checked_add)
            .unwrap_or(usize::MAX);
        budget.charge(pushed)?;
        let mut child = MutableArrayData::new(arrays.iter().collect(), true, total);
        for run in runs {
            match run.source {
                0 => child.try_extend(0, run.start as usize, (run.start + run.len) as usize)?,
                source => match places[source as usize - 1] {
                    Some(place) => child.try_extend(place, run.start as usize, run.start as usize + 1)?,
                    None => child.try_extend_nulls(1)?,
                },
            }
        }
        Ok(make_array(child.freeze()))
    }

    fn plan(&self, base: &MapArray, kind: MapKind) -> Result<(Vec<Run>, Vec<i32>), Error> {
        let mut runs = Runs { runs: Vec::with_capacity(self.rows), total: 0 };
        let mut offsets = Vec::with_capacity(self.rows + 1);
        offsets.push(0);
        let mut state = Actions::new(self.names.len());
        let mut hints = Hints::new(base, |name| self.ids.get(name).copied());
        let base_offsets = base.value_offsets();
        for row in 0..self.rows {
            state.touched.clear();
            for edit in &self.list {
                self.act(edit, row, kind, &mut state);
            }
            let (from, to) =
                if base.is_null(row) { (0, 0) } else { (base_offsets[row] as u32, base_offsets[row + 1] as u32) };
            if state.touched.is_empty() {
                runs.base(from, to);
            } else {
                for (position, entry) in (from..to).enumerate() {
                    match hints.find(entry as usize, position) {
                        Some(id) if state.is_touched(id, row) => {
                            let first = state.meet(id, row);
                            match state.present[id as usize] {
                                Action::Keep => runs.base(entry, entry + 1),
                                Action::Set(source, index) if first => runs.pushed(source, id, index),
                                Action::Remove | Action::Set(..) => {}
                            }
                        }
                        _ => runs.base(entry, entry + 1),
                    }
                }
                for at in 0..state.touched.len() {
                    let id = state.touched[at];
                    if state.meet(id, row)
                        && let Action::Set(source, index) = state.absent[id as usize]
                    {
                        runs.pushed(source, id, index);
                    }
                }
            }
            let total = i32::try_from(runs.total)
                .map_err(|_| Error::Limit("a map column would have more than 2147483647 entries".into()))?;
            offsets.push(total);
        }
        Ok((runs.runs, offsets))
    }

    fn act(&self, edit: &Edit, row: usize, kind: MapKind, state: &mut Actions) {
        match edit {
            Edit::Remove { key } => state.set(*key, row, Action::Remove),
            Edit::Put { key, source, rows, nulls } => {
                let action = match self.sources[*source as usize].at(row) {
                    Some(index) => self.set(*source, index, kind),
                    None if *nulls == Nulls::Clear => Action::Remove,
                    None => return,
                };
                match rows {
                    Rows::All => state.set(*key, row, action),
                    Rows::Missing => state.set_missing(*key, row, action),
                    Rows::Present => state.set_present(*key, row, action),
                }
            }
            Edit::Entries { source, offsets, keys } => {
                let values = &self.sources[*source as usize];
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                for (entry, key) in (from..to).zip(&keys[from..to]) {
                    if values.at(entry).is_some() {
                        state.set(*key, row, self.set(*source, entry as u32, kind));
                    }
                }
            }
        }
    }

    /// An empty label is no label.
    fn set(&self, source: u32, index: u32, kind: MapKind) -> Action {
        if kind == MapKind::Labels && self.sources[source as usize].value_bytes(STRING, index as usize) == 0 {
            return Action::Remove;
        }
        Action::Set(source, index)
    }
}

/// The runs to copy; neighbouring entries of the base are one run.
struct Runs {
    runs: Vec<Run>,
    total: u64,
}

impl Runs {
    fn base(&mut self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.total += u64::from(to - from);
        match self.runs.last_mut() {
            Some(last) if last.source == 0 && last.start + last.len == from => last.len += to - from,
            _ => self.runs.push(Run { source: 0, key: 0, start: from, len: to - from }),
        }
    }

    fn pushed(&mut self, source: u32, key: u32, index: u32) {
        self.total += 1;
        self.runs.push(Run { source: source + 1, key, start: index, len: 1 });
    }
}

/// What becomes of the keys of one row, by whether the base has them. Rows are told apart by stamps,
/// so that nothing is cleared between them.
struct Actions {
    present: Vec<Action>,
    absent: Vec<Action>,
    stamp: Vec<usize>,
    met: Vec<usize>,
    touched: Vec<u32>,
}

impl Actions {
    fn new(keys: usize) -> Self {
        Self {
            present: vec![Action::Keep; keys],
            absent: vec![Action::Keep; keys],
            stamp: vec![usize::MAX; keys],
            met: vec![usize::MAX; keys],
            touched: Vec::new(),
        }
    }

    fn touch(&mut self, id: u32, row: usize) -> usize {
        let at = id as usize;
        if self.stamp[at] != row {
            self.stamp[at] = row;
            self.present[at] = Action::Keep;
            self.absent[at] = Action::Keep;
            self.touched.push(id);
        }
        at
    }

    fn is_touched(&self, id: u32, row: usize) -> bool {
        self.stamp[id as usize] == row
    }

    /// Notes that a key was seen in the row; whether it is the first time.
    fn meet(&mut self, id: u32, row: usize) -> bool {
        let first = self.met[id as usize] != row;
        self.met[id as usize] = row;
        first
    }

    fn set(&mut self, id: u32, row: usize, action: Action) {
        let at = self.touch(id, row);
        self.present[at] = action;
        self.absent[at] = action;
    }

    fn set_missing(&mut self, id: u32, row: usize, action: Action) {
        let at = self.touch(id, row);
        if self.present[at] == Action::Remove {
            self.present[at] = action;
        }
        if !matches!(self.absent[at], Action::Set(..)) {
            self.absent[at] = action;
        }
    }

    fn set_present(&mut self, id: u32, row: usize, action: Action) {
        let at = self.touch(id, row);
        if self.present[at] != Action::Remove {
            self.present[at] = action;
        }
        if matches!(self.absent[at], Action::Set(..)) {
            self.absent[at] = action;
        }
    }
}
