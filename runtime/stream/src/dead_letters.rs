//! Dead letters: what nothing could be made of, as rows of the `dead_letters` table (in the epoch of
//! their offsets, so exactly once) and as records of the dead-letter topic (at least once).
//!
//! A letter holds the original bytes wherever the blame is a message's. Rows that a module released
//! or emitted have no message of their own any more: they are kept as an Arrow IPC stream, with the
//! header `weft-format: arrow-ipc` and their signal in `weft-signal`.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use std::sync::Arc;
use weft_log::{NewRecord, Record};
use weft_model::{Offset, Signal, TopicPartition, dead_letters, raw};

/// The stage of what could not be decoded.
pub(crate) const DECODE: &str = "decode";

/// Why something was given up, and where.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) stage: String,
    pub(crate) reason: String,
    /// Name and digest of the module.
    pub(crate) module: Option<(String, String)>,
}

/// One thing given up.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) verdict: Verdict,
    pub(crate) offset: Offset,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Bytes,
    pub(crate) headers: Vec<(Arc<str>, Bytes)>,
}

impl Letter {
    /// A message as it was read.
    pub(crate) fn of_message(record: &Record, verdict: Verdict) -> Self {
        Self {
            verdict,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        }
    }

    /// Rows without a message; `offset` is how far the partition had been read.
    pub(crate) fn of_rows(
        signal: Signal,
        rows: &RecordBatch,
        offset: Offset,
        timestamp_ms: i64,
        verdict: Verdict,
    ) -> Result<Self, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
        writer.write(rows)?;
        let value = writer.into_inner()?;
        let headers = vec![
            ("weft-format".into(), Bytes::from_static(b"arrow-ipc")),
            ("weft-signal".into(), Bytes::from_static(signal.name().as_bytes())),
        ];
        Ok(Self { verdict, offset, timestamp_ms, key: None, value: value.into(), headers })
    }

    /// Raw rows that no module turned into anything: each is a message.
    pub(crate) fn of_raw(rows: &RecordBatch, verdict: &Verdict) -> Result<Vec<Self>, ArrowError> {
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("raw rows without '{name}'")))
        };
        let offsets = column(raw::OFFSET)?.as_primitive::<Int64Type>();
        let times = column(raw::TIMESTAMP)?.as_primitive::<Int64Type>();
        let (keys, values) = (column(raw::KEY)?.as_binary::<i32>(), column(raw::VALUE)?.as_binary::<i32>());
        let headers = column(raw::HEADERS)?.as_map();
        let letters = (0..rows.num_rows()).map(|row| {
            let entries = headers.value(row);
            let (names, contents) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
            Self {
                verdict: verdict.clone(),
                offset: offsets.value(row),
                timestamp_ms: times.value(row),
                key: keys.is_valid(row).then(|| Bytes::copy_from_slice(keys.value(row))),
                value: Bytes::copy_from_slice(values.value(row)),
                headers: (0..entries.len())
                    .map(|at| (names.value(at).into(), Bytes::copy_from_slice(contents.value(at))))
                    .collect(),
            }
        });
        Ok(letters.collect())
    }

    /// As a record of the dead-letter topic.
    pub(crate) fn to_record(&self, topic: &Arc<str>, source: &TopicPartition) -> NewRecord {
        let mut headers = self.headers.clone();
        let mut header = |name: &str, value: String| headers.push((name.into(), value.into()));
        header("weft-topic", source.topic.to_string());
        header("weft-partition", source.partition.to_string());
        header("weft-offset", self.offset.to_string());
        header("weft-stage", self.verdict.stage.clone());
        header("weft-reason", self.verdict.reason.clone());
        if let Some((module, digest)) = &self.verdict.module {
            header("weft-module", module.clone());
            header("weft-module-digest", digest.clone());
        }
        NewRecord {
            topic: Arc::clone(topic),
            partition: None,
            key: self.key.clone(),
            value: self.value.clone(),
            headers,
            timestamp_ms: Some(self.timestamp_ms),
        }
    }
}

/// Rows of the `dead_letters` table.
pub(crate) fn to_rows(source: &TopicPartition, letters: &[Letter], now_ns: i64) -> Result<RecordBatch, ArrowError> {
    let texts = |text: &dyn Fn(&Letter) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(letters.iter().map(text)))
    };
    let modules = |part: &dyn Fn(&(String, String)) -> String| -> ArrayRef {
        Arc::new(letters.iter().map(|letter| letter.verdict.module.as_ref().map(part)).collect::<StringArray>())
    };
    let mut keys = BinaryBuilder::new();
    let mut values = BinaryBuilder::new();
    let (mut names, mut contents, mut offsets) = (StringBuilder::new(), BinaryBuilder::new(), vec![0]);
    let mut entries = 0;
    for letter in letters {
        keys.append_option(letter.key.as_deref());
        values.append_value(&letter.value);
        for (name, content) in &letter.headers {
            names.append_value(name);
            contents.append_value(content);
            entries += 1;
        }
        offsets.push(entries);
    }
    let headers = raw::header_array(offsets, Arc::new(names.finish()), Arc::new(contents.finish()));
    let numbers = |number: &dyn Fn(&Letter) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(letters.iter().map(number)))
    };
    let schema: Arc<Schema> = dead_letters::schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            dead_letters::TIME => numbers(&|_| now_ns),
            dead_letters::TOPIC => Arc::new(StringArray::from_iter_values(letters.iter().map(|_| &source.topic))),
            dead_letters::PARTITION => Arc::new(Int32Array::from(vec![source.partition; letters.len()])),
            dead_letters::OFFSET => numbers(&|letter| letter.offset),
            dead_letters::TIMESTAMP => numbers(&|letter| letter.timestamp_ms),
            dead_letters::STAGE => texts(&|letter| &letter.verdict.stage),
            dead_letters::REASON => texts(&|letter| &letter.verdict.reason),
            dead_letters::MODULE => modules(&|(module, _)| module.clone()),
            dead_letters::MODULE_DIGEST => modules(&|(_, digest)| digest.clone()),
            dead_letters::KEY => Arc::new(keys.finish_cloned()),
            dead_letters::VALUE => Arc::new(values.finish_cloned()),
            _ => Arc::new(headers.clone()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn letter(key: Option<&'static [u8]>, module: bool) -> Letter {
        let record = Record {
            offset: 7,
            timestamp_ms: 5,
            key: key.map(Bytes::from_static),
            value: Bytes::from_static(b"\xff\x00bytes"),
            headers: vec![("content-type".into(), Bytes::from_static(b"x"))],
        };
        let module = module.then(|| ("redact".to_owned(), "ab12".to_owned()));
        Letter::of_message(&record, Verdict { stage: "logs.redact".to_owned(), reason: "no".to_owned(), module })
    }

    #[test]
    fn letters_become_rows_with_the_original_bytes() {
        let source = TopicPartition::new("t", 3);
        let rows = to_rows(&source, &[letter(None, false), letter(Some(b"k"), true)], 42).unwrap();
        assert_eq!(rows.num_rows(), 2);
        let values = rows.column_by_name(dead_letters::VALUE).unwrap().as_binary::<i32>();
        assert_eq!(values.value(1), b"\xff\x00bytes");
        let modules = rows.column_by_name(dead_letters::MODULE).unwrap().as_string::<i32>();
        assert!(modules.is_null(0));
        assert_eq!(modules.value(1), "redact");
        let record = letter(Some(b"k"), true).to_record(&"dead_letters".into(), &source);
        assert!(record.headers.iter().any(|(name, value)| &**name == "weft-offset" && value == "7"));
        assert!(record.headers.iter().any(|(name, value)| &**name == "weft-module-digest" && value == "ab12"));
    }

    #[test]
    fn rows_without_a_message_are_kept_as_arrow() {
        let schema = Signal::Logs.schema();
        let rows = RecordBatch::new_empty(Arc::clone(&schema));
        let verdict = Verdict { stage: "a".into(), reason: "b".into(), module: None };
        let letter = Letter::of_rows(Signal::Logs, &rows, 9, 1, verdict).unwrap();
        let reader = arrow::ipc::reader::StreamReader::try_new(&letter.value[..], None).unwrap();
        assert_eq!(reader.schema(), schema);
    }
}
