//! Stream selectors and pipeline stages.

use super::{
    Input, Parsed, eat, eat_word, expect, failure, ident, is, is_word, peek, peek_second, position, skip, symbol, text,
    unexpected,
};
use crate::ast::{
    Compare, Conversion, Extraction, FormatSource, LabelFilter, LabelFormat, LineFilter, LineOp, LineOperand, MatchOp,
    Matcher, Selection, Stage, Unwrap,
};
use crate::lexer::Kind;
use winnow::Parser;
use winnow::combinator::separated;

/// `{a="b", …}`.
pub(super) fn selector(input: &mut Input<'_>) -> Parsed<Vec<Matcher>> {
    expect(input, "{")?;
    if eat(input, "}") {
        return Ok(Vec::new());
    }
    let matchers = separated(1.., matcher, symbol(",")).parse_next(input)?;
    expect(input, "}")?;
    Ok(matchers)
}

fn match_op(input: &Input<'_>) -> Option<MatchOp> {
    match peek(input) {
        Kind::Symbol("=") => Some(MatchOp::Equal),
        Kind::Symbol("!=") => Some(MatchOp::NotEqual),
        Kind::Symbol("=~") => Some(MatchOp::Regex),
        Kind::Symbol("!~") => Some(MatchOp::NotRegex),
        _ => None,
    }
}

fn matcher(input: &mut Input<'_>) -> Parsed<Matcher> {
    let name = ident(input)?;
    let op = match_op(input).ok_or_else(|| unexpected(input, "= or != or =~ or !~"))?;
    skip(input);
    Ok(Matcher { name, op, value: text(input)? })
}

/// Line filters and `|` stages, as many as follow.
pub(super) fn stages(input: &mut Input<'_>) -> Parsed<Vec<Stage>> {
    let mut stages = Vec::new();
    loop {
        let line_filter = match peek(input) {
            Kind::Symbol("|=") => Some((LineOp::Contains, false)),
            Kind::Symbol("!=") => Some((LineOp::Contains, true)),
            Kind::Symbol("|~") => Some((LineOp::Regex, false)),
            Kind::Symbol("!~") => Some((LineOp::Regex, true)),
            Kind::Symbol("|>") => Some((LineOp::Pattern, false)),
            Kind::Symbol("!>") => Some((LineOp::Pattern, true)),
            Kind::Symbol("|") => None,
            _ => return Ok(stages),
        };
        skip(input);
        stages.push(match line_filter {
            Some((op, negated)) => Stage::LineFilter(line(input, op, negated)?),
            None => stage(input)?,
        });
    }
}

fn line(input: &mut Input<'_>, op: LineOp, negated: bool) -> Parsed<LineFilter> {
    let mut operands = vec![line_operand(input, op)?];
    while is_word(input, "or") {
        skip(input);
        operands.push(line_operand(input, op)?);
    }
    Ok(LineFilter { op, negated, operands })
}

fn line_operand(input: &mut Input<'_>, op: LineOp) -> Parsed<LineOperand> {
    if is_word(input, "ip") && matches!(peek_second(input), Kind::Symbol("(")) {
        let at = position(input);
        let pattern = ip(input)?;
        if op != LineOp::Contains {
            return Err(failure(at, "ip: invalid operation: only |= and != take ip()"));
        }
        return Ok(LineOperand::Ip(pattern));
    }
    Ok(LineOperand::Text(text(input)?))
}

fn ip(input: &mut Input<'_>) -> Parsed<String> {
    skip(input);
    expect(input, "(")?;
    let pattern = text(input)?;
    expect(input, ")")?;
    Ok(pattern)
}

fn stage(input: &mut Input<'_>) -> Parsed<Stage> {
    let Kind::Ident(word) = peek(input) else { return label_filter(input).map(Stage::LabelFilter) };
    // A stage's name followed by a comparison is a label of that name.
    let compared = match peek_second(input) {
        Kind::Symbol(next) => matches!(*next, "=" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=" | "=="),
        _ => false,
    };
    // `| unpack != "x"` is a stage and a line filter; `| unpack = "x"` can only be a label filter.
    let line_filter_follows = matches!(peek_second(input), Kind::Symbol("!=" | "!~"));
    let bare = matches!(word.as_str(), "json" | "logfmt" | "unpack" | "decolorize");
    if compared && !(bare && line_filter_follows) {
        return label_filter(input).map(Stage::LabelFilter);
    }
    let known = [
        "json",
        "logfmt",
        "regexp",
        "pattern",
        "unpack",
        "decolorize",
        "line_format",
        "label_format",
        "drop",
        "keep",
        "unwrap",
        "distinct",
        "variants",
    ];
    if !known.contains(&word.as_str()) {
        return label_filter(input).map(Stage::LabelFilter);
    }
    let at = position(input);
    skip(input);
    Ok(match word.as_str() {
        "json" => Stage::Json(extractions(input)?),
        "logfmt" => {
            let (mut strict, mut keep_empty) = (false, false);
            while let Kind::Flag(flag) = peek(input) {
                match flag.as_str() {
                    "strict" => strict = true,
                    "keep-empty" => keep_empty = true,
                    _ => return Err(failure(position(input), format!("unknown parser flag --{flag}"))),
                }
                skip(input);
            }
            Stage::Logfmt { strict, keep_empty, extractions: extractions(input)? }
        }
        "regexp" => Stage::Regexp(text(input)?),
        "pattern" => Stage::Pattern(text(input)?),
        "unpack" => Stage::Unpack,
        "decolorize" => Stage::Decolorize,
        "line_format" => Stage::LineFormat(text(input)?),
        "label_format" => Stage::LabelFormat(separated(1.., label_format, symbol(",")).parse_next(input)?),
        "drop" => Stage::Drop(separated(1.., selection, symbol(",")).parse_next(input)?),
        "keep" => Stage::Keep(separated(1.., selection, symbol(",")).parse_next(input)?),
        "unwrap" => Stage::Unwrap(unwrap(input)?),
        other => return Err(failure(at, format!("syntax error: unexpected {other}"))),
    })
}

fn extractions(input: &mut Input<'_>) -> Parsed<Vec<Extraction>> {
    if !matches!(peek(input), Kind::Ident(_)) {
        return Ok(Vec::new());
    }
    separated(1.., extraction, symbol(",")).parse_next(input)
}

fn extraction(input: &mut Input<'_>) -> Parsed<Extraction> {
    let label = ident(input)?;
    let path = if eat(input, "=") { text(input)? } else { label.clone() };
    Ok(Extraction { label, path })
}

fn label_format(input: &mut Input<'_>) -> Parsed<LabelFormat> {
    let label = ident(input)?;
    expect(input, "=")?;
    let source = match peek(input) {
        Kind::Ident(_) => FormatSource::Label(ident(input)?),
        _ => FormatSource::Template(text(input)?),
    };
    Ok(LabelFormat { label, source })
}

fn selection(input: &mut Input<'_>) -> Parsed<Selection> {
    let name = ident(input)?;
    let matcher = match match_op(input) {
        Some(op) => {
            skip(input);
            Some((op, text(input)?))
        }
        None => None,
    };
    Ok(Selection { name, matcher })
}

fn unwrap(input: &mut Input<'_>) -> Parsed<Unwrap> {
    let at = position(input);
    let name = ident(input)?;
    if !eat(input, "(") {
        return Ok(Unwrap { label: name, conversion: Conversion::Number });
    }
    let conversion = match name.as_str() {
        "duration" | "duration_seconds" => Conversion::Duration,
        "bytes" => Conversion::Bytes,
        _ => return Err(failure(at, format!("unknown conversion {name}: use duration, duration_seconds or bytes"))),
    };
    let label = ident(input)?;
    expect(input, ")")?;
    Ok(Unwrap { label, conversion })
}

/// `or` binds looser than `and`, `,` and juxtaposition, which are the same.
fn label_filter(input: &mut Input<'_>) -> Parsed<LabelFilter> {
    let mut left = label_filter_and(input)?;
    while eat_word(input, "or") {
        let right = label_filter_and(input)?;
        left = LabelFilter::Or(Box::new(left), Box::new(right));
    }
    Ok(left)
}

fn label_filter_and(input: &mut Input<'_>) -> Parsed<LabelFilter> {
    let mut left = label_filter_atom(input)?;
    loop {
        let joined = eat_word(input, "and") || eat(input, ",");
        let juxtaposed = match peek(input) {
            Kind::Ident(word) => !matches!(word.as_str(), "or" | "and"),
            Kind::Symbol("(") => true,
            _ => false,
        };
        if !joined && !juxtaposed {
            return Ok(left);
        }
        let right = label_filter_atom(input)?;
        left = LabelFilter::And(Box::new(left), Box::new(right));
    }
}

fn label_filter_atom(input: &mut Input<'_>) -> Parsed<LabelFilter> {
    if eat(input, "(") {
        let inner = label_filter(input)?;
        expect(input, ")")?;
        return Ok(inner);
    }
    let name = ident(input)?;
    let operator = match peek(input) {
        Kind::Symbol(symbol @ ("=" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=" | "==")) => *symbol,
        _ => return Err(unexpected(input, "a comparison operator")),
    };
    skip(input);
    let compare = match operator {
        "=" | "==" => Some(Compare::Equal),
        "!=" => Some(Compare::NotEqual),
        ">" => Some(Compare::Greater),
        ">=" => Some(Compare::GreaterEqual),
        "<" => Some(Compare::Less),
        "<=" => Some(Compare::LessEqual),
        _ => None,
    };
    let negative = compare.is_some() && is(input, "-");
    if negative {
        skip(input);
    }
    let sign = if negative { -1.0 } else { 1.0 };
    match (peek(input), compare) {
        (Kind::Number(value), Some(op)) => {
            skip(input);
            Ok(LabelFilter::Number { name, op, value: sign * value })
        }
        (Kind::Duration(value), Some(op)) => {
            skip(input);
            Ok(LabelFilter::Duration { name, op, value: if negative { -value } else { *value } })
        }
        (Kind::Bytes(value), Some(op)) if !negative => {
            skip(input);
            Ok(LabelFilter::Bytes { name, op, value: *value })
        }
        (Kind::Text(value), _) if !negative => {
            let op = match operator {
                "=" => MatchOp::Equal,
                "!=" => MatchOp::NotEqual,
                "=~" => MatchOp::Regex,
                "!~" => MatchOp::NotRegex,
                _ => return Err(unexpected(input, "NUMBER or DURATION or BYTES")),
            };
            skip(input);
            Ok(LabelFilter::Text(Matcher { name, op, value: value.clone() }))
        }
        (Kind::Ident(word), _) if word == "ip" && !negative && matches!(operator, "=" | "!=") => {
            let pattern = ip(input)?;
            Ok(LabelFilter::Ip { name, negated: operator == "!=", pattern })
        }
        _ => Err(unexpected(input, "")),
    }
}
