//! weft-guest
