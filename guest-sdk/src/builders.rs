//! Builders of the columns that a module pushes.

use crate::bindings::weft::telemetry::types as wit;
use crate::{Blobs, Dictionary, FastHash, Floats, HashMap, Ints, Mask, Scalar, Text};
use std::hash::BuildHasher;

/// Validity that stays empty as long as every row is valid.
#[derive(Debug, Default)]
struct Validity {
    mask: Mask,
    nulls: bool,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        self.mask.push(valid);
        self.nulls |= !valid;
    }

    fn finish(self) -> Vec<u8> {
        if self.nulls { self.mask.bits().to_vec() } else { Vec::new() }
    }
}

macro_rules! bytes_builder {
    ($(#[$doc:meta])* $name:ident, $column:ident, $item:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            offsets: Vec<u32>,
            data: Vec<u8>,
            validity: Validity,
        }

        impl $name {
            /// With room for `rows` values of `bytes` bytes in all.
            pub fn with_capacity(rows: usize, bytes: usize) -> Self {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Self { offsets, data: Vec::with_capacity(bytes), validity: Validity::default() }
            }

            /// Adds a row.
            pub fn push(&mut self, value: Option<&$item>) {
                if let Some(value) = value {
                    self.data.extend_from_slice(value.as_ref());
                }
                self.offsets.push(self.data.len() as u32);
                self.validity.push(value.is_some());
            }

            /// Rows so far.
            pub fn rows(&self) -> usize {
                self.offsets.len() - 1
            }

            /// The column.
            pub fn finish(self) -> $column {
                $column::from(wit::$column { offsets: self.offsets, data: self.data, validity: self.validity.finish() })
            }
        }

        impl<'a> FromIterator<Option<&'a $item>> for $column {
            fn from_iter<I: IntoIterator<Item = Option<&'a $item>>>(values: I) -> Self {
                let values = values.into_iter();
                let mut builder = $name::with_capacity(values.size_hint().0, 0);
                values.for_each(|value| builder.push(value));
                builder.finish()
            }
        }
    };
}

bytes_builder!(
    /// Builds a text column.
    TextBuilder, Text, str
);
bytes_builder!(
    /// Builds a bytes column.
    BlobsBuilder, Blobs, [u8]
);

macro_rules! number_builder {
    ($(#[$doc:meta])* $name:ident, $column:ident, $field:ident, $item:ty, $raw:ty, $convert:expr) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            values: Vec<$raw>,
            validity: Validity,
        }

        impl $name {
            /// With room for `rows` values.
            pub fn with_capacity(rows: usize) -> Self {
                Self { values: Vec::with_capacity(rows), validity: Validity::default() }
            }

            /// Adds a row.
            pub fn push(&mut self, value: Option<$item>) {
                let convert: fn($item) -> $raw = $convert;
                self.values.push(convert(value.unwrap_or_default()));
                self.validity.push(value.is_some());
            }

            /// Rows so far.
            pub fn rows(&self) -> usize {
                self.values.len()
            }

            /// The column.
            pub fn finish(self) -> $column {
                $column::from(wit::$column { $field: self.values, validity: self.validity.finish() })
            }
        }

        impl FromIterator<Option<$item>> for $column {
            fn from_iter<I: IntoIterator<Item = Option<$item>>>(values: I) -> Self {
                let values = values.into_iter();
                let mut builder = $name::with_capacity(values.size_hint().0);
                values.for_each(|value| builder.push(value));
                builder.finish()
            }
        }
    };
}

number_builder!(
    /// Builds an integer column.
    IntsBuilder, Ints, values, i64, i64, |value| value
);
number_builder!(
    /// Builds a float column.
    FloatsBuilder, Floats, bits, f64, u64, f64::to_bits
);

/// Finds the place of a string among those already held, without a copy of it as a map key.
#[derive(Debug, Default)]
struct Interner {
    offsets: Vec<u32>,
    data: Vec<u8>,
    // By hash; the rare strings of equal hash are told apart by `next`.
    first: HashMap<u64, u32>,
    next: Vec<u32>,
}

impl Interner {
    fn value(&self, index: u32) -> &[u8] {
        let start = if index == 0 { 0 } else { self.offsets[index as usize - 1] };
        &self.data[start as usize..self.offsets[index as usize] as usize]
    }

    fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = FastHash::default().hash_one(text);
        let new = self.offsets.len() as u32;
        let mut at = *self.first.entry(hash).or_insert(new);
        while at != new {
            if self.value(at) == text {
                return at;
            }
            if self.next[at as usize] == u32::MAX {
                self.next[at as usize] = new;
            }
            at = self.next[at as usize];
        }
        self.data.extend_from_slice(text);
        self.offsets.push(self.data.len() as u32);
        self.next.push(u32::MAX);
        new
    }

    fn finish(mut self) -> wit::Text {
        self.offsets.insert(0, 0);
        wit::Text { offsets: self.offsets, data: self.data, validity: Vec::new() }
    }
}

/// Builds a text column of which each distinct value is held once.
#[derive(Debug, Default)]
pub struct DictionaryBuilder {
    keys: Vec<u32>,
    values: Interner,
}

impl DictionaryBuilder {
    /// With room for `rows` values.
    pub fn with_capacity(rows: usize) -> Self {
        Self { keys: Vec::with_capacity(rows), values: Interner::default() }
    }

    /// Adds a row.
    pub fn push(&mut self, value: Option<&str>) {
        let key = value.map_or(Dictionary::NULL, |value| self.values.intern(value.as_bytes()));
        self.keys.push(key);
    }

    /// Adds `rows` rows of one value.
    pub fn push_n(&mut self, value: Option<&str>, rows: usize) {
        let key = value.map_or(Dictionary::NULL, |value| self.values.intern(value.as_bytes()));
        self.keys.resize(self.keys.len() + rows, key);
    }

    /// Makes a value known and gives its key, for [`Self::push_key`].
    pub fn key(&mut self, value: &str) -> u32 {
        self.values.intern(value.as_bytes())
    }

    /// Adds a row by the key that [`Self::key`] gave, or [`Dictionary::NULL`].
    pub fn push_key(&mut self, key: u32) {
        self.keys.push(key);
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// The column, to be pushed.
    pub fn finish(self) -> Dictionary {
        Dictionary::built(wit::Dictionary { keys: self.keys, values: self.values.finish() })
    }
}

impl<'a> FromIterator<Option<&'a str>> for Dictionary {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(values: I) -> Self {
        let values = values.into_iter();
        let mut builder = DictionaryBuilder::with_capacity(values.size_hint().0);
        values.for_each(|value| builder.push(value));
        builder.finish()
    }
}

/// Builds attributes of many keys at once, row by row: values are added, then
/// [`Self::finish_row`] closes the row.
#[derive(Debug)]
pub struct AttributesBuilder {
    offsets: Vec<u32>,
    keys: DictionaryBuilder,
    kinds: Vec<u8>,
    values: TextBuilder,
}

impl AttributesBuilder {
    /// With room for `entries` values in `rows` rows.
    pub fn with_capacity(rows: usize, entries: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            keys: DictionaryBuilder::with_capacity(entries),
            kinds: Vec::with_capacity(entries),
            values: TextBuilder::with_capacity(entries, entries * 16),
        }
    }

    /// Adds a value. The numbers' text must be what Rust, JSON or OTLP would write.
    fn entry(&mut self, key: &str, kind: u8, value: &str) {
        self.keys.push(Some(key));
        self.kinds.push(kind);
        self.values.push(Some(value));
    }

    /// A string.
    pub fn text(&mut self, key: &str, value: &str) {
        self.entry(key, 0, value);
    }

    /// An integer by its decimal text.
    pub fn int_text(&mut self, key: &str, value: &str) {
        self.entry(key, 1, value);
    }

    /// A float by its text.
    pub fn float_text(&mut self, key: &str, value: &str) {
        self.entry(key, 2, value);
    }

    /// A boolean.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.entry(key, 3, if value { "true" } else { "false" });
    }

    /// An array or object as JSON text.
    pub fn json(&mut self, key: &str, value: &str) {
        self.entry(key, 4, value);
    }

    /// A constant.
    pub fn scalar(&mut self, key: &str, value: &Scalar) {
        match value {
            Scalar::Text(v) => self.text(key, v),
            Scalar::Int(v) => self.int_text(key, &v.to_string()),
            Scalar::Float(v) => self.float_text(key, &v.to_string()),
            Scalar::Bool(v) => self.bool(key, *v),
        }
    }

    /// Takes back the values of the open row.
    pub fn clear_row(&mut self) {
        let start = self.offsets.last().map_or(0, |offset| *offset as usize);
        self.keys.keys.truncate(start);
        self.kinds.truncate(start);
        self.values.offsets.truncate(start + 1);
        self.values.data.truncate(self.values.offsets[start] as usize);
        self.values.validity = Validity::default();
    }

    /// Closes a row.
    pub fn finish_row(&mut self) {
        self.offsets.push(self.kinds.len() as u32);
    }

    /// Rows closed so far.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether no row has a value.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(crate) fn finish(self) -> wit::Attributes {
        wit::Attributes {
            offsets: self.offsets,
            keys: wit::Dictionary { keys: self.keys.keys, values: self.keys.values.finish() },
            kinds: self.kinds,
            // Every entry has a value.
            values: wit::Text { offsets: self.values.offsets, data: self.values.data, validity: Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_holds_each_string_once() {
        let column: Dictionary = [Some("a"), None, Some("b"), Some("a"), Some("")].into_iter().collect();
        let raw = column.raw();
        assert_eq!(raw.keys, [0, u32::MAX, 1, 0, 2]);
        assert_eq!((raw.values.offsets.as_slice(), raw.values.data.as_slice()), (&[0, 1, 2, 2][..], &b"ab"[..]));
    }

    #[test]
    fn a_row_taken_back_leaves_no_trace() {
        let mut builder = AttributesBuilder::with_capacity(2, 4);
        builder.text("a", "1");
        builder.finish_row();
        builder.text("b", "gone");
        builder.clear_row();
        builder.int_text("c", "2");
        builder.finish_row();
        let raw = builder.finish();
        assert_eq!((raw.offsets, raw.kinds, raw.values.data), (vec![0, 1, 2], vec![0, 1], b"12".to_vec()));
    }

    #[test]
    fn validity_is_sent_only_when_there_are_nulls() {
        let column: Ints = [Some(1), Some(2)].into_iter().collect();
        assert!(column.raw().validity.is_empty());
        let column: Ints = [Some(1), None].into_iter().collect();
        assert_eq!(column.raw().validity, [1]);
    }
}
