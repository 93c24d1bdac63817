//! A snapshot as one Parquet file of actions (Delta's classic, single-part checkpoint).

use super::action::{Add, Format, Line, MetaData, Protocol, Remove, Txn};
use super::snapshot::{Snapshot, add_of, relative_path};
use crate::Error;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, ListBuilder, MapArray, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, StructArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The file's bytes and the number of its rows.
pub(crate) fn encode(snapshot: &Snapshot) -> Result<(Vec<u8>, usize), Error> {
    let columns = [
        ("protocol", protocol(&snapshot.protocol)),
        ("metaData", metadata(&snapshot.metadata)?),
        ("txn", txns(snapshot)),
        ("add", adds(snapshot)?),
        ("remove", removes(snapshot)?),
    ];
    // Each row holds one action: the columns are laid out one after the other, null elsewhere.
    let rows: usize = columns.iter().map(|(_, column)| column.len()).sum();
    let (mut before, mut fields, mut arrays) = (0, Vec::new(), Vec::new());
    for (name, column) in columns {
        let data_type = column.data_type().clone();
        let after = rows - before - column.len();
        let (head, tail) = (new_null_array(&data_type, before), new_null_array(&data_type, after));
        before += column.len();
        arrays.push(concat(&[&head, &column, &tail])?);
        fields.push(Field::new(name, data_type, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    // Snappy: the one compression that every reader of checkpoints has.
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok((writer.into_inner()?, rows))
}

fn structs(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    let fields: Fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    StructArray::new(fields, arrays, None)
}

fn protocol(protocol: &Protocol) -> StructArray {
    structs(vec![
        ("minReaderVersion", Arc::new(Int32Array::from(vec![protocol.min_reader_version]))),
        ("minWriterVersion", Arc::new(Int32Array::from(vec![protocol.min_writer_version]))),
    ])
}

fn metadata(metadata: &MetaData) -> Result<StructArray, Error> {
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let format = structs(vec![
        ("provider", text(Some(&metadata.format.provider))),
        ("options", Arc::new(text_map([&metadata.format.options])?)),
    ]);
    let mut columns = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    metadata.partition_columns.iter().for_each(|column| columns.values().append_value(column));
    columns.append(true);
    Ok(structs(vec![
        ("id", text(Some(&metadata.id))),
        ("name", text(metadata.name.as_deref())),
        ("description", text(metadata.description.as_deref())),
        ("format", Arc::new(format)),
        ("schemaString", text(Some(&metadata.schema_string))),
        ("partitionColumns", Arc::new(columns.finish()) as ArrayRef),
        ("createdTime", Arc::new(Int64Array::from(vec![metadata.created_time]))),
        ("configuration", Arc::new(text_map([&metadata.configuration])?)),
    ]))
}

fn txns(snapshot: &Snapshot) -> StructArray {
    let own = [(super::action::APP_ID, snapshot.txn)];
    let others = snapshot.other_txns.iter().map(|(app, version)| (app.as_str(), *version));
    let all: Vec<_> = own.into_iter().chain(others).collect();
    let none: Int64Array = all.iter().map(|_| None::<i64>).collect();
    structs(vec![
        ("appId", Arc::new(all.iter().map(|(app, _)| Some(*app)).collect::<StringArray>())),
        ("version", Arc::new(all.iter().map(|(_, version)| Some(long(*version))).collect::<Int64Array>())),
        ("lastUpdated", Arc::new(none)),
    ])
}

fn adds(snapshot: &Snapshot) -> Result<StructArray, Error> {
    let adds: Vec<Add> = snapshot.files.iter().map(|file| add_of(snapshot.table, file, false)).collect();
    let none = BTreeMap::new();
    Ok(structs(vec![
        ("path", Arc::new(adds.iter().map(|add| Some(add.path.as_str())).collect::<StringArray>())),
        ("partitionValues", Arc::new(text_map(adds.iter().map(|_| &none))?)),
        ("size", Arc::new(adds.iter().map(|add| Some(long(add.size))).collect::<Int64Array>())),
        ("modificationTime", Arc::new(adds.iter().map(|add| Some(add.modification_time)).collect::<Int64Array>())),
        ("dataChange", Arc::new(adds.iter().map(|_| Some(false)).collect::<BooleanArray>())),
        ("stats", Arc::new(adds.iter().map(|add| add.stats.as_deref()).collect::<StringArray>())),
    ]))
}

fn removes(snapshot: &Snapshot) -> Result<StructArray, Error> {
    let removed = snapshot.tombstones.as_ref();
    let none = BTreeMap::new();
    let path = |path| Some(relative_path(snapshot.table, path));
    Ok(structs(vec![
        ("path", Arc::new(removed.iter().map(|at| path(at.path.as_ref())).collect::<StringArray>())),
        ("deletionTimestamp", Arc::new(removed.iter().map(|at| Some(at.removed_ms)).collect::<Int64Array>())),
        ("dataChange", Arc::new(removed.iter().map(|_| Some(false)).collect::<BooleanArray>())),
        ("extendedFileMetadata", Arc::new(removed.iter().map(|_| Some(true)).collect::<BooleanArray>())),
        ("partitionValues", Arc::new(text_map(removed.iter().map(|_| &none))?)),
        ("size", Arc::new(removed.iter().map(|at| Some(long(at.size))).collect::<Int64Array>())),
    ]))
}

fn text_map<'a>(rows: impl IntoIterator<Item = &'a BTreeMap<String, String>>) -> Result<MapArray, Error> {
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (key, value) in row {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true)?;
    }
    Ok(builder.finish())
}

fn long(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The actions of a checkpoint, whoever wrote it.
pub(crate) fn decode(what: &str, bytes: Bytes) -> Result<Vec<Line>, Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(what, error);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged(&error))?;
    let mut lines = Vec::new();
    for batch in reader.build().map_err(|error| damaged(&error))? {
        let batch = batch.map_err(|error| damaged(&error))?;
        for (name, read) in READERS {
            let Some(column) = batch.column_by_name(name).and_then(|column| column.as_struct_opt()) else { continue };
            for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                let line = read(column, row).ok_or_else(|| damaged(&format!("row {row} is no '{name}' action")))?;
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

type Reader = fn(&StructArray, usize) -> Option<Line>;

const READERS: [(&str, Reader); 5] = [
    ("protocol", |column, row| {
        let protocol = Protocol {
            min_reader_version: int(column, "minReaderVersion", row)?,
            min_writer_version: int(column, "minWriterVersion", row)?,
        };
        Some(Line { protocol: Some(protocol), ..Line::default() })
    }),
    ("metaData", |column, row| {
        let format = column.column_by_name("format")?.as_struct_opt()?;
        let columns: &ListArray = column.column_by_name("partitionColumns")?.as_list_opt()?;
        let columns = columns.value(row);
        let metadata = MetaData {
            id: text(column, "id", row)?,
            name: text(column, "name", row),
            description: text(column, "description", row),
            format: Format { provider: text(format, "provider", row)?, options: BTreeMap::new() },
            schema_string: text(column, "schemaString", row)?,
            partition_columns: columns.as_string_opt::<i32>()?.iter().flatten().map(String::from).collect(),
            created_time: big(column, "createdTime", row),
            configuration: map(column, "configuration", row),
        };
        Some(Line { meta_data: Some(metadata), ..Line::default() })
    }),
    ("txn", |column, row| {
        let version = u64::try_from(big(column, "version", row)?).ok()?;
        let txn = Txn { app_id: text(column, "appId", row)?, version, last_updated: big(column, "lastUpdated", row) };
        Some(Line { txn: Some(txn), ..Line::default() })
    }),
    ("add", |column, row| {
        let add = Add {
            path: text(column, "path", row)?,
            partition_values: BTreeMap::new(),
            size: u64::try_from(big(column, "size", row)?).ok()?,
            modification_time: big(column, "modificationTime", row)?,
            data_change: false,
            stats: text(column, "stats", row),
        };
        Some(Line { add: Some(add), ..Line::default() })
    }),
    ("remove", |column, row| {
        let remove = Remove {
            path: text(column, "path", row)?,
            deletion_timestamp: big(column, "deletionTimestamp", row),
            data_change: false,
            extended_file_metadata: None,
            partition_values: None,
            size: big(column, "size", row).and_then(|size| u64::try_from(size).ok()),
        };
        Some(Line { remove: Some(remove), ..Line::default() })
    }),
];

fn text(column: &StructArray, name: &str, row: usize) -> Option<String> {
    let column = column.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_string())
}

fn big(column: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = column.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn int(column: &StructArray, name: &str, row: usize) -> Option<i32> {
    let column = column.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn map(column: &StructArray, name: &str, row: usize) -> BTreeMap<String, String> {
    let Some(column) = column.column_by_name(name).and_then(|column| column.as_map_opt()) else {
        return BTreeMap::new();
    };
    let entries = column.value(row);
    let (Some(keys), Some(values)) =
        (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>())
    else {
        return BTreeMap::new();
    };
    keys.iter().zip(values).filter_map(|(key, value)| Some((key?.into(), value?.into()))).collect()
}
