//! Reading `Map<Utf8, Utf8>` and typed-map columns row by row without copying, and writing label maps.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use datafusion::common::{Result, exec_err};
use weft_model::attributes::LabelMapBuilder;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A column of label maps.
#[derive(Debug)]
pub struct Labels<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Labels<'a> {
    /// Looks into `array`.
    ///
    /// # Errors
    /// When it is no map of strings.
    pub fn of(array: &'a ArrayRef) -> Result<Self> {
        let Some(map) = array.as_map_opt() else {
            return exec_err!("expected a map of labels, not {}", array.data_type());
        };
        match (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>()) {
            (Some(keys), Some(values)) => Ok(Self { map, keys, values }),
            _ => exec_err!("expected a map of strings, not {}", array.data_type()),
        }
    }

    /// Rows of the column.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The labels of a row, in stored order, those with an empty value left out: they count as absent.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (keys, values) = (self.keys, self.values);
        self.entries(row)
            .map(move |at| (keys.value(at), if values.is_null(at) { "" } else { values.value(at) }))
            .filter(|(_, value)| !value.is_empty())
    }

    /// The value of a label; empty when absent.
    pub fn get(&self, row: usize, name: &str) -> &'a str {
        self.entries(row)
            .find(|at| self.keys.value(*at) == name)
            .map_or("", |at| if self.values.is_null(at) { "" } else { self.values.value(at) })
    }

    fn entries(&self, row: usize) -> std::ops::Range<usize> {
        if self.map.is_null(row) {
            return 0..0;
        }
        let offsets = self.map.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }
}

/// Writes labels that come sorted by name with one more put in its place; an empty `value` puts none.
pub fn write_with<'a>(
    out: &mut LabelMapBuilder,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    name: &str,
    value: &str,
) {
    let mut placed = value.is_empty();
    for (key, held) in labels {
        if !placed && key > name {
            out.label(name, value);
            placed = true;
        }
        out.label(key, held);
    }
    if !placed {
        out.label(name, value);
    }
    out.finish_row();
}
