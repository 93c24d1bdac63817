//! String literals: Go's escapes between quotes, anything between backticks.

/// The content of a literal and its length in bytes with the quotes.
///
/// # Errors
/// What is wrong, and at which byte of the literal.
pub fn unquote(text: &str) -> Result<(String, usize), (usize, String)> {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return Err((0, "string expected".into())) };
    let mut out = Vec::new();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => {
                let content = String::from_utf8(out).map_err(|_| (0, "invalid UTF-8 in string literal".to_owned()))?;
                return Ok((content, at + c.len_utf8()));
            }
            '\\' if quote != '`' => escape(&mut chars, quote, &mut out).map_err(|message| (at, message))?,
            '\n' if quote != '`' => return Err((at, "unterminated quoted string".into())),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err((0, if quote == '`' { "unterminated raw string".into() } else { "unterminated quoted string".into() }))
}

fn escape(chars: &mut std::str::CharIndices<'_>, quote: char, out: &mut Vec<u8>) -> Result<(), String> {
    let Some((_, c)) = chars.next() else { return Err("unterminated escape sequence".into()) };
    let mut digits = |count: usize, radix: u32, first: Option<char>| -> Result<u32, String> {
        let mut value = 0u32;
        for at in 0..count {
            let digit = match (at, first) {
                (0, Some(first)) => Some(first),
                _ => chars.next().map(|(_, c)| c),
            };
            let Some(digit) = digit.and_then(|c| c.to_digit(radix)) else {
                return Err("unknown escape sequence: a digit is missing".into());
            };
            value = value * radix + digit;
        }
        Ok(value)
    };
    let byte = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        _ if c == quote => return push(out, u32::from(c)),
        'x' => u8::try_from(digits(2, 16, None)?).unwrap_or_default(),
        'u' => return push(out, digits(4, 16, None)?),
        'U' => return push(out, digits(8, 16, None)?),
        '0'..='7' => u8::try_from(digits(3, 8, Some(c))?).map_err(|_| "escape sequence is above 255".to_owned())?,
        other => return Err(format!("unknown escape sequence U+{:04X} {other:?}", u32::from(other))),
    };
    out.push(byte);
    Ok(())
}

fn push(out: &mut Vec<u8>, code: u32) -> Result<(), String> {
    let c = char::from_u32(code).ok_or_else(|| "escape sequence is an invalid Unicode code point".to_owned())?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}
