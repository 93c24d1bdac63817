//! The syntax tree of LogQL. Pure data: what it means is said in `check` and `plan`.

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// Lines.
    Log(LogExpr),
    /// Samples.
    Metric(MetricExpr),
}

/// A stream selector and the pipeline behind it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogExpr {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    /// Whether it keeps what doesn't match.
    pub(crate) fn negated(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matcher {
    pub(crate) name: String,
    pub(crate) op: MatchOp,
    pub(crate) value: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    LineFilter(LineFilter),
    Json(Vec<Extraction>),
    Logfmt { strict: bool, keep_empty: bool, extractions: Vec<Extraction> },
    Regexp(String),
    Pattern(String),
    Unpack,
    LabelFilter(LabelFilter),
    LineFormat(String),
    LabelFormat(Vec<LabelFormat>),
    Decolorize,
    Drop(Vec<Selection>),
    Keep(Vec<Selection>),
    Unwrap(Unwrap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineOp {
    Contains,
    Regex,
    Pattern,
}

/// `|= "a" or "b"`: a line matches when any operand does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LineFilter {
    pub(crate) op: LineOp,
    /// Keep the lines that don't match.
    pub(crate) negated: bool,
    pub(crate) operands: Vec<LineOperand>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LineOperand {
    Text(String),
    Ip(String),
}

/// `label="path"` of a parser.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extraction {
    pub(crate) label: String,
    pub(crate) path: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelFormat {
    pub(crate) label: String,
    pub(crate) source: FormatSource,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FormatSource {
    /// Renames this label.
    Label(String),
    Template(String),
}

/// An item of `drop` and `keep`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub(crate) name: String,
    pub(crate) matcher: Option<(MatchOp, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    Number,
    /// Go's durations, into seconds.
    Duration,
    Bytes,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unwrap {
    pub(crate) label: String,
    pub(crate) conversion: Conversion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Compare {
    /// Applied to two values; false where NaN makes it so.
    pub(crate) fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LabelFilter {
    Text(Matcher),
    Number {
        name: String,
        op: Compare,
        value: f64,
    },
    /// `value` in ns.
    Duration {
        name: String,
        op: Compare,
        value: i64,
    },
    Bytes {
        name: String,
        op: Compare,
        value: f64,
    },
    Ip {
        name: String,
        negated: bool,
        pattern: String,
    },
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MetricExpr {
    Literal(f64),
    Vector(f64),
    Range(Box<RangeAggregation>),
    Aggregate(Box<VectorAggregation>),
    Binary(Box<Binary>),
    LabelReplace(Box<LabelReplace>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeOp {
    Rate,
    RateCounter,
    Count,
    BytesRate,
    Bytes,
    Sum,
    Avg,
    Min,
    Max,
    Stddev,
    Stdvar,
    Quantile,
    First,
    Last,
    Absent,
}

impl RangeOp {
    const NAMES: [(&'static str, Self); 15] = [
        ("rate", Self::Rate),
        ("rate_counter", Self::RateCounter),
        ("count_over_time", Self::Count),
        ("bytes_rate", Self::BytesRate),
        ("bytes_over_time", Self::Bytes),
        ("sum_over_time", Self::Sum),
        ("avg_over_time", Self::Avg),
        ("min_over_time", Self::Min),
        ("max_over_time", Self::Max),
        ("stddev_over_time", Self::Stddev),
        ("stdvar_over_time", Self::Stdvar),
        ("quantile_over_time", Self::Quantile),
        ("first_over_time", Self::First),
        ("last_over_time", Self::Last),
        ("absent_over_time", Self::Absent),
    ];

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(text, _)| *text == name).map(|(_, op)| op)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RangeAggregation {
    pub(crate) op: RangeOp,
    /// φ of `quantile_over_time`.
    pub(crate) parameter: f64,
    pub(crate) selector: LogExpr,
    /// ns.
    pub(crate) range: i64,
    /// ns.
    pub(crate) offset: i64,
    pub(crate) grouping: Option<Grouping>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grouping {
    pub(crate) labels: Vec<String>,
    pub(crate) without: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VectorOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    ApproxTopK,
    Sort,
    SortDesc,
}

impl VectorOp {
    const NAMES: [(&'static str, Self); 12] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::TopK),
        ("bottomk", Self::BottomK),
        ("approx_topk", Self::ApproxTopK),
        ("sort", Self::Sort),
        ("sort_desc", Self::SortDesc),
    ];

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(text, _)| *text == name).map(|(_, op)| op)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }

    /// Whether it selects series (and so takes a k) instead of folding them.
    pub(crate) fn takes_parameter(self) -> bool {
        matches!(self, Self::TopK | Self::BottomK | Self::ApproxTopK)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VectorAggregation {
    pub(crate) op: VectorOp,
    /// k of topk and the like, else 0.
    pub(crate) parameter: usize,
    pub(crate) operand: MetricExpr,
    pub(crate) grouping: Option<Grouping>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Or,
    And,
    Unless,
    Compare(Compare),
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl BinaryOp {
    /// Whether it works on whole series, not on values.
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) left: MetricExpr,
    pub(crate) right: MetricExpr,
    /// Comparisons answer 0 or 1 instead of filtering.
    pub(crate) returns_bool: bool,
    pub(crate) matching: Matching,
}

/// Which series of the two sides belong together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Matching {
    /// `on` these labels, or `ignoring` them; all labels when `None`.
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) on: bool,
    pub(crate) group: Group,
    /// Labels taken over from the "one" side.
    pub(crate) include: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Group {
    #[default]
    None,
    Left,
    Right,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelReplace {
    pub(crate) operand: MetricExpr,
    pub(crate) destination: String,
    pub(crate) replacement: String,
    pub(crate) source: String,
    pub(crate) regex: String,
}
