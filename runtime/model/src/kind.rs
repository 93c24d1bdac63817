//! What a caller should do about an error, whatever crate it came from.

/// The six kinds of failure, each defined by the caller's right reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A passing condition (store or broker unavailable, disk full): try again later.
    Retry,
    /// The input is wrong: tell the sender, or put it in the dead letters. Trying again won't help.
    Reject,
    /// Another worker owns the partition now: drop what is pending and start from the ledger.
    Fenced,
    /// Stored data doesn't read back as it was written: stop and tell the operator.
    Corrupt,
    /// The configuration can't work: refuse to start, say which setting and why.
    Config,
    /// An invariant of weft's own was broken.
    Bug,
}
