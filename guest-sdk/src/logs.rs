//! What the parse modules share: fields of a line become attributes of a log record, and known ones
//! its time, severity, message, ids and service.
//!
//! [`parse_batch`] takes a batch of logs, whose rows it completes in place, or of raw records, which
//! it turns into logs (`body` = the line, service from a field, the configuration or the topic). A
//! line that the parser refuses stays as it is: a raw one is still a log record.

mod lift;
pub mod time;

use crate::{
    AttributesBuilder, Batch, BlobsBuilder, DictionaryBuilder, Error, IntsBuilder, Mask, Nulls, Rows, Scalar, Signal,
    TextBuilder, count, emit,
};
pub use lift::{Lift, LiftConfig, severity_number};
use lift::{Target, id};
use std::borrow::Cow;

/// OTLP's field number of a string body.
const BODY_STRING: i64 = 1;

/// A field's value; numbers by their text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A string.
    Text(&'a str),
    /// An integer that fits 64 bits.
    Int(&'a str),
    /// Any other number.
    Float(&'a str),
    /// A boolean.
    Bool(bool),
    /// An array or object, as JSON.
    Json(&'a str),
}

/// What a parse module's configuration says of records.
#[derive(Debug)]
pub struct Settings {
    /// Path to parse: `body`, or any text of the record. Raw records: always the value.
    pub source: String,
    /// Whether fields become attributes.
    pub attributes: bool,
    /// Stands before each attribute's name.
    pub prefix: String,
    /// Whether fields that were lifted become attributes, too.
    pub keep_lifted: bool,
    /// Fields that become columns.
    pub lift: Lift,
    /// Service of raw records that name none; `None`: the topic.
    pub service: Option<String>,
}

/// Collects the fields of one line after another.
#[derive(Debug)]
pub struct Fields<'s> {
    settings: &'s Settings,
    raw: bool,
    attributes: AttributesBuilder,
    name: String,
    row: Lifted,
}

/// Columns of the line at hand.
#[derive(Debug, Default)]
struct Lifted {
    time: Option<i64>,
    severity: Option<i64>,
    severity_text: Option<String>,
    message: Option<String>,
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
    service: Option<String>,
}

impl Fields<'_> {
    /// Adds a field of the line at hand.
    pub fn add(&mut self, key: &str, value: Value<'_>) {
        let lifted = self.settings.lift.target(key, self.raw).is_some_and(|target| self.lift(target, value));
        if !self.settings.attributes || key.is_empty() || lifted && !self.settings.keep_lifted {
            return;
        }
        let key = if self.settings.prefix.is_empty() {
            key
        } else {
            self.name.clear();
            self.name.push_str(&self.settings.prefix);
            self.name.push_str(key);
            &self.name
        };
        match value {
            Value::Text(text) => self.attributes.text(key, text),
            Value::Int(text) => self.attributes.int_text(key, text),
            Value::Float(text) => self.attributes.float_text(key, text),
            Value::Bool(value) => self.attributes.bool(key, value),
            Value::Json(text) => self.attributes.json(key, text),
        }
    }

    /// Gives a column its value if the field has one for it; the first such field of a line counts.
    fn lift(&mut self, target: Target, value: Value<'_>) -> bool {
        let row = &mut self.row;
        let text = match value {
            Value::Text(text) | Value::Int(text) | Value::Float(text) => text,
            Value::Bool(_) | Value::Json(_) => return false,
        };
        fn first<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
            let take = slot.is_none() && value.is_some();
            if take {
                *slot = value;
            }
            take
        }
        match target {
            Target::Time => first(&mut row.time, time::parse(text)),
            Target::Severity => {
                let lifted = first(&mut row.severity, severity_number(text));
                if lifted {
                    row.severity_text = Some(text.into());
                }
                lifted
            }
            Target::Message => first(&mut row.message, Some(text.into())),
            Target::TraceId => first(&mut row.trace_id, id(text)),
            Target::SpanId => first(&mut row.span_id, id(text)),
            Target::Service => first(&mut row.service, Some(text.into())),
        }
    }
}

/// The columns that lifting fills.
struct Columns {
    times: IntsBuilder,
    severities: IntsBuilder,
    severity_texts: DictionaryBuilder,
    messages: TextBuilder,
    trace_ids: BlobsBuilder,
    span_ids: BlobsBuilder,
    services: DictionaryBuilder,
    any: [bool; 6],
}

impl Columns {
    fn new(rows: usize) -> Self {
        Self {
            times: IntsBuilder::with_capacity(rows),
            severities: IntsBuilder::with_capacity(rows),
            severity_texts: DictionaryBuilder::with_capacity(rows),
            messages: TextBuilder::with_capacity(rows, 0),
            trace_ids: BlobsBuilder::with_capacity(rows, rows * 16),
            span_ids: BlobsBuilder::with_capacity(rows, rows * 8),
            services: DictionaryBuilder::with_capacity(rows),
            any: [false; 6],
        }
    }

    fn push(&mut self, row: &Lifted) {
        self.times.push(row.time);
        self.severities.push(row.severity);
        self.severity_texts.push(row.severity_text.as_deref());
        self.messages.push(row.message.as_deref());
        self.trace_ids.push(row.trace_id.as_ref().map(|id| &id[..]));
        self.span_ids.push(row.span_id.as_ref().map(|id| &id[..]));
        self.services.push(row.service.as_deref());
        let has = [
            row.time.is_some(),
            row.severity.is_some(),
            row.message.is_some(),
            row.trace_id.is_some(),
            row.span_id.is_some(),
            row.service.is_some(),
        ];
        self.any.iter_mut().zip(has).for_each(|(any, has)| *any |= has);
    }

    fn write(self, batch: &Batch) -> Result<(), Error> {
        let leave = Nulls::Leave;
        let [time, severity, message, trace_id, span_id, service] = self.any;
        if time {
            batch.set_ints("time_unix_nano", &self.times.finish(), leave)?;
        }
        if severity {
            batch.set_ints("severity_number", &self.severities.finish(), leave)?;
            batch.set_dictionary("severity_text", &self.severity_texts.finish(), leave)?;
        }
        if message {
            batch.set_text("body", &self.messages.finish(), leave)?;
        }
        if trace_id {
            batch.set_blobs("trace_id", &self.trace_ids.finish(), leave)?;
        }
        if span_id {
            batch.set_blobs("span_id", &self.span_ids.finish(), leave)?;
        }
        if service {
            batch.set_dictionary("resource.service.name", &self.services.finish(), leave)?;
        }
        Ok(())
    }
}

/// Parses the lines of a batch. `parse` adds a line's fields and says whether it understood the
/// line; of one that it didn't, nothing is kept.
pub fn parse_batch(
    batch: &Batch,
    now: u64,
    settings: &Settings,
    parse: impl FnMut(&str, &mut Fields<'_>) -> bool,
) -> Result<(), Error> {
    if batch.rows() == 0 {
        return Ok(());
    }
    match batch.signal() {
        Signal::Raw => parse_raw(batch, now, settings, parse),
        _ => parse_logs(batch, settings, parse),
    }
}

fn fields(settings: &Settings, rows: usize, raw: bool) -> Fields<'_> {
    let attributes = AttributesBuilder::with_capacity(rows, if settings.attributes { rows * 8 } else { 0 });
    Fields { settings, raw, attributes, name: String::new(), row: Lifted::default() }
}

/// Runs the parser on one line and closes its row.
fn run(fields: &mut Fields<'_>, line: Option<&str>, parse: &mut impl FnMut(&str, &mut Fields<'_>) -> bool) -> bool {
    fields.row = Lifted::default();
    let parsed = line.is_some_and(|line| parse(line, fields));
    if !parsed {
        fields.attributes.clear_row();
        fields.row = Lifted::default();
    }
    fields.attributes.finish_row();
    parsed
}

fn parse_logs(
    batch: &Batch,
    settings: &Settings,
    mut parse: impl FnMut(&str, &mut Fields<'_>) -> bool,
) -> Result<(), Error> {
    let rows = batch.rows();
    let lines = batch.text(&settings.source)?;
    // What the sender said of a record stands; lifting fills only gaps (time and message are lifted
    // only where the configuration asks for it, and then replace).
    let (severities, trace_ids) = (batch.ints("severity_number")?, batch.blobs("trace_id")?);
    let (span_ids, services) = (batch.blobs("span_id")?, batch.dictionary("resource.service.name")?);
    let mut fields = fields(settings, rows, false);
    let mut columns = Columns::new(rows);
    let mut parsed = 0;
    for row in 0..rows {
        parsed += u64::from(run(&mut fields, lines.get(row), &mut parse));
        let lifted = &mut fields.row;
        if severities.get(row).is_some_and(|number| number != 0) {
            lifted.severity = None;
            lifted.severity_text = None;
        }
        if trace_ids.get(row).is_some() {
            lifted.trace_id = None;
        }
        if span_ids.get(row).is_some() {
            lifted.span_id = None;
        }
        if services.key(row).is_some() {
            lifted.service = None;
        }
        columns.push(lifted);
    }
    count("lines_parsed", parsed);
    count("lines_passed", rows as u64 - parsed);
    if !fields.attributes.is_empty() {
        batch.set_attributes("attributes", fields.attributes)?;
    }
    columns.write(batch)
}

fn parse_raw(
    batch: &Batch,
    now: u64,
    settings: &Settings,
    mut parse: impl FnMut(&str, &mut Fields<'_>) -> bool,
) -> Result<(), Error> {
    let rows = batch.rows();
    let values = batch.blobs("raw.value")?;
    let timestamps = batch.ints("raw.timestamp")?;
    let topics = batch.dictionary("raw.topic")?;
    let mut fields = fields(settings, rows, true);
    let mut columns = Columns::new(rows);
    let mut bodies = TextBuilder::with_capacity(rows, values.iter().flatten().map(<[u8]>::len).sum());
    let (mut parsed, mut not_utf8) = (0, 0);
    for row in 0..rows {
        let line = String::from_utf8_lossy(values.get(row).unwrap_or_default());
        not_utf8 += u64::from(matches!(line, Cow::Owned(_)));
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        parsed += u64::from(run(&mut fields, Some(line), &mut parse));
        let lifted = &mut fields.row;
        if lifted.time.is_none() {
            lifted.time = timestamps.get(row).filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1_000_000));
        }
        if lifted.service.is_none() {
            lifted.service = settings.service.clone().or_else(|| topics.get(row).map(str::to_owned));
        }
        match lifted.message.take() {
            Some(message) => bodies.push(Some(&message)),
            None => bodies.push(Some(line)),
        }
        columns.push(lifted);
    }
    count("lines_parsed", parsed);
    count("lines_passed", rows as u64 - parsed);
    if not_utf8 > 0 {
        count("lines_not_utf8", not_utf8);
    }
    let logs = emit(Signal::Logs, rows)?;
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    logs.set_constant("time_unix_nano", &Scalar::Int(now), Rows::All)?;
    logs.set_constant("observed_time_unix_nano", &Scalar::Int(now), Rows::All)?;
    logs.set_constant("body_type", &Scalar::Int(BODY_STRING), Rows::All)?;
    logs.set_text("body", &bodies.finish(), Nulls::Clear)?;
    if !fields.attributes.is_empty() {
        logs.set_attributes("attributes", fields.attributes)?;
    }
    columns.write(&logs)?;
    logs.send()?;
    batch.retain(&Mask::new(rows, false))
}
