//! A whole trace: its spans in one or more batches, and what is known of them together.

use super::columns::{SpanColumns, Val};
use super::structural::Tree;
use crate::ast::{Field, Intrinsic};
use datafusion::arrow::array::Array;
use std::borrow::Cow;

/// The spans of one trace.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    batches: &'a [SpanColumns<'a>],
    /// Batch and row of each span.
    spans: Vec<(usize, usize)>,
    pub(crate) tree: Tree,
    root: Option<usize>,
    pub(crate) start: i64,
    pub(crate) duration: i64,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(batches: &'a [SpanColumns<'a>], spans: Vec<(usize, usize)>) -> Self {
        let ids = spans.iter().map(|&(batch, row)| {
            let columns = &batches[batch];
            let id = columns.span_id.map_or(&[][..], |ids| ids.value(row));
            let parent = columns.parent_span_id.filter(|ids| ids.is_valid(row));
            (id, parent.map(|ids| ids.value(row)))
        });
        let tree = Tree::new(ids);
        let start_of = |&(batch, row): &(usize, usize)| batches[batch].start(row);
        let start = spans.iter().map(start_of).min().unwrap_or(0);
        let end = spans.iter().map(|&(batch, row)| batches[batch].end(row)).max().unwrap_or(start);
        let root = (0..spans.len()).filter(|span| tree.is_root(*span)).min_by_key(|span| start_of(&spans[*span]));
        Self { batches, tree, root, start, duration: end.saturating_sub(start).max(0), spans }
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The columns and the row of a span.
    pub(crate) fn at(&self, span: usize) -> (&'a SpanColumns<'a>, usize) {
        let (batch, row) = self.spans[span];
        (&self.batches[batch], row)
    }

    pub(crate) fn start_of(&self, span: usize) -> i64 {
        let (columns, row) = self.at(span);
        columns.start(row)
    }

    /// Name of the root span.
    pub(crate) fn root_name(&self) -> Option<&'a str> {
        let (columns, row) = self.at(self.root?);
        Some(columns.name(row))
    }

    /// `service.name` of the root span.
    pub(crate) fn root_service(&self) -> Option<&'a str> {
        let (columns, row) = self.at(self.root?);
        columns.service(row)
    }

    /// A field of a span.
    pub(crate) fn field(&self, field: &Field, span: usize) -> Val<'a> {
        let text = |text: Option<&'a str>| text.map_or(Val::Nil, |text| Val::Text(Cow::Borrowed(text)));
        if let Field::Intrinsic(intrinsic) = field {
            let nested = self.tree.nested[span];
            match intrinsic {
                Intrinsic::TraceDuration => return Val::Duration(self.duration),
                Intrinsic::RootName => return text(self.root_name()),
                Intrinsic::RootService => return text(self.root_service()),
                Intrinsic::ChildCount => return Val::Int(i64::try_from(self.tree.children[span]).unwrap_or(i64::MAX)),
                Intrinsic::NestedLeft => return Val::Int(nested.0),
                Intrinsic::NestedRight => return Val::Int(nested.1),
                Intrinsic::NestedParent => return Val::Int(nested.2),
                _ => {}
            }
        }
        let (columns, row) = self.at(span);
        columns.field(field, row)
    }
}
