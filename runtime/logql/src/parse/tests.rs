#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::parse;
use crate::ast::{BinaryOp, Expr, MetricExpr, Stage};
use crate::error::Error;

fn stages(query: &str) -> Vec<Stage> {
    match parse(query).unwrap() {
        Expr::Log(log) => log.stages,
        Expr::Metric(_) => panic!("a metric query"),
    }
}

#[test]
fn errors_name_line_and_column() {
    let Err(Error::Parse { position, message }) = parse("{app=\"a\"}\n  | json |") else { panic!("parsed") };
    assert_eq!((position.line, position.column), (2, 11));
    assert!(message.contains("unexpected $end"), "{message}");
}

#[test]
fn stage_names_are_labels_when_compared() {
    assert!(matches!(stages(r#"{a="b"} | json = "x""#)[..], [Stage::LabelFilter(_)]));
    assert!(matches!(stages(r#"{a="b"} | json != "x""#)[..], [Stage::Json(_), Stage::LineFilter(_)]));
    assert!(matches!(stages(r#"{a="b"} | duration > 1000 | bytes < 1MB"#)[..], [Stage::LabelFilter(_), Stage::LabelFilter(_)]));
}

#[test]
fn comparison_binds_looser_than_addition() {
    let Expr::Metric(MetricExpr::Binary(binary)) = parse("vector(1) > vector(2) + 3").unwrap() else { panic!("not binary") };
    assert!(matches!(binary.op, BinaryOp::Compare(_)));
}

#[test]
fn the_range_may_stand_after_the_selector_or_at_the_end() {
    for query in [
        r#"rate({a="b"}[5m] |= "x")"#,
        r#"rate({a="b"} |= "x" [5m])"#,
        r#"rate(({a="b"} |= "x")[5m])"#,
        r#"rate(({a="b"} |= "x" [5m] offset 1m))"#,
    ] {
        parse(query).unwrap();
    }
    assert!(parse(r#"rate({a="b"})"#).is_err());
}

#[test]
fn hostile_nesting_is_an_error_and_not_a_crash() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000))).is_err());
}
