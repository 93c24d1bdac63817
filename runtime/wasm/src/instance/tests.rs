//! Calls into real guests, hostile ones above all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::fixtures::{NOW, config, guest, instance, logs, module, source, spans, text_column};
use crate::{Engine, Error, Fault};
use arrow::array::{AsArray, RecordBatch};
use std::time::Duration;
use weft_model::{ErrorKind, Signal};

fn limit(fault: Fault) -> String {
    match fault {
        Fault::Limit(text) => text,
        other => panic!("expected a limit, got {other:?}"),
    }
}

fn trap(fault: Fault) -> String {
    match fault {
        Fault::Trapped(text) => text,
        other => panic!("expected a trap, got {other:?}"),
    }
}

fn rejected(fault: Fault) -> String {
    match fault {
        Fault::Rejected(text) => text,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

#[test]
fn a_filter_keeps_the_rows_it_wants() {
    let mut filter = instance("filter");
    let output = filter.process(Signal::Spans, spans(1000), NOW).unwrap();
    let batch = output.batch.unwrap();
    assert_eq!(batch.num_rows(), 500);
    assert_eq!(text_column(&batch, "name").value(0), "name-1");
    assert_eq!(text_column(&batch, "name").value(499), "name-999");
    let stats = filter.stats();
    assert_eq!((stats.calls, stats.rows_in, stats.rows_out), (1, 1000, 500));
    assert!(stats.busy_ns > 0 && stats.bytes_in > 8 * 1000 && stats.memory_bytes > 0);
}

#[test]
fn a_batch_without_rows_left_is_none() {
    let mut filter = instance("filter");
    let one_fast_span = spans(1);
    assert!(filter.process(Signal::Spans, one_fast_span, NOW).unwrap().batch.is_none());
    assert!(filter.process(Signal::Spans, spans(0), NOW).unwrap().batch.is_none());
}

#[test]
fn an_instance_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<crate::Instance>();
    is_send::<Engine>();
}

#[test]
fn a_call_that_never_ends_is_ended_by_its_timeout_and_the_instance_is_dead() {
    let engine = Engine::new(crate::Config { call_timeout: Duration::from_millis(50), ..config() }).unwrap();
    let mut spin = engine.load(&guest("spin")).unwrap().instantiate("{}", &source()).unwrap();
    let text = limit(spin.process(Signal::Logs, logs(1), NOW).unwrap_err());
    assert!(text.contains("call_timeout_ms"), "{text}");
    assert!(spin.is_dead());
    let text = trap(spin.tick(NOW).unwrap_err());
    assert!(text.contains("dead"), "{text}");
    assert!(spin.snapshot().unwrap_err().is_fatal());
}

#[test]
fn a_module_that_takes_all_memory_runs_into_its_limit() {
    let mut grow = instance("grow");
    let text = limit(grow.process(Signal::Logs, logs(1), NOW).unwrap_err());
    assert!(text.contains("memory_bytes is 16777216"), "{text}");
    assert!(grow.is_dead());
}

#[test]
fn a_module_that_copes_with_a_refused_allocation_lives_on() {
    let mut grow = module("grow").instantiate("ask", &source()).unwrap();
    for _ in 0..2 {
        let text = rejected(grow.process(Signal::Logs, logs(1), NOW).unwrap_err());
        assert_eq!(text, "no more memory");
    }
    assert!(!grow.is_dead());
}

#[test]
fn a_trap_names_the_guest_function_it_happened_in() {
    let mut program = instance("trap");
    let text = trap(program.process(Signal::Logs, logs(1), NOW).unwrap_err());
    assert!(text.contains("inner_function_that_panics"), "{text}");
    assert!(text.contains("unreachable"), "{text}");
    assert!(program.is_dead());
}

#[test]
fn a_trap_in_tick_ends_the_instance_too() {
    let mut program = module("trap").instantiate("tick", &source()).unwrap();
    trap(program.tick(NOW).unwrap_err());
    assert!(program.is_dead());
}

#[test]
fn deep_recursion_traps_and_harms_nothing_else() {
    let mut program = instance("recurse");
    let text = trap(program.process(Signal::Logs, logs(1), NOW).unwrap_err());
    assert!(text.contains("call stack exhausted"), "{text}");
    assert_eq!(instance("filter").process(Signal::Spans, spans(8), NOW).unwrap().batch.unwrap().num_rows(), 4);
}

#[test]
fn an_error_of_the_guest_rejects_the_batch_and_the_instance_lives_on() {
    let mut program = module("trap").instantiate("error", &source()).unwrap();
    assert_eq!(rejected(program.process(Signal::Logs, logs(1), NOW).unwrap_err()), "can't do it");
    assert!(!program.is_dead());
    assert!(program.tick(NOW).unwrap().batch.is_none());
}

#[test]
fn bad_columns_are_errors_the_guest_sees() {
    let rows = instance("bad-columns").process(Signal::Logs, logs(64), NOW).unwrap().batch.unwrap().num_rows();
    assert_eq!(rows, 64);
}

#[test]
fn bad_utf8_is_an_error_the_guest_sees() {
    let batch = logs(64);
    let output = instance("bad-utf8").process(Signal::Logs, batch.clone(), NOW).unwrap();
    assert_eq!(output.batch.unwrap(), batch);
}

#[test]
fn bad_paths_and_arguments_are_errors_the_guest_sees() {
    let output = instance("bad-paths").process(Signal::Logs, logs(64), NOW).unwrap();
    assert_eq!(output.batch.unwrap().num_rows(), 64);
    assert!(output.emitted.is_empty());
}

#[test]
fn huge_outputs_are_errors_the_guest_sees() {
    // The guest leaves the batch with more constants than fit: they are refused at the latest when
    // the maps are rebuilt, which rejects the batch.
    let mut program = instance("huge-output");
    let text = rejected(program.process(Signal::Logs, logs(64), NOW).unwrap_err());
    assert!(text.contains("output_bytes"), "{text}");
    assert!(!program.is_dead());
}

#[test]
fn a_handle_of_an_earlier_call_is_a_trap() {
    let mut program = instance("stale-handle");
    program.process(Signal::Logs, logs(1), NOW).unwrap();
    let text = trap(program.process(Signal::Logs, logs(1), NOW).unwrap_err());
    assert!(text.contains("earlier call"), "{text}");
}

#[test]
fn a_panic_in_restore_is_a_trap() {
    let mut program = instance("restore-panic");
    let snapshot = program.snapshot().unwrap();
    let mut fresh = instance("restore-panic");
    trap(fresh.restore(&snapshot).unwrap_err());
    assert!(fresh.is_dead());
}

#[test]
fn parked_rows_have_a_limit() {
    let mut hoard = instance("hoard");
    for call in 0..5 {
        assert!(hoard.process(Signal::Spans, spans(1000), call * 1000).unwrap().batch.is_none());
    }
    assert_eq!(hoard.deferred_rows(), 5000);
    let text = rejected(hoard.process(Signal::Spans, spans(1), NOW).unwrap_err());
    assert!(text.contains("deferred_rows"), "{text}");
    assert_eq!(hoard.deferred_rows(), 5000);
    assert!(hoard.deferred_bytes() > 0);
}

fn released_names(released: &[(Signal, RecordBatch)]) -> Vec<String> {
    released
        .iter()
        .flat_map(|(_, batch)| text_column(batch, "name").iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_tail_sampler_parks_decides_counts_and_emits() {
    let mut tail = instance("tail");
    // Traces of four spans; row 3 of every eight has an error: every second trace.
    assert!(tail.process(Signal::Spans, spans(16), NOW).unwrap().batch.is_none());
    assert_eq!(tail.deferred_rows(), 16);
    let output = tail.tick(NOW + 5).unwrap();
    let names: Vec<String> = [0, 1, 2, 3, 8, 9, 10, 11].iter().map(|row| format!("name-{row}")).collect();
    assert_eq!(released_names(&output.released), names);
    assert_eq!(tail.deferred_rows(), 0);
    assert_eq!(tail.deferred_bytes(), 0);
    let (signal, log) = &output.emitted[0];
    assert_eq!(*signal, Signal::Logs);
    assert_eq!(text_column(log, "body").value(0), "decided 4 traces");
    let time = log.column_by_name("time_unix_nano").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(time.value(0), NOW + 5);
    assert_eq!(tail.counters().collect::<Vec<_>>(), [("spans", 16)]);
}

#[test]
fn a_rejected_call_parks_nothing() {
    let mut tail = instance("tail");
    assert_eq!(rejected(tail.process(Signal::Spans, spans(8), 13).unwrap_err()), "unlucky");
    assert_eq!(tail.deferred_rows(), 0);
}

#[test]
fn a_restored_instance_decides_as_the_first_would_have() {
    let mut first = instance("tail");
    first.process(Signal::Spans, spans(16), NOW).unwrap();
    let snapshot = first.snapshot().unwrap();
    let mut second = instance("tail");
    second.restore(&snapshot).unwrap();
    assert_eq!(second.deferred_rows(), 16);
    let (one, other) = (first.tick(NOW).unwrap(), second.tick(NOW).unwrap());
    assert_eq!(one.released, other.released);
    assert_eq!(one.emitted, other.emitted);
    assert!(!one.released.is_empty());
    // What came of it is the same blob again.
    assert_eq!(first.snapshot().unwrap(), second.snapshot().unwrap());
}

#[test]
fn a_snapshot_of_another_module_or_damaged_is_refused() {
    let mut tail = instance("tail");
    tail.process(Signal::Spans, spans(16), NOW).unwrap();
    let snapshot = tail.snapshot().unwrap();
    let mut other = instance("hoard");
    let text = rejected(other.restore(&snapshot).unwrap_err());
    assert_eq!(text, "the snapshot is of module 'tail', this is 'hoard'");
    assert!(!other.is_dead());
    let mut damaged = snapshot.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(rejected(tail.restore(&damaged).unwrap_err()).contains("checksum"));
    assert!(rejected(tail.restore(&snapshot[..20]).unwrap_err()).contains("damaged"));
    assert!(rejected(tail.restore(b"junk").unwrap_err()).contains("not a snapshot"));
}

#[test]
fn signals_and_schemas_that_dont_fit_are_rejected() {
    let mut filter = instance("filter");
    let text = rejected(filter.process(Signal::Spans, logs(1), NOW).unwrap_err());
    assert!(text.contains("schema of spans"), "{text}");
    assert_eq!(filter.stats().calls, 0);
}

#[test]
fn a_refused_configuration_says_the_modules_words() {
    let error = module("trap").instantiate("refuse", &source()).unwrap_err();
    assert!(matches!(&error, Error::Configure { module, .. } if module == "trap"), "{error}");
    assert!(error.to_string().contains("field 'colour' must be a colour"));
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = module("trap").instantiate("configure", &source()).unwrap_err();
    assert!(matches!(error, Error::Start { fault: Fault::Trapped(_), .. }), "{error}");
}

#[test]
fn no_more_instances_than_the_pool_has_and_room_again_when_one_goes() {
    let engine = Engine::new(crate::Config { instances: 2, ..config() }).unwrap();
    let module = engine.load(&guest("filter")).unwrap();
    let one = module.instantiate("{}", &source()).unwrap();
    let _two = module.instantiate("{}", &source()).unwrap();
    let error = module.instantiate("{}", &source()).unwrap_err();
    assert!(matches!(error, Error::Instances { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
    drop(one);
    module.instantiate("{}", &source()).unwrap();
}

#[test]
fn an_instance_outlives_its_engine() {
    let engine = Engine::new(crate::Config { call_timeout: Duration::from_millis(50), ..config() }).unwrap();
    let module = engine.load(&guest("spin")).unwrap();
    let mut spin = module.instantiate("{}", &source()).unwrap();
    drop((engine, module));
    limit(spin.process(Signal::Logs, logs(1), NOW).unwrap_err());
}
