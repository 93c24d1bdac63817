//! Which files of a table a filter can touch, by the statistics kept in the table's log.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use std::sync::Arc;
use weft_table::FileInfo;
use weft_table::StatValue as Value;

/// The files that may hold rows `predicate` passes. What can't be decided is kept.
pub fn prune<'a>(
    files: &'a [Arc<FileInfo>],
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    schema: &SchemaRef,
) -> Vec<&'a FileInfo> {
    let all = || files.iter().map(Arc::as_ref).collect();
    let Some(predicate) = predicate else { return all() };
    // None where the filter says nothing about columns with statistics.
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
    let Some(pruning) = builder.build(Arc::clone(predicate)) else { return all() };
    let known = files.iter().map(|file| Arc::new(statistics(file, schema))).collect();
    match pruning.prune(&PrunableStatistics::new(known, Arc::clone(schema))) {
        Ok(kept) => files.iter().zip(kept).filter_map(|(file, keep)| keep.then_some(file.as_ref())).collect(),
        Err(error) => {
            tracing::debug!(%error, "files can't be pruned by this filter");
            all()
        }
    }
}

/// A file's statistics in DataFusion's form. They are declared exact: DataFusion prunes by no others.
pub fn statistics(file: &FileInfo, schema: &SchemaRef) -> Statistics {
    let columns = schema.fields().iter().map(|field| {
        let Some(range) = file.stats.columns.get(field.name()) else { return ColumnStatistics::new_unknown() };
        let bound = |value: &Option<Value>| {
            let value = value.as_ref().and_then(|value| scalar(value, field.data_type()));
            // A cut text is below (or above) all values, so never both bounds of one value: as good as exact.
            value.map_or(Precision::Absent, Precision::Exact)
        };
        ColumnStatistics {
            null_count: usize::try_from(range.nulls).map_or(Precision::Absent, Precision::Exact),
            min_value: bound(&range.min),
            max_value: bound(&range.max),
            ..ColumnStatistics::new_unknown()
        }
    });
    Statistics {
        num_rows: usize::try_from(file.rows).map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    match (value, data_type) {
        (Value::Int(value), DataType::Int64) => Some(ScalarValue::Int64(Some(*value))),
        (Value::Int(value), DataType::Int32) => i32::try_from(*value).ok().map(|value| ScalarValue::Int32(Some(value))),
        (Value::Text(value), DataType::Utf8) => Some(ScalarValue::Utf8(Some(value.clone()))),
        _ => None,
    }
}
