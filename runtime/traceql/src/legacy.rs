//! The older search by `tags=…&minDuration=…&maxDuration=…`, as a TraceQL query.

use crate::error::Error;
use crate::lexer::duration;
use std::fmt::Write;

/// The TraceQL text for a legacy search: `tags` is logfmt (`service.name=api error=true`); values
/// match as case-insensitive substrings.
///
/// # Errors
/// [`Error::Invalid`] when the tags or durations don't parse.
pub fn tags_query(tags: &str, min_duration: Option<&str>, max_duration: Option<&str>) -> Result<String, Error> {
    let mut conditions = Vec::new();
    let mut rest = tags.trim();
    while !rest.is_empty() {
        let invalid = || Error::Invalid(format!("invalid tags {tags:?}: use name=value pairs"));
        let (name, after) = rest.split_once('=').ok_or_else(invalid)?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.char_indices().find_map(|(at, c)| {
                    let found = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    found.then_some(at)
                });
                let end = end.ok_or_else(invalid)?;
                (quoted[..end].replace("\\\"", "\"").replace("\\\\", "\\"), &quoted[end + 1..])
            }
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        let name = name.trim();
        if name.is_empty() || name.contains(['"', '`']) || name.contains(char::is_whitespace) {
            return Err(invalid());
        }
        conditions.push(condition(name, &value));
        rest = next.trim_start();
    }
    for (text, op) in [(min_duration, ">="), (max_duration, "<=")] {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        if duration(text).is_none_or(|(_, length)| length != text.len()) {
            return Err(Error::Invalid(format!("invalid duration {text:?}")));
        }
        conditions.push(format!("traceDuration {op} {text}"));
    }
    Ok(format!("{{ {} }}", conditions.join(" && ")))
}

fn condition(name: &str, value: &str) -> String {
    let pattern = format!("(?i).*{}.*", regex::escape(value));
    let quoted = quote(&pattern);
    match name {
        "name" => format!("name =~ {quoted}"),
        "root.name" => format!("rootName =~ {quoted}"),
        "root.service.name" => format!("rootServiceName =~ {quoted}"),
        "error" if value == "true" => "status = error".to_owned(),
        "status.code" if matches!(value, "ok" | "error" | "unset") => format!("status = {value}"),
        _ => {
            let field = format!(".{}", quote_name(name));
            let mut alternatives = format!("{field} =~ {quoted}");
            // Numbers and booleans have no substrings.
            if value.parse::<f64>().is_ok_and(f64::is_finite) || matches!(value, "true" | "false") {
                let _ = write!(alternatives, " || {field} = {value}");
            }
            format!("({alternatives})")
        }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn quote_name(name: &str) -> String {
    if name.contains(|c: char| "{}()=~!<>&|^,".contains(c)) { format!("\"{name}\"") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::tags_query;

    #[test]
    fn legacy_searches_become_valid_queries() {
        for (tags, min) in [("", None), ("service.name=api", Some("1s")), (r#"a="x y" b=5 error=true name=GET"#, None)]
        {
            let query = tags_query(tags, min, None).unwrap();
            let query = if query == "{  }" { "{ }".to_owned() } else { query };
            crate::check::check(&crate::parse::parse(&query).unwrap()).unwrap();
        }
        assert!(tags_query("nonsense", None, None).is_err());
        assert!(tags_query("", Some("1 fortnight"), None).is_err());
    }
}
