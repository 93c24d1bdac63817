#![allow(clippy::unwrap_used, reason = "tests")]

use crate::testing::{a_resource, a_scope, a_span, decode, good_bodies, key_value, message, some_traces};
use crate::{Codec, Config, Decoder, Error, validate};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, TracesData};
use proptest::prelude::*;
use prost::Message as _;
use weft_model::ErrorKind;

#[test]
fn every_codec_makes_batches_of_its_schema() {
    for (codec, body) in good_bodies() {
        let batch = decode(codec, &body);
        assert_eq!(batch.schema(), codec.signal().schema(), "{codec}");
        assert!(batch.num_rows() > 0, "{codec}");
        let counts = validate(codec, None, &body).unwrap();
        assert_eq!(counts.rejected, 0, "{codec}");
        assert!(counts.items + counts.histograms > 0, "{codec}");
    }
}

#[test]
fn an_empty_decoder_makes_an_empty_batch() {
    for codec in Codec::ALL {
        let batch = Decoder::new(codec, &Config::default()).finish().unwrap();
        assert_eq!((batch.num_rows(), batch.schema()), (0, codec.signal().schema()));
    }
}

#[test]
fn a_bad_message_leaves_no_trace() {
    for (codec, body) in good_bodies() {
        if codec == Codec::Raw {
            continue;
        }
        let expected = decode(codec, &[]).num_rows() + decode(codec, &body).num_rows();
        let mut decoder = Decoder::new(codec, &Config::default());
        decoder.push(&message(&body)).unwrap();
        let bytes = decoder.bytes();
        for cut in 1..body.len() {
            if decoder.push(&message(&body[..cut])).is_ok() {
                // Cut between two fields: a good message. Start again.
                decoder = Decoder::new(codec, &Config::default());
                decoder.push(&message(&body)).unwrap();
            }
            assert_eq!((decoder.rows(), decoder.bytes()), (expected, bytes), "{codec} cut at {cut}");
        }
        assert_eq!(decoder.finish().unwrap(), decode(codec, &body), "{codec}");
        assert_eq!(decoder.rows(), 0);
    }
}

#[test]
fn messages_add_up_and_the_decoder_is_reused() {
    let body = some_traces().encode_to_vec();
    let mut decoder = Decoder::new(Codec::OtlpTraces, &Config::default());
    for _ in 0..2 {
        assert_eq!(decoder.push(&message(&body)).unwrap(), 5);
        assert_eq!(decoder.push(&message(&body)).unwrap(), 5);
        let batch = decoder.finish().unwrap();
        let half = decode(Codec::OtlpTraces, &body);
        assert_eq!(batch.slice(0, 5), half);
        assert_eq!(batch.slice(5, 5), half);
    }
}

/// A resource of 100 KB that 10,000 spans share would take 1 GB.
fn bomb() -> Vec<u8> {
    let mut resource = a_resource("api");
    resource.attributes.push(key_value("big", Value::StringValue("x".repeat(100_000))));
    let mut span = a_span(1, 1);
    (span.attributes, span.events, span.links) = (Vec::new(), Vec::new(), Vec::new());
    let scope_spans = vec![ScopeSpans { scope: Some(a_scope()), spans: vec![span; 10_000], schema_url: String::new() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, schema_url: String::new() }];
    TracesData { resource_spans }.encode_to_vec()
}

#[test]
fn what_would_fill_the_memory_is_refused() {
    let config = Config { max_batch_bytes: 64 << 20, ..Config::default() };
    let mut decoder = Decoder::new(Codec::OtlpTraces, &config);
    let error = decoder.push(&message(&bomb())).unwrap_err();
    assert_eq!((&error, error.kind()), (&Error::TooLarge { limit: 64 << 20 }, ErrorKind::Reject));
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn a_full_batch_asks_to_be_finished_first() {
    let body = some_traces().encode_to_vec();
    let config = Config { max_batch_bytes: 40_000, ..Config::default() };
    let mut decoder = Decoder::new(Codec::OtlpTraces, &config);
    let mut pushed = 0;
    let error = loop {
        match decoder.push(&message(&body)) {
            Ok(rows) => pushed += rows,
            Err(error) => break error,
        }
    };
    assert_eq!((&error, error.kind()), (&Error::Full, ErrorKind::Retry));
    assert_eq!(decoder.finish().unwrap().num_rows(), pushed);
    assert_eq!(decoder.push(&message(&body)).unwrap(), 5);
}

/// Pushes a body and checks what must hold of any: no panic, all or nothing, and agreement of the
/// validator with the decoder.
fn check(codec: Codec, body: &[u8]) {
    let mut decoder = Decoder::new(codec, &Config::default());
    let pushed = decoder.push(&message(body));
    let rows = decoder.rows();
    match (&pushed, validate(codec, None, body)) {
        (Ok(_), _) => {}
        (Err(error), Ok(_)) => panic!("{codec}: validated, but not decoded: {error}"),
        (Err(_), Err(_)) => assert_eq!(rows, 0),
    }
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.num_rows(), rows);
    let derived = crate::derive(codec.signal(), batch, &Config::default()).unwrap();
    let again = crate::derive(codec.signal(), derived.clone(), &Config::default()).unwrap();
    assert_eq!(derived, again);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_decoded_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for codec in Codec::ALL {
            check(codec, &body);
        }
    }

    #[test]
    fn mutated_messages_are_decoded_or_refused(
        which: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let bodies = good_bodies();
        let (codec, mut body) = which.get(&bodies).clone();
        for (at, byte, how) in changes {
            let at = at.index(body.len().max(1));
            match how {
                0 if !body.is_empty() => body[at] = byte,
                1 => body.insert(at.min(body.len()), byte),
                2 if !body.is_empty() => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        check(codec, &body);
    }
}
