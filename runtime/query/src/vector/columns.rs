//! Reading and writing list columns without going through an array per row.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use std::sync::Arc;
use weft_model::attributes::{element_field, list_of};

/// The type of the `values` column.
pub fn values_type() -> DataType {
    list_of(DataType::Float64)
}

/// The type of the `timestamps` column.
pub fn timestamps_type() -> DataType {
    list_of(DataType::Int64)
}

/// A column of float lists.
#[derive(Debug, Clone, Copy)]
pub struct FloatLists<'a> {
    list: &'a ListArray,
    values: &'a [f64],
    nulls: Option<&'a NullBuffer>,
}

/// One row of [`FloatLists`].
#[derive(Debug, Clone, Copy)]
pub struct FloatRow<'a> {
    /// The elements; those that are null have no meaning.
    pub values: &'a [f64],
    nulls: Option<&'a NullBuffer>,
    start: usize,
}

impl<'a> FloatLists<'a> {
    /// Looks into `array`.
    ///
    /// # Errors
    /// When it is no list of floats.
    pub fn of(array: &'a ArrayRef) -> Result<Self> {
        let lists = array.as_list_opt::<i32>();
        let Some((list, child)) = lists.and_then(|list| Some((list, list.values().as_primitive_opt::<Float64Type>()?)))
        else {
            return exec_err!("expected a list of floats, not {}", array.data_type());
        };
        Ok(Self { list, values: child.values(), nulls: child.nulls().filter(|nulls| nulls.null_count() > 0) })
    }

    /// Rows of the column.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a row holds no list at all.
    pub fn is_null(&self, row: usize) -> bool {
        self.list.is_null(row)
    }

    /// A row; empty when null.
    pub fn row(&self, row: usize) -> FloatRow<'a> {
        let offsets = self.list.value_offsets();
        let (start, end) = if self.is_null(row) { (0, 0) } else { (offsets[row] as usize, offsets[row + 1] as usize) };
        FloatRow { values: &self.values[start..end], nulls: self.nulls, start }
    }
}

impl FloatRow<'_> {
    /// Whether an element is not null.
    pub fn is_valid(&self, at: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(self.start + at))
    }

    /// An element.
    pub fn get(&self, at: usize) -> Option<f64> {
        let value = self.values.get(at)?;
        self.is_valid(at).then_some(*value)
    }
}

/// A column of integer lists; elements aren't null.
#[derive(Debug, Clone, Copy)]
pub struct IntLists<'a> {
    list: &'a ListArray,
    values: &'a [i64],
}

impl<'a> IntLists<'a> {
    /// Looks into `array`.
    ///
    /// # Errors
    /// When it is no list of integers.
    pub fn of(array: &'a ArrayRef) -> Result<Self> {
        let lists = array.as_list_opt::<i32>();
        let Some((list, child)) = lists.and_then(|list| Some((list, list.values().as_primitive_opt::<Int64Type>()?)))
        else {
            return exec_err!("expected a list of integers, not {}", array.data_type());
        };
        Ok(Self { list, values: child.values() })
    }

    /// Whether a row holds no list at all.
    pub fn is_null(&self, row: usize) -> bool {
        self.list.is_null(row)
    }

    /// A row; empty when null.
    pub fn row(&self, row: usize) -> &'a [i64] {
        if self.is_null(row) {
            return &[];
        }
        let offsets = self.list.value_offsets();
        &self.values[offsets[row] as usize..offsets[row + 1] as usize]
    }
}

/// Builds a `values` column element by element.
#[derive(Debug)]
pub struct FloatListBuilder {
    offsets: Vec<i32>,
    values: Vec<f64>,
    valid: BooleanBufferBuilder,
}

impl FloatListBuilder {
    /// Room for `rows` of `elements` each.
    pub fn with_capacity(rows: usize, elements: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, values: Vec::with_capacity(rows * elements), valid: BooleanBufferBuilder::new(rows * elements) }
    }

    /// Appends an element to the open row.
    pub fn push(&mut self, value: Option<f64>) {
        self.values.push(value.unwrap_or_default());
        self.valid.append(value.is_some());
    }

    /// Appends elements that are all there.
    pub fn extend(&mut self, values: &[f64]) {
        self.values.extend_from_slice(values);
        self.valid.append_n(values.len(), true);
    }

    /// Closes the row.
    pub fn finish_row(&mut self) {
        self.offsets.push(offset(self.values.len()));
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        let nulls = NullBuffer::new(self.valid.finish());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let child = Float64Array::new(ScalarBuffer::from(self.values), nulls);
        Arc::new(ListArray::new(element_field(DataType::Float64), offsets(self.offsets), Arc::new(child), None))
    }
}

/// A column of integer lists from its parts; `offsets` has one more entry than there are rows.
pub fn int_lists(offsets_of_rows: Vec<i32>, values: Vec<i64>) -> ArrayRef {
    let child = Int64Array::new(ScalarBuffer::from(values), None);
    Arc::new(ListArray::new(element_field(DataType::Int64), offsets(offsets_of_rows), Arc::new(child), None))
}

/// Offsets of a list column.
pub fn offsets(offsets: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// A position in a list column's child; Arrow's limit of 2^31 elements holds for one batch.
pub fn offset(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

/// An argument that is one number, or a number for each step.
#[derive(Debug)]
pub enum Operand {
    /// The same everywhere.
    Constant(f64),
    /// A column of `values`; for a literal list, one row that stands for all.
    Column(ArrayRef, bool),
}

impl Operand {
    /// Argument `at`.
    ///
    /// # Errors
    /// When it is neither a float nor a list of floats.
    pub fn read(arguments: &ScalarFunctionArgs, at: usize) -> Result<Self> {
        match arguments.args.get(at) {
            Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(value)))) => Ok(Self::Constant(*value)),
            Some(ColumnarValue::Scalar(ScalarValue::List(list))) => {
                Ok(Self::Column(Arc::clone(list) as ArrayRef, true))
            }
            Some(ColumnarValue::Array(array)) => Ok(Self::Column(Arc::clone(array), false)),
            _ => exec_err!("argument {} must be a number or a list of numbers", at + 1),
        }
    }

    /// Ready for reading by row.
    ///
    /// # Errors
    /// When it is no list of floats.
    pub fn rows(&self) -> Result<Operands<'_>> {
        Ok(match self {
            Self::Constant(value) => Operands::Constant(*value),
            Self::Column(array, single) => Operands::Lists(FloatLists::of(array)?, *single),
        })
    }
}

/// [`Operand`], taken apart.
#[derive(Debug, Clone, Copy)]
pub enum Operands<'a> {
    /// The same everywhere.
    Constant(f64),
    /// Lists, one row for all when true.
    Lists(FloatLists<'a>, bool),
}

impl<'a> Operands<'a> {
    /// A row of it.
    pub fn row(&self, row: usize) -> OperandRow<'a> {
        match self {
            Self::Constant(value) => OperandRow::Constant(*value),
            Self::Lists(lists, single) => OperandRow::List(lists.row(if *single { 0 } else { row })),
        }
    }

    /// Whether every step has the same value.
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

/// A row of [`Operands`].
#[derive(Debug, Clone, Copy)]
pub enum OperandRow<'a> {
    /// The same at every step.
    Constant(f64),
    /// By step.
    List(FloatRow<'a>),
}

impl OperandRow<'_> {
    /// Its value at a step.
    pub fn get(&self, step: usize) -> Option<f64> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::List(row) => row.get(step),
        }
    }

    /// Steps it has; `None` for a constant.
    pub fn steps(&self) -> Option<usize> {
        match self {
            Self::Constant(_) => None,
            Self::List(row) => Some(row.values.len()),
        }
    }
}
