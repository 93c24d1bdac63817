#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::fixtures::{NOON, log_rows};

#[test]
fn statistics_survive_delta_and_back() {
    let mut collector = Collector::new(Table::Logs);
    collector.add(&log_rows(&[("web", NOON, "x"), ("api", NOON - 7, "y")])).unwrap();
    collector.add(&log_rows(&[("db", NOON + 7, "z")])).unwrap();
    let stats = collector.finish();
    assert_eq!((stats.min_time_ns, stats.max_time_ns), (NOON - 7, NOON + 7));
    assert_eq!(stats.columns[logs::SERVICE_NAME].min, Some(Value::Text("api".into())));
    assert_eq!(from_delta(Table::Logs, Some(&to_delta(3, &stats))), (3, stats));
}

#[test]
fn a_file_without_statistics_may_hold_any_time() {
    let (_, stats) = from_delta(Table::Spans, None);
    assert_eq!((stats.min_time_ns, stats.max_time_ns), (i64::MIN, i64::MAX));
}

#[test]
fn cut_texts_still_bound_what_they_were_cut_from() {
    for text in ["ü".repeat(100), "\u{10FFFF}".repeat(40), "z".repeat(64), "a".repeat(65)] {
        let upper = upper_bound(text.clone());
        assert!(upper.as_ref().is_none_or(|upper| *upper >= text && upper.len() <= TEXT_BYTES + 4), "{text}");
        assert!(text[..boundary(&text)] <= *text);
    }
    assert_eq!(upper_bound("\u{10FFFF}".repeat(40)), None);
}
