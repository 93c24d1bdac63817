//! Runs Prometheus's own engine tests (`promqltest` scripts) through the product's path: samples as hot
//! rows of the `metrics` table, queries through the engine.
//!
//! The scripts are not part of this repository: they are read from the folder in
//! `WEFT_CONFORMANCE_PROMQL`, or from beside the project's folder; without them the test says so and
//! passes. Counts by file go to `conformance-promql.txt` in cargo's temporary folder for tests, the
//! failures to `conformance-promql-failures.txt`; no file may fall below its line in
//! `promqltest/floors.txt`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a test that reports")]

#[path = "promqltest/script.rs"]
mod script;
#[path = "promqltest/store.rs"]
mod store;

use script::{Command, Eval, Expectation, Points, Timing};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use store::Store;
use weft_promql::{Answer, Labels, Options, Value};

const FLOORS: &str = include_str!("promqltest/floors.txt");

#[derive(Default)]
struct Outcome {
    passed: usize,
    failures: Vec<String>,
}

fn folder() -> Option<PathBuf> {
    let set = std::env::var_os("WEFT_CONFORMANCE_PROMQL").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    set.into_iter().chain([beside]).find(|folder| folder.is_dir())
}

#[test]
fn no_file_of_the_conformance_suite_falls_below_its_floor() {
    let Some(folder) = folder() else {
        println!("skipped: the promqltest scripts are not there (set WEFT_CONFORMANCE_PROMQL to their folder)");
        return;
    };
    let only = std::env::var("WEFT_CONFORMANCE_ONLY").unwrap_or_default();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "test") && file.to_string_lossy().contains(&only)
    });
    files.sort();
    let outcomes: BTreeMap<String, Outcome> = std::thread::scope(|scope| {
        let (even, odd): (Vec<_>, Vec<_>) = files.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let halves = [even, odd].map(|half| {
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                let run = |(_, file): (usize, &PathBuf)| {
                    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                    (name, runtime.block_on(run_file(file)))
                };
                half.into_iter().map(run).collect::<Vec<_>>()
            })
        });
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let floors: BTreeMap<&str, usize> = FLOORS
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name, count.trim().parse().unwrap()))
        .collect();
    let (mut report, mut failures, mut fallen) = (String::new(), String::new(), Vec::new());
    let (mut passed, mut failed) = (0, 0);
    for (name, outcome) in &outcomes {
        writeln!(report, "{name}: passed: {} failed: {} skipped: 0", outcome.passed, outcome.failures.len()).unwrap();
        outcome.failures.iter().for_each(|failure| writeln!(failures, "{name}: {failure}").unwrap());
        passed += outcome.passed;
        failed += outcome.failures.len();
        let floor = floors.get(name.as_str()).copied().unwrap_or(0);
        if outcome.passed < floor {
            fallen.push(format!("{name}: {} passed, the floor is {floor}", outcome.passed));
        }
    }
    writeln!(report, "passed: {passed} failed: {failed} skipped: 0").unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(out.join("conformance-promql.txt"), &report).unwrap();
    std::fs::write(out.join("conformance-promql-failures.txt"), &failures).unwrap();
    println!("{report}");
    assert!(fallen.is_empty(), "{}", fallen.join("\n"));
}

async fn run_file(file: &Path) -> Outcome {
    let text = std::fs::read_to_string(file).unwrap();
    let mut outcome = Outcome::default();
    let store = Store::open().await;
    for (line, command) in script::commands(&text) {
        match command {
            Command::Clear => store.clear(),
            Command::Load(loads) => store.load(&loads),
            Command::Eval(eval) => match check(&store, &eval).await {
                Ok(()) => outcome.passed += 1,
                Err(why) => outcome.failures.push(format!("line {line}: {}: {why}", eval.query)),
            },
        }
    }
    outcome
}

async fn check(store: &Store, eval: &Eval) -> Result<(), String> {
    let options = Options::default();
    let answer = match eval.timing {
        Timing::Instant(time) => store.engine.instant(&eval.query, time, &options).await,
        Timing::Range { start, end, step } => store.engine.range(&eval.query, start, end, step, &options).await,
    };
    let fails = eval.expectations.iter().any(|expected| matches!(expected, Expectation::Fail { .. }));
    let answer = match answer {
        Ok(_) if fails => return Err("it should fail".into()),
        Ok(answer) => answer,
        Err(error) if fails => return check_failure(&error, &eval.expectations),
        Err(error) => return Err(error.to_string()),
    };
    check_notes(&answer, &eval.expectations)?;
    check_value(&answer.value, eval)
}

fn check_failure(error: &weft_promql::Error, expectations: &[Expectation]) -> Result<(), String> {
    if let weft_promql::Error::Unsupported { .. } = error {
        return Err(format!("refused for another reason: {error}"));
    }
    let text = error.to_string();
    for expected in expectations {
        if let Expectation::Fail { message: Some(message), regex } = expected {
            let fits = if *regex {
                regex::Regex::new(message).unwrap().is_match(&text)
            } else {
                text.contains(message.as_str())
            };
            if !fits {
                return Err(format!("it fails with {text:?}, not {message:?}"));
            }
        }
    }
    Ok(())
}

fn check_notes(answer: &Answer, expectations: &[Expectation]) -> Result<(), String> {
    for expected in expectations {
        let (notes, kind, wanted, message, regex) = match expected {
            Expectation::Warn { message, regex } => (&answer.warnings, "warning", true, message, *regex),
            Expectation::Info { message, regex } => (&answer.infos, "info", true, message, *regex),
            Expectation::NoWarn => (&answer.warnings, "warning", false, &None, false),
            Expectation::NoInfo => (&answer.infos, "info", false, &None, false),
            _ => continue,
        };
        if notes.is_empty() == wanted {
            return Err(format!("{kind} expected: {wanted}; got {notes:?}"));
        }
        if let Some(message) = message {
            let fits = |note: &String| {
                if regex { regex::Regex::new(message).unwrap().is_match(note) } else { note.contains(message.as_str()) }
            };
            if !notes.iter().any(fits) {
                return Err(format!("{kind} {message:?} expected, got {notes:?}"));
            }
        }
    }
    Ok(())
}

fn check_value(value: &Value, eval: &Eval) -> Result<(), String> {
    if let Some(text) = eval.expectations.iter().find_map(|expected| match expected {
        Expectation::String(text) => Some(text),
        _ => None,
    }) {
        return match value {
            Value::String(_, found) if found == text => Ok(()),
            other => Err(format!("{text:?} expected, got {other:?}")),
        };
    }
    let grid = eval.expectations.iter().find_map(|expected| match expected {
        Expectation::Samples { start, step } => Some((*start, *step)),
        _ => None,
    });
    match value {
        Value::String(_, text) => Err(format!("unexpected string {text:?}")),
        Value::Scalar(sample) => match eval.expected.as_slice() {
            [(None, Points::Known(points))] if points.len() == 1 => equal(points[0], Some(sample.value)),
            _ => Err(format!("unexpected scalar {}", sample.value)),
        },
        Value::Vector(series) => {
            let ordered = eval.expectations.iter().any(|expected| matches!(expected, Expectation::Ordered));
            if ordered {
                let got: Vec<&Labels> = series.iter().map(|(labels, _)| labels).collect();
                let wanted: Vec<&Labels> = eval.expected.iter().filter_map(|(labels, _)| labels.as_ref()).collect();
                if got != wanted {
                    return Err(format!("order: {wanted:?} expected, got {got:?}"));
                }
            }
            let got =
                series.iter().map(|(labels, sample)| (labels.clone(), vec![(sample.time_ms, sample.value)])).collect();
            let time = if let Timing::Instant(time) = eval.timing { time } else { 0 };
            compare(got, eval, time, 1)
        }
        Value::Matrix(series) => match (eval.timing, grid) {
            (_, Some((start, step))) => compare(series.clone(), eval, start, step),
            (Timing::Range { start, step, .. }, None) => compare(series.clone(), eval, start, step),
            (Timing::Instant(_), None) => Err("unexpected range vector".into()),
        },
    }
}

type Series = (Labels, Vec<(i64, f64)>);

fn compare(mut got: Vec<Series>, eval: &Eval, start: i64, step: i64) -> Result<(), String> {
    let mut wanted: Vec<(Labels, &Points)> = Vec::new();
    for (labels, points) in &eval.expected {
        let empty = matches!(points, Points::Known(points) if points.iter().all(Option::is_none));
        if !empty {
            wanted.push((labels.clone().unwrap_or_default(), points));
        }
    }
    got.sort_by(|left, right| left.0.cmp(&right.0));
    wanted.sort_by(|left, right| left.0.cmp(&right.0));
    if got.len() != wanted.len() {
        return Err(format!(
            "{} series expected, got {}: {:?}",
            wanted.len(),
            got.len(),
            got.iter().take(6).collect::<Vec<_>>()
        ));
    }
    for ((labels, points), (wanted_labels, wanted_points)) in got.iter().zip(&wanted) {
        if labels != wanted_labels {
            return Err(format!("{wanted_labels:?} expected, got {labels:?}"));
        }
        let Points::Known(wanted_points) = wanted_points else { return Err("histograms expected".into()) };
        let found: BTreeMap<i64, f64> = points.iter().copied().collect();
        for (at, point) in wanted_points.iter().enumerate() {
            let time = start + step * i64::try_from(at).unwrap();
            equal(*point, found.get(&time).copied()).map_err(|why| format!("{labels:?} at {time} ms: {why}"))?;
        }
        if found.len() != wanted_points.iter().filter(|point| point.is_some()).count() {
            return Err(format!("{labels:?}: points at other times: {points:?}"));
        }
    }
    Ok(())
}

/// Equal to a relative 1e-6; NaN equals NaN.
fn equal(wanted: Option<f64>, got: Option<f64>) -> Result<(), String> {
    let same = match (wanted, got) {
        (None, None) => true,
        (Some(wanted), Some(got)) => {
            let close = (wanted - got).abs() / (wanted.abs() + got.abs()).min(f64::MAX) < 1e-6;
            wanted == got || close || (wanted.is_nan() && got.is_nan())
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("{wanted:?} expected, got {got:?}")) }
}
