//! What this process has used: CPU time and memory.

use anyhow::{Context, Result};
use std::time::Duration;

/// User and system CPU time of all threads so far.
pub(super) fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills the struct it is given; with RUSAGE_SELF it has no way to fail but a
    // bad pointer, and its answer is checked all the same.
    #[allow(unsafe_code, reason = "std has no CPU time")]
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return Duration::ZERO;
        }
        usage.assume_init()
    };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.unsigned_abs()) + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Forgets the peak so far, where the system allows it.
pub(super) fn reset_peak_memory() {
    // Linux: "5" resets the high-water mark of the resident set. Elsewhere the peak is the process's.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most resident memory since the last reset, bytes.
pub(super) fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading the peak memory (Linux only)")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
    Ok(kilobytes * 1024)
}
