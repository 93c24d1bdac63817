//! Random ids.

use rand::RngCore;

/// 32 lower-case hex digits from the operating system's randomness: a worker's id for one run.
pub fn worker_id() -> String {
    let mut bytes = [0u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
