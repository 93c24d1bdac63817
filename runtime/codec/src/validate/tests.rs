#![allow(clippy::unwrap_used, reason = "tests")]

use super::validate;
use crate::testing::{good_bodies, some_traces};
use crate::{Codec, Error};
use prost::Message as _;
use weft_model::ErrorKind;

#[test]
fn a_body_cut_off_anywhere_inside_is_refused() {
    let body = some_traces().encode_to_vec();
    for cut in 1..body.len() {
        match validate(Codec::OtlpTraces, None, &body[..cut]) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Reject),
            Ok(counts) => assert!(counts.items < 5),
        }
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let error = validate(Codec::OtlpTraces, None, &[0x0a, 0x05, 0x01]).unwrap_err();
    assert_eq!(error.to_string(), "not valid otlp_traces: the message is cut off (at byte 2)");
    let error = validate(Codec::OtlpLogs, None, b"{\"resourceLogs\":5}").unwrap_err();
    assert!(matches!(error, Error::Text { codec: Codec::OtlpLogs, .. }));
}

#[test]
fn empty_bodies_are_good_and_hold_nothing() {
    for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::Raw) {
        assert_eq!(validate(codec, None, &[]).unwrap().items, 0);
    }
}

#[test]
fn a_body_of_another_codec_is_mostly_refused() {
    // Not a promise of the formats, but these bodies are what people send to the wrong path.
    let bodies = good_bodies();
    for (codec, body) in bodies.iter().filter(|(codec, _)| *codec != Codec::Raw) {
        for other in [Codec::OtlpTraces, Codec::OtlpLogs, Codec::OtlpMetrics] {
            if other != *codec
                && let Ok(counts) = validate(other, None, body)
            {
                assert_eq!((counts.items, counts.exemplars), (0, 0), "{codec} as {other}");
            }
        }
    }
}

#[test]
fn what_one_body_held_does_not_show_in_the_next() {
    for (codec, body) in good_bodies() {
        let counts = validate(codec, None, &body).unwrap();
        if !body.is_empty() && codec != Codec::Raw {
            let _ = validate(codec, None, &body[..body.len() - 1]);
        }
        assert_eq!(validate(codec, None, &body).unwrap(), counts, "{codec}");
    }
}
