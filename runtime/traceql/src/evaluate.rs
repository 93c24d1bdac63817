//! Evaluates queries on spans in memory: expressions on rows of a batch ([`expr`]), sets of spans on
//! whole traces ([`trace`], [`structural`], [`pipeline`]). No DataFusion here.

pub(crate) mod columns;
pub(crate) mod expr;
pub(crate) mod pipeline;
pub(crate) mod structural;
pub(crate) mod trace;
