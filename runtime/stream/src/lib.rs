//! weft-stream
