//! A column of label values for aggregation: each distinct value once, with its hash.

use crate::{Batch, Dictionary, Error, HashMap, Ints, hash_bytes};

/// What rows are grouped by: a key per row, and per key the value and its hash, so that hashing and
/// conversion are paid once for each distinct value of a batch.
#[derive(Debug, Default)]
pub struct LabelColumn {
    keys: Vec<u32>,
    ends: Vec<u32>,
    data: Vec<u8>,
    hashes: Vec<u64>,
}

impl LabelColumn {
    /// A column of `rows` rows without values.
    pub fn empty(rows: usize) -> Self {
        Self { keys: vec![Dictionary::NULL; rows], ..Self::default() }
    }

    /// From a dictionary column.
    pub fn from_dictionary(column: &Dictionary) -> Self {
        let mut labels = Self::default();
        for value in column.values().iter() {
            labels.add(value.unwrap_or_default().as_bytes());
        }
        labels.keys.extend_from_slice(column.keys());
        labels
    }

    /// From an integer column of few values: `names[n]` stands for n, and for any other number `names[0]`.
    pub fn from_names(column: &Ints, names: &[&str]) -> Self {
        let mut labels = Self::default();
        names.iter().for_each(|name| {
            labels.add(name.as_bytes());
        });
        let key = |value: Option<i64>| value.filter(|value| (0..names.len() as i64).contains(value)).unwrap_or(0);
        labels.keys.extend(column.iter().map(|value| key(value) as u32));
        labels
    }

    /// From an attribute of any type: the first of `paths` that a row has. Numbers and booleans are
    /// written as text; arrays and objects count as absent.
    pub fn from_attribute(batch: &Batch, paths: &[&str]) -> Result<Self, Error> {
        let mut labels = Self::empty(batch.rows());
        for path in paths {
            if labels.complete() {
                break;
            }
            labels.fill_text(&batch.dictionary(path)?);
            if !labels.complete() {
                labels.fill(batch.ints(path)?.iter(), |value| value as u64, |value| value.to_string());
            }
            if !labels.complete() {
                let bools = batch.bools(path)?;
                labels.fill((0..batch.rows()).map(|row| bools.get(row)), u64::from, |value| value.to_string());
            }
            if !labels.complete() {
                labels.fill(batch.floats(path)?.iter(), f64::to_bits, |value| value.to_string());
            }
        }
        Ok(labels)
    }

    fn complete(&self) -> bool {
        !self.keys.contains(&Dictionary::NULL)
    }

    fn add(&mut self, value: &[u8]) -> u32 {
        self.data.extend_from_slice(value);
        self.ends.push(self.data.len() as u32);
        self.hashes.push(hash_bytes(value));
        self.ends.len() as u32 - 1
    }

    fn fill_text(&mut self, column: &Dictionary) {
        let base = self.ends.len() as u32;
        for value in column.values().iter() {
            self.add(value.unwrap_or_default().as_bytes());
        }
        for (mine, theirs) in self.keys.iter_mut().zip(column.keys()) {
            if *mine == Dictionary::NULL && *theirs != Dictionary::NULL {
                *mine = base + theirs;
            }
        }
    }

    fn fill<T: Copy>(
        &mut self,
        values: impl Iterator<Item = Option<T>>,
        bits: impl Fn(T) -> u64,
        text: impl Fn(T) -> String,
    ) {
        let mut known: HashMap<u64, u32> = HashMap::default();
        for (row, value) in values.enumerate() {
            if let (Dictionary::NULL, Some(value)) = (self.keys[row], value) {
                self.keys[row] = match known.get(&bits(value)) {
                    Some(key) => *key,
                    None => {
                        let key = self.add(text(value).as_bytes());
                        known.insert(bits(value), key);
                        key
                    }
                };
            }
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A row's value; empty for null, which is what an absent label is to Prometheus.
    #[inline]
    pub fn value(&self, row: usize) -> &[u8] {
        let key = self.keys[row];
        if key == Dictionary::NULL {
            return &[];
        }
        let key = key as usize;
        let start = if key == 0 { 0 } else { self.ends[key - 1] as usize };
        &self.data[start..self.ends[key] as usize]
    }

    /// The hash of a row's value.
    #[inline]
    pub fn hash(&self, row: usize) -> u64 {
        let key = self.keys[row];
        if key == Dictionary::NULL { hash_bytes(&[]) } else { self.hashes[key as usize] }
    }
}
