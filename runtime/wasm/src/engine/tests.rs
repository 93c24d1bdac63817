//! Loading: what is a module and what is not, and the compile cache.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::fixtures::{NOW, config, engine, guest, source, spans};
use crate::{Config, Engine, Error};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_model::{ErrorKind, Signal};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A component for a world of one's own, whose functions all trap.
fn component(folder: &Path, wit: &str, world: &str) -> PathBuf {
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/wit")).unwrap();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut core = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default().module(&core).unwrap().encode().unwrap();
    let path = folder.join(format!("{}.wasm", world.index()));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn reason(error: Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Config);
    match error {
        Error::NotAModule { reason, .. } | Error::Describe { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_not_wasm_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wasm");
    for (bytes, words) in [
        (&b"#!/bin/sh"[..], "not WebAssembly"),
        (b"", "not WebAssembly"),
        (b"\0asm\x01\0\0\0\xff\xff", "can't be made a component"),
        (b"\0asm\x01\0\0\0", "doesn't export weft:telemetry/module"),
        (b"\0asm\x0d\0\x01\0\xff\xff", "doesn't compile"),
        (b"\0asm\x07\0\x09\0", "unknown version"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let text = reason(engine().load(&path).unwrap_err());
        assert!(text.contains(words), "{bytes:?}: {text}");
    }
    assert!(matches!(engine().load(&folder.path().join("none.wasm")).unwrap_err(), Error::Read { .. }));
}

#[test]
fn a_component_of_another_world_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = component(folder.path(), "package a:b; world w { export run: func(); }", "w");
    let text = reason(engine().load(&path).unwrap_err());
    assert!(text.contains("doesn't export weft:telemetry/module"), "{text}");
}

#[test]
fn an_import_that_is_not_of_the_contract_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let wit = "package a:b; interface secrets { read: func() -> string; }
        world w { include weft:telemetry/telemetry-module@0.1.0; import secrets; }";
    let text = reason(engine().load(&component(folder.path(), wit, "w")).unwrap_err());
    assert!(text.contains("it imports a:b/secrets"), "{text}");
    let wit = "package wasi:clocks; interface wall { now: func() -> u64; }
        world w { include weft:telemetry/telemetry-module@0.1.0; import wall; }";
    let text = reason(engine().load(&component(folder.path(), wit, "w")).unwrap_err());
    assert!(text.contains("it imports wasi:clocks/wall"), "{text}");
    assert!(text.contains("WASI isn't supported yet"), "{text}");
}

#[test]
fn a_module_whose_describe_fails_or_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wit = "package a:b; world w { include weft:telemetry/telemetry-module@0.1.0; }";
    let path = component(folder.path(), wit, "w");
    let error = engine().load(&path).unwrap_err();
    assert!(matches!(error, Error::Describe { .. }), "{error}");
    assert!(reason(error).contains("unreachable"));
    let text = reason(engine().load(&guest("liar")).unwrap_err());
    assert!(text.contains("../../etc/passwd"), "{text}");
}

#[test]
fn a_core_module_and_its_component_are_both_loaded() {
    let core = guest("filter");
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(&core).unwrap();
    let component = ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap();
    let path = folder.path().join("filter.wasm");
    std::fs::write(&path, component).unwrap();
    let (one, other) = (engine().load(&core).unwrap(), engine().load(&path).unwrap());
    assert_eq!(one.description(), other.description());
    assert_eq!((one.name(), other.name()), ("filter", "filter"));
    assert_ne!(one.digest(), other.digest());
    assert_eq!(one.digest().len(), 64);
    let mut instance = other.instantiate("", &source()).unwrap();
    assert_eq!(instance.process(Signal::Spans, spans(8), NOW).unwrap().batch.unwrap().num_rows(), 4);
}

#[test]
fn the_same_bytes_are_loaded_once() {
    let one = engine().load(&guest("filter")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.wasm");
    std::fs::copy(guest("filter"), &copy).unwrap();
    assert!(Arc::ptr_eq(&one, &engine().load(&copy).unwrap()));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = Config { cache_dir: Some(cache.clone()), instances: 4, ..config() };
    let run = || {
        let engine = Engine::new(settings.clone()).unwrap();
        let mut instance = engine.load(&guest("filter")).unwrap().instantiate("", &source()).unwrap();
        instance.process(Signal::Spans, spans(8), NOW).unwrap().batch.unwrap().num_rows()
    };
    assert_eq!(run(), 4);
    let kept = files(&cache);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let sound = std::fs::read(&kept[0]).unwrap();

    // A sound file is used: another module's code in its place is what runs.
    let other = folder.path().join("other");
    let settings_of_other = Config { cache_dir: Some(other.clone()), ..settings.clone() };
    Engine::new(settings_of_other).unwrap().load(&guest("spin")).unwrap();
    std::fs::copy(&files(&other)[0], &kept[0]).unwrap();
    assert_eq!(Engine::new(settings.clone()).unwrap().load(&guest("filter")).unwrap().name(), "spin");
    std::fs::write(&kept[0], &sound).unwrap();

    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 0xff;
    for damage in [&flipped[..], &sound[..sound.len() / 2], b"", b"junk"] {
        std::fs::write(&kept[0], damage).unwrap();
        assert_eq!(run(), 4);
        assert_eq!(std::fs::read(&kept[0]).unwrap(), sound, "the file is written anew");
    }
    assert_eq!(files(&cache), kept);
}

#[test]
fn settings_out_of_range_are_refused_with_their_name() {
    for (settings, name) in [
        (Config { memory_bytes: 1, ..Config::default() }, "memory_bytes"),
        (Config { call_timeout: std::time::Duration::ZERO, ..Config::default() }, "call_timeout_ms"),
        (Config { output_bytes: usize::MAX, ..Config::default() }, "output_bytes"),
        (Config { instances: 0, ..Config::default() }, "instances"),
        (Config { stack_bytes: 1, ..Config::default() }, "stack_bytes"),
    ] {
        let error = Engine::new(settings).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
