//! Tokens → syntax tree, by recursive descent and precedence climbing.
//!
//! Precedence, loosest first: `or`; `and unless`; comparisons; `+ -`; `* / % atan2`; `^` (from the
//! right). A sign binds like `*`, so `-1^2` is `-(1^2)`.

use super::Fault;
use super::ast::{
    At, Binary, Duration, Expr, Group, Grouping, Kind, Labels, MatchOp, Matcher, Modifiers, Selector, Span,
};
use super::lexer::Token;

/// Names of aggregations; those with a parameter first.
const PARAMETRIC: [&str; 6] = ["topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"];
const PLAIN: [&str; 8] = ["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];

/// Precedence of a sign's operand: whatever binds tighter than `*`.
const SIGN: u8 = 6;

/// Walks over the tokens of one query.
#[derive(Debug)]
pub struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
}

/// Nesting allowed; deeper queries are refused rather than overflow the stack.
const DEPTH: usize = 200;

type Parsed<T> = Result<T, Fault>;

impl<'a> Parser<'a> {
    /// A parser of `tokens`, which are those of `text`.
    pub fn new(text: &'a str, tokens: Vec<(Token, Span)>) -> Self {
        Self { text, tokens, at: 0, depth: 0 }
    }

    /// The whole text as one expression.
    ///
    /// # Errors
    /// At the first token that doesn't fit.
    pub fn query(&mut self) -> Parsed<Expr> {
        if *self.peek() == Token::End {
            return Err(self.fault("no expression found in input"));
        }
        let expr = self.expr(0)?;
        match self.peek() {
            Token::End => Ok(expr),
            _ => Err(self.unexpected("expected end of input")),
        }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    fn peek_after(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    fn last_end(&self) -> usize {
        self.tokens[self.at.saturating_sub(1)].1.end
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.span(), message)
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Token::End => "end of input".to_owned(),
            _ => format!("\"{}\"", &self.text[self.span().start..self.span().end]),
        };
        self.fault(format!("unexpected {found}: {wanted}"))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str, place: &str) -> Parsed<()> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("expected \"{symbol}\" in {place}")))
        }
    }

    fn from(&self, start: usize, kind: Kind) -> Expr {
        Expr { span: Span { start, end: self.last_end() }, kind }
    }

    fn expr(&mut self, least: u8) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.fault("expression is nested too deeply"));
        }
        let result = self.operators(least);
        self.depth -= 1;
        result
    }

    fn operators(&mut self, least: u8) -> Parsed<Expr> {
        let start = self.span().start;
        let mut left = self.signed()?;
        while let Some((op, precedence)) = self.operator() {
            if precedence < least {
                break;
            }
            self.at += 1;
            let mut binary = Binary {
                op,
                left,
                right: Expr { span: Span::default(), kind: Kind::Number(0.0) },
                returns_bool: self.take_word("bool"),
                matching: None,
                group: None,
                fills: false,
            };
            self.binary_modifiers(&mut binary)?;
            // `^` takes its like on the right, all others on the left.
            binary.right = self.expr(if binary.op == "^" { precedence } else { precedence + 1 })?;
            left = self.from(start, Kind::Binary(Box::new(binary)));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(String, u8)> {
        let (op, precedence) = match self.peek() {
            Token::Symbol(symbol) => match *symbol {
                "==" | "!=" | "<" | "<=" | ">" | ">=" | "</" | ">/" => (*symbol, 3),
                "+" | "-" => (*symbol, 4),
                "*" | "/" | "%" => (*symbol, 5),
                "^" => (*symbol, 6),
                _ => return None,
            },
            Token::Word(word) => {
                let known =
                    ["or", "and", "unless", "atan2"].into_iter().find(|known| word.eq_ignore_ascii_case(known))?;
                (
                    known,
                    match known {
                        "or" => 1,
                        "atan2" => 5,
                        _ => 2,
                    },
                )
            }
            _ => return None,
        };
        Some((op.to_owned(), precedence))
    }

    fn binary_modifiers(&mut self, binary: &mut Binary) -> Parsed<()> {
        for (word, listed) in [("on", true), ("ignoring", false)] {
            if self.is_word(word) && matches!(self.peek_after(), Token::Symbol("(")) {
                self.at += 1;
                binary.matching = Some(Labels { listed, names: self.label_list()? });
                break;
            }
        }
        for (word, left) in [("group_left", true), ("group_right", false)] {
            if self.take_word(word) {
                if binary.matching.is_none() {
                    return Err(self.fault(format!("{word} needs on() or ignoring() before it")));
                }
                let include = if self.is_symbol("(") { self.label_list()? } else { Vec::new() };
                binary.group = Some(Group { left, include });
                break;
            }
        }
        while ["fill", "fill_left", "fill_right"].iter().any(|word| self.is_word(word))
            && matches!(self.peek_after(), Token::Symbol("("))
        {
            binary.fills = true;
            self.at += 2;
            while !self.take_symbol(")") {
                if *self.peek() == Token::End {
                    return Err(self.unexpected("expected \")\" after fill"));
                }
                self.at += 1;
            }
        }
        Ok(())
    }

    fn signed(&mut self) -> Parsed<Expr> {
        let start = self.span().start;
        let negative = self.is_symbol("-");
        if self.take_symbol("-") || self.take_symbol("+") {
            let expr = Box::new(self.expr(SIGN)?);
            return Ok(self.from(start, Kind::Unary { negative, expr }));
        }
        let primary = self.primary()?;
        self.postfix(start, primary)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.span().start;
        match self.peek().clone() {
            Token::Number(value) | Token::Duration(value) => {
                self.at += 1;
                Ok(self.from(start, Kind::Number(value)))
            }
            Token::String(text) => {
                self.at += 1;
                Ok(self.from(start, Kind::String(text)))
            }
            Token::Symbol("(") => {
                self.at += 1;
                let inner = self.expr(0)?;
                self.expect(")", "parenthesised expression")?;
                Ok(self.from(start, Kind::Paren(Box::new(inner))))
            }
            Token::Symbol("{") => self.selector(start, None),
            Token::Word(word) => self.word(start, word),
            _ => Err(self.unexpected("expected an expression")),
        }
    }

    fn word(&mut self, start: usize, word: String) -> Parsed<Expr> {
        let lower = word.to_ascii_lowercase();
        let after = self.peek_after().clone();
        let opens = after == Token::Symbol("(");
        let groups = matches!(&after, Token::Word(next) if next.eq_ignore_ascii_case("by") || next.eq_ignore_ascii_case("without"));
        if (opens || groups) && (PLAIN.contains(&lower.as_str()) || PARAMETRIC.contains(&lower.as_str())) {
            return self.aggregation(start, lower);
        }
        if lower == "inf" || lower == "nan" {
            self.at += 1;
            return Ok(self.from(start, Kind::Number(if lower == "inf" { f64::INFINITY } else { f64::NAN })));
        }
        if opens {
            self.at += 2;
            let arguments = self.arguments(&format!("call to function {word}"))?;
            return Ok(self.from(start, Kind::Call { name: word, arguments }));
        }
        if ["bool", "offset", "ignoring", "group_left", "group_right", "and", "or", "unless", "atan2"]
            .contains(&lower.as_str())
            && !matches!(after, Token::Symbol("{" | "[" | "=") | Token::End)
            && matches!(lower.as_str(), "and" | "or" | "unless" | "atan2")
        {
            return Err(self.unexpected("expected an expression"));
        }
        self.at += 1;
        self.selector(start, Some(word))
    }

    /// Expressions up to the closing parenthesis; the opening one is taken.
    fn arguments(&mut self, place: &str) -> Parsed<Vec<Expr>> {
        let mut arguments = Vec::new();
        if self.take_symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr(0)?);
            if self.take_symbol(",") {
                if self.is_symbol(")") {
                    return Err(self.fault("trailing commas not allowed in function call args"));
                }
                continue;
            }
            self.expect(")", place)?;
            return Ok(arguments);
        }
    }

    fn aggregation(&mut self, start: usize, op: String) -> Parsed<Expr> {
        self.at += 1;
        let mut grouping = self.grouping()?;
        self.expect("(", "aggregation")?;
        let mut arguments = self.arguments("aggregation")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let wanted = if PARAMETRIC.contains(&op.as_str()) { 2 } else { 1 };
        if arguments.len() != wanted {
            let span = Span { start, end: self.last_end() };
            let message = if arguments.is_empty() {
                "no arguments for aggregate expression provided".to_owned()
            } else {
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    arguments.len()
                )
            };
            return Err(Fault::new(span, message));
        }
        let Some(expr) = arguments.pop() else {
            return Err(self.fault("no arguments for aggregate expression provided"));
        };
        let parameter = arguments.pop().map(Box::new);
        let grouping = grouping.unwrap_or(Grouping { without: false, labels: Vec::new() });
        Ok(self.from(start, Kind::Aggregate { op, parameter, expr: Box::new(expr), grouping }))
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        for (word, without) in [("by", false), ("without", true)] {
            if self.take_word(word) {
                return Ok(Some(Grouping { without, labels: self.label_list()? }));
            }
        }
        Ok(None)
    }

    fn label_list(&mut self) -> Parsed<Vec<String>> {
        self.expect("(", "grouping opts")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")") {
            labels.push(match self.next() {
                Token::Word(word) if !word.contains(':') => word,
                Token::String(text) if !text.is_empty() => text,
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("expected label in grouping opts"));
                }
            });
            if !self.is_symbol(")") {
                self.expect(",", "grouping opts")?;
            }
        }
        Ok(labels)
    }

    fn selector(&mut self, start: usize, name: Option<String>) -> Parsed<Expr> {
        let mut named = name.is_some();
        let mut matchers = Vec::new();
        if let Some(name) = name {
            matchers.push(Matcher { label: "__name__".into(), op: MatchOp::Equal, value: name });
        }
        if self.take_symbol("{") {
            while !self.take_symbol("}") {
                self.matcher(&mut matchers, &mut named)?;
                if !self.is_symbol("}") && !self.take_symbol(",") {
                    return Err(self.unexpected("expected \",\" or \"}\" in label matching"));
                }
            }
        }
        let span = Span { start, end: self.last_end() };
        if matchers.iter().all(matches_empty) {
            return Err(Fault::new(span, "vector selector must contain at least one non-empty matcher"));
        }
        Ok(Expr { span, kind: Kind::Selector(Selector { matchers, modifiers: Modifiers::default() }) })
    }

    fn matcher(&mut self, matchers: &mut Vec<Matcher>, named: &mut bool) -> Parsed<()> {
        let quoted = matches!(self.peek(), Token::String(_));
        let label = match self.peek().clone() {
            Token::Word(word) if !word.contains(':') => word,
            Token::String(text) => text,
            _ => return Err(self.unexpected("expected label name or \"}\" in label matching")),
        };
        let place = self.span();
        self.at += 1;
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            Token::Symbol("," | "}") if quoted => {
                if *named {
                    return Err(Fault::new(place, format!("metric name must not be set twice: {label:?}")));
                }
                *named = true;
                matchers.push(Matcher { label: "__name__".into(), op: MatchOp::Equal, value: label });
                return Ok(());
            }
            _ => return Err(self.unexpected("expected label matching operator")),
        };
        self.at += 1;
        let Token::String(value) = self.peek().clone() else {
            return Err(self.unexpected("expected string in label matching"));
        };
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex)
            && let Err(error) = weft_query::functions::regexes::anchored(&value)
        {
            return Err(self.fault(weft_query::Error::from(error).to_string()));
        }
        self.at += 1;
        if label == "__name__" {
            if *named {
                return Err(Fault::new(place, "metric name must not be set twice"));
            }
            *named |= op == MatchOp::Equal;
        }
        matchers.push(Matcher { label, op, value });
        Ok(())
    }

    fn postfix(&mut self, start: usize, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.is_symbol("[") {
                expr = self.brackets(start, expr)?;
            } else if self.is_word("offset") {
                let place = self.span();
                self.at += 1;
                let offset = self.offset()?;
                let end = self.last_end();
                let modifiers = modifiers(&mut expr, place, "offset")?;
                if modifiers.offset.replace(offset).is_some() {
                    return Err(Fault::new(place, "offset may not be set multiple times"));
                }
                expr.span.end = end;
            } else if self.is_symbol("@") {
                let place = self.span();
                self.at += 1;
                let at = self.at_time()?;
                let end = self.last_end();
                let modifiers = modifiers(&mut expr, place, "@")?;
                if modifiers.at.replace(at).is_some() {
                    return Err(Fault::new(place, "@ <timestamp> may not be set multiple times"));
                }
                expr.span.end = end;
            } else if let Some(word) = ["anchored", "smoothed"].into_iter().find(|word| self.is_word(word)) {
                let place = self.span();
                self.at += 1;
                modifiers(&mut expr, place, word)?.extended = Some(word);
                expr.span.end = place.end;
            } else {
                return Ok(expr);
            }
        }
    }

    fn brackets(&mut self, start: usize, expr: Expr) -> Parsed<Expr> {
        let place = self.span();
        self.at += 1;
        let range = self.duration(0)?;
        if self.take_symbol(":") {
            let step = if self.is_symbol("]") { None } else { Some(self.duration(0)?) };
            self.expect("]", "subquery")?;
            let kind = Kind::Subquery { expr: Box::new(expr), range, step, modifiers: Modifiers::default() };
            return Ok(self.from(start, kind));
        }
        self.expect("]", "range")?;
        match expr.kind {
            Kind::Selector(selector) if selector.modifiers.offset.is_some() => {
                Err(Fault::new(place, "no offset modifiers allowed before range"))
            }
            Kind::Selector(selector) if selector.modifiers.at.is_some() => {
                Err(Fault::new(place, "no @ modifiers allowed before range"))
            }
            Kind::Selector(selector) => Ok(self.from(start, Kind::Range { selector, range })),
            _ => Err(Fault::new(place, "ranges only allowed for vector selectors")),
        }
    }

    /// A duration expression; `least` as for expressions.
    fn duration(&mut self, least: u8) -> Parsed<Duration> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.fault("expression is nested too deeply"));
        }
        let mut left = if self.take_symbol("-") {
            Duration::Negative(Box::new(self.duration(SIGN)?))
        } else if self.take_symbol("+") {
            self.duration(SIGN)?
        } else {
            self.duration_primary()?
        };
        while let Token::Symbol(symbol @ ("+" | "-" | "*" | "/" | "%" | "^")) = *self.peek() {
            let precedence = match symbol {
                "+" | "-" => 4,
                "^" => 6,
                _ => 5,
            };
            if precedence < least {
                break;
            }
            self.at += 1;
            let right = self.duration(if symbol == "^" { precedence } else { precedence + 1 })?;
            left = Duration::Binary(symbol, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn duration_primary(&mut self) -> Parsed<Duration> {
        match self.next() {
            Token::Number(seconds) | Token::Duration(seconds) => Ok(Duration::Literal(seconds)),
            Token::Symbol("(") => {
                let inner = self.duration(0)?;
                self.expect(")", "duration")?;
                // A bracketed literal stays what it is; anything computed is already no literal.
                Ok(inner)
            }
            Token::Word(word) if self.is_symbol("(") => {
                self.at += 1;
                let lower = word.to_ascii_lowercase();
                let result = match lower.as_str() {
                    "step" => Duration::Step,
                    "range" => Duration::Range,
                    "min_of" | "max_of" => {
                        let left = self.duration(0)?;
                        self.expect(",", "duration")?;
                        let right = self.duration(0)?;
                        let op = if lower == "min_of" { "min_of" } else { "max_of" };
                        Duration::Binary(op, Box::new(left), Box::new(right))
                    }
                    _ => {
                        self.at -= 2;
                        return Err(self.unexpected("expected a duration"));
                    }
                };
                self.expect(")", "duration")?;
                Ok(result)
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected("expected a duration"))
            }
        }
    }

    /// The duration of `offset`: several terms need parentheses.
    fn offset(&mut self) -> Parsed<Duration> {
        if self.take_symbol("-") {
            return Ok(Duration::Negative(Box::new(self.duration_primary()?)));
        }
        self.take_symbol("+");
        self.duration_primary()
    }

    fn at_time(&mut self) -> Parsed<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.take_word(word) {
                self.expect("(", "@ modifier")?;
                self.expect(")", "@ modifier")?;
                return Ok(at);
            }
        }
        let negative = self.is_symbol("-");
        self.at += usize::from(negative || self.is_symbol("+"));
        let seconds = match self.next() {
            Token::Number(seconds) | Token::Duration(seconds) => seconds,
            Token::Word(word) if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan") => f64::NAN,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("expected a timestamp"));
            }
        };
        if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 / 1000.0 {
            self.at -= 1;
            return Err(self.fault("timestamp out of bounds for @ modifier"));
        }
        let millis = (seconds * 1000.0).round() as i64;
        Ok(At::Time(if negative { -millis } else { millis }))
    }
}

fn modifiers<'e>(expr: &'e mut Expr, place: Span, what: &str) -> Parsed<&'e mut Modifiers> {
    match &mut expr.kind {
        Kind::Selector(selector) | Kind::Range { selector, .. } => Ok(&mut selector.modifiers),
        Kind::Subquery { modifiers, .. } => Ok(modifiers),
        _ => Err(Fault::new(
            place,
            format!(
                "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
            ),
        )),
    }
}

/// Whether a matcher passes a label that isn't there.
fn matches_empty(matcher: &Matcher) -> bool {
    weft_query::functions::text_matches::Test::new(matcher.op.symbol(), &matcher.value)
        .is_ok_and(|test| test.passes(""))
}
