//! A stream's labels as text: `{app="api", env="prod"}`.
//!
//! The grammar is that of LogQL's selectors with `=` alone: names as in Prometheus, or quoted; values
//! in double quotes with Go's escapes, or in back-quotes as they are.

/// Labels sorted by name, none empty, no name twice.
pub(crate) type Labels = Vec<(String, String)>;

/// Sorts labels, drops empty ones, and refuses sets that are empty or name a label twice.
pub(crate) fn normalise(mut labels: Labels) -> Result<Labels, String> {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable();
    if labels.is_empty() {
        return Err("a stream has no labels: at least one is required".to_owned());
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("a stream names the label '{}' twice", pair[0].0));
    }
    Ok(labels)
}

/// Parses a stream's labels.
pub(crate) fn parse(text: &str) -> Result<Labels, String> {
    let mut parser = Parser { text, at: 0 };
    let labels = parser.labels().map_err(|reason| {
        let shown: String = text.chars().take(200).collect();
        format!("stream labels '{shown}': {reason} at byte {}", parser.at)
    })?;
    normalise(labels)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes a character, after space; false when another is next.
    fn take(&mut self, wanted: char) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn labels(&mut self) -> Result<Labels, &'static str> {
        if !self.take('{') {
            return Err("'{' expected");
        }
        let mut labels = Labels::new();
        while !self.take('}') {
            if !labels.is_empty() && !self.take(',') {
                return Err("',' or '}' expected");
            }
            if self.take('}') {
                break;
            }
            let name = self.name()?;
            if !self.take('=') {
                return Err("'=' expected");
            }
            self.space();
            labels.push((name, self.quoted()?));
        }
        self.space();
        if self.at < self.text.len() { Err("nothing more expected") } else { Ok(labels) }
    }

    fn name(&mut self) -> Result<String, &'static str> {
        self.space();
        if matches!(self.peek(), Some('"' | '`')) {
            let name = self.quoted()?;
            return if name.is_empty() { Err("a label name is empty") } else { Ok(name) };
        }
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a label name expected");
        }
        self.at += end;
        Ok(name.to_owned())
    }

    fn quoted(&mut self) -> Result<String, &'static str> {
        let rest = &self.text[self.at..];
        if let Some(rest) = rest.strip_prefix('`') {
            let Some(end) = rest.find('`') else { return Err("a closing back-quote is missing") };
            self.at += end + 2;
            return Ok(rest[..end].to_owned());
        }
        let Some(rest) = rest.strip_prefix('"') else { return Err("a quoted value expected") };
        let bytes = rest.as_bytes();
        let mut out = Vec::new();
        let mut index = 0;
        loop {
            match bytes.get(index) {
                None | Some(b'\n') => return Err("a closing quote is missing"),
                Some(b'"') => break,
                Some(b'\\') => index = unescape(bytes, index + 1, &mut out).ok_or("an unknown escape")?,
                Some(&byte) => {
                    out.push(byte);
                    index += 1;
                }
            }
        }
        self.at += index + 2;
        String::from_utf8(out).map_err(|_| "a value is not UTF-8")
    }
}

/// Reads what follows a backslash, as Go's `strconv.Unquote` does; answers where it ends.
fn unescape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let number = |from: usize, digits: usize, radix: u32| -> Option<u32> {
        let text = std::str::from_utf8(bytes.get(from..from + digits)?).ok()?;
        if text.starts_with('+') { None } else { u32::from_str_radix(text, radix).ok() }
    };
    let mut character = |code: u32| {
        let mut buffer = [0; 4];
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
        Some(())
    };
    let byte = match *bytes.get(at)? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        quote @ (b'\\' | b'"' | b'\'') => quote,
        b'x' => {
            out.push(number(at + 1, 2, 16)? as u8);
            return Some(at + 3);
        }
        b'u' => {
            character(number(at + 1, 4, 16)?)?;
            return Some(at + 5);
        }
        b'U' => {
            character(number(at + 1, 8, 16)?)?;
            return Some(at + 9);
        }
        b'0'..=b'7' => {
            out.push(u8::try_from(number(at, 3, 8)?).ok()?);
            return Some(at + 3);
        }
        _ => return None,
    };
    out.push(byte);
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::parse;

    fn labels(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_come_out_sorted_and_without_empty_ones() {
        assert_eq!(parse(r#"{b="2", a="1" , c="",}"#), labels(&[("a", "1"), ("b", "2")]));
        assert_eq!(parse("{a=`x\\y`}"), labels(&[("a", "x\\y")]));
        assert_eq!(parse(r#"{"k8s.pod"="p"}"#), labels(&[("k8s.pod", "p")]));
    }

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(parse(r#"{a="\"\\\n\t\x41\u00e9\U0001F600\101"}"#), labels(&[("a", "\"\\\n\tA\u{e9}\u{1f600}A")]));
        for bad in [r#"{a="\q"}"#, r#"{a="\x4"}"#, r#"{a="\xff"}"#, r#"{a="\ud800"}"#, r#"{a="\777"}"#, r#"{a="\x+1"}"#]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_label_set_is_refused() {
        for bad in [
            "",
            "{",
            "{}",
            "a=\"b\"",
            "{a}",
            "{a=b}",
            "{a=\"b\"",
            "{a=\"b\"} x",
            "{1a=\"b\"}",
            "{a=\"b\" c=\"d\"}",
            "{a!=\"b\"}",
            "{a=\"1\",a=\"2\"}",
            "{a=\"\"}",
            "{\u{e9}=\"b\"}",
            "{,}",
            "{\"\"=\"x\"}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("{a}").unwrap_err().contains("at byte 2"));
    }
}
