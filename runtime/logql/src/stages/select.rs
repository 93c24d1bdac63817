//! `| drop` and `| keep`.

use super::line_filter::anchored;
use super::row::Row;
use crate::ast::{MatchOp, Selection};
use regex::Regex;

#[derive(Debug)]
enum Test {
    Any,
    Equal(String, bool),
    Regex(Regex, bool),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Equal(expected, positive) => (value == expected) == *positive,
            Self::Regex(regex, positive) => regex.is_match(value) == *positive,
        }
    }
}

/// The items of one stage.
#[derive(Debug)]
pub(crate) struct LabelSelection(Vec<(String, Test)>);

impl LabelSelection {
    pub(crate) fn new(items: &[Selection]) -> Result<Self, String> {
        let compile = |item: &Selection| {
            let test = match &item.matcher {
                None => Test::Any,
                Some((op @ (MatchOp::Equal | MatchOp::NotEqual), value)) => Test::Equal(value.clone(), !op.negated()),
                Some((op, pattern)) => Test::Regex(anchored(pattern)?, !op.negated()),
            };
            Ok((item.name.clone(), test))
        };
        items.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    pub(crate) fn drop(&self, row: &mut Row<'_>) {
        for (name, test) in &self.0 {
            if row.get(name).is_some_and(|value| test.holds(value)) {
                row.remove(name);
            }
        }
    }

    pub(crate) fn keep(&self, row: &mut Row<'_>) {
        row.retain(|name, value| self.0.iter().any(|(wanted, test)| wanted == name && test.holds(value)));
    }
}
