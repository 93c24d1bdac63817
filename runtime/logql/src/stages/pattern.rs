//! Patterns like `<ip> - <_> "<method> <path>"`: the `pattern` parser, and the `|>` line filter.

use super::row::Row;

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    /// Empty for `<_>`.
    Capture(String),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    fn compile(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((name, after)) = capture(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                if matches!(parts.last(), Some(Part::Capture(_))) {
                    return Err(format!(
                        "invalid pattern {text:?}: found consecutive capture, at least one character is needed between them"
                    ));
                }
                parts.push(Part::Capture(if name == "_" { String::new() } else { name.to_owned() }));
                rest = after;
            } else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// For the parser stage: at least one named capture, no name twice.
    pub(crate) fn parser(text: &str) -> Result<Self, String> {
        let pattern = Self::compile(text)?;
        let mut names: Vec<&String> = pattern
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Capture(name) if !name.is_empty() => Some(name),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            return Err(format!("invalid pattern {text:?}: at least one capture is required"));
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("invalid pattern {text:?}: duplicate capture name ({})", twice[0]));
        }
        Ok(pattern)
    }

    /// For the line filter: no named capture.
    pub(crate) fn filter(text: &str) -> Result<Self, String> {
        let pattern = Self::compile(text)?;
        if pattern.parts.iter().any(|part| matches!(part, Part::Capture(name) if !name.is_empty())) {
            return Err(format!("invalid pattern {text:?}: named captures are not allowed"));
        }
        Ok(pattern)
    }

    /// Extracts the captures; a line that ends early fills the leading ones.
    pub(crate) fn process(&self, row: &mut Row<'_>, required: Option<&[String]>) {
        let line = row.take_line();
        self.captures(line.text(), |name, value| {
            row.extract(name, value, required);
        });
        row.set_line(line);
    }

    fn captures(&self, line: &str, mut found: impl FnMut(&str, &str)) {
        let mut rest = line;
        let mut parts = self.parts.iter().peekable();
        if let Some(Part::Literal(literal)) = parts.peek() {
            let Some(after) = rest.strip_prefix(literal.as_str()) else { return };
            rest = after;
            parts.next();
        }
        while let Some(part) = parts.next() {
            let Part::Capture(name) = part else { continue };
            let (value, after, last) = match parts.peek() {
                Some(Part::Literal(literal)) => match rest.find(literal.as_str()) {
                    Some(at) => (&rest[..at], &rest[at + literal.len()..], false),
                    None => (rest, "", true),
                },
                _ => (rest, "", true),
            };
            if !name.is_empty() && !value.is_empty() {
                found(name, value);
            }
            if last {
                return;
            }
            rest = after;
        }
    }

    /// Whether the whole line fits; a leading literal may stand anywhere.
    pub(crate) fn matches(&self, line: &str) -> bool {
        match self.parts.as_slice() {
            [] => return line.is_empty(),
            [Part::Literal(whole)] => return line == whole,
            _ => {}
        }
        let mut rest = line;
        let mut captured = false;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Capture(_) => captured = true,
                Part::Literal(literal) => {
                    let last = index + 1 == self.parts.len();
                    let at = if last {
                        rest.len().checked_sub(literal.len()).filter(|_| rest.ends_with(literal.as_str()))
                    } else if captured {
                        // The capture in front takes at least one character.
                        let skip = rest.chars().next().map_or(0, char::len_utf8);
                        rest[skip..].find(literal.as_str()).map(|at| at + skip)
                    } else {
                        rest.find(literal.as_str())
                    };
                    let Some(at) = at else { return false };
                    if captured && at == 0 {
                        return false;
                    }
                    rest = &rest[at + literal.len()..];
                    captured = false;
                }
            }
        }
        if captured { !rest.is_empty() } else { rest.is_empty() }
    }
}

/// A capture at the head of `text`: its name and what follows.
fn capture(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('<')?.split_once('>')?;
    let valid = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    valid.then_some((name, after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Pattern;

    fn captured(pattern: &str, line: &str) -> Vec<String> {
        let mut all = Vec::new();
        Pattern::parser(pattern).unwrap().captures(line, |name, value| all.push(format!("{name}={value}")));
        all
    }

    #[test]
    fn captures_take_what_lies_between_literals() {
        assert_eq!(
            captured("<ip> - <_> \"<verb> <path>\"", "1.2.3.4 - me \"GET /x\""),
            ["ip=1.2.3.4", "verb=GET", "path=/x"]
        );
        assert_eq!(captured("<a> <b>", "only"), ["a=only"]);
        assert_eq!(captured("x=<a>", "y x=1"), [""; 0]);
    }

    #[test]
    fn a_filter_accounts_for_the_whole_end_of_the_line() {
        let matches = |pattern: &str, line: &str| Pattern::filter(pattern).unwrap().matches(line);
        assert!(matches("GET <_> 200", "x GET /a 200"));
        assert!(!matches("GET <_> 200", "GET /a 200 x"));
        assert!(!matches("GET <_>", "GET "));
        assert!(matches("<_>a<_>", "bab"));
        assert!(!matches("<_>a<_>", "ab"));
        assert!(matches("", "") && !matches("", "x"));
        assert!(Pattern::filter("<a>").is_err() && Pattern::filter("<_><_>").is_err());
    }
}
