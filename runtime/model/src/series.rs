//! Identity of series and streams.

use xxhash_rust::xxh3::Xxh3;

/// 128-bit identity of a label set: XXH3 over `name 0xff value 0xff` of each label in the given
/// order, which must be ascending by name, `__name__` included for series. 0xff occurs in no UTF-8
/// text, so distinct label sets have distinct input. Big-endian bytes: byte order is numeric order.
pub fn id<'a>(sorted_labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> [u8; 16] {
    let mut hash = Xxh3::new();
    for (name, value) in sorted_labels {
        hash.update(name.as_bytes());
        hash.update(&[0xff]);
        hash.update(value.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest128().to_be_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn label_sets_that_run_together_differ() {
        assert_ne!(super::id([("a", "bc")]), super::id([("ab", "c")]));
        assert_ne!(super::id([("a", "b"), ("c", "d")]), super::id([("a", "b")]));
    }
}
