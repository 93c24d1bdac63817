//! One record of the log, as a codec sees it.

use bytes::Bytes;
use std::sync::Arc;

/// Header that names the format of the value, as in the HTTP request it came with.
pub(crate) const CONTENT_TYPE: &str = "content-type";

/// A record of the log, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Topic it came from.
    pub topic: &'a str,
    /// Partition of it.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// The record's timestamp, ms since the Unix epoch. It stands in where a sender gave no time.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: &'a [u8],
    /// Headers; `content-type` tells formats apart that share a topic.
    pub headers: &'a [(Arc<str>, Bytes)],
}

impl Message<'_> {
    /// Bytes of key, value and headers.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.value.len() + self.key.map_or(0, <[u8]>::len) + self.topic.len() + headers
    }

    /// The `content-type` header, where there is one and it is text.
    pub(crate) fn content_type(&self) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE))?;
        std::str::from_utf8(value).ok()
    }
}
