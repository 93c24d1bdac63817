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
    assert!(matches!(
        stages(r#"{a="b"} | duration > 1000 | bytes < 1MB"#)[..],
        [Stage::LabelFilter(_), Stage::LabelFilter(_)]
    ));
}

#[test]
fn comparison_binds_looser_than_addition() {
    let Expr::Metric(MetricExpr::Binary(binary)) = parse("vector(1) > vector(2) + 3").unwrap() else {
        panic!("not binary")
    };
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
    let query = r#"sum by (é) (rate({a="b\n", c=~`d`} |= "x" or ip("1.2.3.4/8") | json x="a.b[0]" | logfmt --strict | pattern "<a> <_>" | b > 1.5s | line_format "{{ .a | printf "%5.2f" }}é" | label_format c="{{if .a}}x{{end}}" | unwrap bytes(d) [5m] offset -1h)) / 0x1p3 # é"#;
    for mangled in mutations(query) {
        let _either = parse(&mangled).and_then(crate::check::check);
    }
}

#[test]
fn mangled_lines_and_templates_never_crash() {
    use crate::stages::Pipeline;
    use crate::stages::row::Row;
    let Expr::Log(log) = parse(r#"{a="b"} | json | json x="a[0].é" | logfmt | pattern "<p>=<_>" | regexp "(?P<r>é+)" | unpack | line_format "{{ fromJson __line__ }}{{ .a | trunc 3 | b64enc | b64dec }}" | decolorize | l=ip("::/0")"#).unwrap() else {
        panic!("not a log query")
    };
    let mut pipeline = Pipeline::new(&log.stages, None).unwrap();
    let line =
        r#"{"a":[1,{"é":"\u00e9\ud83d\ude00"}],"l":"::1","b.c":"x=1","_entry":"k=\"v é\" 10.0.0.1:80 \u001b[31m"}"#;
    for mangled in mutations(line) {
        let mut row = Row::new();
        row.reset(&mangled, 0);
        let _either = pipeline.run(&mut row);
        row.sorted(|_, _, _| {});
    }
    let template = r#"a {{- range $i, $x := (fromJson .json) -}}é{{ $x | upper | printf "%-5s|%q" }}{{ else }}{{ index .a 0 }}{{ end -}} {{ date "2006-01-02T15:04:05.000Z07:00" __timestamp__ }}{{ toDate "Jan _2 3:04PM" "é" }}"#;
    for mangled in mutations(template) {
        if let Ok(template) = crate::stages::template::Template::new(&mangled) {
            let mut row = Row::new();
            row.reset("é", 1);
            let _either = template.run(&row, &mut String::new());
        }
    }
}
