//! `ip("…")`: a single address, a CIDR block or an `a-b` range, looked for inside longer texts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A compiled pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IpMatcher {
    low: IpAddr,
    high: IpAddr,
}

impl IpMatcher {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern)
            .ok_or_else(|| format!("ip: invalid pattern {pattern:?}: an address, a CIDR block or a range is needed"))
    }

    fn compile(pattern: &str) -> Option<Self> {
        if let Some((address, bits)) = pattern.split_once('/') {
            return Self::cidr(address.parse().ok()?, bits.parse().ok()?);
        }
        if let Some((low, high)) = pattern.split_once('-') {
            let (low, high): (IpAddr, IpAddr) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            return (low.is_ipv4() == high.is_ipv4() && low <= high).then_some(Self { low, high });
        }
        let address = pattern.parse().ok()?;
        Some(Self { low: address, high: address })
    }

    fn cidr(address: IpAddr, bits: u32) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
                let low = u32::from(address) & mask;
                Some(Self { low: Ipv4Addr::from(low).into(), high: Ipv4Addr::from(low | !mask).into() })
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128u32.checked_sub(bits)?).unwrap_or(0);
                let low = u128::from(address) & mask;
                Some(Self { low: Ipv6Addr::from(low).into(), high: Ipv6Addr::from(low | !mask).into() })
            }
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.low.is_ipv4() && self.low <= address && address <= self.high
    }

    /// Whether `text` holds an address that fits.
    pub(crate) fn found_in(self, text: &str) -> bool {
        let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
        let mut rest = text;
        while let Some(start) = rest.find(part) {
            rest = &rest[start..];
            let end = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
            if self.any_in(&rest[..end]) {
                return true;
            }
            rest = &rest[end..];
        }
        false
    }

    /// `run` holds only characters of addresses: an address may end in `:port`, or stand before a full stop.
    fn any_in(self, run: &str) -> bool {
        // Shortest forms: `1.1.1.1`, `::`.
        if run.len() < 2 || !run.contains(['.', ':']) {
            return false;
        }
        let fits = |text: &str| text.parse().is_ok_and(|address| self.contains(address));
        let trimmed = run.trim_end_matches(['.', ':']);
        if fits(run) || fits(trimmed) {
            return true;
        }
        // `10.0.0.1:80`; for IPv6 a colon is part of the address.
        run.split(':').filter(|part| part.contains('.')).any(|part| fits(part.trim_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::IpMatcher;

    #[test]
    fn addresses_are_found_inside_text() {
        let found = |pattern: &str, text: &str| IpMatcher::new(pattern).unwrap().found_in(text);
        assert!(found("10.0.0.0/8", "client 10.0.0.7:80 up"));
        assert!(!found("10.0.0.0/8", "client 11.0.0.7:80 up"));
        assert!(found("192.168.1.1-192.168.1.9", "from=192.168.1.5."));
        assert!(found("2001:db8::/32", "addr=2001:db8::1 x"));
        assert!(found("0.0.0.0/0", "8.8.8.8"));
        for wrong in ["", "bogus", "1.2.3", "1.2.3.4/33", "1.2.3.9-1.2.3.1"] {
            assert!(IpMatcher::new(wrong).is_err(), "{wrong}");
        }
    }
}
