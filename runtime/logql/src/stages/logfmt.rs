//! `| logfmt`: `key=value key="quoted value" key`. A value may not hold `=` or `"` unless quoted.

use super::row::Row;
use crate::ast::Extraction;

/// Value of `__error__` when a line is not logfmt and the stage is strict.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

#[derive(Debug)]
pub(crate) struct LogfmtParser {
    strict: bool,
    keep_empty: bool,
    extractions: Vec<Extraction>,
    value: String,
}

/// A pair, its value still escaped; `quoted` values may hold escapes.
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
    quoted: bool,
}

impl LogfmtParser {
    pub(crate) fn new(strict: bool, keep_empty: bool, extractions: &[Extraction]) -> Self {
        Self { strict, keep_empty, extractions: extractions.to_vec(), value: String::new() }
    }

    pub(crate) fn process(&mut self, row: &mut Row<'_>, required: Option<&[String]>) {
        let line = row.take_line();
        if !self.extractions.is_empty() {
            for extraction in &self.extractions {
                let mut rest = line.text();
                self.value.clear();
                while let Some(next) = next_pair(&mut rest) {
                    if let Ok(pair) = next
                        && pair.key == extraction.path
                    {
                        decode(&pair, &mut self.value);
                        break;
                    }
                }
                row.extract(&extraction.label, &self.value, None);
            }
        }
        let mut failed = None;
        let mut rest = line.text();
        if self.extractions.is_empty() || self.strict {
            while let Some(next) = next_pair(&mut rest) {
                match next {
                    Ok(pair) if self.extractions.is_empty() && !pair.key.is_empty() => {
                        self.value.clear();
                        decode(&pair, &mut self.value);
                        if (self.keep_empty || !self.value.is_empty()) && row.extract(pair.key, &self.value, required) {
                            break;
                        }
                    }
                    Err(details) if self.strict => {
                        failed = Some(details);
                        break;
                    }
                    _ => {}
                }
            }
        }
        row.set_line(line);
        if let Some(details) = failed {
            row.fail(LOGFMT_ERROR, details);
        }
    }
}

fn decode(pair: &Pair<'_>, out: &mut String) {
    if pair.quoted {
        super::json::unescape(pair.value, out);
    } else {
        out.push_str(pair.value);
    }
}

/// The next pair of the line, or what is wrong where one should be; `None` at the end.
fn next_pair<'a>(rest: &mut &'a str) -> Option<Result<Pair<'a>, &'static str>> {
    let text = rest.trim_start_matches(|c: char| c <= ' ');
    if text.is_empty() {
        return None;
    }
    let key_end = text.find(|c: char| c <= ' ' || c == '=' || c == '"').unwrap_or(text.len());
    let (key, after) = text.split_at(key_end);
    let mut chars = after.chars();
    match chars.next() {
        Some('=') if !key.is_empty() => {}
        Some('=' | '"') => return Some(skip_word(rest, after, "a pair doesn't begin with a key")),
        _ => {
            *rest = after;
            return Some(Ok(Pair { key, value: "", quoted: false }));
        }
    }
    let after = chars.as_str();
    if let Some(quoted) = after.strip_prefix('"') {
        let mut escaped = false;
        let end = quoted.char_indices().find_map(|(at, c)| {
            let found = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            found.then_some(at)
        });
        let Some(end) = end else {
            *rest = "";
            return Some(Err("unterminated quoted value"));
        };
        *rest = &quoted[end + 1..];
        return Some(Ok(Pair { key, value: &quoted[..end], quoted: true }));
    }
    let end = after.find(|c: char| c <= ' ' || c == '=' || c == '"').unwrap_or(after.len());
    let (value, behind) = after.split_at(end);
    if behind.starts_with(['=', '"']) {
        return Some(skip_word(rest, behind, "a value holds = or \" without being quoted"));
    }
    *rest = behind;
    Some(Ok(Pair { key, value, quoted: false }))
}

fn skip_word<'a, T>(rest: &mut &'a str, from: &'a str, message: &'static str) -> Result<T, &'static str> {
    *rest = from.find(|c: char| c <= ' ').map_or("", |end| &from[end..]);
    Err(message)
}

#[cfg(test)]
mod tests {
    use super::{LogfmtParser, Row};

    fn labels(line: &str, strict: bool, keep_empty: bool) -> String {
        let mut row = Row::new();
        row.reset(line, 0);
        LogfmtParser::new(strict, keep_empty, &[]).process(&mut row, None);
        let mut all = String::new();
        row.sorted(|name, value, _| all.push_str(&format!("{name}={value};")));
        all
    }

    #[test]
    fn malformed_pairs_are_skipped_unless_strict() {
        assert_eq!(labels(r#"a=1 b=x=y c="q \"z\"" d= e"#, false, false), r#"a=1;c=q "z";"#);
        assert_eq!(labels("a= b", false, true), "a=;b=;");
        assert!(labels("a=1 b=x=y c=2", true, false).starts_with("__error__=LogfmtParserErr;"));
        assert_eq!(labels(r#"a=1 b="open"#, false, false), "a=1;");
    }
}
