//! The level of a log line: from fields that name it, from JSON or logfmt inside the line, or from
//! the first word that is a level.
//!
//! Source: Loki, pkg/distributor/field_detection.go.

/// Objects inside a JSON line are searched this deep (Loki's `log_level_from_json_max_depth`).
const MAX_JSON_DEPTH: u32 = 2;

/// The level's usual name, where it is a known one; else as it is.
pub(super) fn normalise(level: &str) -> &str {
    known(level).unwrap_or(level)
}

fn known(level: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 14] = [
        ("trace", "trace"),
        ("trc", "trace"),
        ("debug", "debug"),
        ("dbg", "debug"),
        ("info", "info"),
        ("inf", "info"),
        ("information", "info"),
        ("warn", "warn"),
        ("wrn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("err", "error"),
        ("critical", "critical"),
        ("fatal", "fatal"),
    ];
    if level.len() > "information".len() {
        return None;
    }
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(level)).map(|&(_, level)| level)
}

/// Words that are levels where they stand alone in a line.
const WORDS: [(&[u8], &str); 9] = [
    (b"trace", "trace"),
    (b"debug", "debug"),
    (b"fatal", "fatal"),
    (b"critical", "critical"),
    (b"error", "error"),
    (b"err", "error"),
    (b"warning", "warn"),
    (b"warn", "warn"),
    (b"info", "info"),
];

/// Names of fields that hold a level, with a filter that answers most names at once.
#[derive(Debug)]
pub(super) struct LevelFields<'a> {
    names: &'a [String],
    first_bytes: [bool; 256],
}

impl<'a> LevelFields<'a> {
    pub(super) fn new(names: &'a [String]) -> Self {
        let mut first_bytes = [false; 256];
        for byte in names.iter().filter_map(|name| name.bytes().next()) {
            first_bytes[usize::from(byte)] = true;
            first_bytes[usize::from(byte.to_ascii_lowercase())] = true;
            first_bytes[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Self { names, first_bytes }
    }

    fn may_be(&self, name: &[u8]) -> bool {
        name.first().is_some_and(|&byte| self.first_bytes[usize::from(byte)])
    }

    /// How early a name stands in the list.
    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        if !self.may_be(name.as_bytes()) {
            return None;
        }
        self.names.iter().position(|field| field == name)
    }

    /// Of some fields the one that stands first in the list.
    pub(super) fn first<'f>(&self, fields: impl Iterator<Item = (&'f str, &'f str)>) -> Option<(usize, &'f str)> {
        fields.filter_map(|(name, value)| Some((self.rank(name)?, value))).min_by_key(|(rank, _)| *rank)
    }

    /// The level of a line.
    pub(super) fn of_line(&self, line: &str) -> &'static str {
        let trimmed = line.trim();
        let found = if trimmed.starts_with('{') && trimmed.ends_with('}') {
            let mut json = Json { bytes: trimmed.as_bytes(), at: 0 };
            json.object(self, 0).found()
        } else if line.contains('=') {
            self.of_logfmt(line)
        } else {
            None
        };
        found.and_then(known).unwrap_or_else(|| of_words(line.as_bytes()))
    }

    /// The value of the field that stands first in the list, among `key=value` pairs.
    fn of_logfmt<'l>(&self, line: &'l str) -> Option<&'l str> {
        let bytes = line.as_bytes();
        let mut best: Option<(usize, &str)> = None;
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] <= b' ' {
                at += 1;
                continue;
            }
            let key_start = at;
            while at < bytes.len() && bytes[at] > b' ' && bytes[at] != b'=' && bytes[at] != b'"' {
                at += 1;
            }
            let key = &line[key_start..at];
            if bytes.get(at) == Some(&b'"') {
                // A quote in a key is a syntax error, where the parser stops.
                break;
            }
            if bytes.get(at) != Some(&b'=') {
                continue;
            }
            at += 1;
            let (value, end) = logfmt_value(line, at)?;
            at = end;
            if self.may_be(key.as_bytes()) {
                let rank = self.names.iter().position(|name| name.eq_ignore_ascii_case(key));
                if let Some(rank) = rank.filter(|&rank| best.is_none_or(|(found, _)| rank < found)) {
                    best = Some((rank, value));
                    if rank == 0 {
                        break;
                    }
                }
            }
        }
        best.map(|(_, value)| value)
    }
}

/// A logfmt value that starts at `at`, and where it ends.
fn logfmt_value(line: &str, at: usize) -> Option<(&str, usize)> {
    let bytes = line.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        let length = bytes[at..].iter().take_while(|&&byte| byte > b' ').count();
        return Some((&line[at..at + length], at + length));
    }
    let mut end = at + 1;
    loop {
        match bytes.get(end)? {
            b'"' => return Some((&line[at + 1..end], end + 1)),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

/// What searching an object came to.
enum Search<'l> {
    Found(&'l str),
    /// Read to its end.
    Absent,
    /// Not JSON.
    Broken,
}

impl<'l> Search<'l> {
    fn found(self) -> Option<&'l str> {
        match self {
            Self::Found(level) => Some(level),
            Self::Absent | Self::Broken => None,
        }
    }
}

/// Looks for a level in JSON without building anything.
struct Json<'l> {
    bytes: &'l [u8],
    at: usize,
}

impl<'l> Json<'l> {
    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// A string's text as it stands, escapes unread.
    fn string(&mut self) -> Option<&'l str> {
        if !self.take(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        self.at += 1;
        Some(text)
    }

    fn object(&mut self, fields: &LevelFields<'_>, depth: u32) -> Search<'l> {
        if !self.take(b'{') {
            return Search::Broken;
        }
        if self.take(b'}') {
            return Search::Absent;
        }
        loop {
            let Some(key) = self.string() else { return Search::Broken };
            if !self.take(b':') {
                return Search::Broken;
            }
            match self.peek() {
                Some(b'"') => {
                    let Some(value) = self.string() else { return Search::Broken };
                    if fields.rank(key).is_some() {
                        return Search::Found(value);
                    }
                }
                Some(b'{') if depth + 1 < MAX_JSON_DEPTH => match self.object(fields, depth + 1) {
                    Search::Absent => {}
                    other => return other,
                },
                Some(_) => {
                    if self.skip_value().is_none() {
                        return Search::Broken;
                    }
                }
                None => return Search::Broken,
            }
            if self.take(b'}') {
                return Search::Absent;
            }
            if !self.take(b',') {
                return Search::Broken;
            }
        }
    }

    /// Skips a value, by counting brackets.
    fn skip_value(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let rest = &self.bytes[self.at..];
                    let length = rest.iter().take_while(|byte| !b",:{}[]\" \t\r\n".contains(byte)).count();
                    if length == 0 {
                        return None;
                    }
                    self.at += length;
                }
            }
            if open == 0 {
                return Some(());
            }
        }
    }
}

/// The first level among the words of a line, `unknown` where there is none.
fn of_words(line: &[u8]) -> &'static str {
    const LEFT: &[u8] = b" \t\n[({\"'=|";
    const RIGHT: &[u8] = b" \t\n[](){}:,!\"'=|";
    let mut boundary = true;
    for (at, &byte) in line.iter().enumerate() {
        if boundary && matches!(byte | 0x20, b't' | b'd' | b'f' | b'c' | b'e' | b'w' | b'i') {
            for (word, level) in WORDS {
                let rest = &line[at..];
                let matches = rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
                if matches && rest.get(word.len()).is_none_or(|next| RIGHT.contains(next)) {
                    return level;
                }
            }
        }
        boundary = byte <= b'|' && LEFT.contains(&byte);
    }
    "unknown"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{LevelFields, normalise};
    use crate::LogsConfig;

    fn of(line: &str) -> &'static str {
        let config = LogsConfig::default();
        LevelFields::new(&config.level_fields).of_line(line)
    }

    #[test]
    fn a_level_inside_json_is_found_two_objects_deep() {
        assert_eq!(of(r#"{"msg":"an error","level":"DEBUG"}"#), "debug");
        assert_eq!(of(r#" {"a":{"severity":"WRN"},"b":[1,{"level":"fatal"}]} "#), "warn");
        assert_eq!(of(r#"{"a":{"b":{"level":"debug"}},"x":"no"}"#), "debug");
        assert_eq!(of(r#"{"n":1.5e3,"t":true,"e":{},"l":[],"level":"info"}"#), "info");
        assert_eq!(of(r#"{"a":{"b":{"Level":"dbg"}},"x":"no"}"#), "unknown");
    }

    #[test]
    fn a_level_inside_logfmt_is_that_of_the_first_field_of_the_list() {
        assert_eq!(of("ts=1 lvl=warn msg=\"level=info \\\" x\" level=ERR"), "error");
        assert_eq!(of("ts=1 LVL=wrn msg=hello"), "warn");
        assert_eq!(of("caller=a.go msg=\"no level here\""), "unknown");
        assert_eq!(of("level=notice an error occurred"), "error");
        assert_eq!(of("a=\"unclosed error"), "error");
    }

    #[test]
    fn otherwise_it_is_the_first_word_that_is_a_level() {
        assert_eq!(of("2024-01-01 INFO starting, no errors"), "info");
        assert_eq!(of("[Warning] disk"), "warn");
        assert_eq!(of("misc:error information"), "unknown");
        assert_eq!(of("misinformation erroring"), "unknown");
        assert_eq!(of("failed: ERROR: x"), "error");
        assert_eq!(of("critical"), "critical");
        assert_eq!(of(""), "unknown");
        assert_eq!(of("{broken error"), "error");
    }

    #[test]
    fn known_levels_are_normalised_and_others_kept() {
        assert_eq!(normalise("Information"), "info");
        assert_eq!(normalise("NOTICE"), "NOTICE");
    }

    #[test]
    fn no_line_makes_it_panic() {
        for line in [
            "{\"level\":\"",
            "{\"a\\",
            "=",
            "a=\"\\",
            "{",
            "}",
            "{}",
            "{]}",
            "{\"a\":]}",
            "é=é",
            "{\"é\":\"é\"}",
            "\"=\"",
        ] {
            of(line);
        }
    }
}
