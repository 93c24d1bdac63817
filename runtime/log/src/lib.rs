//! weft-log
