//! weft-codec
