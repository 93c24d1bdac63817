#![allow(clippy::unwrap_used, reason = "tests")]
use super::{Row, Template};

fn run(template: &str) -> Result<String, String> {
    let mut row = Row::new();
    row.reset("GET /x", 1_700_000_000_123_000_000);
    row.stream_label("app", "Shop");
    row.stream_label("n", "42");
    row.stream_label("json", r#"{"a":[1,{"b":"c"}]}"#);
    let mut out = String::new();
    Template::new(template)?.run(&row, &mut out)?;
    Ok(out)
}

#[test]
fn templates_render_as_go_does() {
    for (template, expected) in [
        ("a {{.app}} b {{ .missing }}c", "a Shop b c"),
        ("{{.app | upper | printf \"<%-6s>\"}}", "<SHOP  >"),
        ("{{__line__}}|{{ __timestamp__ | unixEpochMillis }}", "GET /x|1700000000123"),
        ("{{if eq .app \"Shop\"}}yes{{else}}no{{end}}", "yes"),
        ("{{if .missing}}a{{else if .n}}b{{else}}c{{end}}", "b"),
        ("{{with .app}}[{{.}}]{{end}}", "[Shop]"),
        ("{{range $i, $x := fromJson .json | index | list}}{{$i}}{{end}}", "0"),
        ("{{ range (index (fromJson .json) \"a\") }}<{{.}}>{{ end }}", "<1><map[b:c]>"),
        ("{{ add 1 (.n | int) }} {{ divf 1 4 }} {{ div 7 2 }} {{ round 1.256 2 }}", "43 0.25 3 1.26"),
        ("x {{- \" y \" -}} z{{/* note */}}", "x y z"),
        ("{{ $v := .app }}{{ $v | lower }}", "shop"),
        ("{{ .app | trunc 2 }}{{ substr 1 3 .app }}{{ trimPrefix \"S\" .app }}", "Shhohop"),
        ("{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00\" }}", "2023-11-14T22:13:20.123Z"),
        ("{{ toDate \"2006-01-02 15:04:05\" \"2023-11-14 22:13:20\" | unixEpoch }}", "1700000000"),
        ("{{ \"hi\" | b64enc }} {{ \"aGk=\" | b64dec }} {{ urlencode \"a b&\" }}", "aGk= hi a+b%26"),
        ("{{ regexReplaceAll \"(o)p\" .app \"$1-\" }} {{ count \"[0-9]\" .n }}", "Sho- 2"),
        ("{{ printf \"%05.1f|%d|%q|%x\" 3.14159 7 \"a\" 255 }}", "003.1|7|\"a\"|ff"),
    ] {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn wrong_templates_are_refused_when_compiled() {
    for (template, message) in [
        ("{{ nosuchfunc }}", "not defined"),
        ("{{", "unclosed action"),
        ("{{ if .a }}", "{{end}}"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ | upper }}", "missing value"),
    ] {
        let error = Template::new(template).unwrap_err();
        assert!(error.contains(message), "{template}: {error}");
    }
}

#[test]
fn a_function_that_fails_fails_the_line_only() {
    assert!(Template::new("{{ div 1 0 }}").is_ok());
    assert!(run("{{ div 1 0 }}").is_err());
    assert!(run("{{ urldecode \"%zz\" }}").is_err());
}
