//! Tests of the grammar: binding, keywords as names, durations, places of errors.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::ast::{Expr, Kind};
use super::parse;

/// The tree with all operators in prefix form.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        Kind::Number(value) => value.to_string(),
        Kind::String(text) => format!("{text:?}"),
        Kind::Selector(selector) => {
            selector.matchers.iter().map(|matcher| matcher.value.clone()).collect::<Vec<_>>().join(",")
        }
        Kind::Range { selector, .. } => format!("[{}]", selector.matchers[0].value),
        Kind::Subquery { expr, .. } => format!("[{}:]", shape(expr)),
        Kind::Call { name, arguments } => {
            format!("{name}({})", arguments.iter().map(shape).collect::<Vec<_>>().join(" "))
        }
        Kind::Aggregate { op, expr, .. } => format!("{op}({})", shape(expr)),
        Kind::Unary { negative, expr } => format!("({} {})", if *negative { "-" } else { "+" }, shape(expr)),
        Kind::Binary(binary) => format!("({} {} {})", binary.op, shape(&binary.left), shape(&binary.right)),
        Kind::Paren(inner) => shape(inner),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (text, expected) in [
        ("-1^2", "(- (^ 1 2))"),
        ("2^3^2", "(^ 2 (^ 3 2))"),
        ("2^-1", "(^ 2 (- 1))"),
        ("1 + 2 * 3", "(+ 1 (* 2 3))"),
        ("1 - 2 - 3", "(- (- 1 2) 3)"),
        ("a or b and c unless d", "(or a (unless (and b c) d))"),
        ("a > b + 1", "(> a (+ b 1))"),
        ("-a * b", "(* (- a) b)"),
    ] {
        assert_eq!(shape(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn keywords_are_names_where_no_keyword_can_stand() {
    assert_eq!(shape(&parse("sum").unwrap()), "sum");
    assert_eq!(shape(&parse("{on=\"x\", by=\"y\"}").unwrap()), "x,y");
    assert_eq!(shape(&parse("SUM BY (offset, bool,) (foo)").unwrap()), "sum(foo)");
    assert_eq!(shape(&parse("a:b:c{x='1'}").unwrap()), "a:b:c,1");
}

#[test]
fn durations_and_numbers_are_told_apart() {
    assert_eq!(shape(&parse("1h30m").unwrap()), "5400");
    assert_eq!(shape(&parse("0x1F").unwrap()), "31");
    assert_eq!(shape(&parse("1_000e-1").unwrap()), "100");
    assert_eq!(shape(&parse("017").unwrap()), "15");
    assert!(parse("foo[5m3]").is_err());
    assert!(parse("foo[step() + 2 * 5m]").is_ok());
}

#[test]
fn errors_name_line_and_column() {
    for (text, place) in [
        ("sum(", "1:5"),
        ("foo{a=}", "1:7"),
        ("foo +\n  * bar", "2:3"),
        ("foo[5m] offset", "1:15"),
        ("", "1:1"),
        ("foo{a=~\"(\"}", "1:8"),
        ("{x=\"\"}", "1:1"),
        ("foo offset 1m offset 1m", "1:15"),
        ("foo offset 1m[5m]", "1:14"),
        ("1s1m", "1:1"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{place}: parse error: ")), "{text}: {error}");
    }
}

#[test]
fn a_query_nested_too_deeply_is_refused() {
    let text = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse(&text).unwrap_err().to_string().contains("nested too deeply"));
}
