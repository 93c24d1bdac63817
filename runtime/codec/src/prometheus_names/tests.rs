#![allow(clippy::unwrap_used, reason = "tests")]
//! Cases from otlptranslator's own tests, where they are about us.

use super::{NameKind, metric_name, push_label_name, push_stream_label_name, unit_name};
use crate::NameStrategy;

fn default(name: &str, unit: &str, kind: NameKind) -> String {
    metric_name(NameStrategy::UnderscoreEscapingWithSuffixes, name, unit, kind)
}

#[test]
fn default_names_have_words_units_and_suffixes() {
    use NameKind::{Counter, Gauge, Other};
    for (name, unit, kind, expected) in [
        ("system.filesystem.usage", "By", Other, "system_filesystem_usage_bytes"),
        ("system.cpu.utilization", "1", Gauge, "system_cpu_utilization_ratio"),
        ("system.network.packets", "{packets}", Counter, "system_network_packets_total"),
        ("http.server.request.duration", "s", Other, "http_server_request_duration_seconds"),
        ("speed", "m/s", Gauge, "speed_meters_per_second"),
        ("requests", "1/s", Gauge, "requests_per_second"),
        ("requests.per_second", "1/s", Gauge, "requests_per_second_per_second"),
        ("total.requests", "", Counter, "requests_total"),
        ("bytes.sent", "By", Counter, "bytes_sent_total"),
        ("a__b..c", "", Other, "a_b_c"),
        ("_leading_", "", Other, "leading"),
        ("ns:metric", "", Other, "ns:metric"),
        ("2xx", "", Counter, "_2xx_total"),
        ("x", "{things}/min", Other, "x_per_min"),
        ("x", "foo.bar", Other, "x_foo_bar"),
        ("x", "_/_", Other, "x"),
        ("temp", "Cel", Gauge, "temp_celsius"),
        ("usage", "%", Gauge, "usage_percent"),
        ("ratio.used", "1", Gauge, "used_ratio"),
        ("***", "", Other, "___"),
    ] {
        assert_eq!(default(name, unit, kind), expected, "{name} {unit}");
    }
}

#[test]
fn other_strategies_leave_out_escaping_or_suffixes() {
    let named = |strategy| metric_name(strategy, "cpu..time.2", "s", NameKind::Counter);
    assert_eq!(named(NameStrategy::UnderscoreEscapingWithoutSuffixes), "cpu_time_2");
    assert_eq!(named(NameStrategy::NoUTF8EscapingWithSuffixes), "cpu..time.2_seconds_total");
    assert_eq!(named(NameStrategy::NoTranslation), "cpu..time.2");
    let suffixed = |name, unit, kind| metric_name(NameStrategy::NoUTF8EscapingWithSuffixes, name, unit, kind);
    assert_eq!(suffixed("http.total", "", NameKind::Counter), "http_total");
    assert_eq!(suffixed("http.seconds", "s", NameKind::Other), "http.seconds");
    assert_eq!(suffixed("é_ratio", "1", NameKind::Gauge), "é_ratio");
    assert_eq!(suffixed("total", "", NameKind::Counter), "total_total");
    assert_eq!(suffixed("étotal", "", NameKind::Counter), "étotal_total");
}

fn label(key: &str) -> String {
    let mut out = Vec::new();
    push_label_name(&mut out, key, true);
    String::from_utf8(out).unwrap()
}

#[test]
fn label_names_are_escaped_as_prometheus_does() {
    for (key, expected) in [
        ("http.method", "http_method"),
        ("a..b", "a__b"),
        ("1st", "key_1st"),
        ("_x", "key_x"),
        (".x", "key_x"),
        ("_aé", "key_a_"),
        ("_.a", "__a"),
        ("__x", "__x"),
        ("__reserved__", "__reserved__"),
        ("é", "_"),
        ("aé", "a_"),
        ("plain", "plain"),
    ] {
        assert_eq!(label(key), expected, "{key}");
    }
    let mut out = Vec::new();
    push_label_name(&mut out, "http.method", false);
    assert_eq!(out, b"http.method");
}

#[test]
fn stream_label_names_have_no_runs_of_underscores() {
    for (key, expected) in [
        ("service.name", "service_name"),
        ("k8s..pod__name", "k8s_pod_name"),
        ("2nd", "key_2nd"),
        ("__a.b__", "__a_b__"),
        ("é", "_"),
    ] {
        let mut out = Vec::new();
        push_stream_label_name(&mut out, key);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn units_have_words() {
    assert_eq!(unit_name("By/s", true), "bytes_per_second");
    assert_eq!(unit_name("1", true), "");
    assert_eq!(unit_name("{x}", true), "");
    assert_eq!(unit_name("a.b", true), "a_b");
}
