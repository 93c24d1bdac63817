//! Traces that wait for their decision, and decisions remembered for late spans.

use std::collections::VecDeque;
use weft_guest::snapshot::{Reader, Writer};
use weft_guest::{Error, HashMap};

pub(crate) type Id = [u8; 16];

/// What is known of a trace's spans, which are parked in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// When it is decided, ms.
    pub(crate) due_ms: i64,
    /// Earliest start and latest end of its spans, ns.
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) spans: u64,
    /// The span tests that a span has met, a bit each.
    pub(crate) met: u64,
    /// Kept whatever the policies say: its spans were tested by other policies before a change.
    pub(crate) keep: bool,
}

/// Waiting traces, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    waiting: HashMap<Id, Trace>,
    queue: VecDeque<Id>,
}

impl Traces {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a span that starts and ends at these times and met these tests.
    pub(crate) fn add(&mut self, id: Id, start: i64, end: i64, met: u64, due_ms: i64) {
        let queue = &mut self.queue;
        let trace = self.waiting.entry(id).or_insert_with(|| {
            queue.push_back(id);
            Trace { due_ms, start, end, spans: 0, met: 0, keep: false }
        });
        trace.start = trace.start.min(start);
        trace.end = trace.end.max(end);
        trace.spans += 1;
        trace.met |= met;
    }

    /// Takes the oldest trace, if `take` says so.
    pub(crate) fn pop(&mut self, take: impl FnOnce(&Trace) -> bool) -> Option<(Id, Trace)> {
        let id = *self.queue.front()?;
        if !self.waiting.get(&id).is_some_and(take) {
            return None;
        }
        self.queue.pop_front();
        self.waiting.remove(&id).map(|trace| (id, trace))
    }

    pub(crate) fn snapshot(&self, out: &mut Writer) {
        out.u64(self.queue.len() as u64);
        for (id, trace) in self.queue.iter().filter_map(|id| self.waiting.get_key_value(id)) {
            out.fixed(id);
            out.i64(trace.due_ms);
            out.i64(trace.start);
            out.i64(trace.end);
            out.u64(trace.spans);
            out.u64(trace.met);
            out.bool(trace.keep);
        }
    }

    pub(crate) fn restore(&mut self, from: &mut Reader<'_>, same_tests: bool) -> Result<(), Error> {
        *self = Self::default();
        for _ in 0..from.count()? {
            let id = from.fixed()?;
            let mut trace = Trace {
                due_ms: from.i64()?,
                start: from.i64()?,
                end: from.i64()?,
                spans: from.u64()?,
                met: from.u64()?,
                keep: from.bool()?,
            };
            trace.keep |= !same_tests;
            self.queue.push_back(id);
            self.waiting.insert(id, trace);
        }
        Ok(())
    }
}

/// Decisions of one kind; the oldest are forgotten first.
#[derive(Debug)]
struct Remembered {
    capacity: usize,
    ids: weft_guest::HashSet<Id>,
    order: VecDeque<Id>,
}

impl Remembered {
    fn new(capacity: usize) -> Self {
        Self { capacity, ids: weft_guest::HashSet::default(), order: VecDeque::new() }
    }

    fn add(&mut self, id: Id) {
        if self.capacity == 0 || !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Decisions made.
#[derive(Debug)]
pub(crate) struct Decisions {
    sampled: Remembered,
    dropped: Remembered,
}

impl Decisions {
    pub(crate) fn new(sampled: usize, dropped: usize) -> Self {
        Self { sampled: Remembered::new(sampled), dropped: Remembered::new(dropped) }
    }

    pub(crate) fn add(&mut self, id: Id, sampled: bool) {
        if sampled { self.sampled.add(id) } else { self.dropped.add(id) }
    }

    pub(crate) fn get(&self, id: &Id) -> Option<bool> {
        if self.sampled.ids.contains(id) {
            return Some(true);
        }
        self.dropped.ids.contains(id).then_some(false)
    }

    pub(crate) fn snapshot(&self, out: &mut Writer) {
        for remembered in [&self.sampled, &self.dropped] {
            out.u64(remembered.order.len() as u64);
            remembered.order.iter().for_each(|id| out.fixed(id));
        }
    }

    pub(crate) fn restore(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        for remembered in [&mut self.sampled, &mut self.dropped] {
            *remembered = Remembered::new(remembered.capacity);
            for _ in 0..from.count()? {
                remembered.add(from.fixed()?);
            }
        }
        Ok(())
    }
}
