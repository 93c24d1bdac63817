//! Vectors in memory: what range aggregations leave, one value a step for each label set, and LogQL's
//! operators on them. They differ from PromQL's in more than looks (division by zero, labels with an
//! empty value, what a sort survives), which is why they are here.

pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod label_replace;
pub(crate) mod select;

use crate::answer::Labels;
use crate::ast::Grouping;

/// A label set and its value at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

/// Series with distinct label sets.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Vector {
    pub(crate) series: Vec<Series>,
    /// The order of the series is part of the answer.
    pub(crate) ordered: bool,
}

impl Vector {
    /// One series without labels.
    pub(crate) fn constant(value: f64, steps: usize) -> Self {
        Self { series: vec![Series { labels: Labels::default(), values: vec![Some(value); steps] }], ordered: false }
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Number(f64),
    Vector(Vector),
}

impl Operand {
    pub(crate) fn into_vector(self, steps: usize) -> Vector {
        match self {
            Self::Number(value) => Vector::constant(value, steps),
            Self::Vector(vector) => vector,
        }
    }
}

/// The part of a label set that makes its group.
pub(crate) fn group_labels(labels: &Labels, grouping: &Grouping) -> Labels {
    let kept = labels.0.iter().filter(|(name, _)| grouping.labels.contains(name) != grouping.without);
    Labels(kept.cloned().collect())
}
