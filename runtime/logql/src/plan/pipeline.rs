//! The pipeline as a scalar function over a batch: rows in; out comes, for each row, a list of one
//! entry or sample with its label set, or of none where a stage dropped the line.
//!
//! A label set is a key of bytes (`name 0xff value 0xff …`, sorted by name), which groups and compares
//! without a map. The list is there to be unnested, which both leaves out the dropped lines and keeps
//! the optimiser away: DataFusion copies filters on, and fields of, a function's result below the
//! native filters (volatile or not), where the function would run on every row, several times.

use super::lines::{Lines, Scratch};
use crate::ast::{Grouping, Stage};
use crate::stages::Pipeline;
use crate::stages::row::{Category, ERROR, ERROR_DETAILS, Row};
use datafusion::arrow::array::{ArrayRef, BinaryBuilder, Float64Builder, ListArray, StringBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weft_query::error::rejected;

/// Marks the message of an error that is a pipeline's, on its way through the engine.
pub(crate) const PIPELINE_ERROR: &str = "logql pipeline error: ";

/// Field of a sample: its label set.
pub(crate) const KEY: &str = "key";
/// Field of a sample: its value.
pub(crate) const VALUE: &str = "value";
/// Field of an entry.
pub(crate) const LINE: &str = "line";
/// Field of an entry: the stream's labels.
pub(crate) const STREAM: &str = "stream";
/// Field of an entry: structured metadata.
pub(crate) const METADATA: &str = "metadata";
/// Field of an entry: labels that stages made.
pub(crate) const PARSED: &str = "parsed";

/// What a row becomes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// An entry of a log query.
    Entry,
    /// A sample of a metric query.
    Sample {
        /// What it counts as.
        value: SampleValue,
        /// Labels to keep; all when `None`.
        grouping: Option<Grouping>,
        /// Rows outside the windows of all steps are left out before any stage runs.
        windows: Windows,
    },
}

/// What a line counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleValue {
    /// 1.
    One,
    /// Its length in bytes.
    Bytes,
    /// The unwrapped label.
    Unwrapped,
}

/// Steps and the window each of them sees, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Windows {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) steps: usize,
    pub(crate) range: i64,
    pub(crate) offset: i64,
}

impl Windows {
    /// The first and last step whose window holds `time`.
    pub(crate) fn of(&self, time: i64) -> Option<(usize, usize)> {
        let since = i128::from(time) + i128::from(self.offset) - i128::from(self.start);
        let step = i128::from(self.step.max(1));
        // The first step at or after the time, and the last whose window begins before it.
        let first = (since + step - 1).div_euclid(step).max(0);
        let last = (since + i128::from(self.range) - 1).div_euclid(step).min(self.steps as i128 - 1);
        if first > last {
            return None;
        }
        Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?))
    }
}

/// What a query has read so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lines: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// The function of one query.
#[derive(Debug)]
pub(crate) struct PipelineFunction {
    stages: Vec<Stage>,
    needed: Option<Vec<String>>,
    output: Output,
    counters: Arc<Counters>,
    /// Compiled stages hold buffers, so each running call takes one set and puts it back.
    idle: Mutex<Vec<Pipeline>>,
    signature: Signature,
}

impl PipelineFunction {
    /// The function for `stages`; `needed` are the labels a metric query keeps, when it keeps only those.
    pub(crate) fn udf(
        stages: &[Stage],
        needed: Option<&[String]>,
        output: Output,
        counters: Arc<Counters>,
    ) -> Result<ScalarUDF, String> {
        let first = Pipeline::new(stages, needed)?;
        Ok(ScalarUDF::new_from_impl(Self {
            stages: stages.to_vec(),
            needed: needed.map(<[String]>::to_vec),
            output,
            counters,
            idle: Mutex::new(vec![first]),
            signature: Signature::variadic_any(Volatility::Volatile),
        }))
    }

    fn take(&self) -> Result<Pipeline> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(pipeline) => Ok(pipeline),
            None => Pipeline::new(&self.stages, self.needed.as_deref()).map_err(DataFusionError::Execution),
        }
    }

    fn put_back(&self, pipeline: Pipeline) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pipeline);
    }

    fn fields(&self) -> Fields {
        match self.output {
            Output::Entry => Fields::from(vec![
                Field::new(LINE, DataType::Utf8, true),
                Field::new(STREAM, DataType::Binary, true),
                Field::new(METADATA, DataType::Binary, true),
                Field::new(PARSED, DataType::Binary, true),
            ]),
            Output::Sample { .. } => {
                Fields::from(vec![Field::new(KEY, DataType::Binary, true), Field::new(VALUE, DataType::Float64, true)])
            }
        }
    }
}

impl PartialEq for PipelineFunction {
    fn eq(&self, other: &Self) -> bool {
        self.stages == other.stages && self.needed == other.needed && self.output == other.output
    }
}

impl Eq for PipelineFunction {}

impl Hash for PipelineFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.stages.len().hash(state);
        self.needed.hash(state);
    }
}

impl ScalarUDFImpl for PipelineFunction {
    fn name(&self) -> &str {
        "logql_pipeline"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(element(self.fields())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = arguments
            .args
            .iter()
            .map(|argument| argument.to_array(arguments.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let lines = Lines::of(&arrays)?;
        let mut pipeline = self.take()?;
        let bytes: usize = (0..lines.len()).map(|at| lines.body(at).len()).sum();
        self.counters.lines.fetch_add(lines.len() as u64, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let result = match &self.output {
            Output::Entry => entries(&lines, &mut pipeline, self.fields()),
            Output::Sample { value, grouping, windows } => {
                samples(&lines, &mut pipeline, self.fields(), *value, grouping.as_ref(), *windows)
            }
        };
        self.put_back(pipeline);
        Ok(ColumnarValue::Array(result?))
    }
}

fn write_label(key: &mut Vec<u8>, name: &str, value: &str) {
    key.extend_from_slice(name.as_bytes());
    key.push(0xff);
    key.extend_from_slice(value.as_bytes());
    key.push(0xff);
}

/// A list for each row, of one entry or none.
fn entries(lines: &Lines<'_>, pipeline: &mut Pipeline, fields: Fields) -> Result<ArrayRef> {
    let rows = lines.len();
    let mut line = StringBuilder::with_capacity(rows, rows * 128);
    let mut keys: [BinaryBuilder; 3] = std::array::from_fn(|_| BinaryBuilder::with_capacity(rows, rows * 64));
    let mut scratch: [Vec<u8>; 3] = std::array::from_fn(|_| Vec::with_capacity(256));
    let mut lengths = Vec::with_capacity(rows);
    let (mut row, mut buffers) = (Row::new(), Scratch::default());
    for at in 0..rows {
        lines.fill(at, &mut row, &mut buffers);
        let kept = pipeline.run(&mut row).is_some();
        lengths.push(usize::from(kept));
        if !kept {
            continue;
        }
        line.append_value(row.line());
        scratch.iter_mut().for_each(Vec::clear);
        row.sorted(|name, value, category| {
            let part = match category {
                Category::Stream => 0,
                Category::Metadata => 1,
                Category::Parsed => 2,
            };
            write_label(&mut scratch[part], name, value);
        });
        for (key, part) in keys.iter_mut().zip(&scratch) {
            key.append_value(part);
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(line.finish())];
    columns.extend(keys.into_iter().map(|mut key| Arc::new(key.finish()) as ArrayRef));
    Ok(lists(fields, columns, lengths))
}

/// Lists of the given lengths, their items' columns one after the other.
fn lists(fields: Fields, columns: Vec<ArrayRef>, lengths: Vec<usize>) -> ArrayRef {
    let items = StructArray::new(fields.clone(), columns, None);
    Arc::new(ListArray::new(element(fields), OffsetBuffer::from_lengths(lengths), Arc::new(items), None))
}

fn element(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), true))
}

fn samples(
    lines: &Lines<'_>,
    pipeline: &mut Pipeline,
    fields: Fields,
    sample: SampleValue,
    grouping: Option<&Grouping>,
    windows: Windows,
) -> Result<ArrayRef> {
    let rows = lines.len();
    let mut keys = BinaryBuilder::with_capacity(rows, rows * 64);
    let mut values = Float64Builder::with_capacity(rows);
    let mut lengths = Vec::with_capacity(rows);
    let mut key = Vec::with_capacity(256);
    let (mut row, mut buffers) = (Row::new(), Scratch::default());
    let unwrapped = pipeline.unwrapped().map(str::to_owned);
    for at in 0..rows {
        let value = if windows.of(lines.time(at)).is_some() {
            lines.fill(at, &mut row, &mut buffers);
            pipeline.run(&mut row)
        } else {
            None
        };
        lengths.push(usize::from(value.is_some()));
        let Some(value) = value else { continue };
        if let Some(error) = remaining_error(&row) {
            return Err(rejected(format!("{PIPELINE_ERROR}{error}\n{}", display(&mut row))));
        }
        key.clear();
        row.sorted(|name, value, _| {
            let kept = match grouping {
                None => true,
                Some(grouping) => grouping.labels.iter().any(|label| label == name) != grouping.without,
            };
            if kept && unwrapped.as_deref() != Some(name) {
                write_label(&mut key, name, value);
            }
        });
        keys.append_value(&key);
        #[allow(clippy::cast_precision_loss, reason = "lines are far shorter than 2^53 bytes")]
        values.append_value(match sample {
            SampleValue::One => 1.0,
            SampleValue::Bytes => row.line().len() as f64,
            SampleValue::Unwrapped => value,
        });
    }
    Ok(lists(fields, vec![Arc::new(keys.finish()), Arc::new(values.finish())], lengths))
}

/// `__error__` of a line that reached the end, whoever set it.
fn remaining_error(row: &Row<'_>) -> Option<String> {
    row.get(ERROR).filter(|error| !error.is_empty()).map(str::to_owned)
}

fn display(row: &mut Row<'_>) -> String {
    let details = row.get(ERROR_DETAILS).map(str::to_owned);
    let mut pairs = Vec::new();
    row.sorted(|name, value, _| pairs.push((name.to_owned(), value.to_owned())));
    pairs.extend(details.map(|details| (ERROR_DETAILS.to_owned(), details)));
    crate::answer::Labels::from_pairs(pairs).to_string()
}
