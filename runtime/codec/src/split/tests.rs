#![allow(clippy::unwrap_used, reason = "tests")]

use super::{split_traces, trace_partition};
use crate::testing::some_traces;
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;

/// Every span with the resource and scope it lies in, as text to compare.
fn spans(traces: &TracesData) -> Vec<String> {
    let mut spans: Vec<String> = traces
        .resource_spans
        .iter()
        .flat_map(|resource| {
            resource.scope_spans.iter().flat_map(move |scope| {
                scope.spans.iter().map(move |span| {
                    format!(
                        "{:?} {:?} {:?} {:?} {span:?}",
                        resource.resource, resource.schema_url, scope.scope, scope.schema_url
                    )
                })
            })
        })
        .collect();
    spans.sort();
    spans
}

#[test]
fn the_partition_of_a_trace_never_changes() {
    // Written down: rows on disk and modules' state depend on it.
    assert_eq!(trace_partition(&[1; 16], 16), 14);
    assert_eq!(trace_partition(&[2; 16], 16), 10);
    assert_eq!(trace_partition(&[0xab; 16], 7), 4);
    assert_eq!(trace_partition(&[1; 16], 0), 0);
    assert_eq!(trace_partition(&[], 1), 0);
}

#[test]
fn a_split_request_holds_each_span_once_where_it_belongs() {
    let traces = some_traces();
    for partitions in [1, 2, 3, 16, 1000] {
        let parts = split_traces(Bytes::from(traces.encode_to_vec()), partitions).unwrap();
        let mut together = TracesData::default();
        for (partition, body) in parts {
            let part = TracesData::decode(body).unwrap();
            for span in part.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans) {
                assert_eq!(trace_partition(&span.trace_id, partitions), partition);
            }
            assert!(part.resource_spans.iter().all(|r| r.scope_spans.iter().all(|s| !s.spans.is_empty())));
            together.resource_spans.extend(part.resource_spans);
        }
        assert_eq!(spans(&together), spans(&traces), "{partitions} partitions");
    }
}

#[test]
fn a_request_of_one_partition_is_not_copied() {
    let body = Bytes::from(some_traces().encode_to_vec());
    let parts = split_traces(body.clone(), 1).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].1.as_ptr(), body.as_ptr());
}

#[test]
fn json_is_split_into_protobuf() {
    let body = Bytes::from(serde_json::to_vec(&some_traces()).unwrap());
    let parts = split_traces(body, 1).unwrap();
    assert_eq!(spans(&TracesData::decode(parts[0].1.clone()).unwrap()), spans(&some_traces()));
}

#[test]
fn a_request_without_spans_gives_nothing_and_a_broken_one_an_error() {
    assert_eq!(split_traces(Bytes::new(), 4).unwrap(), []);
    let mut body = some_traces().encode_to_vec();
    body.pop();
    assert!(split_traces(Bytes::from(body), 4).is_err());
}
