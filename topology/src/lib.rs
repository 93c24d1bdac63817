//! weft-topology
