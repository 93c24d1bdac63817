//! OTLP names to Prometheus names: metrics, labels, units.
//!
//! Source: github.com/prometheus/otlptranslator (metric_namer.go, label_namer.go, unit_namer.go).
//! One departure: a name of which nothing valid is left is an error there; here each character
//! becomes an underscore, so that no sample is lost.

use crate::NameStrategy;

/// What a metric's suffix depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A monotonic sum: `_total`.
    Counter,
    /// A gauge: `_ratio` where the unit is 1.
    Gauge,
    /// No suffix but the unit.
    Other,
}

const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

fn look_up<'a>(table: &[(&str, &'a str)], unit: &'a str) -> &'a str {
    table.iter().find(|(name, _)| *name == unit).map_or(unit, |&(_, word)| word)
}

fn valid(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The words of a unit: what is measured, and `per_…` what; annotations (`{…}`) say nothing.
fn unit_words(unit: &str) -> (String, String) {
    let plain = |part: &str| -> bool { !part.is_empty() && !part.contains(['{', '}']) };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let main = if plain(main) { look_up(&UNITS, main).to_owned() } else { String::new() };
    let per = if plain(per) { format!("per_{}", look_up(&PER_UNITS, per)) } else { String::new() };
    (main, per)
}

/// Makes a unit's word valid: other characters become underscores, runs of them one, none in front.
fn clean(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if valid(c) {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// The Prometheus name of an OTLP metric, without the suffixes of its series (`_bucket` …).
pub(crate) fn metric_name(strategy: NameStrategy, name: &str, unit: &str, kind: NameKind) -> String {
    let built = match (strategy.escapes(), strategy.suffixes()) {
        (true, true) => escaped_with_suffixes(name, unit, kind),
        (true, false) => digit_prefixed(words(name, |c| valid(c) || c == '_').join("_")),
        (false, true) => with_suffixes(name, unit, kind),
        (false, false) => name.to_owned(),
    };
    let nothing_left = built.chars().all(|c| c == '_') && built != name;
    if nothing_left { name.chars().map(|c| if valid(c) { c } else { '_' }).collect() } else { built }
}

fn words(name: &str, keep: impl Fn(char) -> bool) -> Vec<&str> {
    name.split(|c: char| !keep(c)).filter(|word| !word.is_empty()).collect()
}

fn digit_prefixed(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn escaped_with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    let mut words = words(name, valid);
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(&main), clean(&per));
    let mut main = if words.contains(&main.as_str()) { "" } else { main.as_str() };
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if words.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    if kind == NameKind::Counter {
        words.retain(|word| *word != "total");
        words.push("total");
    }
    if unit == "1" && kind == NameKind::Gauge {
        words.retain(|word| *word != "ratio");
        words.push("ratio");
    }
    digit_prefixed(words.join("_"))
}

/// Removes a suffix and the character before it, which is taken for a delimiter.
fn without<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(stem) = name.strip_suffix(suffix) else { return name };
    let mut characters = stem.chars();
    characters.next_back();
    let stem = characters.as_str();
    if stem.is_empty() { name } else { stem }
}

fn with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    let ratio = unit == "1" && kind == NameKind::Gauge;
    let total = kind == NameKind::Counter;
    let (main, per) = unit_words(unit);
    let mut stem = name;
    if ratio {
        stem = without(stem, "ratio");
    }
    if total {
        stem = without(stem, "total");
    }
    if !per.is_empty() {
        stem = without(stem, &per);
    }
    let mut built = stem.to_owned();
    if !main.is_empty() && !built.ends_with(&main) {
        built = format!("{built}_{main}");
    }
    let suffixes = [(!per.is_empty(), per.as_str()), (total, "total"), (ratio, "ratio")];
    for (_, suffix) in suffixes.into_iter().filter(|(applies, _)| *applies) {
        built = format!("{built}_{suffix}");
    }
    built
}

/// The unit as the label `__unit__` has it.
pub(crate) fn unit_name(unit: &str, escapes: bool) -> String {
    let (mut main, mut per) = unit_words(unit);
    if escapes {
        (main, per) = (clean(&main), clean(&per));
    }
    let joined = if main.is_empty() || per.is_empty() { main + &per } else { format!("{main}_{per}") };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// Appends the Prometheus name of an attribute. Underscores are kept as they are, as Prometheus's
/// `label_name_preserve_multiple_underscores` (on by default) says.
pub(crate) fn push_label_name(out: &mut Vec<u8>, key: &str, escapes: bool) {
    if !escapes {
        out.extend_from_slice(key.as_bytes());
        return;
    }
    let bytes = key.as_bytes();
    match bytes {
        [b'0'..=b'9', ..] => out.extend_from_slice(b"key_"),
        [b'_', second, ..] if second.is_ascii_alphanumeric() => out.extend_from_slice(b"key"),
        [first, ..] if !first.is_ascii_alphanumeric() && *first != b'_' => {
            // What becomes a single leading underscore is prefixed like one.
            let mut rest = key.chars();
            rest.next();
            if rest.next().is_some_and(|c| c.is_ascii_alphanumeric()) {
                out.extend_from_slice(b"key");
            }
        }
        _ => {}
    }
    if bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        out.extend_from_slice(bytes);
    } else {
        out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c as u8 } else { b'_' }));
    }
}

/// The name Loki gives an attribute as a stream label: runs of other characters become one
/// underscore; a digit in front gets `key_`.
pub(crate) fn push_stream_label_name(out: &mut Vec<u8>, key: &str) {
    let reserved = key.len() >= 4 && key.starts_with("__") && key.ends_with("__");
    let inner = if reserved { &key[2..key.len() - 2] } else { key };
    if reserved {
        out.extend_from_slice(b"__");
    } else if inner.starts_with(|c: char| c.is_ascii_digit()) {
        out.extend_from_slice(b"key_");
    }
    let mut underscore = false;
    for c in inner.chars() {
        let good = c.is_ascii_alphanumeric();
        if good {
            out.push(c as u8);
        } else if !underscore {
            out.push(b'_');
        }
        underscore = !good;
    }
    if reserved {
        out.extend_from_slice(b"__");
    }
}

#[cfg(test)]
mod tests;
