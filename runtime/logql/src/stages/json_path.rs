//! `| json label="path"`: paths like `a.b["c d"][0].e`, compiled once, followed on each line.

use super::json::{JSON_ERROR, Reader, Value, unescape};
use super::row::Row;
use crate::ast::Extraction;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The extractions of one stage.
#[derive(Debug)]
pub(crate) struct JsonPaths {
    paths: Vec<(String, Vec<Step>)>,
    value: String,
}

impl JsonPaths {
    pub(crate) fn new(extractions: &[Extraction]) -> Result<Self, String> {
        let paths = extractions
            .iter()
            .map(|extraction| Ok((extraction.label.clone(), compile(&extraction.path)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self { paths, value: String::new() })
    }

    pub(crate) fn process(&mut self, row: &mut Row<'_>) {
        let line = row.take_line();
        if matches!(Reader::new(line.text()).peek(), Some(b'{' | b'[' | b'"')) {
            for (label, path) in &self.paths {
                self.value.clear();
                match follow(line.text(), path) {
                    Some(Value::String(text)) => unescape(text, &mut self.value),
                    Some(Value::Scalar(text) | Value::Object(text) | Value::Array(text)) => self.value.push_str(text),
                    Some(Value::Null) | None => {}
                }
                row.extract(label, &self.value, None);
            }
            row.set_line(line);
        } else {
            row.set_line(line);
            row.fail(JSON_ERROR, "expecting json object or array");
        }
    }
}

fn follow<'a>(text: &'a str, path: &[Step]) -> Option<Value<'a>> {
    let mut value = Reader::new(text).value(0).ok()?;
    for step in path {
        let mut found = None;
        match (step, value) {
            (Step::Key(wanted), Value::Object(text)) => {
                let mut name = String::new();
                let _ = Reader::new(text).members(0, |key, value| {
                    name.clear();
                    unescape(key, &mut name);
                    if name == *wanted {
                        found = Some(value);
                    }
                    Ok(found.is_none())
                });
            }
            (Step::Index(wanted), Value::Array(text)) => {
                let mut index = 0;
                let _ = Reader::new(text).elements(0, |element| {
                    if index == *wanted {
                        found = Some(element);
                    }
                    index += 1;
                    found.is_none()
                });
            }
            _ => {}
        }
        value = found?;
    }
    Some(value)
}

fn compile(path: &str) -> Result<Vec<Step>, String> {
    let fail = |what: &str| Err(format!("cannot parse expression [{path}]: {what}"));
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix('"') {
                let Some(end) = closing_quote(quoted) else { return fail("a quoted name is not terminated") };
                let mut name = String::new();
                unescape(&quoted[..end], &mut name);
                steps.push(Step::Key(name));
                let Some(after) = quoted[end + 1..].strip_prefix(']') else { return fail("] is missing") };
                rest = after;
            } else {
                let Some((index, after)) = inner.split_once(']') else { return fail("] is missing") };
                let Ok(index) = index.trim().parse() else { return fail("an index or a quoted name is missing") };
                steps.push(Step::Index(index));
                rest = after;
            }
        } else {
            let name = if steps.is_empty() { rest } else { rest.strip_prefix('.').unwrap_or("") };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let word = &name[..end];
            if word.is_empty() || !word.chars().all(|c| c == '_' || c == '-' || c.is_alphanumeric()) {
                return fail("a name is missing");
            }
            steps.push(Step::Key(word.to_owned()));
            rest = &name[end..];
        }
    }
    if steps.is_empty() { fail("it is empty") } else { Ok(steps) }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let found = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        found.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{compile, follow};
    use crate::stages::json::Value;

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let line = r#"{"a":{"b c":[10,{"d":"x"}]}}"#;
        let at = |path: &str| follow(line, &compile(path).unwrap()).map(|value| format!("{value:?}"));
        assert_eq!(at(r#"a["b c"][1].d"#), Some(format!("{:?}", Value::String("x"))));
        assert_eq!(at(r#"["a"]["b c"][0]"#), Some(format!("{:?}", Value::Scalar("10"))));
        assert_eq!(at("a.missing"), None);
        for wrong in ["", "a[", "a.", "a..b", "a[x]", "[\"a", "a b"] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }
}
