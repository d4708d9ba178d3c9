//! Where payloads wait for their PUBACK: oldest first, bounded, the oldest dropped when it is full.

use std::collections::VecDeque;

use super::payload::Payload;

/// A first-in, first-out store of payloads that the broker has not acknowledged.
///
/// The order of events: [`Spool::push`] when a window ends; [`Spool::oldest`] as often as it takes to publish
/// it; [`Spool::remove`] only on its PUBACK.
pub trait Spool: Send {
    /// Adds a payload; when full, drops the oldest and counts it in [`Spool::dropped`].
    fn push(&mut self, payload: Payload);
    /// The payload to publish next, with its position among all that were ever pushed.
    fn oldest(&self) -> Option<(u64, &str)>;
    /// Forgets the payload at `position`, for the broker has it; nothing happens if it was dropped meanwhile.
    fn remove(&mut self, position: u64);
    /// How many payloads wait.
    fn len(&self) -> usize;
    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How many payloads were dropped because the spool was full.
    fn dropped(&self) -> u64;
}

/// A spool in memory: it survives a broker's outage, not the end of the process.
#[derive(Debug)]
pub struct MemorySpool {
    waiting: VecDeque<Box<str>>,
    capacity: usize,
    /// Position of the front of `waiting`.
    first: u64,
    dropped: u64,
}

impl MemorySpool {
    /// A spool for `capacity` payloads; at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::new(), capacity: capacity.max(1), first: 0, dropped: 0 }
    }
}

impl Spool for MemorySpool {
    fn push(&mut self, payload: Payload) {
        if self.waiting.len() == self.capacity {
            self.waiting.pop_front();
            self.first += 1;
            self.dropped += 1;
        }
        self.waiting.push_back(payload.as_str().into());
    }

    fn oldest(&self) -> Option<(u64, &str)> {
        self.waiting.front().map(|text| (self.first, text.as_ref()))
    }

    fn remove(&mut self, position: u64) {
        if position == self.first && self.waiting.pop_front().is_some() {
            self.first += 1;
        }
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool_of(capacity: usize, texts: &[&str]) -> MemorySpool {
        let mut spool = MemorySpool::new(capacity);
        for text in texts {
            spool.push(Payload::try_from(*text).unwrap());
        }
        spool
    }

    #[test]
    fn a_full_spool_drops_the_oldest_and_counts_it() {
        let mut spool = spool_of(2, &["a", "b", "c"]);
        assert_eq!((spool.len(), spool.dropped(), spool.oldest()), (2, 1, Some((1, "b"))));
        spool.remove(1);
        assert_eq!(spool.oldest(), Some((2, "c")));
        spool.remove(2);
        assert!(spool.is_empty());
    }

    #[test]
    fn a_late_acknowledgement_does_not_remove_another_record() {
        let mut spool = spool_of(1, &["in flight"]);
        let (in_flight, _) = spool.oldest().unwrap();
        spool.push(Payload::try_from("newer").unwrap());
        spool.remove(in_flight);
        assert_eq!(spool.oldest(), Some((1, "newer")));
    }
}
