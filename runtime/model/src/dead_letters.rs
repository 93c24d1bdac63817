//! The `dead_letters` table: records that could not be decoded or that a module failed on, with the
//! original bytes, so that they can be run again.

use crate::raw::header_map;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

/// When the record was given up, ns since the Unix epoch.
pub const TIME: &str = "time_unix_nano";
/// Topic it came from.
pub const TOPIC: &str = "topic";
/// Partition of it.
pub const PARTITION: &str = "partition";
/// Offset in the partition.
pub const OFFSET: &str = "offset";
/// The record's own timestamp, ms since the Unix epoch.
pub const TIMESTAMP: &str = "timestamp";
/// The stage that gave it up: `decode`, or the stage's name in the topology.
pub const STAGE: &str = "stage";
/// Why.
pub const REASON: &str = "reason";
/// The module that failed; null for `decode`.
pub const MODULE: &str = "module";
/// SHA-256 of that module's file, hex; null for `decode`.
pub const MODULE_DIGEST: &str = "module_digest";
/// Key; null when absent. Binary.
pub const KEY: &str = "key";
/// The original bytes. Binary.
pub const VALUE: &str = "value";
/// Headers. `Map<Utf8, Binary>`.
pub const HEADERS: &str = "headers";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TIME, DataType::Int64, false),
        Field::new(TOPIC, DataType::Utf8, false),
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(TIMESTAMP, DataType::Int64, false),
        Field::new(STAGE, DataType::Utf8, false),
        Field::new(REASON, DataType::Utf8, false),
        Field::new(MODULE, DataType::Utf8, true),
        Field::new(MODULE_DIGEST, DataType::Utf8, true),
        Field::new(KEY, DataType::Binary, true),
        Field::new(VALUE, DataType::Binary, false),
        Field::new(HEADERS, header_map(), false),
    ]))
});

/// The schema, columns in the order above.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
