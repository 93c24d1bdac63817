//! Batches that a guest starts itself.

use super::batch::Batch;
use super::columns::Error;
use super::{Call, State};
use weft_model::Signal;

/// Emitted batches that may be open at once in a call.
const OPEN: usize = 1024;

/// What batches and parked rows may be touched in: the other calls have nowhere to send them.
pub(super) fn check_works(call: &Call) -> Result<(), Error> {
    if call.works { Ok(()) } else { Err(Error::Argument("only process and tick may emit, park and release".into())) }
}

/// A new batch; its number among the call's batches.
pub(super) fn emit(state: &mut State, signal: Signal, rows: u32) -> Result<u32, Error> {
    check_works(&state.call)?;
    if !state.emits.contains(&signal) {
        return Err(Error::Argument(format!("this module's description doesn't say that it emits {signal}")));
    }
    let rows = rows as usize;
    let (call, limit) = (&mut state.call, state.config.output_rows);
    if call.emitted_rows.saturating_add(rows) > limit {
        return Err(Error::Limit(format!("one call may emit {limit} rows (output_rows)")));
    }
    if call.opened() >= OPEN {
        return Err(Error::Limit(format!("one call may emit {OPEN} batches")));
    }
    call.emitted_rows += rows;
    let batch = Batch::emitted(signal, rows, call.now_ns);
    Ok(call.open(batch))
}

/// Takes a batch as it is into the call's output.
pub(super) fn send(state: &mut State, batch: Batch) -> Result<(), Error> {
    let signal = batch.signal;
    if let Some(batch) = batch.finish(&mut state.call.budget)? {
        state.call.sent.push((signal, batch));
    }
    Ok(())
}
