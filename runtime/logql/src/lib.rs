//! weft-logql
