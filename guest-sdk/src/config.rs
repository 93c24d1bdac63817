//! Reads a module's configuration and says which field is wrong.
//!
//! serde_json gives a line and column; a user gave YAML, so the place is turned back into the path
//! of the field.

use crate::Error;
use serde::de::DeserializeOwned;

/// Parses a configuration; an empty text or `null` is `{}`. The error names the field.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    let json = match json.trim() {
        "" | "null" => "{}",
        json => json,
    };
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        let path = path_at(json, error.line(), error.column());
        if path.is_empty() { Error::Config(problem) } else { Error::config(path, problem) }
    })
}

/// The path of the field whose value ends at, or is open at, a place in a JSON text.
fn path_at(json: &str, line: usize, column: usize) -> String {
    let before: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (before + column).min(json.len());
    // One entry a nesting level: the key or index whose value is being read.
    let mut stack: Vec<String> = Vec::new();
    let mut arrays: Vec<Option<usize>> = Vec::new();
    let bytes = json.as_bytes();
    let (mut at, mut last) = (0, String::new());
    let mut closed: Option<Vec<String>> = None;
    while at < end {
        let byte = bytes[at];
        if !byte.is_ascii_whitespace() && !matches!(byte, b'}' | b']') {
            closed = None;
        }
        match byte {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last = json.get(start..at.min(bytes.len())).unwrap_or_default().to_owned();
            }
            b':' => {
                if let Some(top) = stack.last_mut() {
                    *top = std::mem::take(&mut last);
                }
            }
            b'{' => {
                stack.push(String::new());
                arrays.push(None);
            }
            b'[' => {
                stack.push("0".into());
                arrays.push(Some(0));
            }
            b',' if at + 1 < end => {
                if let (Some(top), Some(Some(index))) = (stack.last_mut(), arrays.last_mut()) {
                    *index += 1;
                    *top = index.to_string();
                }
            }
            b'}' | b']' => {
                stack.pop();
                arrays.pop();
                closed = Some(stack.clone());
            }
            _ => {}
        }
        at += 1;
    }
    let path = closed.unwrap_or(stack);
    path.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[derive(Debug, Default, serde::Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        size: u32,
        name: String,
    }

    #[derive(Debug, Default, serde::Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        count: u32,
        items: Vec<Inner>,
        one: Inner,
    }

    fn error(json: &str) -> String {
        parse::<Outer>(json).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_field() {
        assert_eq!(error(r#"{"count": "x"}"#), r#"configuration: count: invalid type: string "x", expected u32"#);
        assert_eq!(
            error("{\"count\": 1,\n \"items\": [{\"size\": 1}, {\"size\": -2}]}"),
            "configuration: items.1.size: invalid value: integer `-2`, expected u32"
        );
        assert_eq!(
            error(r#"{"one": {"size": 1, "nmae": "x"}}"#),
            "configuration: one.size: unknown field `nmae`, expected `size` or `name`"
        );
    }

    #[test]
    fn nothing_is_the_default() {
        assert_eq!(parse::<Outer>("").unwrap(), Outer::default());
        assert_eq!(parse::<Outer>(" null ").unwrap(), Outer::default());
    }
}
