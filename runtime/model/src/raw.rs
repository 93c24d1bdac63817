//! The `raw` signal: records of the log as they are, for parse modules. It has no table.

use crate::attributes::map_array;
use arrow::array::{ArrayRef, MapArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// Topic the record came from.
pub const TOPIC: &str = "topic";
/// Partition of it.
pub const PARTITION: &str = "partition";
/// Offset in the partition.
pub const OFFSET: &str = "offset";
/// The record's timestamp, ms since the Unix epoch.
pub const TIMESTAMP: &str = "timestamp";
/// Key; null when absent. Binary.
pub const KEY: &str = "key";
/// Value. Binary.
pub const VALUE: &str = "value";
/// Headers. `Map<Utf8, Binary>`.
pub const HEADERS: &str = "headers";

/// `Map<Utf8, Binary>`.
pub fn header_map() -> DataType {
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

/// A header column from its parts; `offsets` has one more entry than there are rows.
pub fn header_array(offsets: Vec<i32>, keys: ArrayRef, values: ArrayRef) -> MapArray {
    map_array(header_map(), offsets, keys, values, None)
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TOPIC, DataType::Utf8, false),
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(TIMESTAMP, DataType::Int64, false),
        Field::new(KEY, DataType::Binary, true),
        Field::new(VALUE, DataType::Binary, false),
        Field::new(HEADERS, header_map(), false),
    ]))
});

/// The schema, columns in the order above.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
