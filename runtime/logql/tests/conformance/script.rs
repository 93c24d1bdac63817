//! The language of the test scripts; see the README beside them.

use weft_logql::Labels;

/// An entry: labels, line, time (ns from 0), metadata.
pub(crate) struct Entry {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) line: String,
    pub(crate) time: i64,
    pub(crate) metadata: Vec<(String, String)>,
}

pub(crate) enum Expectation {
    Fail { contains: Option<String>, regex: Option<String> },
    Series { series: Vec<(Labels, Vec<Option<f64>>)>, ordered: bool },
}

pub(crate) struct Eval {
    pub(crate) query: String,
    pub(crate) start: i64,
    /// End and step; `None` is an instant query.
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) expectation: Expectation,
}

pub(crate) enum Command {
    Clear,
    Load(Vec<Entry>),
    Eval(Eval),
}

/// Text before a `#` that stands outside of quotes.
fn uncommented(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '#' => return line[..at].trim_end(),
            None => {}
        }
    }
    line.trim_end()
}

pub(crate) fn duration(text: &str) -> i64 {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let value: i64 = rest[..digits].parse().unwrap();
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += value
            * match &rest[..end] {
                "ms" => 1_000_000,
                "s" | "" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                unit => panic!("unit {unit}"),
            };
        rest = &rest[end..];
    }
    sign * total
}

/// `k="v"` pairs up to `end`, and what follows it.
fn pairs(text: &str, end: char) -> (Vec<(String, String)>, &str) {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix(end) {
            return (all, after);
        }
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no pair in {rest}"));
        let (value, after) = value.split_once('"').unwrap();
        all.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
}

fn entries(line: &str, out: &mut Vec<Entry>) {
    let (labels, rest) = pairs(line.trim().strip_prefix('{').unwrap(), '}');
    let rest = rest.trim_start();
    let quote = rest.chars().next().unwrap();
    let (text, rest) = rest[1..].split_once(quote).unwrap();
    let rest = rest.trim_start().strip_prefix('@').unwrap().trim_start();
    let (start, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (mut every, mut count, mut metadata) = (0, 1, Vec::new());
    loop {
        rest = rest.trim_start();
        if let Some(repeat) = rest.strip_prefix("[repeat every ") {
            let (body, after) = repeat.split_once(']').unwrap();
            let (step, times) = body.split_once(" for ").unwrap();
            (every, count) = (duration(step.trim()), times.trim().parse().unwrap());
            rest = after;
        } else if let Some(inner) = rest.strip_prefix("[metadata ") {
            (metadata, rest) = pairs(inner, ']');
        } else {
            break;
        }
    }
    for index in 0..count {
        out.push(Entry {
            labels: labels.clone(),
            line: text.replace("{{.i}}", &index.to_string()),
            time: duration(start) + every * index,
            metadata: metadata.clone(),
        });
    }
}

fn value(text: &str) -> Option<f64> {
    match text {
        "_" => None,
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        number => Some(number.parse().unwrap_or_else(|_| panic!("value {number}"))),
    }
}

fn statement(head: &str, body: &[&str]) -> Eval {
    let head = head.strip_prefix("eval ").unwrap();
    let (start, range, query) = if let Some(rest) = head.strip_prefix("instant at ") {
        let (time, query) = rest.split_once(' ').unwrap();
        (duration(time), None, query)
    } else {
        let rest = head.strip_prefix("range from ").unwrap();
        let (start, rest) = rest.split_once(" to ").unwrap();
        let (end, rest) = rest.split_once(" step ").unwrap();
        let (step, query) = rest.split_once(' ').unwrap();
        (duration(start), Some((duration(end), duration(step))), query)
    };
    let (mut fail, mut ordered, mut series) = (None, false, Vec::new());
    for line in body {
        if let Some(rest) = line.strip_prefix("expect fail") {
            let part = |marker: &str| rest.trim().strip_prefix(marker).map(|text| text.trim().to_owned());
            fail = Some(Expectation::Fail { contains: part("msg:"), regex: part("regex:") });
        } else if *line == "expect ordered" {
            ordered = true;
        } else if let Some(rest) = line.strip_prefix('{') {
            let (labels, values) = pairs(rest, '}');
            series.push((Labels::from_pairs(labels), values.split_whitespace().map(value).collect()));
        } else if !line.starts_with("skip ") && *line != "expect empty" {
            series.push((Labels::default(), line.split_whitespace().map(value).collect()));
        }
    }
    let expectation = fail.unwrap_or(Expectation::Series { series, ordered });
    Eval { query: query.to_owned(), start, range, expectation }
}

/// The commands of a script with their line numbers.
pub(crate) fn parse(text: &str) -> Vec<(usize, Command)> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, uncommented(line)))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(&(number, head)) = lines.get(at) {
        at += 1;
        let mut body = Vec::new();
        while let Some((_, line)) = lines.get(at).filter(|(_, line)| line.starts_with([' ', '\t'])) {
            body.push(line.trim());
            at += 1;
        }
        commands.push((
            number,
            match head.split_whitespace().next() {
                Some("clear") => Command::Clear,
                Some("load") => {
                    let mut all = Vec::new();
                    body.iter().for_each(|line| entries(line, &mut all));
                    Command::Load(all)
                }
                _ => Command::Eval(statement(head, &body)),
            },
        ));
    }
    commands
}
