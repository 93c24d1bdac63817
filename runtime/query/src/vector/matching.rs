//! Operators between two vectors: series are matched by a key of their labels.
//!
//! Each side's series are collected by key; [`unique`] holds the side that must have one a key (and
//! step) to it; after the join, [`matched`] works on the few series of one key. Checks come before
//! comparisons filter, as in Prometheus. Source: prometheus/promql/engine.go, `VectorBinop`.

use super::binary::{Keep, Operator};
use super::collect::{SeriesLists, series_list, series_lists};
use super::columns::{FloatListBuilder, FloatLists, offset};
use crate::error::rejected;
use crate::functions::maps::{Labels, METRIC_NAME};
use crate::functions::{Columnar, column, integer, label_key, text, texts};
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarFunctionArgs, ScalarUDF, lit};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use weft_model::attributes::LabelMapBuilder;

static UNIQUE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("series_unique", |_| Ok(series_list()), check_unique));
static MATCHED: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Columnar::udf("series_match", |_| Ok(series_list()), match_rows));

/// How many series of either side may share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One and one.
    OneToOne,
    /// Many on the left (`group_left`).
    ManyToOne,
    /// Many on the right (`group_right`).
    OneToMany,
}

/// How series of two vectors are matched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matching {
    /// How many may share a key.
    pub cardinality: Cardinality,
    /// Whether `labels` are the key (`on`), or what is left out of it (`ignoring`).
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
}

impl Matching {
    /// The key of a series, for grouping and joining.
    pub fn key(&self, labels: Expr) -> Expr {
        let mut arguments = vec![labels, lit(if self.on { "by" } else { "without" })];
        arguments.extend(self.labels.iter().map(|label| lit(label.as_str())));
        if !self.on {
            arguments.push(lit(METRIC_NAME));
        }
        label_key::label_key().call(arguments)
    }
}

/// An operation between matched series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation {
    /// The operator.
    pub operator: Operator,
    /// What comes out.
    pub keep: Keep,
}

impl Operation {
    /// Whether the result is another quantity, which loses the metric's name.
    pub fn drops_name(self) -> bool {
        self.keep == Keep::Value
    }
}

fn check_unique(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let array = column(arguments, 0)?;
    let side = text(arguments, 1)?;
    let key = column(arguments, 2)?;
    let keys = key.as_binary_opt::<i32>();
    let series = SeriesLists::of(&array)?;
    let (labels, values) = (Labels::of(series.labels)?, FloatLists::of(series.values)?);
    for row in 0..series.len() {
        let mut places = series.row(row);
        if places.len() < 2 {
            continue;
        }
        let steps = places.clone().map(|at| values.row(at).values.len()).max().unwrap_or(0);
        let mut holder: Vec<Option<usize>> = vec![None; steps];
        let clash = places.find_map(|at| {
            let held = values.row(at);
            let step = (0..steps).find(|step| held.get(*step).is_some() && holder[*step].is_some());
            if let Some(step) = step {
                return Some((holder[step]?, at));
            }
            (0..steps).filter(|step| held.get(*step).is_some()).for_each(|step| holder[step] = Some(at));
            None
        });
        if let Some((first, second)) = clash {
            let group = match keys {
                Some(keys) => display(label_key::read(keys.value(row))?),
                None => String::new(),
            };
            let mut both = [display(labels.row(first)), display(labels.row(second))];
            both.sort();
            return Err(rejected(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
                 [{}];many-to-many matching not allowed: matching labels must be unique on one side",
                both.join(", "),
            )));
        }
    }
    Ok(array)
}

/// Labels as Prometheus writes them in errors.
pub fn display<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let each: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", each.join(", "))
}

/// The operation's parameters, read from literals.
struct Parameters<'a> {
    operation: Operation,
    cardinality: Cardinality,
    on: bool,
    labels: Vec<&'a str>,
    include: Vec<&'a str>,
}

fn parameters(arguments: &ScalarFunctionArgs) -> Result<Parameters<'_>> {
    let symbol = text(arguments, 2)?;
    let Some(operator) = Operator::of_symbol(symbol) else { return exec_err!("there is no operator '{symbol}'") };
    let keep = Keep::of_name(text(arguments, 3)?)?;
    let cardinality = match text(arguments, 4)? {
        "many-to-one" => Cardinality::ManyToOne,
        "one-to-many" => Cardinality::OneToMany,
        _ => Cardinality::OneToOne,
    };
    let on = text(arguments, 5)? == "on";
    let mut labels = texts(arguments, 7)?;
    let count = integer(arguments, 6)?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0).min(labels.len());
    let include = labels.split_off(count);
    Ok(Parameters { operation: Operation { operator, keep }, cardinality, on, labels, include })
}

impl Parameters<'_> {
    /// The labels of a result, as a key.
    fn result_key(&self, many: &Labels<'_>, many_at: usize, one: &Labels<'_>, one_at: usize, key: &mut Vec<u8>) {
        let drop_name = self.operation.drops_name();
        let one_to_one = self.cardinality == Cardinality::OneToOne;
        let kept = |name: &str| {
            let dropped = drop_name && name == METRIC_NAME;
            let no_key = one_to_one && self.labels.contains(&name) != self.on;
            !dropped && !no_key && !self.include.contains(&name)
        };
        let included =
            self.include.iter().map(|name| (*name, one.get(one_at, name))).filter(|(_, value)| !value.is_empty());
        key.clear();
        if self.include.is_empty() {
            label_key::write(key, many.row(many_at).filter(|(name, _)| kept(name)));
            return;
        }
        let mut all: Vec<(&str, &str)> = many.row(many_at).filter(|(name, _)| kept(name)).chain(included).collect();
        all.sort_unstable();
        all.dedup();
        label_key::write(key, all.into_iter());
    }
}

/// A result while its pairs come together.
#[derive(Default)]
struct Outcome {
    /// Steps at which a pair met, whether or not it passed a comparison.
    met: Vec<bool>,
    values: Vec<Option<f64>>,
}

fn match_rows(arguments: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let (left, right) = (column(arguments, 0)?, column(arguments, 1)?);
    let (left, right) = (SeriesLists::of(&left)?, SeriesLists::of(&right)?);
    let parameters = parameters(arguments)?;
    // From here on "many" is the side whose labels the result has.
    let swapped = parameters.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (&right, &left) } else { (&left, &right) };
    let (many_labels, many_values) = (Labels::of(many.labels)?, FloatLists::of(many.values)?);
    let (one_labels, one_values) = (Labels::of(one.labels)?, FloatLists::of(one.values)?);
    let Operation { operator, keep } = parameters.operation;
    let mut labels = LabelMapBuilder::new();
    let mut out = FloatListBuilder::with_capacity(many.len(), 0);
    let (mut ends, mut rows) = (vec![0], 0);
    let mut outcomes: BTreeMap<Vec<u8>, Outcome> = BTreeMap::new();
    let (mut key, mut taken) = (Vec::new(), Vec::new());
    for row in 0..many.len() {
        outcomes.clear();
        taken.clear();
        for many_at in many.row(row) {
            let held = many_values.row(many_at);
            let steps = held.values.len();
            taken.resize(steps, false);
            let mut met_now: Vec<usize> = Vec::new();
            for one_at in one.row(row) {
                let other = one_values.row(one_at);
                parameters.result_key(&many_labels, many_at, &one_labels, one_at, &mut key);
                let outcome = outcomes.entry(key.clone()).or_default();
                outcome.met.resize(steps, false);
                outcome.values.resize(steps, None);
                for (step, taken) in taken.iter().enumerate() {
                    let Some((mine, theirs)) = held.get(step).zip(other.get(step)) else { continue };
                    if parameters.cardinality == Cardinality::OneToOne && *taken {
                        return Err(rejected(
                            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                        ));
                    }
                    if outcome.met[step] {
                        return Err(rejected(
                            "multiple matches for labels: grouping labels must ensure unique matches",
                        ));
                    }
                    met_now.push(step);
                    outcome.met[step] = true;
                    let (left, right) = if swapped { (theirs, mine) } else { (mine, theirs) };
                    outcome.values[step] = keep.outcome(operator, left, right);
                }
            }
            met_now.into_iter().for_each(|step| taken[step] = true);
        }
        for (key, outcome) in &outcomes {
            if outcome.values.iter().all(Option::is_none) {
                continue;
            }
            label_key::read(key)?.for_each(|(name, value)| labels.label(name, value));
            labels.finish_row();
            outcome.values.iter().for_each(|value| out.push(*value));
            out.finish_row();
            rows += 1;
        }
        ends.push(offset(rows));
    }
    Ok(series_lists(ends, Arc::new(labels.finish()), out.finish()))
}

/// Collected series, checked to be one a key and step; `side` is "left" or "right".
pub fn unique(series: Expr, side: &'static str, key: Expr) -> Expr {
    UNIQUE.call(vec![series, lit(side), key])
}

/// The results of an operation between the collected series of one key.
pub fn matched(left: Expr, right: Expr, operation: Operation, matching: &Matching) -> Expr {
    let cardinality = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    let mut arguments = vec![
        left,
        right,
        lit(operation.operator.symbol()),
        lit(operation.keep.name()),
        lit(cardinality),
        lit(if matching.on { "on" } else { "ignoring" }),
        lit(matching.labels.len() as i64),
    ];
    arguments.extend(matching.labels.iter().chain(&matching.include).map(|label| lit(label.as_str())));
    MATCHED.call(arguments)
}

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(&UNIQUE), Arc::clone(&MATCHED)]
}
