//! Reading protobuf's wire format in place: tags, varints, fixed-width numbers, length-delimited
//! fields. No allocation, no schema; who reads a message matches on field numbers and asks for the
//! type it expects.
//!
//! A known field of another wire type is an error, an unknown field is skipped, as in prost.
//! Source: protobuf.dev, "Encoding".

use std::borrow::Cow;

/// Wire type of varints.
pub(crate) const VARINT: u32 = 0;
/// Wire type of 8-byte numbers.
pub(crate) const FIXED64: u32 = 1;
/// Wire type of length-delimited fields.
pub(crate) const LEN: u32 = 2;
/// Wire types of deprecated groups.
const GROUP: u32 = 3;
const END_GROUP: u32 = 4;
/// Wire type of 4-byte numbers.
pub(crate) const FIXED32: u32 = 5;

/// How deep values (arrays and key-value lists) may nest. Prost's limit is 100 messages, which is
/// the same order; deeper input is an attack.
pub(crate) const MAX_VALUE_DEPTH: u32 = 64;

/// Groups may nest this deep inside an unknown field.
const MAX_GROUP_DEPTH: u32 = 64;

/// What is wrong with some bytes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset into the body.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) reason: Cow<'static, str>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(at: usize, reason: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { at, reason: reason.into() })
    }
}

/// Boxed so that results stay small on the hot path.
pub(crate) type Result<T> = std::result::Result<T, Box<Fault>>;

/// A message's bytes, read from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset into the body of the first byte after `rest`.
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, end: body.len() }
    }

    /// Offset into the body of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The bytes not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[cold]
    fn fault<T>(&self, reason: &'static str) -> Result<T> {
        Err(Fault::new(self.at(), reason))
    }

    /// The next field's number and wire type; `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, u32)>> {
        let Some(&first) = self.rest.first() else { return Ok(None) };
        let tag = if first < 0x80 {
            self.rest = &self.rest[1..];
            u32::from(first)
        } else {
            let start = *self;
            match u32::try_from(self.varint_raw()?) {
                Ok(tag) => tag,
                Err(_) => return start.fault("a field number is too big"),
            }
        };
        if tag >> 3 == 0 {
            return self.fault("a field number is 0");
        }
        Ok(Some((tag >> 3, tag & 7)))
    }

    #[inline]
    fn varint_raw(&mut self) -> Result<u64> {
        match self.rest.first() {
            Some(&byte) if byte < 0x80 => {
                self.rest = &self.rest[1..];
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    return self.fault("a varint is longer than 64 bits");
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < 10 { self.fault("the message is cut off") } else { self.fault("a varint is too long") }
    }

    /// An unsigned varint.
    #[inline]
    pub(crate) fn varint(&mut self, wire: u32) -> Result<u64> {
        if wire != VARINT {
            return self.fault("a field has the wrong wire type: expected a varint");
        }
        self.varint_raw()
    }

    /// An `int32` or enum: the low 32 bits, as protobuf says.
    #[inline]
    pub(crate) fn int32(&mut self, wire: u32) -> Result<i32> {
        Ok(self.varint(wire)? as i32)
    }

    /// An `int64`.
    #[inline]
    pub(crate) fn int64(&mut self, wire: u32) -> Result<i64> {
        Ok(self.varint(wire)? as i64)
    }

    /// A `sint32`.
    pub(crate) fn sint32(&mut self, wire: u32) -> Result<i32> {
        let value = self.varint(wire)? as u32;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A `sint64`.
    pub(crate) fn sint64(&mut self, wire: u32) -> Result<i64> {
        Ok(zigzag(self.varint(wire)?))
    }

    /// A count of dropped things: `uint32`, kept within `Int32`.
    #[inline]
    pub(crate) fn count(&mut self, wire: u32) -> Result<i32> {
        Ok(i32::try_from(self.varint(wire)? as u32).unwrap_or(i32::MAX))
    }

    /// A `fixed64`, the bits of a `double`, or an `sfixed64`.
    #[inline]
    pub(crate) fn fixed64(&mut self, wire: u32) -> Result<u64> {
        if wire != FIXED64 {
            return self.fault("a field has the wrong wire type: expected 8 bytes");
        }
        let Some((value, rest)) = self.rest.split_first_chunk::<8>() else {
            return self.fault("the message is cut off");
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    /// A `double`, its bits kept.
    #[inline]
    pub(crate) fn double(&mut self, wire: u32) -> Result<f64> {
        Ok(f64::from_bits(self.fixed64(wire)?))
    }

    /// A `fixed32`.
    #[inline]
    pub(crate) fn fixed32(&mut self, wire: u32) -> Result<u32> {
        if wire != FIXED32 {
            return self.fault("a field has the wrong wire type: expected 4 bytes");
        }
        let Some((value, rest)) = self.rest.split_first_chunk::<4>() else {
            return self.fault("the message is cut off");
        };
        self.rest = rest;
        Ok(u32::from_le_bytes(*value))
    }

    /// A time in ns since the Unix epoch: a `fixed64` that fits `Int64`.
    #[inline]
    pub(crate) fn time(&mut self, wire: u32) -> Result<i64> {
        let start = self.at();
        let value = self.fixed64(wire)?;
        i64::try_from(value)
            .map_err(|_| Fault::new(start, "a time lies after the year 2262: nanoseconds don't fit 63 bits"))
    }

    /// A length-delimited field.
    #[inline]
    pub(crate) fn bytes(&mut self, wire: u32) -> Result<&'a [u8]> {
        if wire != LEN {
            return self.fault("a field has the wrong wire type: expected a length");
        }
        let length = self.varint_raw()?;
        if length > self.rest.len() as u64 {
            return self.fault("the message is cut off");
        }
        let (value, rest) = self.rest.split_at(length as usize);
        self.rest = rest;
        Ok(value)
    }

    /// A nested message.
    #[inline]
    pub(crate) fn message(&mut self, wire: u32) -> Result<Reader<'a>> {
        let rest = self.bytes(wire)?;
        Ok(Reader { rest, end: self.at() })
    }

    /// A string; UTF-8 is checked.
    #[inline]
    pub(crate) fn text(&mut self, wire: u32) -> Result<&'a str> {
        let value = self.bytes(wire)?;
        std::str::from_utf8(value)
            .map_err(|error| Fault::new(self.at() - value.len() + error.valid_up_to(), "a string is not UTF-8"))
    }

    /// Bytes of one of two lengths; with `len` 0 among them an empty field is allowed.
    #[inline]
    pub(crate) fn id(&mut self, wire: u32, length: usize, reason: &'static str) -> Result<&'a [u8]> {
        let value = self.bytes(wire)?;
        if value.len() != length && !value.is_empty() {
            return Err(Fault::new(self.at() - value.len(), reason));
        }
        Ok(value)
    }

    /// Skips an unknown field.
    #[inline]
    pub(crate) fn skip(&mut self, number: u32, wire: u32) -> Result<()> {
        match wire {
            VARINT => self.varint_raw().map(drop),
            FIXED64 => self.fixed64(wire).map(drop),
            LEN => self.bytes(wire).map(drop),
            FIXED32 => self.fixed32(wire).map(drop),
            GROUP => self.skip_group(number),
            END_GROUP => self.fault("a group ends that has not begun"),
            _ => self.fault("a field has no known wire type"),
        }
    }

    fn skip_group(&mut self, number: u32) -> Result<()> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            match self.field()? {
                None => return self.fault("the message is cut off inside a group"),
                Some((inner, GROUP)) => {
                    if open.len() as u32 >= MAX_GROUP_DEPTH {
                        return self.fault("groups nest too deep");
                    }
                    open.push(inner);
                }
                Some((inner, END_GROUP)) => {
                    if inner != innermost {
                        return self.fault("a group ends that has not begun");
                    }
                    open.pop();
                }
                Some((inner, wire)) => self.skip(inner, wire)?,
            }
        }
        Ok(())
    }

    /// Elements of a repeated number, packed or not: calls `each` with a reader and the element's
    /// wire type, until the field is used up.
    pub(crate) fn repeated(
        &mut self,
        wire: u32,
        element: u32,
        mut each: impl FnMut(&mut Reader<'a>, u32) -> Result<()>,
    ) -> Result<()> {
        if wire != LEN {
            return each(self, wire);
        }
        let mut packed = self.message(wire)?;
        while !packed.rest.is_empty() {
            each(&mut packed, element)?;
        }
        Ok(())
    }
}

/// Undoes protobuf's zigzag.
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Writes protobuf: what splitting requests and reading OTLP/JSON need.
pub(crate) mod write {
    use super::LEN;

    pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    pub(crate) fn tag(out: &mut Vec<u8>, number: u32, wire: u32) {
        varint(out, u64::from(number) << 3 | u64::from(wire));
    }

    pub(crate) fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
        tag(out, number, LEN);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests;
