//! The newest sample of a window, as an instant selector takes it: nothing where that is a staleness
//! marker.

use super::{Samples, is_stale};

pub(crate) fn value(samples: &Samples<'_>) -> Option<f64> {
    samples.values.last().copied().filter(|value| !is_stale(*value))
}

/// Its time, in seconds.
pub(crate) fn time(samples: &Samples<'_>) -> Option<f64> {
    value(samples)?;
    samples.times.last().map(|time| samples.seconds(*time))
}
