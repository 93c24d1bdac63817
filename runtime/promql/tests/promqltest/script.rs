//! The language of promqltest scripts.

use super::store::Load;
use weft_promql::Labels;
use weft_promql::parse::durations;

/// A command of a script.
pub(crate) enum Command {
    Clear,
    Load(Vec<Load>),
    Eval(Eval),
}

/// A query with what it should give.
pub(crate) struct Eval {
    pub(crate) timing: Timing,
    pub(crate) query: String,
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) expected: Vec<(Option<Labels>, Points)>,
}

#[derive(Clone, Copy)]
pub(crate) enum Timing {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

pub(crate) enum Expectation {
    Fail { message: Option<String>, regex: bool },
    Warn { message: Option<String>, regex: bool },
    Info { message: Option<String>, regex: bool },
    NoWarn,
    NoInfo,
    Ordered,
    String(String),
    Samples { start: i64, step: i64 },
}

/// Values of a series.
pub(crate) enum Points {
    Known(Vec<Option<f64>>),
    Histograms,
}

/// The commands of a script, each with its line.
pub(crate) fn commands(text: &str) -> Vec<(usize, Command)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (number, line) = (at + 1, lines[at].trim());
        at += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let body_start = at;
        while at < lines.len()
            && !lines[at].trim().is_empty()
            && (lines[at].starts_with([' ', '\t']) || lines[at].starts_with('#'))
        {
            at += 1;
        }
        let body: Vec<&str> =
            lines[body_start..at].iter().map(|line| line.trim()).filter(|line| !line.starts_with('#')).collect();
        let word = line.split_whitespace().next().unwrap();
        out.push((
            number,
            match word {
                "clear" => Command::Clear,
                "load" | "load_with_nhcb" => Command::Load(load(line, &body)),
                word if word.starts_with("eval") => Command::Eval(eval(line, &body)),
                other => panic!("line {number}: unknown command {other}"),
            },
        ));
    }
    out
}

fn time(text: &str) -> i64 {
    match text.strip_prefix('-') {
        Some(rest) => -durations::parse(rest).unwrap(),
        None => durations::parse(text).unwrap(),
    }
}

fn load(line: &str, body: &[&str]) -> Vec<Load> {
    let step = time(line.split_whitespace().nth(1).unwrap());
    let mut loads = Vec::new();
    for line in body {
        let (labels, rest) = labels(line);
        if rest.starts_with("@st") {
            // Start times: no float of their own.
            continue;
        }
        let mut load = Load { labels: labels.unwrap_or_default(), floats: Vec::new(), histograms: Vec::new() };
        let mut time = 0;
        for point in points(rest) {
            match point {
                Point::Float(value) => load.floats.push((time, value)),
                Point::Histogram => load.histograms.push(time),
                Point::None => {}
            }
            time += step;
        }
        // Of a series named twice the later line holds.
        loads.retain(|earlier: &Load| earlier.labels != load.labels);
        loads.push(load);
    }
    loads
}

#[derive(Clone, Copy)]
enum Point {
    Float(f64),
    Histogram,
    None,
}

fn points(text: &str) -> Vec<Point> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with("{{") {
            // One histogram, or several by `x` and a count, possibly with a step between.
            let mut end = rest.find("}}").unwrap() + 2;
            while rest[end..].starts_with("+{{") || rest[end..].starts_with("-{{") {
                end += rest[end..].find("}}").unwrap() + 2;
            }
            let tail_end = rest[end..].find(char::is_whitespace).map_or(rest.len(), |at| end + at);
            let times: usize = rest[end..tail_end].strip_prefix('x').map_or(0, |count| count.parse().unwrap());
            out.extend(std::iter::repeat_n(Point::Histogram, times + 1));
            rest = rest[tail_end..].trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        out.extend(run(&rest[..end]));
        rest = rest[end..].trim_start();
    }
    out
}

fn run(token: &str) -> Vec<Point> {
    if let Some(rest) = token.strip_prefix('_') {
        let count = rest.strip_prefix('x').map_or(1, |count| count.parse().unwrap());
        return vec![Point::None; count];
    }
    if token == "stale" {
        return vec![Point::Float(f64::from_bits(weft_query::vector::range::STALE))];
    }
    let Some((series, count)) = token.rsplit_once('x') else {
        return vec![Point::Float(number(token))];
    };
    let count: u32 = count.parse().unwrap();
    // The sign that parts start and step is not the first character, nor an exponent's.
    let bytes = series.as_bytes();
    let parted = (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'));
    let (start, step) = match parted {
        Some(at) => (number(&series[..at]), number(&series[at..])),
        None => (number(series), 0.0),
    };
    let mut value = start;
    (0..=count)
        .map(|_| {
            let point = Point::Float(value);
            value += step;
            point
        })
        .collect()
}

fn number(text: &str) -> f64 {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" => f64::INFINITY,
        "-inf" => f64::NEG_INFINITY,
        "nan" => f64::NAN,
        plain => plain.parse().unwrap_or_else(|_| panic!("no number: {text}")),
    }
}

/// The labels at the start of a line, `None` when it starts with a value, and the rest.
fn labels(line: &str) -> (Option<Labels>, &str) {
    let mut out = Vec::new();
    let name_len = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(line.len());
    let first = line.chars().next().unwrap();
    let named = first.is_ascii_alphabetic() || first == '_' || first == ':';
    let word = &line[..name_len];
    let value_word =
        word.eq_ignore_ascii_case("nan") || word.eq_ignore_ascii_case("inf") || word == "stale" || word == "_";
    let mut rest = line;
    if named && (!value_word || line[name_len..].starts_with('{')) {
        out.push(("__name__".to_owned(), word.to_owned()));
        rest = &line[name_len..];
    }
    if rest.starts_with('{') && !rest.starts_with("{{") {
        let mut at = 1;
        loop {
            let skipped = rest[at..].trim_start_matches([' ', ',', '\t']);
            at = rest.len() - skipped.len();
            if skipped.starts_with('}') {
                rest = &rest[at + 1..];
                break;
            }
            let (key, key_len) = match skipped.chars().next().unwrap() {
                '"' | '\'' => weft_promql::parse::strings::unquote(skipped).unwrap(),
                _ => {
                    let len = skipped.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap();
                    (skipped[..len].to_owned(), len)
                }
            };
            at += key_len;
            let after = rest[at..].trim_start();
            if !after.starts_with('=') {
                out.push(("__name__".to_owned(), key));
                continue;
            }
            at = rest.len() - after.len() + 1;
            let after = rest[at..].trim_start();
            at = rest.len() - after.len();
            let (value, len) = weft_promql::parse::strings::unquote(after).unwrap();
            at += len;
            out.push((key, value));
        }
    } else if out.is_empty() {
        return (None, line);
    }
    out.retain(|(_, value)| !value.is_empty());
    out.sort();
    (Some(Labels(out)), rest.trim_start())
}

fn eval(line: &str, body: &[&str]) -> Eval {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap();
    let mut expectations = match command {
        "eval_fail" => vec![Expectation::Fail { message: None, regex: false }],
        "eval_warn" => vec![Expectation::Warn { message: None, regex: false }],
        "eval_info" => vec![Expectation::Info { message: None, regex: false }],
        "eval_ordered" => vec![Expectation::Ordered],
        _ => Vec::new(),
    };
    let (timing, last) = match words.next().unwrap() {
        "instant" => {
            let at = words.nth(1).unwrap();
            (Timing::Instant(time(at)), at)
        }
        _ => {
            let (start, end) = (words.nth(1).unwrap(), words.nth(1).unwrap());
            let step = words.nth(1).unwrap();
            (Timing::Range { start: time(start), end: time(end), step: time(step) }, step)
        }
    };
    let after_keyword = if matches!(timing, Timing::Instant(_)) { "at" } else { "step" };
    let keyword_end = line.find(&format!(" {after_keyword} ")).unwrap() + after_keyword.len() + 2;
    let query_start = keyword_end + line[keyword_end..].find(last).unwrap() + last.len();
    let query = line[query_start..].trim().to_owned();
    let mut expected = Vec::new();
    for line in body {
        if let Some(rest) = line.strip_prefix("expect ") {
            expectations.push(expectation(rest));
            continue;
        }
        if let Some(message) = line.strip_prefix("expected_fail_message ") {
            expectations.push(Expectation::Fail { message: Some(message.trim().to_owned()), regex: false });
            continue;
        }
        if let Some(message) = line.strip_prefix("expected_fail_regexp ") {
            expectations.push(Expectation::Fail { message: Some(message.trim().to_owned()), regex: true });
            continue;
        }
        let (labels, rest) = labels(line);
        let mut values = Vec::new();
        let mut histograms = false;
        for point in points(rest) {
            match point {
                Point::Float(value) => values.push(Some(value)),
                Point::None => values.push(None),
                Point::Histogram => histograms = true,
            }
        }
        expected.push((labels, if histograms { Points::Histograms } else { Points::Known(values) }));
    }
    Eval { timing, query, expectations, expected }
}

fn expectation(text: &str) -> Expectation {
    let text = text.trim();
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let (message, regex) = match (rest.strip_prefix("msg:"), rest.strip_prefix("regex:")) {
        (Some(message), _) => (Some(message.trim().to_owned()), false),
        (_, Some(message)) => (Some(message.trim().to_owned()), true),
        _ => (None, false),
    };
    match kind {
        "fail" => Expectation::Fail { message, regex },
        "warn" => Expectation::Warn { message, regex },
        "info" => Expectation::Info { message, regex },
        "no_warn" => Expectation::NoWarn,
        "no_info" => Expectation::NoInfo,
        "ordered" => Expectation::Ordered,
        "string" => Expectation::String(weft_promql::parse::strings::unquote(rest).unwrap().0),
        "range" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let [_, _, start, _, _, _, step] = words.as_slice() else { panic!("expect {text}") };
            Expectation::Samples { start: time(start), step: time(step) }
        }
        other => panic!("unknown expectation {other}"),
    }
}
