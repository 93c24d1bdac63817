//! A streaming scanner of one JSON object: calls back for each leaf with its joined key.
//!
//! It makes no tree and allocates nothing per value: strings without escapes and numbers are slices
//! of the line, keys and unescaped strings go through buffers that are kept. It accepts exactly RFC
//! 8259, but for lone surrogates, which become U+FFFD.

use weft_guest::logs::Value;

/// Arrays and objects nested deeper than this aren't accepted.
const MAX_NESTING: usize = 128;

#[derive(Debug)]
pub(crate) struct Scanner {
    separator: String,
    max_depth: usize,
    path: String,
    text: String,
}

/// Called with the joined key and the value of each leaf but nulls.
type Leaf<'f> = &'f mut dyn FnMut(&str, Value<'_>);

/// The line isn't one JSON object.
struct Invalid;

struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl Scanner {
    pub(crate) fn new(separator: String, max_depth: usize) -> Self {
        Self { separator, max_depth, path: String::new(), text: String::new() }
    }

    /// Scans a line. On false the leaves given so far are of a line that isn't one JSON object.
    pub(crate) fn scan(&mut self, line: &str, leaf: Leaf<'_>) -> bool {
        let mut cursor = Cursor { line, at: 0 };
        cursor.space();
        // The commonest line that isn't JSON is told by its first byte.
        if cursor.peek() != Some(b'{') {
            return false;
        }
        self.path.clear();
        self.object(&mut cursor, 1, leaf).is_ok() && {
            cursor.space();
            cursor.at == line.len()
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, depth: usize, leaf: Leaf<'_>) -> Result<(), Invalid> {
        cursor.at += 1;
        cursor.space();
        if cursor.take(b'}') {
            return Ok(());
        }
        let prefix = self.path.len();
        loop {
            cursor.space();
            self.path.truncate(prefix);
            if prefix > 0 {
                self.path.push_str(&self.separator);
            }
            match cursor.string()? {
                Str::Plain(key) => self.path.push_str(key),
                Str::Escaped(raw) => unescape(raw, &mut self.path)?,
            }
            cursor.space();
            cursor.expect(b':')?;
            cursor.space();
            self.value(cursor, depth, leaf)?;
            cursor.space();
            if cursor.take(b'}') {
                self.path.truncate(prefix);
                return Ok(());
            }
            cursor.expect(b',')?;
        }
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize, leaf: Leaf<'_>) -> Result<(), Invalid> {
        let start = cursor.at;
        match cursor.peek() {
            Some(b'"') => match cursor.string()? {
                Str::Plain(text) => leaf(&self.path, Value::Text(text)),
                Str::Escaped(raw) => {
                    self.text.clear();
                    unescape(raw, &mut self.text)?;
                    leaf(&self.path, Value::Text(&self.text));
                }
            },
            Some(b'{') if depth < self.max_depth => return self.object(cursor, depth + 1, leaf),
            Some(b'{' | b'[') => {
                cursor.skip(0)?;
                leaf(&self.path, Value::Json(&cursor.line[start..cursor.at]));
            }
            Some(b't') => {
                cursor.literal("true")?;
                leaf(&self.path, Value::Bool(true));
            }
            Some(b'f') => {
                cursor.literal("false")?;
                leaf(&self.path, Value::Bool(false));
            }
            Some(b'n') => cursor.literal("null")?,
            _ => {
                let integer = cursor.number()?;
                let text = &cursor.line[start..cursor.at];
                // 18 digits always fit 64 bits.
                let fits = integer && (text.len() <= 18 || text.parse::<i64>().is_ok());
                leaf(&self.path, if fits { Value::Int(text) } else { Value::Float(text) });
            }
        }
        Ok(())
    }
}

/// A string as it stands in the line, without its quotes.
enum Str<'a> {
    Plain(&'a str),
    Escaped(&'a str),
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.take(byte) { Ok(()) } else { Err(Invalid) }
    }

    fn literal(&mut self, text: &str) -> Result<(), Invalid> {
        if !self.line.as_bytes()[self.at..].starts_with(text.as_bytes()) {
            return Err(Invalid);
        }
        self.at += text.len();
        Ok(())
    }

    fn string(&mut self) -> Result<Str<'a>, Invalid> {
        self.expect(b'"')?;
        let start = self.at;
        let bytes = self.line.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    // Quotes are ASCII, so the slice ends on character borders.
                    let text = &self.line[start..self.at];
                    self.at += 1;
                    return Ok(if escaped { Str::Escaped(text) } else { Str::Plain(text) });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(Invalid),
            }
        }
    }

    /// Whether the number is an integer.
    fn number(&mut self) -> Result<bool, Invalid> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        Ok(integer)
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(Invalid) } else { Ok(()) }
    }

    /// Passes over a value, checking it.
    fn skip(&mut self, nesting: usize) -> Result<(), Invalid> {
        if nesting > MAX_NESTING {
            return Err(Invalid);
        }
        let (close, keyed) = match self.peek() {
            Some(b'"') => {
                return match self.string()? {
                    Str::Plain(_) => Ok(()),
                    Str::Escaped(raw) => check_escapes(raw),
                };
            }
            Some(b't') => return self.literal("true"),
            Some(b'f') => return self.literal("false"),
            Some(b'n') => return self.literal("null"),
            Some(b'{') => (b'}', true),
            Some(b'[') => (b']', false),
            _ => return self.number().map(|_| ()),
        };
        self.at += 1;
        self.space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            self.space();
            if keyed {
                if let Str::Escaped(raw) = self.string()? {
                    check_escapes(raw)?;
                }
                self.space();
                self.expect(b':')?;
                self.space();
            }
            self.skip(nesting + 1)?;
            self.space();
            if self.take(close) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }
}

fn check_escapes(raw: &str) -> Result<(), Invalid> {
    unescape(raw, &mut String::new())
}

fn unescape(raw: &str, out: &mut String) -> Result<(), Invalid> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1).ok_or(Invalid)?;
        let mut used = at + 2;
        match escape {
            b'"' | b'\\' | b'/' => out.push(char::from(escape)),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = hex(rest, used)?;
                used += 4;
                let mut code = u32::from(unit);
                if (0xd800..0xdc00).contains(&unit) && rest[used..].starts_with("\\u") {
                    let low = hex(rest, used + 2)?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                        used += 6;
                    }
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return Err(Invalid),
        }
        rest = &rest[used..];
    }
    out.push_str(rest);
    Ok(())
}

fn hex(text: &str, at: usize) -> Result<u16, Invalid> {
    let digits = text.get(at..at + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    u16::from_str_radix(digits.ok_or(Invalid)?, 16).map_err(|_| Invalid)
}
