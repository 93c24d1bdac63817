//! Regular expressions as PromQL and LogQL matchers mean them: RE2 syntax, anchored at both ends, a
//! dot matching newlines. Compiled ones are kept, since a plan evaluates the same few on every batch.

use datafusion::common::Result;
use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Memory one compiled expression may take; the same as `regex`'s own default.
const SIZE_LIMIT: usize = 10 << 20;
/// Expressions kept; when full, all are dropped and the live ones compile again.
const KEPT: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

/// `pattern` anchored at both ends, as a matcher compares.
///
/// # Errors
/// [`crate::Error::Rejected`] when it is no regular expression.
pub fn anchored(pattern: &str) -> Result<Regex> {
    if let Some(found) = COMPILED.lock().get(pattern) {
        return Ok(found.clone());
    }
    // Checked alone first: `a)|(b` is no expression, though it is one between the anchors' brackets.
    build(pattern, pattern)?;
    let compiled = build(&format!("^(?:{pattern})$"), pattern)?;
    let mut kept = COMPILED.lock();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), compiled.clone());
    Ok(compiled)
}

fn build(text: &str, shown: &str) -> Result<Regex> {
    RegexBuilder::new(text)
        .dot_matches_new_line(true)
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| crate::error::rejected(format!("invalid regular expression \"{shown}\": {error}")))
}

/// The literals of an expression that is nothing but an alternation of them (`a|b|c`): such a matcher
/// is an `IN` list, which statistics and bloom filters can answer.
pub fn alternatives(pattern: &str) -> Option<Vec<&str>> {
    let plain = |part: &&str| !part.contains(['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '^', '$', '\\']);
    let parts: Vec<&str> = pattern.split('|').collect();
    parts.iter().all(plain).then_some(parts)
}
