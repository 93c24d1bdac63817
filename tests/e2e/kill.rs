//! SIGKILL at random instants, over and over: every accepted row is in the tables exactly once, span
//! metrics count every span, and no file is left that nothing names.

use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use weft_tests::accounts::{Account, Sender, differences, stored};
use weft_tests::client::{Client, eventually};
use weft_tests::python;
use weft_tests::weft::Launch;

const KILLS: usize = 20;

/// A seed to replay a failure with: `WEFT_SEED=… cargo test -p weft-tests --test e2e kill`. The
/// instants of the kills follow from it; what the process was doing then does not.
pub(super) fn seed() -> u64 {
    let seed = std::env::var("WEFT_SEED").ok().map_or_else(rand::random, |text| text.parse().unwrap());
    println!("WEFT_SEED={seed}");
    seed
}

/// Paths of the Parquet files below `tables`, relative to it.
fn parquet_files(tables: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![tables.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.insert(path.strip_prefix(tables).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn a_process_killed_twenty_times_loses_and_doubles_nothing() {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut weft = Launch::new("up", &data).flag("--flush-interval", "300ms").start();
    let sender = Sender::start("killed", &weft.address("otlp_http"));
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.random_range(50..900)));
        weft.kill();
        weft.respawn();
        // Half of the time it is killed again while it recovers.
        if random.random_bool(0.5) {
            std::thread::sleep(Duration::from_millis(random.random_range(10..700)));
            weft.kill();
            weft.respawn();
        }
        weft.wait_until_ready();
        sender.send_to(&weft.address("otlp_http"));
    }
    std::thread::sleep(Duration::from_millis(500));
    let accounts = sender.finish();
    for (signal, account) in &accounts {
        println!("{signal}: {} accepted, {} unknown", account.accepted.len(), account.unknown.len());
        assert!(account.accepted.len() > 100, "hardly any {signal} were accepted: the test shows nothing");
    }
    for round in ["hot and committed", "committed"] {
        let client = weft.client();
        check(&client, &accounts, round);
        // Stopping commits what is pending: the second round sees what is on disk alone.
        weft.stop();
        weft.restart();
    }
    weft.stop();
    drop(weft);

    // Killed epochs leave files behind. A process that sweeps soon leaves none that nothing names.
    let config = dir.path().join("sweep.yaml");
    std::fs::write(
        &config,
        "maintenance: { interval: 300ms, sweep_after: 2s }\ntable: { commit_within: 1s, compaction: { enabled: false } }\n",
    )
    .unwrap();
    let tables = data.join("tables");
    let mut weft = Launch::new("up", &data).flag("--config", &config.display().to_string()).start();
    eventually("no file is left that no table names", Duration::from_secs(60), || {
        // Listed first: a file that is committed in between is named by then.
        let present = parquet_files(&tables);
        let named = python::run("table_files.py", &[&tables.display().to_string()]);
        let named: BTreeSet<String> =
            named["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect();
        present.is_subset(&named)
    });
    check(&weft.client(), &accounts, "swept");
    weft.stop();
}

fn check(client: &Client, accounts: &BTreeMap<&'static str, Account>, round: &str) {
    let mut wrong = Vec::new();
    eventually(&format!("{round}: rows are exactly those sent"), Duration::from_secs(60), || {
        wrong = differences(accounts, &stored(client, "killed"));
        // Rows may still be on their way; a doubled row never goes away.
        assert!(!wrong.iter().any(|what| what.contains("doubled")), "{round}: {wrong:?}");
        wrong.is_empty()
    });
    let spans = client.count("select count(*) as n from spans where service_name = 'killed'");
    eventually("span metrics count every span once", Duration::from_secs(30), || {
        client.promql_sum("sum(traces_spanmetrics_calls_total{service=\"killed\"})") as i64 == spans
    });
}
