//! Runs kernels on chosen rows only.
//!
//! Kernels know `all`, `missing` and `present`, no masks. So an edit runs on every row, and the rows
//! that weren't meant get their old value back, with its type, by copies inside the host. What says
//! which rows to copy is a marker column: `copy` to it with `present` fills exactly its rows.

use crate::Type;
use weft_guest::{Batch, Dictionary, Error, Mask, Nulls, Rows, Scalar};

/// A value that no attribute has.
const MARKER: &str = "\u{0}weft";

/// A batch, and the rows of it that may change.
pub(crate) struct Edit<'b> {
    batch: &'b Batch,
    /// `None`: all.
    selected: Option<Mask>,
}

/// A name for a value kept for a while, beside `path`.
fn aside(path: &str, name: &str) -> String {
    let map = path.split('.').next().unwrap_or_default();
    format!("{map}.__weft_{name}")
}

impl<'b> Edit<'b> {
    pub(crate) fn new(batch: &'b Batch, selected: Option<Mask>) -> Self {
        Self { batch, selected }
    }

    pub(crate) fn batch(&self) -> &'b Batch {
        self.batch
    }

    /// Whether no row may change.
    pub(crate) fn nothing(&self) -> bool {
        self.selected.as_ref().is_some_and(|mask| mask.count() == 0)
    }

    /// Runs an edit that changes nothing but `path`.
    pub(crate) fn change(&self, path: &str, edit: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let Some(selected) = &self.selected else { return edit() };
        let batch = self.batch;
        let [old, new_part, old_part] = ["old", "new_part", "old_part"].map(|name| aside(path, name));
        batch.copy(path, &old, Rows::All)?;
        edit()?;
        let mut others = selected.clone();
        others.not();
        self.pick(path, selected, &new_part)?;
        self.pick(&old, &others, &old_part)?;
        batch.remove(path)?;
        for part in [&new_part, &old_part] {
            batch.copy(part, path, Rows::All)?;
        }
        [&old, &new_part, &old_part].into_iter().try_for_each(|path| batch.remove(path))
    }

    /// Runs what reads `path`, so that it sees values only in the rows that may change.
    pub(crate) fn with_selected(&self, path: &str, read: impl FnOnce(&str) -> Result<(), Error>) -> Result<(), Error> {
        let Some(selected) = &self.selected else { return read(path) };
        let part = aside(path, "part");
        self.pick(path, selected, &part)?;
        read(&part)?;
        self.batch.remove(&part)
    }

    /// Copies the values of the chosen rows to `target`, which has no others.
    fn pick(&self, path: &str, rows: &Mask, target: &str) -> Result<(), Error> {
        let batch = self.batch;
        let present = aside(path, "present");
        batch.set_constant(&present, &Scalar::Text(MARKER.into()), Rows::All)?;
        batch.copy(path, &present, Rows::All)?;
        let values = batch.dictionary(&present)?;
        batch.remove(&present)?;
        let absent = |row: usize| values.get(row) == Some(MARKER);
        let marks: Dictionary =
            (0..batch.rows()).map(|row| (rows.get(row) && !absent(row)).then_some(MARKER)).collect();
        batch.set_dictionary(target, &marks, Nulls::Clear)?;
        batch.copy(path, target, Rows::Present)
    }
}

/// Gives values another type; those that can't be read as one stay as they are.
pub(crate) fn convert(batch: &Batch, path: &str, to: Type) -> Result<(), Error> {
    let (texts, ints, floats, bools) =
        (batch.dictionary(path)?, batch.ints(path)?, batch.floats(path)?, batch.bools(path)?);
    let rows = 0..batch.rows();
    let leave = Nulls::Leave;
    match to {
        Type::Int => {
            let int = |row| {
                let whole = |value: f64| (value.is_finite() && value.abs() < 9.3e18).then_some(value as i64);
                let text = texts.get(row).and_then(|text| text.trim().parse().ok());
                text.or_else(|| floats.get(row).and_then(whole)).or_else(|| bools.get(row).map(i64::from))
            };
            batch.set_ints(path, &rows.map(int).collect(), leave)
        }
        Type::Double => {
            let float = |row| {
                let text = texts.get(row).and_then(|text| text.trim().parse().ok());
                text.or_else(|| ints.get(row).map(|value| value as f64))
                    .or_else(|| bools.get(row).map(|value| f64::from(u8::from(value))))
            };
            batch.set_floats(path, &rows.map(float).collect(), leave)
        }
        Type::String => {
            let texts: Vec<Option<String>> = rows
                .map(|row| {
                    let int = ints.get(row).map(|value| value.to_string());
                    int.or_else(|| floats.get(row).map(|value| value.to_string()))
                        .or_else(|| bools.get(row).map(|value| value.to_string()))
                })
                .collect();
            let column: Dictionary = texts.iter().map(Option::as_deref).collect();
            batch.set_dictionary(path, &column, leave)
        }
    }
}
