//! The syntax tree of PromQL.

/// A part of the query's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A number; a duration is its seconds.
    Number(f64),
    /// A string.
    String(String),
    /// `name{matchers}` with modifiers.
    Selector(Selector),
    /// `selector[range]`.
    Range {
        /// The series.
        selector: Selector,
        /// Length of the window.
        range: Duration,
    },
    /// `expr[range:step]` with modifiers.
    Subquery {
        /// What is evaluated at each of its steps.
        expr: Box<Expr>,
        /// Length of the window.
        range: Duration,
        /// Distance of its steps; the default when absent.
        step: Option<Duration>,
        /// `offset` and `@`.
        modifiers: Modifiers,
    },
    /// `function(arguments)`.
    Call {
        /// The function.
        name: String,
        /// Its arguments.
        arguments: Vec<Expr>,
    },
    /// `op by (labels) (parameter, expr)`.
    Aggregate {
        /// The aggregation, lower case.
        op: String,
        /// First argument of those that take two.
        parameter: Option<Box<Expr>>,
        /// What is aggregated.
        expr: Box<Expr>,
        /// `by` or `without`.
        grouping: Grouping,
    },
    /// `+expr` or `-expr`.
    Unary {
        /// Whether it is a minus.
        negative: bool,
        /// The operand.
        expr: Box<Expr>,
    },
    /// `left op right`.
    Binary(Box<Binary>),
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator, lower case: a symbol, or `and`, `or`, `unless`, `atan2`.
    pub op: String,
    /// Left operand.
    pub left: Expr,
    /// Right operand.
    pub right: Expr,
    /// Whether a comparison gives 0 and 1 instead of filtering.
    pub returns_bool: bool,
    /// `on` or `ignoring`, when written.
    pub matching: Option<Labels>,
    /// `group_left` or `group_right`, when written.
    pub group: Option<Group>,
    /// Whether a `fill` modifier is written.
    pub fills: bool,
}

/// A list of labels with its sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Whether the listed ones count (`on`), or all others (`ignoring`).
    pub listed: bool,
    /// The labels.
    pub names: Vec<String>,
}

/// `group_left` or `group_right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Whether the many are on the left.
    pub left: bool,
    /// Labels taken over from the other side.
    pub include: Vec<String>,
}

/// Grouping of an aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Whether the labels are left out instead of kept.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// A series selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// All matchers; a name before the braces is the first, on `__name__`.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub modifiers: Modifiers,
}

/// A label matcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what.
    pub value: String,
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// What shifts or stretches a selector's or subquery's time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modifiers {
    /// `offset`
    pub offset: Option<Duration>,
    /// `@`
    pub at: Option<At>,
    /// `anchored` or `smoothed`, when written.
    pub extended: Option<&'static str>,
}

/// The time of `@`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// ms since the Unix epoch.
    Time(i64),
    /// `start()`
    Start,
    /// `end()`
    End,
}

/// A length of time, possibly computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Duration {
    /// Seconds as written.
    Literal(f64),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `-d`
    Negative(Box<Duration>),
    /// `a op b`; also `min_of` and `max_of`.
    Binary(&'static str, Box<Duration>, Box<Duration>),
}
