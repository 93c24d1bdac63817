//! weft-table
