//! The host's side of one instance: what is parked, released, sent, counted and logged.

use super::rows::Rows;
use crate::Level;
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) parked: Vec<([u8; 16], Rows)>,
    pub(crate) released: Vec<Rows>,
    pub(crate) emitted: Vec<Rows>,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) logged: Vec<String>,
}

thread_local! {
    static CURRENT: RefCell<State> = RefCell::default();
}

/// Makes `state` the one that calls of this thread reach.
pub(crate) fn enter(state: &mut State) {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, state));
}

/// Takes it back.
pub(crate) fn leave(state: &mut State) {
    enter(state);
}

pub(crate) fn with<R>(call: impl FnOnce(&mut State) -> R) -> R {
    CURRENT.with_borrow_mut(call)
}

pub(crate) fn log(level: Level, message: &str) {
    with(|state| state.logged.push(format!("{level:?}: {message}").to_lowercase()));
}

pub(crate) fn count(name: &str, delta: u64) {
    with(|state| *state.counters.entry(name.to_owned()).or_default() += delta);
}

/// The 16-byte keys in a list of bytes.
pub(crate) fn keys(bytes: &[u8]) -> impl Iterator<Item = [u8; 16]> + '_ {
    bytes.chunks_exact(16).map(|chunk| {
        let mut key = [0; 16];
        key.copy_from_slice(chunk);
        key
    })
}
