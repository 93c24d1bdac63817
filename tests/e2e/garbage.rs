//! Garbage on every endpoint: a clear 4xx or a dead letter, and the process lives.

use std::time::Duration;
use weft_tests::client::{Client, eventually};
use weft_tests::otlp::{self, PROTOBUF};
use weft_tests::weft::Weft;

const JSON: &str = "application/json";
const REMOTE_WRITE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Path, content type, content encoding of every way in.
const WAYS_IN: [(&str, &str, &str); 12] = [
    ("/v1/traces", PROTOBUF, ""),
    ("/v1/traces", JSON, ""),
    ("/v1/traces", PROTOBUF, "gzip"),
    ("/v1/metrics", PROTOBUF, ""),
    ("/v1/metrics", JSON, ""),
    ("/v1/metrics", PROTOBUF, "zstd"),
    ("/v1/logs", PROTOBUF, ""),
    ("/v1/logs", JSON, "gzip"),
    ("/api/v1/write", PROTOBUF, "snappy"),
    ("/api/v1/write", REMOTE_WRITE_V2, "snappy"),
    ("/loki/api/v1/push", JSON, ""),
    ("/loki/api/v1/push", PROTOBUF, "snappy"),
];

fn post(client: &Client, path: &str, content_type: &str, encoding: &str, body: &[u8]) -> weft_tests::client::Answer {
    let mut headers = vec![("content-type", content_type)];
    if !encoding.is_empty() {
        headers.push(("content-encoding", encoding));
    }
    client.post(path, &headers, body)
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            use std::io::Write;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 1).unwrap(),
        "snappy" => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        _ => body.to_vec(),
    }
}

fn refused(answer: &weft_tests::client::Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    assert!(!answer.body.is_empty(), "{what}: a refusal must say why");
}

#[test]
fn garbage_on_every_endpoint_is_refused_and_the_process_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut weft = Weft::up(&dir.path().join("data"));
    let client = weft.client();
    let otlp_client = Client::new(&weft.address("otlp_http"));
    for (path, content_type, encoding) in WAYS_IN {
        let what = format!("{path} {content_type} {encoding}");
        let client = if path.starts_with("/v1/") { &otlp_client } else { &client };
        // Bytes that are nothing, packed as promised and not packed at all.
        let garbage = b"\xff\xfe\x00garbage\x9f\x92\x96 that is no message";
        refused(&post(client, path, content_type, encoding, &packed(encoding, garbage)), &what);
        if !encoding.is_empty() {
            refused(&post(client, path, content_type, encoding, garbage), &format!("{what}, not packed"));
        }
        // A content type and a compression nobody speaks.
        refused(&post(client, path, "text/html", encoding, garbage), &format!("{what} as HTML"));
        refused(&post(client, path, content_type, "br", garbage), &format!("{what} as brotli"));
        // 100 MB.
        let huge = vec![b' '; 100 << 20];
        let answer = post(client, path, content_type, "", &huge);
        assert!(answer.status == 0 || answer.status == 413, "{what}: 100 MB: {} {}", answer.status, answer.text());
        // A small body that unpacks to 200 MB.
        if matches!(encoding, "gzip" | "zstd") {
            let answer = post(client, path, content_type, encoding, &packed(encoding, &vec![0; 200 << 20]));
            assert_eq!(answer.status, 413, "{what}: a bomb: {}", answer.text());
        }
    }
    // Each signal's real message, cut at many places: never a 5xx.
    for (path, body) in [
        ("/v1/traces", otlp::spans("cut", 1, 3)),
        ("/v1/logs", otlp::logs("cut", 1, 3)),
        ("/v1/metrics", otlp::samples("cut", 1, 3)),
    ] {
        for length in (0..body.len()).step_by(7) {
            let status = post(&otlp_client, path, PROTOBUF, "", &body[..length]).status;
            assert!(status == 200 || (400..500).contains(&status), "{path} cut at {length}: {status}");
        }
    }
    // Bad UTF-8 where text belongs.
    let mut bad = otlp::logs("service-to-break", 1, 1);
    let at = bad.windows(16).position(|window| window == b"service-to-break").unwrap();
    bad[at] = 0xff;
    refused(&post(&otlp_client, "/v1/logs", PROTOBUF, "", &bad), "bad UTF-8");
    // Absurd timestamps: a span at the end of time.
    let absurd = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"x","startTimeUnixNano":"18446744073709551615","endTimeUnixNano":"18446744073709551615"}]}]}]}"#;
    refused(&post(&otlp_client, "/v1/traces", JSON, "", absurd), "a span in the year 2554");
    let absurd = br#"{"streams":[{"stream":{"app":"x"},"values":[["-99999999999999999999999","line"]]}]}"#;
    refused(&post(&client, "/loki/api/v1/push", JSON, "", absurd), "a line before the beginning");

    // Queries: what doesn't parse says where.
    for (path, query) in [
        ("/api/v1/query", "sum by ("),
        ("/api/v1/query", "\u{0}"),
        ("/loki/api/v1/query_range", "{app=\"x\""),
        ("/loki/api/v1/query_range", "{}"),
        ("/api/search", "{ status = }"),
    ] {
        let name = if path == "/api/search" { "q" } else { "query" };
        refused(&client.get(&format!("{path}?{name}={}", weft_tests::client::encode(query))), query);
    }
    refused(&client.post("/api/v1/sql", &[("content-type", "text/plain")], b"select from where"), "SQL");
    refused(&client.post("/api/v1/sql", &[("content-type", "text/plain")], b"drop table spans"), "DDL");
    refused(
        &client.post(
            "/api/v1/sql",
            &[("content-type", "text/plain")],
            b"create external table x stored as csv location '/etc/passwd'",
        ),
        "a file",
    );
    refused(&client.get("/api/v1/query_range?query=up&start=0&end=1e300&step=1"), "an end that is none");
    refused(&client.get("/api/traces/not-hex"), "a trace id that is none");
    assert_eq!(client.get("/no/such/path").status, 404);

    assert!(weft.is_running(), "{}", weft.log());
    assert_eq!(client.get("/-/healthy").status, 200);
    // And it still takes what is right.
    assert_eq!(post(&otlp_client, "/v1/traces", PROTOBUF, "", &otlp::spans("right", 1000, 4)).status, 200);
    eventually("the right spans are there", Duration::from_secs(30), || {
        client.count("select count(*) as n from spans where service_name = 'right'") == 4
    });
    assert!(!weft.log().contains("panicked at"), "{}", weft.log());
}
