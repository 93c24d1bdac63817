//! Columns as the host gives them: Arrow buffers with typed access.
//!
//! Accessors take row numbers below the column's length, like slices. Reading is safe whatever the
//! host sent, but only a host that breaks the contract makes [`Text::get`] give an empty string for
//! bytes that aren't UTF-8.

use crate::bindings::weft::telemetry::types as wit;

/// One bit a row, least significant bit first: a choice of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    bits: Vec<u8>,
    rows: usize,
}

impl Mask {
    /// A mask of `rows` rows that all have the value `set`.
    pub fn new(rows: usize, set: bool) -> Self {
        Self { bits: vec![if set { 0xff } else { 0 }; rows.div_ceil(8)], rows }
    }

    /// A mask of one bit per item.
    pub fn of(bits: impl IntoIterator<Item = bool>) -> Self {
        let iter = bits.into_iter();
        let mut mask = Self { bits: Vec::with_capacity(iter.size_hint().0.div_ceil(8)), rows: 0 };
        for bit in iter {
            mask.push(bit);
        }
        mask
    }

    /// A mask from Arrow bits; missing ones are unset.
    pub fn from_bits(mut bits: Vec<u8>, rows: usize) -> Self {
        bits.resize(rows.div_ceil(8), 0);
        Self { bits, rows }
    }

    /// Adds a row at the end.
    pub fn push(&mut self, set: bool) {
        if self.rows.is_multiple_of(8) {
            self.bits.push(0);
        }
        self.rows += 1;
        self.set(self.rows - 1, set);
    }

    /// Whether a row is chosen.
    pub fn get(&self, row: usize) -> bool {
        self.bits[row / 8] & (1 << (row % 8)) != 0
    }

    /// Chooses a row or not.
    pub fn set(&mut self, row: usize, set: bool) {
        if set {
            self.bits[row / 8] |= 1 << (row % 8);
        } else {
            self.bits[row / 8] &= !(1 << (row % 8));
        }
    }

    /// Keeps what is chosen in both.
    pub fn and(&mut self, other: &Self) {
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine &= theirs;
        }
    }

    /// Adds what is chosen in the other.
    pub fn or(&mut self, other: &Self) {
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine |= theirs;
        }
    }

    /// Turns every choice round.
    pub fn not(&mut self) {
        for byte in &mut self.bits {
            *byte = !*byte;
        }
    }

    /// Row by row.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.rows).map(|row| self.get(row))
    }

    /// How many rows are chosen.
    pub fn count(&self) -> usize {
        let whole = self.rows / 8;
        let ones: u32 = self.bits[..whole].iter().map(|byte| byte.count_ones()).sum();
        ones as usize + (whole * 8..self.rows).filter(|&row| self.get(row)).count()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The bits in Arrow's order.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }
}

fn valid(validity: &[u8], row: usize) -> bool {
    validity.is_empty() || validity[row / 8] & (1 << (row % 8)) != 0
}

fn slice<'a>(offsets: &[u32], data: &'a [u8], row: usize) -> &'a [u8] {
    data.get(offsets[row] as usize..offsets[row + 1] as usize).unwrap_or_default()
}

macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident, $raw:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(wit::$raw);

        impl From<wit::$raw> for $name {
            fn from(raw: wit::$raw) -> Self {
                Self(raw)
            }
        }

        impl $name {
            pub(crate) fn raw(&self) -> &wit::$raw {
                &self.0
            }
        }
    };
}

wrapper!(
    /// UTF-8 strings.
    Text,
    Text
);

impl Text {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.offsets.len().saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row's string; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&str> {
        self.get_bytes(row).map(|bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }

    /// A row's bytes, without the check that they are UTF-8 (the host holds only UTF-8).
    #[inline]
    pub fn get_bytes(&self, row: usize) -> Option<&[u8]> {
        valid(&self.0.validity, row).then(|| slice(&self.0.offsets, &self.0.data, row))
    }

    /// Row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

wrapper!(
    /// Byte strings.
    Blobs,
    Blobs
);

impl Blobs {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.offsets.len().saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row's bytes; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        valid(&self.0.validity, row).then(|| slice(&self.0.offsets, &self.0.data, row))
    }

    /// A row's bytes when they are `N`: an id.
    #[inline]
    pub fn id<const N: usize>(&self, row: usize) -> Option<[u8; N]> {
        self.get(row)?.try_into().ok()
    }

    /// Row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// Strings, each distinct one held once.
#[derive(Debug, Clone)]
pub struct Dictionary {
    raw: wit::Dictionary,
    values: Text,
}

impl From<wit::Dictionary> for Dictionary {
    fn from(mut raw: wit::Dictionary) -> Self {
        let empty = wit::Text { offsets: Vec::new(), data: Vec::new(), validity: Vec::new() };
        let values = Text(std::mem::replace(&mut raw.values, empty));
        // A key past the values would be the host's fault; it reads as null.
        let count = values.len() as u32;
        for key in &mut raw.keys {
            if *key >= count {
                *key = Self::NULL;
            }
        }
        Self { raw, values }
    }
}

impl Dictionary {
    /// The key of a null.
    pub const NULL: u32 = u32::MAX;

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.raw.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.keys.is_empty()
    }

    /// A row's string; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&str> {
        self.key(row).and_then(|key| self.values.get(key as usize))
    }

    /// A row's place in [`Self::values`]; `None` is null.
    #[inline]
    pub fn key(&self, row: usize) -> Option<u32> {
        let key = self.raw.keys[row];
        (key != Self::NULL).then_some(key)
    }

    /// Each row's place in [`Self::values`], [`Self::NULL`] for a null.
    pub fn keys(&self) -> &[u32] {
        &self.raw.keys
    }

    /// The distinct strings.
    pub fn values(&self) -> &Text {
        &self.values
    }

    /// Row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        (0..self.len()).map(|row| self.get(row))
    }

    pub(crate) fn raw(&self) -> &wit::Dictionary {
        &self.raw
    }
}

impl Dictionary {
    /// A dictionary to be pushed. Unlike one that was pulled, it keeps its values in `raw`.
    pub(crate) fn built(raw: wit::Dictionary) -> Self {
        let values = Text(wit::Text { offsets: vec![0], data: Vec::new(), validity: Vec::new() });
        Self { raw, values }
    }
}

wrapper!(
    /// 64-bit integers.
    Ints,
    Ints
);

impl Ints {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values.is_empty()
    }

    /// A row's number; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<i64> {
        valid(&self.0.validity, row).then(|| self.0.values[row])
    }

    /// All numbers; what stands in a null row means nothing.
    pub fn values(&self) -> &[i64] {
        &self.0.values
    }

    /// Row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<i64>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

wrapper!(
    /// 64-bit floats.
    Floats,
    Floats
);

impl Floats {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.bits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.bits.is_empty()
    }

    /// A row's number; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<f64> {
        valid(&self.0.validity, row).then(|| f64::from_bits(self.0.bits[row]))
    }

    /// Row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<f64>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// Booleans. The contract doesn't carry their number: it comes from the batch.
#[derive(Debug, Clone)]
pub struct Bools(wit::Bools);

impl From<wit::Bools> for Bools {
    fn from(raw: wit::Bools) -> Self {
        Self(raw)
    }
}

impl Bools {
    /// A column of one value per item.
    pub fn of(values: impl IntoIterator<Item = Option<bool>>) -> Self {
        let (mut bits, mut validity) = (Mask::default(), Mask::default());
        for value in values {
            bits.push(value.unwrap_or_default());
            validity.push(value.is_some());
        }
        Self(wit::Bools { values: bits.bits, validity: validity.bits })
    }

    /// A row's value; `None` is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        valid(&self.0.validity, row).then(|| self.0.values[row / 8] & (1 << (row % 8)) != 0)
    }

    pub(crate) fn raw(&self) -> &wit::Bools {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_counts_and_combines_only_its_own_rows() {
        let mut a = Mask::of((0..11).map(|row| row % 2 == 0));
        assert_eq!(a.count(), 6);
        a.not();
        assert_eq!(a.count(), 5);
        let mut b = Mask::new(11, true);
        assert_eq!(b.count(), 11);
        b.set(10, false);
        b.and(&a);
        assert_eq!(b.iter().filter(|set| *set).count(), 5);
        b.or(&Mask::new(11, true));
        assert_eq!(b.count(), 11);
    }

    #[test]
    fn nulls_and_bad_offsets_read_as_nothing() {
        let text = Text(wit::Text { offsets: vec![0, 1, 9], data: b"ab".to_vec(), validity: vec![0b10] });
        assert_eq!(text.get(0), None);
        assert_eq!(text.get(1), Some(""));
        let dictionary = Dictionary::from(wit::Dictionary {
            keys: vec![0, 5, u32::MAX],
            values: wit::Text { offsets: vec![0, 2], data: b"ok".to_vec(), validity: vec![] },
        });
        assert_eq!(dictionary.iter().collect::<Vec<_>>(), [Some("ok"), None, None]);
    }
}
