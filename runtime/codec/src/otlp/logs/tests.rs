#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{
    a_record, any_of, any_value, attributes, decode, expected, expected_attributes, get, key_values, pairs, plain_json,
    some_logs,
};
use crate::{Codec, validate};
use arrow::array::{Array, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use proptest::prelude::*;
use prost::Message as _;
use weft_model::logs;

fn wrapped(records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }.encode_to_vec()
}

fn body(batch: &RecordBatch, row: usize) -> Option<String> {
    let column: &StringArray = get(batch, logs::BODY);
    column.is_valid(row).then(|| column.value(row).to_owned())
}

#[test]
fn records_are_decoded_with_all_their_parts() {
    let batch = decode(Codec::OtlpLogs, &some_logs().encode_to_vec());
    assert_eq!(batch.num_rows(), 2);
    let long = |name: &str| get::<Int64Array>(&batch, name);
    assert_eq!(long(logs::TIME).value(0), 1_700_000_000_000_000_000);
    assert_eq!(long(logs::OBSERVED_TIME).value(0), 1_700_000_001_000_000_000);
    assert_eq!(get::<Int32Array>(&batch, logs::SEVERITY_NUMBER).value(0), 17);
    assert_eq!(get::<StringArray>(&batch, logs::SEVERITY_TEXT).value(0), "Error");
    assert_eq!(body(&batch, 0).as_deref(), Some("hello"));
    assert_eq!(get::<Int32Array>(&batch, logs::BODY_TYPE).values(), &[1, 0]);
    assert_eq!(get::<BinaryArray>(&batch, logs::TRACE_ID).value(0), [7; 16]);
    assert_eq!(get::<BinaryArray>(&batch, logs::SPAN_ID).value(0), [6; 8]);
    assert_eq!(get::<StringArray>(&batch, logs::EVENT_NAME).value(0), "e");
    assert_eq!(get::<StringArray>(&batch, logs::SERVICE_NAME).value(1), "api");
    assert_eq!(attributes(&batch, logs::ATTRIBUTES, 0), pairs(&[("k", "string:v"), ("n", "int:1")]));
    assert_eq!(attributes(&batch, logs::RESOURCE, 1), pairs(&[("service.name", "string:api"), ("host.cpus", "int:8")]));
    // The second record has nothing: its time is the message's, the rest is null or empty.
    assert_eq!(long(logs::TIME).value(1), 1_700_000_000_000_000_000);
    assert_eq!(body(&batch, 1), None);
    for name in
        [logs::OBSERVED_TIME, logs::SEVERITY_TEXT, logs::TRACE_ID, logs::SPAN_ID, logs::EVENT_NAME, logs::STREAM_ID]
    {
        assert!(batch.column_by_name(name).unwrap().is_null(1), "{name}");
    }
}

#[test]
fn the_observed_time_stands_in_for_the_time() {
    let record = LogRecord { time_unix_nano: 0, ..a_record(None) };
    let batch = decode(Codec::OtlpLogs, &wrapped(vec![record]));
    assert_eq!(get::<Int64Array>(&batch, logs::TIME).value(0), 1_700_000_001_000_000_000);
}

#[test]
fn bodies_that_are_no_strings_become_text() {
    let bodies = [
        (Value::BoolValue(true), "true", 2),
        (Value::IntValue(-5), "-5", 3),
        (Value::DoubleValue(1e300), "1e300", 4),
        (Value::DoubleValue(1.0), "1", 4),
        (Value::ArrayValue(ArrayValue { values: vec![AnyValue::default()] }), "[null]", 5),
        (Value::BytesValue(vec![1, 2]), "AQI=", 7),
        (Value::StringValue(String::new()), "", 1),
    ];
    let records = bodies.iter().map(|(value, ..)| a_record(Some(any_of(value.clone())))).collect();
    let batch = decode(Codec::OtlpLogs, &wrapped(records));
    for (row, (_, text, kind)) in bodies.iter().enumerate() {
        assert_eq!(body(&batch, row).as_deref(), Some(*text));
        assert_eq!(get::<Int32Array>(&batch, logs::BODY_TYPE).value(row), *kind);
    }
}

#[test]
fn ids_are_checked_and_zero_ids_are_none() {
    let zero = LogRecord { trace_id: vec![0; 16], span_id: vec![0; 8], ..a_record(None) };
    let batch = decode(Codec::OtlpLogs, &wrapped(vec![zero]));
    assert!(get::<BinaryArray>(&batch, logs::TRACE_ID).is_null(0));
    assert!(get::<BinaryArray>(&batch, logs::SPAN_ID).is_null(0));
    let short = LogRecord { trace_id: vec![1; 4], ..a_record(None) };
    let error = validate(Codec::OtlpLogs, None, &wrapped(vec![short])).unwrap_err().to_string();
    assert!(error.contains("a log record's trace id must be 16 bytes or absent (at byte "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn our_reader_and_prost_agree(records in prop::collection::vec((any_value(), key_values(), 0..=i64::MAX as u64), 0..5)) {
        let records: Vec<LogRecord> = records
            .into_iter()
            .map(|(body, attributes, time_unix_nano)| LogRecord { body, attributes, time_unix_nano, ..LogRecord::default() })
            .collect();
        let bytes = wrapped(records.clone());
        prop_assert_eq!(validate(Codec::OtlpLogs, None, &bytes).unwrap().items, records.len());
        let batch = decode(Codec::OtlpLogs, &bytes);
        for (row, record) in records.iter().enumerate() {
            prop_assert_eq!(attributes(&batch, logs::ATTRIBUTES, row), expected_attributes(&record.attributes));
            let value = record.body.as_ref().and_then(|body| body.value.as_ref());
            let text = match value {
                None => None,
                Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => Some(plain_json(value)),
                Some(_) => expected(record.body.as_ref()).split_once(':').map(|(_, text)| text.to_owned()),
            };
            prop_assert_eq!(body(&batch, row), text);
        }
    }
}
