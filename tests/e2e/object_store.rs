//! Tables on a real S3 server: read by others, and survived when it fails.

use crate::readers::{agree, fill};
use std::time::Duration;
use weft_tests::accounts::{Sender, differences, stored};
use weft_tests::client::eventually;
use weft_tests::python;
use weft_tests::s3::S3;
use weft_tests::weft::Launch;

fn on_s3(launch: Launch, s3: &S3) -> Launch {
    let launch = s3.environment().iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    launch.flag("--object-store", &s3.url("tables"))
}

#[test]
fn tables_on_s3_are_read_by_deltalake_polars_and_duckdb() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = S3::start(&dir.path().join("s3"));
    let mut weft = on_s3(Launch::new("up", &dir.path().join("data")), &s3).start();
    fill(&weft, "readers", 10);
    weft.stop();
    let options = s3.options();
    let mut arguments = vec![s3.url("tables")];
    arguments.extend(options);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    agree(&python::run("read_tables.py", &arguments), 100);
}

#[test]
fn an_object_store_that_fails_for_a_while_costs_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = S3::start(&dir.path().join("s3"));
    let mut weft = on_s3(Launch::new("up", &dir.path().join("data")), &s3).flag("--flush-interval", "300ms").start();
    let sender = Sender::start("outage", &weft.address("otlp_http"));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1_500));
        s3.set_down(true);
        std::thread::sleep(Duration::from_millis(2_500));
        s3.set_down(false);
    }
    std::thread::sleep(Duration::from_millis(1_000));
    let accounts = sender.finish();
    assert!(weft.is_running(), "{}", weft.log());
    assert!(accounts["traces"].accepted.len() > 100, "the log took data all the while");
    for _ in 0..2 {
        let client = weft.client();
        let mut wrong = Vec::new();
        eventually("rows are exactly those sent", Duration::from_secs(120), || {
            if client.get("/ready").status != 200 {
                return false;
            }
            wrong = differences(&accounts, &stored(&client, "outage"));
            assert!(!wrong.iter().any(|what| what.contains("doubled")), "{wrong:?}");
            wrong.is_empty()
        });
        weft.stop();
        weft.restart();
    }
}
