//! House rules, checked: who may depend on whom, where files sit, what they may not contain.
//!
//! The rules are those of the architecture (runtime/ARCHITECTURE.md); each failure says the rule and
//! every place that breaks it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Crate, level. A crate may depend only on crates of a smaller level.
const LEVELS: [(&str, u8); 15] = [
    ("weft-env", 0),
    ("weft-model", 0),
    ("weft-codec", 1),
    ("weft-ledger", 1),
    ("weft-topology", 1),
    ("weft-log", 2),
    ("weft-wasm", 2),
    ("weft-table", 2),
    ("weft-stream", 3),
    ("weft-query", 3),
    ("weft-promql", 4),
    ("weft-logql", 4),
    ("weft-traceql", 4),
    ("weft-api", 6),
    ("weft", 7),
];

/// Heavy dependencies, and the only crates that may name them.
const CONFINED: [(&str, &[&str]); 4] = [
    ("wasmtime", &["weft-wasm"]),
    ("datafusion", &["weft-query", "weft-promql", "weft-logql", "weft-traceql"]),
    ("rdkafka", &["weft-log", "weft-tests"]),
    ("fjall", &["weft-log"]),
];

const TOP_LEVEL: [&str; 12] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "deploy",
    "guest-sdk",
    "modules",
    "runtime",
    "tests",
    "topology",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files that git tracks or would track.
fn files() -> Vec<PathBuf> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .filter(|file| root().join(file).is_file())
        .collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            (file, text)
        })
        .collect()
}

/// Package name → names of its normal dependencies, of every manifest.
fn manifests() -> BTreeMap<String, (PathBuf, Vec<String>, String)> {
    let mut found = BTreeMap::new();
    for file in files().into_iter().filter(|file| file.file_name().is_some_and(|name| name == "Cargo.toml")) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let (mut section, mut name, mut dependencies) = (String::new(), None, Vec::new());
        for line in text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let key = key.trim().split('.').next().unwrap_or_default();
            if section == "package" && key == "name" {
                name = Some(value.trim().trim_matches('"').to_owned());
            }
            if section == "dependencies" || (section.starts_with("target.") && section.ends_with(".dependencies")) {
                dependencies.push(key.to_owned());
            }
        }
        if let Some(name) = name {
            found.insert(name, (file, dependencies, text));
        }
    }
    assert!(found.len() > 15, "the manifests were not found: {found:?}");
    found
}

fn report(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{rule}\n  {}", breaches.join("\n  "));
}

#[test]
fn a_crate_depends_only_on_smaller_levels() {
    let levels: BTreeMap<&str, u8> = LEVELS.into();
    let mut breaches = Vec::new();
    for (name, (_, dependencies, _)) in manifests() {
        let Some(level) = levels.get(name.as_str()) else {
            if name.starts_with("weft-") && !["weft-guest", "weft-tests", "weft-test-guests"].contains(&name.as_str()) {
                breaches.push(format!("{name} has no level: add it to the table"));
            }
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| dependency.starts_with("weft")) {
            match levels.get(dependency.as_str()) {
                Some(below) if below < level => {}
                other => breaches.push(format!("{name} (level {level}) depends on {dependency} ({other:?})")),
            }
        }
    }
    report("a crate may depend only on crates of a smaller level", breaches);
}

#[test]
fn the_ingest_half_and_the_query_half_stay_apart() {
    let ingest = ["weft-log", "weft-codec", "weft-wasm", "weft-stream", "weft-ledger", "weft-topology"];
    let query = ["weft-query", "weft-promql", "weft-logql", "weft-traceql"];
    let mut breaches = Vec::new();
    for (name, (_, dependencies, _)) in manifests() {
        for (half, other) in [(&ingest[..], &query[..]), (&query[..], &ingest[..])] {
            if half.contains(&name.as_str()) {
                breaches.extend(
                    dependencies
                        .iter()
                        .filter(|d| other.contains(&d.as_str()))
                        .map(|d| format!("{name} depends on {d}")),
                );
            }
        }
    }
    report("ingest and query share only env, model and table", breaches);
}

#[test]
fn heavy_dependencies_stay_where_they_belong() {
    let mut breaches = Vec::new();
    for (name, (_, dependencies, _)) in manifests() {
        for (heavy, allowed) in CONFINED {
            if dependencies.iter().any(|dependency| dependency == heavy) && !allowed.contains(&name.as_str()) {
                breaches.push(format!("{name} depends on {heavy}; only {allowed:?} may"));
            }
        }
    }
    report("each heavy dependency has its own crates", breaches);
}

#[test]
fn modules_depend_on_the_guest_sdk_alone() {
    let mut breaches = Vec::new();
    for (name, (file, dependencies, _)) in manifests() {
        if file.starts_with("modules") {
            breaches.extend(
                dependencies
                    .iter()
                    .filter(|d| d.starts_with("weft") && *d != "weft-guest")
                    .map(|d| format!("{name} depends on {d}")),
            );
        }
    }
    report("a module sees only what its users' modules see", breaches);
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let breaches = manifests()
        .into_iter()
        .filter(|(_, (_, _, text))| !text.contains("[lints]\nworkspace = true"))
        .map(|(name, (file, ..))| format!("{name} ({})", file.display()))
        .collect();
    report("every crate has [lints] workspace = true", breaches);
}

#[test]
fn the_top_level_holds_what_it_should() {
    let mut found: Vec<String> = files()
        .iter()
        .filter_map(|file| file.components().next())
        .map(|first| first.as_os_str().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    found.sort();
    found.dedup();
    let unknown: Vec<String> = found.into_iter().filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect();
    report("the top level is fixed", unknown);
}

#[test]
fn file_names_say_what_is_in_them() {
    let vague = ["mod", "utils", "util", "common", "helpers", "helper", "misc", "types", "manager"];
    let breaches = rust_files()
        .iter()
        .filter(|(file, _)| file.file_stem().is_some_and(|stem| vague.contains(&stem.to_string_lossy().as_ref())))
        .map(|(file, _)| file.display().to_string())
        .collect();
    report("no mod.rs, and no file named for nothing in particular", breaches);
}

#[test]
fn files_are_of_one_idea() {
    let breaches = rust_files()
        .iter()
        .filter(|(file, _)| !file.to_string_lossy().contains("tests"))
        .filter_map(|(file, text)| {
            let lines = text.lines().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(text.lines().count());
            (lines > 800).then(|| format!("{}: {lines} lines before its tests", file.display()))
        })
        .collect();
    report("a file of over 800 lines is two ideas", breaches);
}

#[test]
fn long_files_start_by_saying_what_they_are() {
    let breaches = rust_files()
        .iter()
        .filter(|(_, text)| text.lines().count() > 80 && !text.starts_with("//!") && !text.starts_with("#!["))
        .filter(|(file, _)| file.file_name().is_none_or(|name| name != "tests.rs"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    report("a file of over 80 lines starts with //!", breaches);
}

#[test]
fn nothing_is_left_open_and_nothing_ignored_without_a_reason() {
    // Split, so that this file doesn't find itself.
    let open = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore]"), concat!("FIX", "ME")];
    let mut breaches = Vec::new();
    for (file, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            breaches.extend(
                open.iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{}: {word}", file.display(), number + 1)),
            );
        }
    }
    report("no open ends; an ignored test says why", breaches);
}

#[test]
fn no_path_of_a_machine_and_no_registry_is_named() {
    let banned = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("crates", ".io/api"),
        concat!("static.crates", ".io"),
        concat!("index.crates", ".io"),
        concat!("files.python", "hosted"),
        concat!("repo.maven", ".apache"),
        concat!("proxy.golang", ".org"),
        concat!("registry.npm", "js"),
        concat!("deb.debian", ".org"),
    ];
    let mut breaches = Vec::new();
    for file in files().into_iter().filter(|file| file.file_name().is_none_or(|name| name != "Cargo.lock")) {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            breaches.extend(
                banned
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{}: {word}", file.display(), number + 1)),
            );
        }
    }
    report("no path of a machine, no registry's host", breaches);
}
