//! `collect_series(labels, values)`: a group's series as one list, for what needs them side by side
//! (`topk`, quantiles, matching many to one, histograms).

use super::columns::{offset, offsets, values_type};
use super::grouped::Grouped;
use super::{LABELS, VALUES};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, new_empty_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use std::sync::{Arc, LazyLock};
use weft_model::attributes::{element_field, label_map, list_of};

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new(LABELS, label_map(), true), Field::new(VALUES, values_type(), true)])
});

static UDF: LazyLock<Arc<AggregateUDF>> =
    LazyLock::new(|| Grouped::udaf("collect_series", series_list, state, || Box::new(Collect::default())));

/// The type of a list of series.
pub fn series_list() -> DataType {
    list_of(series_type())
}

/// The type of one series.
pub fn series_type() -> DataType {
    DataType::Struct(FIELDS.clone())
}

/// The fields of one series.
pub fn series_fields() -> Fields {
    FIELDS.clone()
}

fn state() -> Vec<FieldRef> {
    vec![Arc::new(Field::new("series", series_list(), true))]
}

/// The function.
pub fn collect() -> Arc<AggregateUDF> {
    Arc::clone(&UDF)
}

/// A list column of series from its parts; `ends` has one more entry than there are rows.
pub fn series_lists(ends: Vec<i32>, labels: ArrayRef, values: ArrayRef) -> ArrayRef {
    let series = StructArray::new(FIELDS.clone(), vec![labels, values], None);
    Arc::new(ListArray::new(element_field(series_type()), offsets(ends), Arc::new(series), None))
}

/// A list column of series, taken apart.
#[derive(Debug)]
pub struct SeriesLists<'a> {
    list: &'a ListArray,
    /// Labels of all series of all rows.
    pub labels: &'a ArrayRef,
    /// Values of all series of all rows.
    pub values: &'a ArrayRef,
}

impl<'a> SeriesLists<'a> {
    /// Looks into `array`.
    ///
    /// # Errors
    /// When it is no list of series.
    pub fn of(array: &'a ArrayRef) -> Result<Self> {
        let parts = array.as_list_opt::<i32>().and_then(|list| {
            let series = list.values().as_struct_opt()?;
            Some(Self { list, labels: series.column_by_name(LABELS)?, values: series.column_by_name(VALUES)? })
        });
        match parts {
            Some(parts) => Ok(parts),
            None => exec_err!("expected a list of series, not {}", array.data_type()),
        }
    }

    /// Rows of the column.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The series of a row, as indexes into `labels` and `values`.
    pub fn row(&self, row: usize) -> std::ops::Range<usize> {
        if self.list.is_null(row) {
            return 0..0;
        }
        let offsets = self.list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }
}

/// Series in the order they came, with the group of each.
#[derive(Debug, Default)]
struct Collect {
    batches: Vec<ArrayRef>,
    bytes: usize,
    /// Group, batch, row in the batch.
    places: Vec<(usize, usize, usize)>,
    groups: usize,
}

impl Collect {
    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(n) => n.min(self.groups),
        };
        self.places.sort_by_key(|(group, _, _)| *group);
        let cut = self.places.partition_point(|(group, _, _)| *group < groups);
        let mut rest = self.places.split_off(cut);
        let mut ends = Vec::with_capacity(groups + 1);
        ends.push(0);
        let mut at = 0;
        for group in 0..groups {
            while at < self.places.len() && self.places[at].0 == group {
                at += 1;
            }
            ends.push(offset(at));
        }
        let order: Vec<(usize, usize)> = self.places.iter().map(|(_, batch, row)| (*batch, *row)).collect();
        let sources: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.as_ref() as &dyn Array).collect();
        let series = if order.is_empty() { new_empty_array(&series_type()) } else { interleave(&sources, &order)? };
        rest.iter_mut().for_each(|(group, _, _)| *group -= groups);
        self.groups -= groups;
        self.places = rest;
        if self.places.is_empty() {
            self.batches.clear();
            self.bytes = 0;
        }
        Ok(Arc::new(ListArray::new(element_field(series_type()), offsets(ends), series, None)))
    }
}

impl GroupsAccumulator for Collect {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let [labels, values] = values else {
            return exec_err!("collect_series takes 2 arguments, not {}", values.len());
        };
        let batch: ArrayRef =
            Arc::new(StructArray::new(FIELDS.clone(), vec![Arc::clone(labels), Arc::clone(values)], None));
        self.groups = self.groups.max(total);
        self.bytes += batch.get_array_memory_size();
        let at = self.batches.len();
        self.batches.push(batch);
        let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        self.places
            .extend(groups.iter().enumerate().filter(|(row, _)| passes(*row)).map(|(row, group)| (*group, at, row)));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let [lists] = values else { return exec_err!("collect_series: a state has 1 column") };
        let Some(list) = lists.as_list_opt::<i32>() else { return exec_err!("collect_series: a state is a list") };
        self.groups = self.groups.max(total);
        self.bytes += lists.get_array_memory_size();
        let at = self.batches.len();
        self.batches.push(Arc::clone(list.values()));
        let ends = list.value_offsets();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| list.is_valid(*row)) {
            self.places.extend((ends[row] as usize..ends[row + 1] as usize).map(|place| (*group, at, place)));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self::default();
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes + self.places.capacity() * size_of::<(usize, usize, usize)>()
    }
}
