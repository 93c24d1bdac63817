//! Request bodies: read within a limit, decompressed within a limit.
//!
//! Sizes are checked while reading, so a small body that unpacks to gigabytes costs the limit and no
//! more.

use crate::Error;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;
use std::io::Read;

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    let too_large = || Error::TooLarge(format!("the body is larger than {limit} bytes: send it in smaller parts"));
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = body;
    let mut read = BytesMut::with_capacity(announced.unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Bad(format!("the body ended early: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if read.len() + data.len() > limit {
                return Err(too_large());
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// The `content-encoding`, lower case; `identity` when absent.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<String, Error> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok("identity".to_owned()),
        Some(value) => value
            .to_str()
            .map(|text| text.trim().to_ascii_lowercase())
            .map_err(|_| Error::Unsupported("the content-encoding header is not text".to_owned())),
    }
}

/// The media type of `content-type` without parameters, lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Undoes `encoding` within `limit` bytes. `snappy` is the block format of remote write and Loki.
pub(crate) fn decompress(encoding: &str, body: Bytes, limit: usize) -> Result<Bytes, Error> {
    let broken = |error: &dyn std::fmt::Display| Error::Bad(format!("the body is not valid {encoding}: {error}"));
    match encoding {
        "" | "identity" | "none" => Ok(body),
        "gzip" => {
            within(flate2::read::MultiGzDecoder::new(body.as_ref()), limit).map_err(|error| error.named(encoding))
        }
        "deflate" => {
            within(flate2::read::ZlibDecoder::new(body.as_ref()), limit).map_err(|error| error.named(encoding))
        }
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref()).map_err(|error| broken(&error))?;
            within(decoder, limit).map_err(|error| error.named(encoding))
        }
        "snappy" => {
            let length = snap::raw::decompress_len(&body).map_err(|error| broken(&error))?;
            // A block of snappy unpacks to at most about 64 times its length: a header that claims
            // more lies, and must not make us allocate.
            if length / 64 > body.len() {
                return Err(broken(&"its length header is larger than its data can unpack to"));
            }
            if length > limit {
                return Err(Error::TooLarge(format!(
                    "the body unpacks to {length} bytes, more than {limit}: send it in smaller parts"
                )));
            }
            snap::raw::Decoder::new().decompress_vec(&body).map(Bytes::from).map_err(|error| broken(&error))
        }
        other => Err(Error::Unsupported(format!(
            "content-encoding '{other}' is not supported: use gzip, zstd, deflate, snappy or none"
        ))),
    }
}

enum Unpack {
    Broken(std::io::Error),
    TooLarge(usize),
}

impl Unpack {
    fn named(self, encoding: &str) -> Error {
        match self {
            Self::Broken(error) => Error::Bad(format!("the body is not valid {encoding}: {error}")),
            Self::TooLarge(limit) => {
                Error::TooLarge(format!("the body unpacks to more than {limit} bytes: send it in smaller parts"))
            }
        }
    }
}

fn within(reader: impl Read, limit: usize) -> Result<Bytes, Unpack> {
    let mut unpacked = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(Unpack::Broken)?;
    if unpacked.len() > limit {
        return Err(Unpack::TooLarge(limit));
    }
    Ok(unpacked.into())
}

#[cfg(test)]
mod tests;
