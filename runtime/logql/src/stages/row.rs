//! One line on its way through a pipeline: its text, its labels by category, its error.
//!
//! A [`Row`] is reused for every line of a batch. What comes from the batch is borrowed from it, what
//! stages make is appended to one scratch buffer; so a line costs no allocation once the buffers
//! have grown.

use std::ops::Range;

/// Label that names the failure of a stage.
pub(crate) const ERROR: &str = "__error__";
/// Label that describes it.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";
/// Appended to the name of a label that lost its base name to another category.
const EXTRACTED: &str = "_extracted";

/// Where a label comes from. Of equal base names the lowest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Category {
    Stream,
    Metadata,
    Parsed,
}

#[derive(Debug, Clone)]
enum Text<'a> {
    Batch(&'a str),
    Scratch(Range<usize>),
}

impl<'a> Text<'a> {
    fn get<'b>(&self, scratch: &'b str) -> &'b str
    where
        'a: 'b,
    {
        match self {
            Self::Batch(text) => text,
            Self::Scratch(range) => &scratch[range.clone()],
        }
    }
}

#[derive(Debug, Clone)]
struct Label<'a> {
    name: Text<'a>,
    value: Text<'a>,
    category: Category,
    /// Set by a parser, not by a formatter: later parsers leave it alone.
    extracted: bool,
}

/// The line, taken out of its row while a parser reads it and writes labels.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    Batch(&'a str),
    Rewritten(String),
}

impl Line<'_> {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Batch(text) => text,
            Self::Rewritten(text) => text,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Row<'a> {
    labels: Vec<Label<'a>>,
    scratch: String,
    line: Line<'a>,
    error: &'static str,
    details: String,
    timestamp: i64,
    /// Labels that parsers set which the query is known to need.
    required_found: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new() -> Self {
        Self {
            labels: Vec::with_capacity(32),
            scratch: String::with_capacity(1024),
            line: Line::Batch(""),
            error: "",
            details: String::new(),
            timestamp: 0,
            required_found: 0,
        }
    }

    /// Begins the next line.
    pub(crate) fn reset(&mut self, line: &'a str, timestamp: i64) {
        self.labels.clear();
        self.scratch.clear();
        self.line = Line::Batch(line);
        self.error = "";
        self.details.clear();
        self.timestamp = timestamp;
        self.required_found = 0;
    }

    pub(crate) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    pub(crate) fn line(&self) -> &str {
        self.line.text()
    }

    pub(crate) fn take_line(&mut self) -> Line<'a> {
        std::mem::replace(&mut self.line, Line::Batch(""))
    }

    pub(crate) fn set_line(&mut self, line: Line<'a>) {
        self.line = line;
    }

    /// Adds a stream label of the batch.
    pub(crate) fn stream_label(&mut self, name: &'a str, value: &'a str) {
        self.push(Text::Batch(name), Text::Batch(value), Category::Stream, false);
    }

    /// Adds structured metadata of the batch; the stream labels come first. A name that is taken
    /// moves to `<name>_extracted`, of equal names the first stays.
    pub(crate) fn metadata(&mut self, name: &'a str, value: &'a str) {
        let (name, value) = (Text::Batch(name), Text::Batch(value));
        self.place_metadata(name, value);
    }

    /// As [`Self::metadata`], for a name and value that are made, not stored.
    pub(crate) fn made_metadata(&mut self, name: &str, value: impl FnOnce(&mut String)) {
        let name = self.append(name);
        let start = self.scratch.len();
        value(&mut self.scratch);
        let value = Text::Scratch(start..self.scratch.len());
        self.place_metadata(name, value);
    }

    /// Whether the stream has a label of this name.
    pub(crate) fn has_stream_label(&self, name: &str) -> bool {
        self.find(name).is_some_and(|at| self.labels[at].category == Category::Stream)
    }

    fn place_metadata(&mut self, name: Text<'a>, value: Text<'a>) {
        let text = name.get(&self.scratch);
        match self.find(text).map(|at| self.labels[at].category) {
            None => self.push(name, value, Category::Metadata, false),
            Some(Category::Stream) => {
                let start = self.scratch.len();
                let copy = match &name {
                    Text::Batch(text) => {
                        self.scratch.push_str(text);
                        start..self.scratch.len()
                    }
                    Text::Scratch(range) => {
                        let text = self.scratch[range.clone()].to_owned();
                        self.scratch.push_str(&text);
                        start..self.scratch.len()
                    }
                };
                self.scratch.push_str(EXTRACTED);
                let moved = Text::Scratch(copy.start..self.scratch.len());
                if self.find(moved.get(&self.scratch)).is_none() {
                    self.push(moved, value, Category::Metadata, false);
                }
            }
            Some(_) => {}
        }
    }

    fn push(&mut self, name: Text<'a>, value: Text<'a>, category: Category, extracted: bool) {
        self.labels.push(Label { name, value, category, extracted });
    }

    fn append(&mut self, text: &str) -> Text<'a> {
        let start = self.scratch.len();
        self.scratch.push_str(text);
        Text::Scratch(start..self.scratch.len())
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.labels.iter().position(|label| label.name.get(&self.scratch) == name)
    }

    /// The value of a label, `__error__` and `__error_details__` included.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if let Some(at) = self.find(name) {
            return Some(self.labels[at].value.get(&self.scratch));
        }
        match name {
            ERROR if !self.error.is_empty() => Some(self.error),
            ERROR_DETAILS if !self.error.is_empty() && !self.details.is_empty() => Some(&self.details),
            _ => None,
        }
    }

    /// All labels, in no order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|label| (label.name.get(&self.scratch), label.value.get(&self.scratch)))
    }

    /// Sets a label as formatters do: whatever had this name is replaced.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let text = self.append(value);
        match self.find(name) {
            Some(at) => {
                let label = &mut self.labels[at];
                (label.value, label.category, label.extracted) = (text, Category::Parsed, false);
            }
            None => {
                let name = self.append(name);
                self.push(name, text, Category::Parsed, false);
            }
        }
    }

    /// Sets a label as parsers do: the name is made a valid one, gives way to stream labels and
    /// structured metadata, and of equal names the first stays. Answers whether `required` labels
    /// are complete now, so that the parser may stop.
    pub(crate) fn extract(&mut self, name: &str, value: &str, required: Option<&[String]>) -> bool {
        let start = self.scratch.len();
        sanitize(name, &mut self.scratch);
        let taken = self.find(&self.scratch[start..]).map(|at| self.labels[at].category);
        if matches!(taken, Some(Category::Stream | Category::Metadata)) {
            self.scratch.push_str(EXTRACTED);
        }
        let range = start..self.scratch.len();
        if let Some(required) = required {
            let name = &self.scratch[range.clone()];
            if !required.iter().any(|wanted| wanted == name) {
                self.scratch.truncate(start);
                return false;
            }
        }
        match self.find(&self.scratch[range.clone()]) {
            Some(at) if self.labels[at].extracted => {
                self.scratch.truncate(start);
                return false;
            }
            Some(at) => {
                let text = self.append(value);
                let label = &mut self.labels[at];
                (label.value, label.category, label.extracted) = (text, Category::Parsed, true);
            }
            None => {
                let text = self.append(value);
                self.push(Text::Scratch(range), text, Category::Parsed, true);
            }
        }
        self.required_found += 1;
        required.is_some_and(|required| self.required_found >= required.len())
    }

    /// Removes a label, an error included.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.error = "",
            ERROR_DETAILS => self.details.clear(),
            _ => {}
        }
        if let Some(at) = self.find(name) {
            self.labels.remove(at);
        }
    }

    /// Removes the labels that `keep` refuses; errors stay.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let scratch = std::mem::take(&mut self.scratch);
        self.labels.retain(|label| keep(label.name.get(&scratch), label.value.get(&scratch)));
        self.scratch = scratch;
    }

    /// Notes that a stage failed; the first failure stays.
    pub(crate) fn fail(&mut self, error: &'static str, details: &str) {
        if self.error.is_empty() {
            self.error = error;
            self.details.clear();
            self.details.push_str(details);
        }
    }

    /// The kind of failure, empty without one.
    pub(crate) fn error(&self) -> &'static str {
        self.error
    }

    /// Calls `each` with all labels sorted by name, errors included.
    pub(crate) fn sorted(&mut self, mut each: impl FnMut(&str, &str, Category)) {
        if !self.error.is_empty() && self.find(ERROR).is_none() {
            let value = self.append(self.error);
            self.push(Text::Batch(ERROR), value, Category::Parsed, false);
            if !self.details.is_empty() {
                let details = std::mem::take(&mut self.details);
                let value = self.append(&details);
                self.details = details;
                self.push(Text::Batch(ERROR_DETAILS), value, Category::Parsed, false);
            }
        }
        let scratch = &self.scratch;
        self.labels.sort_unstable_by(|a, b| a.name.get(scratch).cmp(b.name.get(scratch)));
        for label in &self.labels {
            each(label.name.get(scratch), label.value.get(scratch), label.category);
        }
    }
}

/// Appends `name` as a label's name: what is no letter, digit or underscore becomes one, and so does
/// the place before a leading digit.
pub(crate) fn sanitize(name: &str, out: &mut String) {
    let name = name.trim();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn stream_beats_metadata_beats_parsed_and_the_last_loser_keeps_the_extracted_name() {
        let mut row = Row::new();
        row.reset("", 0);
        row.stream_label("k", "s");
        row.metadata("k", "m");
        row.metadata("m", "m");
        assert_eq!(row.get("k_extracted"), Some("m"));
        row.extract("k", "p", None);
        row.extract("m", "p", None);
        row.extract("a.b", "1", None);
        row.extract("a-b", "2", None);
        assert_eq!(row.get("k"), Some("s"));
        assert_eq!(row.get("k_extracted"), Some("p"));
        assert_eq!(row.get("m_extracted"), Some("p"));
        assert_eq!(row.get("a_b"), Some("1"));
    }
}
