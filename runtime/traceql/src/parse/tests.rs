#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::{parse, parse_field};
use crate::ast::{Expr, Op, Root, Spanset, SpansetOp, Stage};
use crate::check::check;
use crate::error::Error;

fn spanset(query: &str) -> Spanset {
    let Root::Search(mut pipeline) = parse(query).unwrap().root else { panic!("a metrics query") };
    let Stage::Spanset(spanset) = pipeline.stages.remove(0) else { panic!("not a spanset") };
    spanset
}

fn filter(query: &str) -> String {
    let Spanset::Filter(expr) = spanset(query) else { panic!("not a filter") };
    expr.to_string()
}

#[test]
fn logical_operators_share_one_precedence() {
    let Spanset::Binary { op: SpansetOp::And, left, .. } = spanset("{.a} || {.b} && {.c}") else {
        panic!("not an and")
    };
    assert!(matches!(*left, Spanset::Binary { op: SpansetOp::Or, .. }));
    assert_eq!(filter("{ .a || .b && .c }"), "((.a || .b) && .c)");
}

#[test]
fn structural_operators_bind_tighter_than_and() {
    let Spanset::Binary { op: SpansetOp::And, .. } = spanset("{.a} && {.b} >> {.c}") else { panic!("not an and") };
    let Spanset::Binary { op: SpansetOp::Structural { .. }, left, .. } = spanset("{} > {} > {}") else {
        panic!("not structural")
    };
    assert!(matches!(*left, Spanset::Binary { .. }));
}

#[test]
fn not_binds_tighter_than_comparison_and_minus_looser_than_times() {
    assert_eq!(filter("{ !.a = .b }"), "(!.a = .b)");
    assert_eq!(filter("{ -.a * 2 = 3 }"), "(-(.a * 2) = 3)");
    assert_eq!(filter("{ 2 ^ 3 ^ 4 = 1 }"), "((2 ^ (3 ^ 4)) = 1)");
}

#[test]
fn errors_name_line_and_column() {
    let Err(Error::Parse { position, message }) = parse("{ .a =\n foo }") else { panic!("parsed") };
    assert_eq!((position.line, position.column), (2, 2));
    assert!(message.contains("unexpected IDENTIFIER foo"), "{message}");
}

#[test]
fn hostile_nesting_is_an_error_and_not_a_crash() {
    for text in ["(", "{", "{!", "{-", "{(", "{ .a ^ "] {
        assert!(parse(&text.repeat(50_000)).is_err());
    }
    assert!(parse(&format!("{{ {} .a }}", "!".repeat(50_000))).is_err());
}

#[test]
fn fields_parse_alone() {
    assert_eq!(parse_field("resource.service.name").unwrap().to_string(), "resource.service.name");
    assert_eq!(parse_field("span:duration").unwrap().to_string(), "duration");
    assert!(parse_field("nonsense").is_err());
}

#[test]
fn nil_compares_with_anything_that_may_be_absent() {
    assert!(check(&parse("{ .a = nil }").unwrap()).is_ok());
    assert!(check(&parse("{ name = nil }").unwrap()).is_err());
    let Spanset::Filter(Expr::Binary { op: Op::NotEqual, .. }) = spanset("{ name != nil }") else {
        panic!("not a comparison")
    };
}

/// Every prefix and suffix of `text`, and `text` with each character replaced or doubled.
fn mutations(text: &str) -> impl Iterator<Item = String> + '_ {
    text.char_indices().flat_map(move |(at, c)| {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let replaced =
            ["\"", "`", "{", "}", "(", "|", "\\", "é", "0x", "."].map(|other| format!("{before}{other}{after}"));
        [before.to_owned(), text[at..].to_owned(), format!("{before}{c}{c}{after}")].into_iter().chain(replaced)
    })
}

#[test]
fn mangled_queries_parse_or_fail_but_never_crash() {
    let query = r#"({ span."é \"x".y =~ "a|b" && !(-.z ^ 2 >= 1.5s) || trace:id = `0é` } &>> { status = error } | by(.a) | avg(duration) > 1h30m | select(.b, name)) ~ {} | quantile_over_time(duration, 0.5) by (resource.service.name) | topk(3) > 1 with(sample=0.1) // é"#;
    for mangled in mutations(query) {
        let _either = parse(&mangled).and_then(|query| check(&query));
        let _either = parse_field(&mangled);
    }
}
