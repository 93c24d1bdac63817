//! The records of WIT interface `types`, and their way from and to Arrow arrays.
//!
//! Bytes go to the guest straight out of the Arrow buffer they lie in. Offsets and numbers pass
//! through one `Vec`: wasmtime lowers integer lists from vectors only. What comes from the guest is
//! one bulk copy, which then becomes the buffer of an array. All lengths, offsets and UTF-8 are
//! checked here; no other file trusts a guest's column.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the WIT file documents its types; generated code exports and makes them"
)]

use arrow::array::{
    Array, BinaryArray, BooleanArray, Float64Array, GenericByteArray, Int64Array, OffsetSizeTrait, StringArray,
    types::ByteArrayType,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;
use wasmtime::component::{ComponentType, HasData, HasSelf, Lift, Linker, Lower};

/// Null in a dictionary's keys.
pub(crate) const NULL_KEY: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Signal {
    #[component(name = "raw")]
    Raw,
    #[component(name = "metrics")]
    Metrics,
    #[component(name = "logs")]
    Logs,
    #[component(name = "spans")]
    Spans,
}

impl From<weft_model::Signal> for Signal {
    fn from(signal: weft_model::Signal) -> Self {
        match signal {
            weft_model::Signal::Raw => Self::Raw,
            weft_model::Signal::Metrics => Self::Metrics,
            weft_model::Signal::Logs => Self::Logs,
            weft_model::Signal::Spans => Self::Spans,
        }
    }
}

impl From<Signal> for weft_model::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Raw => Self::Raw,
            Signal::Metrics => Self::Metrics,
            Signal::Logs => Self::Logs,
            Signal::Spans => Self::Spans,
        }
    }
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Text {
    pub offsets: Vec<u32>,
    pub data: Bytes,
    pub validity: Bytes,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Blobs {
    pub offsets: Vec<u32>,
    pub data: Bytes,
    pub validity: Bytes,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Dictionary {
    pub keys: Vec<u32>,
    pub values: Text,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Ints {
    pub values: Vec<i64>,
    pub validity: Bytes,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Floats {
    pub bits: Vec<u64>,
    pub validity: Bytes,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Bools {
    pub values: Bytes,
    pub validity: Bytes,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Scalar {
    #[component(name = "text")]
    Text(String),
    #[component(name = "int")]
    Int(i64),
    #[component(name = "float")]
    Float(f64),
    #[component(name = "boolean")]
    Boolean(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Nulls {
    #[component(name = "clear")]
    Clear,
    #[component(name = "leave")]
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Rows {
    #[component(name = "all")]
    All,
    #[component(name = "missing")]
    Missing,
    #[component(name = "present")]
    Present,
}

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Attributes {
    pub offsets: Vec<u32>,
    pub keys: Dictionary,
    pub kinds: Vec<u8>,
    pub values: Text,
}

/// An error that the guest sees and decides on.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Error {
    #[component(name = "path")]
    Path(String),
    #[component(name = "column")]
    Column(String),
    #[component(name = "argument")]
    Argument(String),
    #[component(name = "limit")]
    Limit(String),
}

impl Error {
    pub(crate) fn column(text: impl Into<String>) -> Self {
        Self::Column(text.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(text) | Self::Column(text) | Self::Argument(text) | Self::Limit(text) => f.write_str(text),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow's own checks, after ours: in practice an offset that passes 2 GiB.
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Limit(format!("the column can't be made: {error}"))
    }
}

/// What the generated code of the world asks of an interface: `types` has no functions.
pub trait Host {}
/// See [`Host`].
pub trait HostWithStore<T>: HasData {}
impl Host for super::State {}
impl<T> HostWithStore<T> for HasSelf<super::State> {}

/// See [`Host`]: nothing to add.
pub fn add_to_linker<T: 'static, D: HasData>(
    _linker: &mut Linker<T>,
    _state: fn(&mut T) -> D::Data<'_>,
) -> wasmtime::Result<()> {
    Ok(())
}

/// An Arrow buffer as the owner of `Bytes`.
struct Lent(Buffer);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Fewer bytes than this are cheaper copied than owned.
const COPY_BELOW: usize = 256;

fn lend(buffer: Buffer) -> Bytes {
    if buffer.len() < COPY_BELOW { Bytes::copy_from_slice(buffer.as_slice()) } else { Bytes::from_owner(Lent(buffer)) }
}

fn bits_out(bits: &BooleanBuffer) -> Bytes {
    lend(bits.sliced())
}

fn validity_out(nulls: Option<&NullBuffer>) -> Bytes {
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => bits_out(nulls.inner()),
        _ => Bytes::new(),
    }
}

/// A guest's bitmap over `rows` rows.
pub(crate) fn bits_in(bits: impl Into<Buffer>, rows: usize, what: &str) -> Result<BooleanBuffer, Error> {
    let bits = bits.into();
    if bits.len() < rows.div_ceil(8) {
        return Err(Error::Column(format!("{what}: {} bytes of bits for {rows} rows", bits.len())));
    }
    Ok(BooleanBuffer::new(bits, 0, rows))
}

fn validity_in(validity: Bytes, rows: usize) -> Result<Option<NullBuffer>, Error> {
    if validity.is_empty() {
        return Ok(None);
    }
    let nulls = NullBuffer::new(bits_in(validity, rows, "validity")?);
    Ok((nulls.null_count() > 0).then_some(nulls))
}

fn values_in(got: usize, rows: usize) -> Result<(), Error> {
    if got == rows { Ok(()) } else { Err(Error::Column(format!("the column has {got} values, the batch {rows} rows"))) }
}

fn offsets_out<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> Vec<u32> {
    let first = offsets.first().map_or(0, |first| first.as_usize());
    // Offsets of our arrays are 32 bits and ascend, so that the difference fits.
    offsets.iter().map(|offset| (offset.as_usize() - first) as u32).collect()
}

pub(crate) fn offsets_in(offsets: Vec<u32>, rows: usize, data: usize) -> Result<OffsetBuffer<i32>, Error> {
    // A column of no rows may come without its one offset.
    if offsets.is_empty() && rows == 0 {
        return Ok(OffsetBuffer::new_empty());
    }
    if offsets.len() != rows + 1 {
        return Err(Error::Column(format!("{} offsets for {rows} rows: there must be one more", offsets.len())));
    }
    let ascending = offsets.windows(2).fold(true, |ascending, pair| ascending & (pair[0] <= pair[1]));
    if !ascending {
        return Err(Error::column("offsets don't ascend"));
    }
    let last = offsets.last().copied().unwrap_or(0) as usize;
    if last > data {
        return Err(Error::Column(format!("offsets end at {last}, the data at {data}")));
    }
    if last > i32::MAX as usize {
        return Err(Error::Limit(format!("a column of {last} bytes: at most 2147483647 fit")));
    }
    // The element types have one layout: the collect reuses the allocation.
    let offsets: Vec<i32> = offsets.into_iter().map(|offset| offset as i32).collect();
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

fn bytes_in<T: ByteArrayType<Offset = i32>>(
    offsets: Vec<u32>,
    data: Bytes,
    validity: Bytes,
    rows: usize,
) -> Result<GenericByteArray<T>, Error> {
    let offsets = offsets_in(offsets, rows, data.len())?;
    let nulls = validity_in(validity, rows)?;
    GenericByteArray::try_new(offsets, Buffer::from(data), nulls)
        .map_err(|error| Error::Column(format!("the column is not UTF-8: {error}")))
}

fn bytes_out<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> (Vec<u32>, Bytes, Bytes) {
    let offsets = array.offsets();
    let (first, last) = (offsets[0] as usize, offsets[array.len()] as usize);
    let data = array.values().slice_with_length(first, last - first);
    (offsets_out(offsets), lend(data), validity_out(array.nulls()))
}

impl Text {
    pub(crate) fn of(array: &StringArray) -> Self {
        let (offsets, data, validity) = bytes_out(array);
        Self { offsets, data, validity }
    }

    pub(crate) fn into_array(self, rows: usize) -> Result<StringArray, Error> {
        bytes_in(self.offsets, self.data, self.validity, rows)
    }

    /// Bytes of its buffers.
    pub(crate) fn size(&self) -> usize {
        self.offsets.len() * 4 + self.data.len() + self.validity.len()
    }
}

impl Blobs {
    pub(crate) fn of(array: &BinaryArray) -> Self {
        let (offsets, data, validity) = bytes_out(array);
        Self { offsets, data, validity }
    }

    pub(crate) fn into_array(self, rows: usize) -> Result<BinaryArray, Error> {
        bytes_in(self.offsets, self.data, self.validity, rows)
    }

    pub(crate) fn size(&self) -> usize {
        self.offsets.len() * 4 + self.data.len() + self.validity.len()
    }
}

impl Ints {
    pub(crate) fn of(array: &Int64Array) -> Self {
        Self { values: array.values().to_vec(), validity: validity_out(array.nulls()) }
    }

    pub(crate) fn into_array(self, rows: usize) -> Result<Int64Array, Error> {
        values_in(self.values.len(), rows)?;
        Ok(Int64Array::new(ScalarBuffer::from(self.values), validity_in(self.validity, rows)?))
    }

    pub(crate) fn size(&self) -> usize {
        self.values.len() * 8 + self.validity.len()
    }
}

impl Floats {
    pub(crate) fn of(array: &Float64Array) -> Self {
        Self {
            bits: array.values().iter().map(|value| value.to_bits()).collect(),
            validity: validity_out(array.nulls()),
        }
    }

    pub(crate) fn into_array(self, rows: usize) -> Result<Float64Array, Error> {
        values_in(self.bits.len(), rows)?;
        let values: Vec<f64> = self.bits.into_iter().map(f64::from_bits).collect();
        Ok(Float64Array::new(ScalarBuffer::from(values), validity_in(self.validity, rows)?))
    }

    pub(crate) fn size(&self) -> usize {
        self.bits.len() * 8 + self.validity.len()
    }
}

impl Bools {
    pub(crate) fn of(array: &BooleanArray) -> Self {
        Self { values: bits_out(array.values()), validity: validity_out(array.nulls()) }
    }

    pub(crate) fn into_array(self, rows: usize) -> Result<BooleanArray, Error> {
        let values = bits_in(self.values, rows, "booleans")?;
        Ok(BooleanArray::new(values, validity_in(self.validity, rows)?))
    }

    pub(crate) fn size(&self) -> usize {
        self.values.len() + self.validity.len()
    }
}

impl Dictionary {
    /// The checked keys and values. A key is below the number of values, or [`NULL_KEY`].
    pub(crate) fn into_parts(self, rows: usize) -> Result<(Vec<u32>, StringArray), Error> {
        values_in(self.keys.len(), rows)?;
        let values = self.values.into_column()?;
        let count = values.len() as u32;
        if let Some(bad) = self.keys.iter().find(|&&key| key >= count && key != NULL_KEY) {
            return Err(Error::Column(format!("dictionary key {bad}: there are {count} values")));
        }
        Ok((self.keys, values))
    }

    pub(crate) fn size(&self) -> usize {
        self.keys.len() * 4 + self.values.size()
    }
}

impl Text {
    /// A column of as many rows as it has.
    pub(crate) fn into_column(self) -> Result<StringArray, Error> {
        let rows = self.offsets.len().saturating_sub(1);
        self.into_array(rows)
    }
}

impl Attributes {
    pub(crate) fn size(&self) -> usize {
        self.offsets.len() * 4 + self.keys.size() + self.kinds.len() + self.values.size()
    }
}
