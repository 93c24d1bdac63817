//! weft-promql
