//! Deterministic sampling by id, shared by every module that must agree on what is kept.
//!
//! The Collector's `hash_seed` mode: FNV-1a of the seed and the id, its low 14 bits against the
//! percentage. Source: opentelemetry-collector-contrib, processor/probabilisticsamplerprocessor.

const BUCKETS: u32 = 1 << 14;

/// Which ids are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    seed: u32,
    threshold: u32,
}

impl Sampler {
    /// Keeps `percentage` % of all ids; 100 and more keeps all, 0 and less none. Samplers of one
    /// seed keep subsets of one another.
    pub fn new(percentage: f64, seed: u32) -> Self {
        let threshold = (percentage.clamp(0.0, 100.0) * (f64::from(BUCKETS) / 100.0)) as u32;
        Self { seed, threshold }
    }

    /// Whether an id is kept.
    pub fn keeps(&self, id: &[u8]) -> bool {
        let fnv1a = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = self.seed.to_le_bytes().iter().chain(id).fold(0x811c_9dc5, fnv1a);
        hash & (BUCKETS - 1) < self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = [u8; 16]> {
        (0..10_000u64).map(|n| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            id[8..].copy_from_slice(&n.to_be_bytes());
            id
        })
    }

    #[test]
    fn about_the_percentage_is_kept_and_smaller_samples_nest() {
        let (ten, one) = (Sampler::new(10.0, 22), Sampler::new(1.0, 22));
        let kept = ids().filter(|id| ten.keeps(id)).count();
        assert!((900..1100).contains(&kept), "{kept}");
        assert!(ids().filter(|id| one.keeps(id)).all(|id| ten.keeps(&id)));
        assert!(ids().all(|id| Sampler::new(100.0, 0).keeps(&id) && !Sampler::new(0.0, 0).keeps(&id)));
    }
}
