//! Holds the grammar and the checks to Tempo's own list of valid and invalid queries
//! (`conformance/traceql/test_examples.yaml`, read from where it lies). Skipped where it is absent.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use crate::check::check;
use crate::error::Error;
use crate::parse::parse;
use std::collections::BTreeMap;
use std::path::Path;

fn outcome(query: &str) -> &'static str {
    match parse(query).and_then(|query| check(&query)) {
        Ok(()) => "valid",
        Err(Error::Parse { .. }) => "parse_fails",
        Err(Error::Unsupported(_)) => "unsupported",
        Err(_) => "validate_fails",
    }
}

#[test]
fn upstream_examples_are_told_apart() {
    let root = std::env::var("WEFT_CONFORMANCE").unwrap_or_else(|_| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").to_string_lossy().into_owned()
    });
    let Ok(text) = std::fs::read_to_string(Path::new(&root).join("traceql/test_examples.yaml")) else {
        eprintln!("skipped: no conformance files at {root}; set WEFT_CONFORMANCE to where they are");
        return;
    };
    let sections: BTreeMap<String, Option<Vec<String>>> = serde_saphyr::from_str(&text).unwrap();
    assert!(sections.values().flatten().flatten().count() > 400, "the list is not whole");
    let mut wrong = Vec::new();
    for (section, queries) in &sections {
        for query in queries.iter().flatten() {
            let got = outcome(query);
            if got != section {
                wrong.push(format!(
                    "{section}: {query} is {got}: {:?}",
                    parse(query).and_then(|query| check(&query)).err()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
