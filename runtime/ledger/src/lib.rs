//! weft-ledger
