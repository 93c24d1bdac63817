//! A compact encoding for snapshots: variable-length integers, strings with their length.
//!
//! A module writes its fields in order after [`Writer::new`]'s version and reads them back in the
//! same order. A reader never panics: a snapshot cut short or of another module is an
//! [`Error::Snapshot`].

use crate::Error;

/// Writes a snapshot.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins a snapshot of a format version.
    pub fn new(version: u8) -> Self {
        Self(vec![version])
    }

    /// An integer in as few bytes as it needs.
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A signed integer; small magnitudes are short.
    pub fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A float, by its bits.
    pub fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A string with its length.
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Bytes of a length that the reader knows.
    pub fn fixed<const N: usize>(&mut self, value: &[u8; N]) {
        self.0.extend_from_slice(value);
    }

    /// The snapshot.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a snapshot.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins to read; the snapshot must be of `version`.
    pub fn new(snapshot: &'a [u8], version: u8) -> Result<Self, Error> {
        match snapshot.split_first() {
            Some((found, rest)) if *found == version => Ok(Self(rest)),
            Some((found, _)) => {
                Err(Error::Snapshot(format!("format {found}, but this version of the module reads {version}")))
            }
            None => Err(Error::Snapshot("empty".into())),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| Error::Snapshot(format!("cut short: {length} bytes wanted, {} left", self.0.len())))?;
        self.0 = rest;
        Ok(taken)
    }

    /// An integer.
    pub fn u64(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Snapshot("an integer is longer than 64 bits".into()))
    }

    /// A count of items that follow, each at least one byte: so a damaged one can't claim memory.
    pub fn count(&mut self) -> Result<usize, Error> {
        let count = self.u64()?;
        if count > self.0.len() as u64 {
            return Err(Error::Snapshot(format!("{count} items in {} bytes", self.0.len())));
        }
        Ok(count as usize)
    }

    /// A signed integer.
    pub fn i64(&mut self) -> Result<i64, Error> {
        let value = self.u64()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A float.
    pub fn f64(&mut self) -> Result<f64, Error> {
        Ok(f64::from_le_bytes(self.fixed()?))
    }

    /// A boolean.
    pub fn bool(&mut self) -> Result<bool, Error> {
        Ok(self.take(1)?[0] != 0)
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.count()?;
        self.take(length)
    }

    /// A string.
    pub fn str(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Snapshot("a string isn't UTF-8".into()))
    }

    /// Bytes of a known length.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    /// That everything has been read.
    pub fn end(self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::Snapshot(format!("{} bytes too many", self.0.len())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new(3);
        for value in [0, 1, 127, 128, u64::MAX] {
            writer.u64(value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            writer.i64(value);
        }
        writer.f64(-0.1);
        writer.str("é");
        writer.bool(true);
        writer.fixed(&[1, 2]);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes, 3).unwrap();
        for value in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(reader.u64().unwrap(), value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(reader.i64().unwrap(), value);
        }
        assert_eq!((reader.f64().unwrap(), reader.str().unwrap(), reader.bool().unwrap()), (-0.1, "é", true));
        assert_eq!(reader.fixed::<2>().unwrap(), [1, 2]);
        reader.end().unwrap();
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Reader::new(&[], 1).is_err());
        assert!(Reader::new(&[2], 1).is_err());
        assert!(Reader::new(&[1, 0xff, 0xff, 0xff, 0xff, 0x7f], 1).unwrap().count().is_err());
        assert!(Reader::new(&[1, 5, b'a'], 1).unwrap().str().is_err());
        assert!(Reader::new(&[1, 5], 1).unwrap().end().is_err());
    }
}
