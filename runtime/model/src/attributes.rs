//! Typed attributes: OTLP's `AnyValue` as one Arrow struct with a child a type, and maps of it.
//!
//! Exactly one child of a value is non-null; a value with none is OTLP's empty value. Arrays and
//! key-value lists are kept as JSON text in `json` (OTLP/JSON's plain form: `[1,"a"]`, `{"k":1}`;
//! bytes inside them as base64 strings).
//! Source: opentelemetry-proto, common/v1/common.proto.

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, MapArray, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use std::sync::{Arc, LazyLock};

/// Child holding a string.
pub const STRING: &str = "string";
/// Child holding a 64-bit integer.
pub const INT: &str = "int";
/// Child holding a 64-bit float.
pub const DOUBLE: &str = "double";
/// Child holding a boolean.
pub const BOOL: &str = "bool";
/// Child holding bytes.
pub const BYTES: &str = "bytes";
/// Child holding an array or a key-value list as JSON text.
pub const JSON: &str = "json";

static VALUE_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new(STRING, DataType::Utf8, true),
        Field::new(INT, DataType::Int64, true),
        Field::new(DOUBLE, DataType::Float64, true),
        Field::new(BOOL, DataType::Boolean, true),
        Field::new(BYTES, DataType::Binary, true),
        Field::new(JSON, DataType::Utf8, true),
    ])
});

/// The children of a value, in the order string, int, double, bool, bytes, json.
pub fn value_fields() -> Fields {
    VALUE_FIELDS.clone()
}

fn map_of(value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

/// `Map<Utf8, value>`: attributes with their types.
pub fn typed_map() -> DataType {
    map_of(DataType::Struct(value_fields()))
}

/// `Map<Utf8, Utf8>`: labels.
pub fn label_map() -> DataType {
    map_of(DataType::Utf8)
}

/// A list whose element field has the name Delta and Parquet give it.
pub fn list_of(element: DataType) -> DataType {
    DataType::List(element_field(element))
}

/// The element field of such a list.
pub fn element_field(element: DataType) -> FieldRef {
    Arc::new(Field::new("element", element, true))
}

/// Builds a typed-map column: values are appended one by one, [`Self::finish_row`] closes a row.
#[derive(Debug, Default)]
pub struct TypedMapBuilder {
    offsets: Vec<i32>,
    keys: StringBuilder,
    string: StringBuilder,
    int: Int64Builder,
    double: Float64Builder,
    bool: BooleanBuilder,
    bytes: BinaryBuilder,
    json: StringBuilder,
    len: i32,
}

macro_rules! push {
    ($self:ident, $key:ident, $($builder:ident: $value:expr),*) => {{
        $self.keys.append_value($key);
        $($self.$builder.append_option($value);)*
        $self.len += 1;
    }};
}

impl TypedMapBuilder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// A string value.
    pub fn string(&mut self, key: &str, value: &str) {
        push!(self, key, string: Some(value), int: None, double: None, bool: None, bytes: None::<&[u8]>, json: None::<&str>);
    }

    /// An integer value.
    pub fn int(&mut self, key: &str, value: i64) {
        push!(self, key, string: None::<&str>, int: Some(value), double: None, bool: None, bytes: None::<&[u8]>, json: None::<&str>);
    }

    /// A float value.
    pub fn double(&mut self, key: &str, value: f64) {
        push!(self, key, string: None::<&str>, int: None, double: Some(value), bool: None, bytes: None::<&[u8]>, json: None::<&str>);
    }

    /// A boolean value.
    pub fn bool(&mut self, key: &str, value: bool) {
        push!(self, key, string: None::<&str>, int: None, double: None, bool: Some(value), bytes: None::<&[u8]>, json: None::<&str>);
    }

    /// A bytes value.
    pub fn bytes(&mut self, key: &str, value: &[u8]) {
        push!(self, key, string: None::<&str>, int: None, double: None, bool: None, bytes: Some(value), json: None::<&str>);
    }

    /// An array or key-value list, as JSON text.
    pub fn json(&mut self, key: &str, value: &str) {
        push!(self, key, string: None::<&str>, int: None, double: None, bool: None, bytes: None::<&[u8]>, json: Some(value));
    }

    /// The empty value.
    pub fn empty(&mut self, key: &str) {
        push!(self, key, string: None::<&str>, int: None, double: None, bool: None, bytes: None::<&[u8]>, json: None::<&str>);
    }

    /// Closes the row that the values since the last call belong to.
    pub fn finish_row(&mut self) {
        self.offsets.push(self.len);
    }

    /// Rows closed so far.
    pub fn rows(&self) -> usize {
        self.offsets.len()
    }

    /// The column, of type [`typed_map`]. Rows without values are empty maps, not nulls.
    pub fn finish(mut self) -> MapArray {
        let values: Vec<ArrayRef> = vec![
            Arc::new(self.string.finish()),
            Arc::new(self.int.finish()),
            Arc::new(self.double.finish()),
            Arc::new(self.bool.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.json.finish()),
        ];
        let values = StructArray::new(value_fields(), values, None);
        let mut offsets = Vec::with_capacity(self.offsets.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.offsets);
        map_array(typed_map(), offsets, Arc::new(self.keys.finish()), Arc::new(values), None)
    }
}

/// Builds a `Map<Utf8, Utf8>` column row by row.
#[derive(Debug, Default)]
pub struct LabelMapBuilder {
    offsets: Vec<i32>,
    keys: StringBuilder,
    values: StringBuilder,
    len: i32,
}

impl LabelMapBuilder {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a label to the open row. The caller gives a row's labels sorted by name where order matters.
    pub fn label(&mut self, key: &str, value: &str) {
        self.keys.append_value(key);
        self.values.append_value(value);
        self.len += 1;
    }

    /// Closes the row.
    pub fn finish_row(&mut self) {
        self.offsets.push(self.len);
    }

    /// Rows closed so far.
    pub fn rows(&self) -> usize {
        self.offsets.len()
    }

    /// The column, of type [`label_map`].
    pub fn finish(mut self) -> MapArray {
        let mut offsets = Vec::with_capacity(self.offsets.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.offsets);
        map_array(label_map(), offsets, Arc::new(self.keys.finish()), Arc::new(self.values.finish()), None)
    }
}

/// A map column of `data_type` ([`typed_map`] or [`label_map`]) from its parts.
/// `offsets` has one more entry than there are rows.
pub fn map_array(
    data_type: DataType,
    offsets: Vec<i32>,
    keys: ArrayRef,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> MapArray {
    let DataType::Map(field, ordered) = data_type else { unreachable!("callers pass one of the two map types") };
    let DataType::Struct(fields) = field.data_type() else { unreachable!("a map's entries are a struct") };
    let entries = StructArray::new(fields.clone(), vec![keys, values], None);
    MapArray::new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), entries, nulls, ordered)
}
