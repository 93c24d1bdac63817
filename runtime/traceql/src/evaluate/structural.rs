//! The tree of a trace, and which of its spans stand in a relation to others.

use crate::ast::Relation;
use std::collections::HashMap;

/// Parents and children by index of span.
#[derive(Debug)]
pub(crate) struct Tree {
    parent: Vec<Option<usize>>,
    /// Spans without a parent id.
    root: Vec<bool>,
    /// Spans that reach a root, parents before children.
    order: Vec<usize>,
    connected: Vec<bool>,
    pub(crate) children: Vec<usize>,
    /// Numbers of a walk around the tree, as Tempo's nested sets: left, right, left of the parent
    /// (−1 for a root); all 0 for spans that reach no root.
    pub(crate) nested: Vec<(i64, i64, i64)>,
}

impl Tree {
    /// From each span's id and parent id.
    pub(crate) fn new<'a>(spans: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone) -> Self {
        let places: HashMap<&[u8], usize> = spans.clone().enumerate().map(|(index, (id, _))| (id, index)).collect();
        let has_parent = |id: Option<&'a [u8]>| id.filter(|id| id.iter().any(|byte| *byte != 0));
        let root: Vec<bool> = spans.clone().map(|(_, parent)| has_parent(parent).is_none()).collect();
        let parent: Vec<Option<usize>> = spans
            .enumerate()
            .map(|(index, (_, parent))| {
                has_parent(parent).and_then(|id| places.get(id).copied()).filter(|parent| *parent != index)
            })
            .collect();
        let count = root.len();
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (index, parent) in parent.iter().enumerate() {
            if let Some(parent) = parent {
                below[*parent].push(index);
            }
        }
        let children = below.iter().map(Vec::len).collect();
        let mut tree = Self {
            parent,
            root,
            order: Vec::with_capacity(count),
            connected: vec![false; count],
            children,
            nested: vec![(0, 0, 0); count],
        };
        tree.walk(&below);
        tree
    }

    /// Whether a span has no parent id.
    pub(crate) fn is_root(&self, span: usize) -> bool {
        self.root[span]
    }

    fn walk(&mut self, below: &[Vec<usize>]) {
        let mut number = 0;
        for start in 0..self.root.len() {
            if !self.root[start] {
                continue;
            }
            // (span, how many of its children are done): no recursion, chains can be long.
            let mut stack = vec![(start, 0)];
            while let Some((span, done)) = stack.pop() {
                if done == 0 {
                    number += 1;
                    self.connected[span] = true;
                    self.order.push(span);
                    let parent = self.parent[span].map_or(-1, |parent| self.nested[parent].0);
                    self.nested[span] = (number, 0, parent);
                }
                if let Some(child) = below[span].get(done) {
                    stack.push((span, done + 1));
                    stack.push((*child, 0));
                } else {
                    number += 1;
                    self.nested[span].1 = number;
                }
            }
        }
    }

    /// For each span, whether it is the `relation` of some span of `set`. Spans that reach no root
    /// have no place in the tree, and so no relations.
    pub(crate) fn related(&self, relation: Relation, set: &[bool]) -> Vec<bool> {
        let count = set.len();
        let mut found = vec![false; count];
        let member = |span: usize| set[span] && self.connected[span];
        match relation {
            Relation::Child => {
                for &span in &self.order {
                    found[span] = self.parent[span].is_some_and(member);
                }
            }
            Relation::Descendant => {
                for &span in &self.order {
                    found[span] = self.parent[span].is_some_and(|parent| member(parent) || found[parent]);
                }
            }
            Relation::Parent => {
                for &span in &self.order {
                    if member(span)
                        && let Some(parent) = self.parent[span]
                    {
                        found[parent] = true;
                    }
                }
            }
            Relation::Ancestor => {
                for &span in self.order.iter().rev() {
                    if (member(span) || found[span])
                        && let Some(parent) = self.parent[span]
                    {
                        found[parent] = true;
                    }
                }
            }
            Relation::Sibling => {
                // Roots are each other's siblings: the slot behind the last span counts them.
                let slot = |span: usize| self.parent[span].unwrap_or(count);
                let mut members = vec![0usize; count + 1];
                for &span in &self.order {
                    members[slot(span)] += usize::from(member(span));
                }
                for &span in &self.order {
                    found[span] = members[slot(span)] > usize::from(member(span));
                }
            }
        }
        found
    }
}

/// The relation seen from the other side.
pub(crate) fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;
    use crate::ast::Relation;

    /// 0 is the root of 1 and 2, 3 is below 1, 4 is an orphan with the child 5.
    fn tree() -> Tree {
        let parents: [&[u8]; 6] = [b"", b"0", b"0", b"1", b"x", b"4"];
        let ids: [&[u8]; 6] = [b"0", b"1", b"2", b"3", b"4", b"5"];
        Tree::new(ids.into_iter().zip(parents.map(|parent| (!parent.is_empty()).then_some(parent))))
    }

    fn related(relation: Relation, set: &[usize]) -> Vec<usize> {
        let members: Vec<bool> = (0..6).map(|span| set.contains(&span)).collect();
        let found = tree().related(relation, &members);
        (0..6).filter(|span| found[*span]).collect()
    }

    #[test]
    fn relations_follow_the_tree() {
        assert_eq!(related(Relation::Child, &[0]), [1, 2]);
        assert_eq!(related(Relation::Descendant, &[0]), [1, 2, 3]);
        assert_eq!(related(Relation::Parent, &[3]), [1]);
        assert_eq!(related(Relation::Ancestor, &[3]), [0, 1]);
        assert_eq!(related(Relation::Sibling, &[1]), [2]);
        assert_eq!(related(Relation::Sibling, &[1, 2]), [1, 2]);
    }

    #[test]
    fn spans_that_reach_no_root_have_no_relations() {
        assert_eq!(related(Relation::Child, &[4]), [0; 0]);
        assert_eq!(related(Relation::Sibling, &[0]), [0; 0]);
        assert_eq!(tree().nested[0], (1, 8, -1));
        assert_eq!(tree().nested[5], (0, 0, 0));
    }

    #[test]
    fn a_cycle_of_parents_ends() {
        let spans: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"b")), (b"b", Some(b"a"))];
        let tree = Tree::new(spans.into_iter());
        assert_eq!(tree.related(Relation::Descendant, &[true, true]), [false, false]);
    }
}
