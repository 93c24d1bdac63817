//! A batch of the host's, and what leaves a module beside it.
//!
//! [`Batch`] narrows the generated handle to the SDK's typed columns. Natively, under the feature
//! `testing`, the same calls go to a batch in memory.

use crate::bindings::weft::telemetry::types as wit;
use crate::{AttributesBuilder, Blobs, Bools, Dictionary, Error, Floats, Ints, Mask, Signal, Text};

#[cfg(not(all(feature = "testing", not(target_arch = "wasm32"))))]
use crate::bindings::weft::telemetry::batches as imports;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
use crate::testing::batches as imports;

pub use crate::bindings::weft::telemetry::types::{Nulls, Rows};

/// A constant for [`Batch::set_constant`].
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
}

impl From<&Scalar> for wit::Scalar {
    fn from(value: &Scalar) -> Self {
        match value {
            Scalar::Text(v) => Self::Text(v.clone()),
            Scalar::Int(v) => Self::Int(*v),
            Scalar::Float(v) => Self::Float(*v),
            Scalar::Bool(v) => Self::Boolean(*v),
        }
    }
}

/// Rows of one signal, held by the host. Columns are named by paths; `wit/weft.wit` lists them.
/// Reading an attribute that no row has gives a column of nulls.
#[derive(Debug)]
#[repr(transparent)]
pub struct Batch(imports::Batch);

macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident -> $column:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, path: &str) -> Result<$column, Error> {
            Ok($column::from(self.0.$name(path)?))
        }
    )*};
}

macro_rules! writers {
    ($($(#[$doc:meta])* $name:ident($column:ident);)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, path: &str, column: &$column, nulls: Nulls) -> Result<(), Error> {
            Ok(self.0.$name(path, column.raw(), nulls)?)
        }
    )*};
}

impl Batch {
    /// Lends the generated handle as a [`Batch`] for one call.
    #[cfg(not(all(feature = "testing", not(target_arch = "wasm32"))))]
    pub(crate) fn borrowed<R>(handle: &imports::Batch, call: impl FnOnce(&Self) -> R) -> R {
        // A second handle of the same number, which must not drop the host's resource.
        let lent = std::mem::ManuallyDrop::new(Self(imports::Batch::lend(handle)));
        call(&lent)
    }

    #[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
    pub(crate) fn in_memory(batch: imports::Batch) -> Self {
        Self(batch)
    }

    #[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
    pub(crate) fn into_inner(self) -> imports::Batch {
        self.0
    }

    /// The signal of the rows.
    pub fn signal(&self) -> Signal {
        self.0.signal()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.0.rows() as usize
    }

    readers! {
        /// A text column.
        text -> Text;
        /// A text column with each distinct value once.
        dictionary -> Dictionary;
        /// An integer column.
        ints -> Ints;
        /// A float column.
        floats -> Floats;
        /// A boolean column.
        bools -> Bools;
        /// A bytes column.
        blobs -> Blobs;
    }

    /// The keys that occur in a map: `resource`, `scope`, `attributes`, `label`, `raw.header`.
    pub fn keys(&self, path: &str) -> Result<Vec<String>, Error> {
        Ok(self.0.keys(path)?)
    }

    writers! {
        /// Adds or replaces a text column.
        set_text(Text);
        /// Adds or replaces a text column given as a dictionary.
        set_dictionary(Dictionary);
        /// Adds or replaces an integer column.
        set_ints(Ints);
        /// Adds or replaces a float column.
        set_floats(Floats);
        /// Adds or replaces a boolean column.
        set_bools(Bools);
        /// Adds or replaces a bytes column.
        set_blobs(Blobs);
    }

    /// Adds or replaces attributes of the map at `path`: `resource`, `scope`, `attributes`, `label`.
    pub fn set_attributes(&self, path: &str, entries: AttributesBuilder) -> Result<(), Error> {
        Ok(self.0.set_attributes(path, &entries.finish())?)
    }

    /// Keeps the rows whose bit is set. Columns pulled before have the old length.
    pub fn retain(&self, mask: &Mask) -> Result<(), Error> {
        Ok(self.0.retain(mask.bits())?)
    }

    /// Gives the chosen rows one value.
    pub fn set_constant(&self, path: &str, value: &Scalar, rows: Rows) -> Result<(), Error> {
        Ok(self.0.set_constant(path, &value.into(), rows)?)
    }

    /// Copies values with their types.
    pub fn copy(&self, source: &str, target: &str, rows: Rows) -> Result<(), Error> {
        Ok(self.0.copy(source, target, rows)?)
    }

    /// Moves an attribute to another key.
    pub fn rename(&self, source: &str, target: &str) -> Result<(), Error> {
        Ok(self.0.rename(source, target)?)
    }

    /// Removes an attribute from all rows.
    pub fn remove(&self, path: &str) -> Result<(), Error> {
        Ok(self.0.remove(path)?)
    }

    /// The rows whose text has a match of the RE2-style, unanchored expression; nulls don't match.
    pub fn matches(&self, path: &str, regex: &str) -> Result<Mask, Error> {
        Ok(Mask::from_bits(self.0.matches(path, regex)?, self.rows()))
    }

    /// Replaces all matches; `$1` and `${name}` stand for groups.
    pub fn replace(&self, path: &str, regex: &str, replacement: &str) -> Result<(), Error> {
        Ok(self.0.replace(path, regex, replacement)?)
    }

    /// Named groups become attributes of the map at `target`; rows without a match are left alone.
    pub fn extract(&self, path: &str, regex: &str, target: &str) -> Result<(), Error> {
        Ok(self.0.extract(path, regex, target)?)
    }

    /// SHA-256 as lower-case hex of a text or bytes path, written to `target`.
    pub fn hash(&self, path: &str, target: &str) -> Result<(), Error> {
        Ok(self.0.hash(path, target)?)
    }

    /// The value at a JSON pointer (RFC 6901) of a text path, written to `target` with its type.
    pub fn json_extract(&self, path: &str, pointer: &str, target: &str) -> Result<(), Error> {
        Ok(self.0.json_extract(path, pointer, target)?)
    }

    /// Parks the rows whose bit is set under their key and takes them out of this batch; `keys` has
    /// one for each row of the batch. They are part of this module's snapshot.
    pub fn defer(&self, keys: &[[u8; 16]], mask: &Mask) -> Result<(), Error> {
        Ok(self.0.defer(keys.as_flattened(), mask.bits())?)
    }
}

/// A batch that this module started, to be filled and sent. Dropped unsent, it is gone.
#[derive(Debug)]
pub struct Emitted(Batch);

impl std::ops::Deref for Emitted {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.0
    }
}

impl Emitted {
    /// Sends the batch on: it leaves this stage once the call ends.
    pub fn send(self) -> Result<(), Error> {
        Ok(imports::send((self.0).0)?)
    }
}

/// A new batch of `rows` rows with empty or zero values.
pub fn emit(signal: Signal, rows: usize) -> Result<Emitted, Error> {
    let rows = u32::try_from(rows).map_err(|_| Error::Limit(format!("{rows} rows in one batch")))?;
    Ok(Emitted(Batch(imports::emit(signal, rows)?)))
}

/// Releases (bit set) or drops the parked rows of each key. Released rows go on to the next stage.
/// A key with nothing parked is passed over.
pub fn resolve(keys: &[[u8; 16]], keep: &Mask) -> Result<(), Error> {
    Ok(imports::resolve(keys.as_flattened(), keep.bits())?)
}
