//! `| json` and `| unpack`: reads a JSON line once, without building a tree.

use super::row::Row;

/// Value of `__error__` when a line is not the JSON it should be.
pub(crate) const JSON_ERROR: &str = "JSONParserErr";

/// Deeper nesting is an error: recursion on a hostile line must not exhaust the stack.
const MAX_DEPTH: usize = 128;

/// A JSON value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// The text between the quotes, escapes and all.
    String(&'a str),
    /// A number, `true` or `false`.
    Scalar(&'a str),
    Null,
    /// From bracket to bracket.
    Object(&'a str),
    Array(&'a str),
}

/// Reads JSON text from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Found<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, message: &'static str) -> Found<()> {
        if self.peek() != Some(byte) {
            return Err(message);
        }
        self.at += 1;
        Ok(())
    }

    /// A string's text between its quotes.
    fn string(&mut self) -> Found<&'a str> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err("a string is not terminated"),
            }
        }
        let text = self.text.get(start..self.at).ok_or("a string is not terminated")?;
        self.at += 1;
        Ok(text)
    }

    /// Any value; of objects and arrays only that brackets and strings are well-formed is checked.
    pub(crate) fn value(&mut self, depth: usize) -> Found<Value<'a>> {
        if depth > MAX_DEPTH {
            return Err("nested too deeply");
        }
        match self.peek().ok_or("a value is missing")? {
            b'"' => Ok(Value::String(self.string()?)),
            b'{' => {
                let start = self.at;
                self.members(depth, |_, _| Ok(true))?;
                Ok(Value::Object(&self.text[start..self.at]))
            }
            b'[' => {
                let start = self.at;
                self.elements(depth, |_| true)?;
                Ok(Value::Array(&self.text[start..self.at]))
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
                    .unwrap_or(rest.len());
                self.at += end;
                match &rest[..end] {
                    "null" => Ok(Value::Null),
                    text @ ("true" | "false") => Ok(Value::Scalar(text)),
                    text if is_number(text) => Ok(Value::Scalar(text)),
                    _ => Err("a value is not JSON"),
                }
            }
        }
    }

    /// Calls `each` with every member of the object at the front until it answers false.
    /// Whatever was found before a fault has been handed over.
    pub(crate) fn members(
        &mut self,
        depth: usize,
        mut each: impl FnMut(&'a str, Value<'a>) -> Found<bool>,
    ) -> Found<()> {
        self.expect(b'{', "expected an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "expected a colon")?;
            let value = self.value(depth + 1)?;
            if !each(key, value)? {
                return Ok(());
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err("expected a comma or the end of an object"),
            }
            self.peek();
        }
    }

    /// Calls `each` with every element of the array at the front until it answers false.
    pub(crate) fn elements(&mut self, depth: usize, mut each: impl FnMut(Value<'a>) -> bool) -> Found<()> {
        self.expect(b'[', "expected an array")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if !each(self.value(depth + 1)?) {
                return Ok(());
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err("expected a comma or the end of an array"),
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Appends a string's text with its escapes resolved.
pub(crate) fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (c, used) = code_unit(chars.as_str());
                out.push(c);
                rest = chars.as_str().get(used..).unwrap_or("");
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The character of `XXXX`, or of a surrogate pair `XXXX\uXXXX`, and how many bytes it takes.
fn code_unit(text: &str) -> (char, usize) {
    let unit = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(text) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xD800..0xDC00).contains(&first)
        && let Some(second) = text.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(unit)
        && (0xDC00..0xE000).contains(&second)
    {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// `| json`: every scalar becomes a label, nested names joined by `_`.
#[derive(Debug, Default)]
pub(crate) struct JsonParser {
    key: String,
    value: String,
}

impl JsonParser {
    pub(crate) fn process(&mut self, row: &mut Row<'_>, required: Option<&[String]>) {
        let line = row.take_line();
        self.key.clear();
        let mut stopped = false;
        let mut reader = Reader::new(line.text());
        let result = self.object(&mut reader, 0, row, required, &mut stopped);
        let result = match result {
            Ok(()) if !stopped && reader.peek().is_some() => Err("text after the end of the object"),
            other => other,
        };
        row.set_line(line);
        if let Err(details) = result {
            row.fail(JSON_ERROR, details);
        }
    }

    fn object(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        row: &mut Row<'_>,
        required: Option<&[String]>,
        stopped: &mut bool,
    ) -> Found<()> {
        let prefix = self.key.len();
        reader.members(depth, |name, value| {
            self.key.truncate(prefix);
            if prefix > 0 {
                self.key.push('_');
            }
            unescape(name, &mut self.key);
            let text = match value {
                Value::String(text) => {
                    self.value.clear();
                    unescape(text, &mut self.value);
                    self.value.as_str()
                }
                Value::Scalar(text) => text,
                Value::Object(text) => {
                    self.object(&mut Reader::new(text), depth + 1, row, required, stopped)?;
                    return Ok(!*stopped);
                }
                Value::Null | Value::Array(_) => return Ok(true),
            };
            *stopped = row.extract(&self.key, text, required);
            Ok(!*stopped)
        })
    }
}

/// `| unpack`: what Promtail's pack stage packed. String members become labels and `_entry` the line.
pub(crate) fn unpack(row: &mut Row<'_>, required: Option<&[String]>) {
    let line = row.take_line();
    let mut entry = None;
    let mut reader = Reader::new(line.text());
    let result = reader.members(0, |name, value| {
        if let ("_entry", Value::String(text)) = (name, value) {
            let mut line = String::with_capacity(text.len());
            unescape(text, &mut line);
            entry = Some(line);
        }
        Ok(true)
    });
    if let (Ok(()), Some(_)) = (&result, &entry) {
        let (mut key, mut decoded) = (String::new(), String::new());
        // The text was read once, so a second reading can't fail.
        let _ = Reader::new(line.text()).members(0, |name, value| {
            if let Value::String(text) = value
                && name != "_entry"
            {
                key.clear();
                decoded.clear();
                unescape(name, &mut key);
                unescape(text, &mut decoded);
                row.extract(&key, &decoded, required);
            }
            Ok(true)
        });
    }
    match (result, entry) {
        (Ok(()), Some(entry)) => row.set_line(super::row::Line::Rewritten(entry)),
        (Ok(()), None) => row.set_line(line),
        (Err(details), _) => {
            row.set_line(line);
            row.fail(JSON_ERROR, details);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{JsonParser, Row, unescape};

    fn labels(line: &str) -> Vec<(String, String)> {
        let mut row = Row::new();
        row.reset(line, 0);
        JsonParser::default().process(&mut row, None);
        let mut all = Vec::new();
        row.sorted(|name, value, _| all.push((name.to_owned(), value.to_owned())));
        all.retain(|(name, _)| name != "__error_details__");
        all
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn nested_objects_flatten_and_arrays_and_nulls_are_left_out() {
        let line = r#"{"a":{"b":{"c":1.50}},"d":[1,{"e":2}],"f":null,"g":true,"h":"x\ny"}"#;
        assert_eq!(labels(line), pairs(&[("a_b_c", "1.50"), ("g", "true"), ("h", "x\ny")]));
    }

    #[test]
    fn labels_before_a_fault_stay() {
        assert_eq!(labels(r#"{"a":1,"b":"#), pairs(&[("__error__", "JSONParserErr"), ("a", "1")]));
        assert_eq!(labels("plain"), pairs(&[("__error__", "JSONParserErr")]));
        assert_eq!(labels(r#"{"a":1} x"#), pairs(&[("__error__", "JSONParserErr"), ("a", "1")]));
    }

    #[test]
    fn surrogate_pairs_are_one_character() {
        let mut out = String::new();
        unescape(r"\ud83d\ude00 \u00e9 \ud83d", &mut out);
        assert_eq!(out, "😀 é \u{fffd}");
    }

    #[test]
    fn hostile_nesting_is_an_error_and_not_a_crash() {
        assert_eq!(labels(&format!("{{\"a\":{}", "[".repeat(100_000))), pairs(&[("__error__", "JSONParserErr")]));
        assert_eq!(labels(&"{\"a\":".repeat(100_000)), pairs(&[("__error__", "JSONParserErr")]));
    }
}
