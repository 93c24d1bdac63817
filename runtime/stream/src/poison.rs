//! What is known of a partition's messages that modules could not survive.
//!
//! A trap leaves a stateful module's state mid-way, so the worker returns to the ledger's state and
//! reads again. This memory makes that end: what was in the call that trapped is run message by
//! message the second time, which finds the one to blame; it is not given to that stage a third
//! time, but put in the dead letters there, while everything around it passes as before.
//!
//! It lives as long as the process. A worker that starts anew meets the same messages at the same
//! offsets, traps at the same one, and learns the same: only time is lost.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use weft_model::Offset;

/// After so many traps of a stage that no message is to blame for, rows pass it by.
const STRIKES: u32 = 3;

/// The memory of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Poison {
    isolated: Vec<Range<Offset>>,
    messages: HashMap<Offset, Vec<Skip>>,
    strikes: HashMap<String, u32>,
    bypassed: HashSet<String>,
}

/// A stage that a message must not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) stage: String,
    pub(crate) reason: String,
}

/// Who is to blame for a stage's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blame {
    /// One of the messages in a range of offsets.
    OneOf(Range<Offset>),
    /// This message.
    Message(Offset),
    /// None: it failed in a tick, or over rows of earlier messages.
    Nobody,
}

impl Poison {
    /// Takes a fault in. Answers whether the stage is passed by from now on.
    pub(crate) fn note(&mut self, stage: &str, reason: &str, blame: &Blame) -> bool {
        match blame {
            Blame::OneOf(range) => self.isolated.push(range.clone()),
            Blame::Message(offset) => {
                let skip = Skip { stage: stage.to_owned(), reason: reason.to_owned() };
                self.messages.entry(*offset).or_default().push(skip);
            }
            Blame::Nobody => {
                let strikes = self.strikes.entry(stage.to_owned()).or_default();
                *strikes += 1;
                if *strikes >= STRIKES {
                    return self.bypassed.insert(stage.to_owned());
                }
            }
        }
        false
    }

    /// Whether a message is to be run by itself.
    pub(crate) fn is_alone(&self, offset: Offset) -> bool {
        self.messages.contains_key(&offset) || self.isolated.iter().any(|range| range.contains(&offset))
    }

    /// Stages that a message must not reach.
    pub(crate) fn skips(&self, offset: Offset) -> &[Skip] {
        self.messages.get(&offset).map_or(&[], Vec::as_slice)
    }

    /// Whether rows pass a stage by.
    pub(crate) fn is_bypassed(&self, stage: &str) -> bool {
        self.bypassed.contains(stage)
    }

    /// Messages below `offset` are committed and won't be read again.
    pub(crate) fn forget_below(&mut self, offset: Offset) {
        self.isolated.retain(|range| range.end > offset);
        self.messages.retain(|at, _| *at >= offset);
        self.strikes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame, Poison};

    #[test]
    fn a_range_is_isolated_then_one_message_is_kept_from_one_stage() {
        let mut poison = Poison::default();
        poison.note("spans.tail", "trapped", &Blame::OneOf(3..9));
        assert!(poison.is_alone(3) && poison.is_alone(8) && !poison.is_alone(9));
        assert!(poison.skips(5).is_empty());
        poison.note("spans.tail", "trapped", &Blame::Message(5));
        assert_eq!(poison.skips(5)[0].stage, "spans.tail");
        poison.forget_below(6);
        assert!(poison.skips(5).is_empty() && poison.is_alone(7));
        poison.forget_below(9);
        assert!(!poison.is_alone(7));
    }

    #[test]
    fn a_stage_that_keeps_trapping_by_itself_is_passed_by() {
        let mut poison = Poison::default();
        assert!(!poison.note("a", "t", &Blame::Nobody));
        assert!(!poison.note("a", "t", &Blame::Nobody));
        assert!(poison.note("a", "t", &Blame::Nobody));
        assert!(poison.is_bypassed("a") && !poison.is_bypassed("b"));
    }
}
