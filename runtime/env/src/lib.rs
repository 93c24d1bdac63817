//! All that is non-deterministic or process-wide: the clock, random ids, the io and cpu runtimes,
//! shutdown. Tests put fakes in place of each.

pub mod clock;
pub mod ids;
pub mod runtimes;
pub mod shutdown;

pub use clock::{Clock, ManualClock, SystemClock};
pub use runtimes::Runtimes;
pub use shutdown::Shutdown;
