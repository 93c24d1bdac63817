//! Template text → nodes.

use super::functions;
use super::value::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If { branches: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pipeline {
    /// `$x :=` or `$k, $v :=`; with `=` the variable is looked up, with `:=` made.
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Constant(Value),
    Dot,
    /// `.a.b`.
    Field(Vec<String>),
    /// `$x.a.b`.
    Variable(String, Vec<String>),
    Function(String),
    Nested(Box<Pipeline>, Vec<String>),
}

/// Templates nest blocks and parentheses no deeper than this.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Field(String),
    Variable(String),
    Constant(Value),
    Symbol(&'static str),
    /// `}}`.
    Close,
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser { tokens: tokenise(text)?, at: 0, depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("unexpected {{{{{word}}}}}")),
    }
}

fn tokenise(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while !rest.is_empty() {
        let (before, inside) = rest.split_once("{{").map_or((rest, None), |(before, inside)| (before, Some(inside)));
        let mut literal = if trim { before.trim_start() } else { before };
        let Some(inside) = inside else {
            tokens.push(Token::Text(literal.to_owned()));
            break;
        };
        let mut action = inside;
        if inside.starts_with('-') && inside[1..].starts_with(char::is_whitespace) {
            literal = literal.trim_end();
            action = &inside[1..];
        }
        if !literal.is_empty() {
            tokens.push(Token::Text(literal.to_owned()));
        }
        if let Some(comment) = action.trim_start().strip_prefix("/*") {
            let (_, after) = comment.split_once("*/").ok_or("unclosed comment")?;
            let after = after.trim_start();
            trim = after.starts_with('-');
            rest = after.trim_start_matches('-').strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
            continue;
        }
        (rest, trim) = tokenise_action(action, &mut tokens)?;
    }
    Ok(tokens)
}

/// Tokens up to `}}`; answers what follows, and whether it is to be trimmed.
fn tokenise_action<'a>(text: &'a str, tokens: &mut Vec<Token>) -> Result<(&'a str, bool), String> {
    let mut rest = text;
    loop {
        let spaced = rest.starts_with(char::is_whitespace);
        rest = rest.trim_start();
        if spaced && let Some(after) = rest.strip_prefix("-}}") {
            tokens.push(Token::Close);
            return Ok((after, true));
        }
        if let Some(after) = rest.strip_prefix("}}") {
            tokens.push(Token::Close);
            return Ok((after, false));
        }
        let Some(first) = rest.chars().next() else { return Err("unclosed action".to_owned()) };
        let name = |text: &str| text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
        rest = match first {
            '"' | '`' | '\'' => {
                let (value, after) = quoted(rest, first)?;
                tokens.push(Token::Constant(value));
                after
            }
            '.' if rest[1..].starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                let end = name(&rest[1..]) + 1;
                tokens.push(Token::Field(rest[1..end].to_owned()));
                &rest[end..]
            }
            '$' => {
                let end = name(&rest[1..]) + 1;
                tokens.push(Token::Variable(rest[1..end].to_owned()));
                &rest[end..]
            }
            '0'..='9' => number(rest, tokens)?,
            '-' | '+' | '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest, tokens)?,
            c if c == '_' || c.is_alphabetic() => {
                let end = name(rest);
                tokens.push(match &rest[..end] {
                    "true" => Token::Constant(Value::Bool(true)),
                    "false" => Token::Constant(Value::Bool(false)),
                    "nil" => Token::Constant(Value::Nil),
                    word => Token::Word(word.to_owned()),
                });
                &rest[end..]
            }
            _ => {
                let symbol = [":=", "=", "|", "(", ")", ",", "."].into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| format!("unexpected {first:?} in command"))?;
                tokens.push(Token::Symbol(symbol));
                &rest[symbol.len()..]
            }
        };
    }
}

fn quoted(text: &str, quote: char) -> Result<(Value, &str), String> {
    if quote == '`' {
        let (inner, after) = text[1..].split_once('`').ok_or("unterminated raw quoted string")?;
        return Ok((Value::Text(inner.to_owned()), after));
    }
    let mut escaped = false;
    let end = text[1..].char_indices().find_map(|(at, c)| {
        let found = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        found.then_some(at + 1)
    });
    let end = end.ok_or("unterminated quoted string")?;
    let tokens = crate::lexer::tokens(&text[..=end]).map_err(|_| "invalid quoted string".to_owned())?;
    let value = match tokens.first().map(|token| &token.kind) {
        Some(crate::lexer::Kind::Text(inner)) if quote == '\'' => {
            Value::Int(inner.chars().next().map_or(0, |c| i64::from(u32::from(c))))
        }
        Some(crate::lexer::Kind::Text(inner)) => Value::Text(inner.clone()),
        _ => return Err("invalid quoted string".to_owned()),
    };
    Ok((value, &text[end + 1..]))
}

fn number<'a>(text: &'a str, tokens: &mut Vec<Token>) -> Result<&'a str, String> {
    let end = text
        .char_indices()
        .skip(1)
        .find(|&(at, c)| {
            !(c.is_ascii_alphanumeric() || c == '.' || (matches!(c, '+' | '-') && text[..at].ends_with(['e', 'E'])))
        })
        .map_or(text.len(), |(at, _)| at);
    let word = &text[..end];
    let value = word
        .parse()
        .map(Value::Int)
        .or_else(|_| word.parse().map(Value::Float))
        .map_err(|_| format!("bad number syntax: {word:?}"))?;
    tokens.push(Token::Constant(value));
    Ok(&text[end..])
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(format!("nested deeper than {MAX_DEPTH} levels")) } else { Ok(()) }
    }

    /// Nodes up to the end, or up to `{{end}}` or `{{else`: the word is then the second part.
    fn block(&mut self) -> Result<(Vec<Node>, Option<&'static str>), String> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            if let Token::Text(text) = token {
                nodes.push(Node::Text(text));
                continue;
            }
            self.at -= 1;
            let Some(Token::Word(word)) = self.peek() else {
                nodes.push(Node::Action(self.pipeline(&Token::Close)?));
                continue;
            };
            let word = word.clone();
            match word.as_str() {
                "end" | "else" => {
                    self.at += 1;
                    self.depth -= 1;
                    if word == "end" {
                        self.expect_close()?;
                        return Ok((nodes, Some("end")));
                    }
                    return Ok((nodes, Some("else")));
                }
                "if" => {
                    self.at += 1;
                    nodes.push(self.conditional()?);
                }
                "range" | "with" => {
                    self.at += 1;
                    let head = self.pipeline(&Token::Close)?;
                    let (body, end) = self.block()?;
                    let otherwise = self.otherwise(end)?;
                    nodes.push(if word == "range" {
                        Node::Range { over: head, body, otherwise }
                    } else {
                        Node::With { value: head, body, otherwise }
                    });
                }
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("{{{{{word}}}}} is not supported yet"));
                }
                _ => nodes.push(Node::Action(self.pipeline(&Token::Close)?)),
            }
        }
        self.depth -= 1;
        Ok((nodes, None))
    }

    fn expect_close(&mut self) -> Result<(), String> {
        if self.next() == Some(Token::Close) { Ok(()) } else { Err("unexpected text behind end or else".to_owned()) }
    }

    fn otherwise(&mut self, end: Option<&'static str>) -> Result<Vec<Node>, String> {
        match end {
            Some("end") => Ok(Vec::new()),
            Some(_) => {
                self.expect_close()?;
                match self.block()? {
                    (nodes, Some("end")) => Ok(nodes),
                    _ => Err("expected {{end}}".to_owned()),
                }
            }
            None => Err("unexpected EOF: {{end}} is missing".to_owned()),
        }
    }

    fn conditional(&mut self) -> Result<Node, String> {
        let mut branches = Vec::new();
        loop {
            let condition = self.pipeline(&Token::Close)?;
            let (body, end) = self.block()?;
            branches.push((condition, body));
            if end == Some("else") && self.peek() == Some(&Token::Word("if".to_owned())) {
                self.at += 1;
                continue;
            }
            return Ok(Node::If { branches, otherwise: self.otherwise(end)? });
        }
    }

    fn pipeline(&mut self, close: &Token) -> Result<Pipeline, String> {
        self.deeper()?;
        let mut pipeline = Pipeline::default();
        if let Some(Token::Variable(_)) = self.peek() {
            let start = self.at;
            let mut names = Vec::new();
            while let Some(Token::Variable(name)) = self.peek().cloned() {
                self.at += 1;
                names.push(name);
                if self.peek() == Some(&Token::Symbol(",")) {
                    self.at += 1;
                }
            }
            match self.peek() {
                Some(Token::Symbol(symbol @ (":=" | "="))) => {
                    pipeline.declares = *symbol == ":=";
                    pipeline.variables = names;
                    self.at += 1;
                }
                _ => self.at = start,
            }
        }
        let mut command = Vec::new();
        loop {
            let token = self.next().ok_or("unclosed action")?;
            if token == *close || token == Token::Symbol("|") {
                if command.is_empty() {
                    return Err("missing value for command".to_owned());
                }
                pipeline.commands.push(std::mem::take(&mut command));
                if token == *close {
                    self.depth -= 1;
                    return Ok(pipeline);
                }
                continue;
            }
            command.push(match token {
                Token::Constant(value) => Operand::Constant(value),
                Token::Symbol(".") => Operand::Dot,
                Token::Field(name) => Operand::Field(self.fields(vec![name])),
                Token::Variable(name) => Operand::Variable(name, self.fields(Vec::new())),
                Token::Word(name) if functions::known(&name) => Operand::Function(name),
                Token::Word(name) => return Err(functions::unknown(&name)),
                Token::Symbol("(") => {
                    let inner = self.pipeline(&Token::Symbol(")"))?;
                    Operand::Nested(Box::new(inner), self.fields(Vec::new()))
                }
                Token::Close => return Err("unclosed left paren".to_owned()),
                Token::Symbol(symbol) => return Err(format!("unexpected {symbol:?} in command")),
                Token::Text(_) => return Err("unclosed action".to_owned()),
            });
        }
    }

    /// Further fields: `.b.c` behind an operand.
    fn fields(&mut self, mut names: Vec<String>) -> Vec<String> {
        while let Some(Token::Field(name)) = self.peek().cloned() {
            self.at += 1;
            names.push(name);
        }
        names
    }
}

/// Labels that nodes read; `None` when they may read any.
pub(super) fn fields(nodes: &[Node]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    nodes_fields(nodes, &mut names).then_some(names)
}

fn nodes_fields(nodes: &[Node], names: &mut Vec<String>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Action(pipeline) => pipeline_fields(pipeline, names),
        Node::If { branches, otherwise } => {
            branches.iter().all(|(condition, body)| pipeline_fields(condition, names) && nodes_fields(body, names))
                && nodes_fields(otherwise, names)
        }
        Node::Range { over: head, body, otherwise } | Node::With { value: head, body, otherwise } => {
            pipeline_fields(head, names) && nodes_fields(body, names) && nodes_fields(otherwise, names)
        }
    })
}

fn pipeline_fields(pipeline: &Pipeline, names: &mut Vec<String>) -> bool {
    pipeline.commands.iter().flatten().all(|operand| match operand {
        Operand::Constant(_) | Operand::Function(_) => true,
        // The whole label set.
        Operand::Dot => false,
        Operand::Variable(name, _) => !name.is_empty(),
        Operand::Field(path) => {
            names.extend(path.first().cloned());
            true
        }
        Operand::Nested(inner, _) => pipeline_fields(inner, names),
    })
}
