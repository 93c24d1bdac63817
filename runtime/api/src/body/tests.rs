use super::*;
use std::io::Write;

fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap().into()
}

#[test]
fn every_encoding_gives_back_what_went_in() {
    let data = b"telemetry ".repeat(1000);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&data).unwrap();
    for (encoding, packed) in [
        ("identity", Bytes::from(data.clone())),
        ("gzip", gzip(&data)),
        ("deflate", zlib.finish().unwrap().into()),
        ("zstd", zstd::encode_all(data.as_slice(), 1).unwrap().into()),
        ("snappy", snap::raw::Encoder::new().compress_vec(&data).unwrap().into()),
    ] {
        assert_eq!(decompress(encoding, packed, 1 << 20).unwrap(), data, "{encoding}");
    }
}

#[test]
fn a_body_that_unpacks_beyond_the_limit_is_too_large() {
    let data = vec![0u8; 1 << 20];
    for (encoding, packed) in [
        ("gzip", gzip(&data)),
        ("zstd", zstd::encode_all(data.as_slice(), 1).unwrap().into()),
        ("snappy", snap::raw::Encoder::new().compress_vec(&data).unwrap().into()),
    ] {
        assert!(matches!(decompress(encoding, packed, 1000), Err(Error::TooLarge(_))), "{encoding}");
    }
}

#[test]
fn garbage_is_named_for_what_it_is_not() {
    for encoding in ["gzip", "zstd", "deflate", "snappy"] {
        match decompress(encoding, Bytes::from_static(b"\xff\xff\xff\xff\x0fgarbage"), 1 << 30) {
            Err(Error::Bad(message)) => assert!(message.contains(encoding), "{message}"),
            other => panic!("{encoding}: {other:?}"),
        }
    }
    assert!(matches!(decompress("br", Bytes::new(), 10), Err(Error::Unsupported(_))));
}
