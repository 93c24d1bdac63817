//! Runs Loki's own metric-query tests (`conformance/logql/*.logqltest`, read from where they lie, not
//! copied) through the product's path: entries as rows of `logs` in the hot buffer, queries through
//! [`weft_logql::Engine`]. The number of passing statements per file must not fall below the floor in
//! `conformance/floor.txt`. Skipped with a message where the files are absent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

#[path = "conformance/script.rs"]
mod script;
#[path = "conformance/store.rs"]
mod store;

use script::{Command, Expectation};
use std::collections::BTreeMap;
use std::path::Path;
use store::Store;
use weft_logql::{Answer, Labels, Options, Value};

/// Time 0 of the scripts, ns: a multiple of every step they use.
const BASE: i64 = 1_700_006_400_000_000_000;

fn near(got: f64, expected: f64) -> bool {
    got == expected
        || (got.is_nan() && expected.is_nan())
        || (got - expected).abs() <= 1e-6 * expected.abs().max(got.abs())
}

type Points = Vec<Option<f64>>;

/// Series of an answer, in its order, one value a step.
fn series(answer: Answer, times: &[i64]) -> Vec<(Labels, Points)> {
    match answer.value {
        Value::Scalar(value) => vec![(Labels::default(), vec![Some(value)])],
        Value::Vector(samples) => samples.into_iter().map(|sample| (sample.labels, vec![Some(sample.value)])).collect(),
        Value::Matrix(series) => series
            .into_iter()
            .map(|series| {
                let at = |time: &i64| series.points.iter().find(|(at, _)| at == time).map(|(_, value)| *value);
                (series.labels, times.iter().map(at).collect())
            })
            .collect(),
        Value::Streams(_) => panic!("a metric query answered streams"),
    }
}

fn compare(got: &[(Labels, Points)], expected: &[(Labels, Points)], ordered: bool) -> Result<(), String> {
    let same = |a: &Points, b: &Points| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => near(*a, *b),
                (None, None) => true,
                _ => false,
            })
    };
    let fail = || Err(format!("got {got:?}, expected {expected:?}"));
    if got.len() != expected.len() {
        return fail();
    }
    let matched = if ordered {
        got.iter().zip(expected).all(|(got, expected)| got.0 == expected.0 && same(&got.1, &expected.1))
    } else {
        expected.iter().all(|expected| got.iter().any(|got| got.0 == expected.0 && same(&got.1, &expected.1)))
    };
    if matched { Ok(()) } else { fail() }
}

async fn eval(store: &Store, eval: &script::Eval) -> Result<(), String> {
    let options = Options::default();
    let (answer, times) = match eval.range {
        None => (
            store.engine.instant(&eval.query, BASE + eval.start, &options).await,
            vec![(BASE + eval.start) / 1_000_000],
        ),
        Some((end, step)) => {
            let times = (0..).map(|n| eval.start + n * step).take_while(|time| *time <= end);
            let times = times.map(|time| (BASE + time) / 1_000_000).collect();
            (store.engine.range(&eval.query, BASE + eval.start, BASE + end, step, &options).await, times)
        }
    };
    match (&eval.expectation, answer) {
        (Expectation::Fail { contains, regex }, Err(error)) => {
            let text = error.to_string();
            let matched = contains.as_ref().is_none_or(|part| text.contains(part.as_str()))
                && regex.as_ref().is_none_or(|regex| regex::Regex::new(regex).unwrap().is_match(&text));
            if matched { Ok(()) } else { Err(format!("another error: {text}")) }
        }
        (Expectation::Fail { .. }, Ok(answer)) => Err(format!("should fail, got {answer:?}")),
        (Expectation::Series { .. }, Err(error)) => Err(format!("failed: {error}")),
        (Expectation::Series { series: expected, ordered }, Ok(answer)) => {
            compare(&series(answer, &times), expected, *ordered)
        }
    }
}

async fn run_file(path: &Path) -> (usize, Vec<String>) {
    let commands = script::parse(&std::fs::read_to_string(path).unwrap());
    let mut store = Store::open().await;
    let (mut passed, mut failures) = (0, Vec::new());
    for (line, command) in commands {
        match command {
            Command::Clear => store.clear(),
            Command::Load(entries) => store.load(&entries, BASE),
            Command::Eval(statement) => match eval(&store, &statement).await {
                Ok(()) => passed += 1,
                Err(reason) => failures.push(format!("line {line}: {}: {reason}", statement.query)),
            },
        }
    }
    (passed, failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_metric_queries_answer_as_in_loki() {
    let root = std::env::var("WEFT_CONFORMANCE").unwrap_or_else(|_| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").to_string_lossy().into_owned()
    });
    let Ok(files) = std::fs::read_dir(Path::new(&root).join("logql")) else {
        eprintln!("skipped: no conformance files at {root}; set WEFT_CONFORMANCE to where they are");
        return;
    };
    let floor: BTreeMap<&str, usize> = include_str!("conformance/floor.txt")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name, count.trim().parse().unwrap()))
        .collect();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut below = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "logqltest")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (passed, failures) = run_file(path).await;
        eprintln!("{name}: {passed} passed, {} failed, 0 skipped", failures.len());
        for failure in &failures {
            eprintln!("  {failure}");
        }
        if passed < floor.get(name.as_str()).copied().unwrap_or(0) {
            below.push(name);
        }
    }
    assert!(below.is_empty(), "fewer statements pass than before in {below:?}");
}
