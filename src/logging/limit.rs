//! Keeps one line of the program from flooding the journal: a camera with a loose plug, a damaged recording.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use log::{Level, Log, Metadata, Record};

use lectern_delivery::events::{BROKER_BACK, BROKER_LOST};
use lectern_delivery::outage::{LINES, WINDOW};

use crate::clock::{BootTime, Clock, SystemClock};

/// Events whose source limits them in pairs (see [`lectern_delivery::outage`]): a limit here could pass one line of a pair
/// without the other.
const COUNTED_ELSEWHERE: [&str; 2] = [BROKER_LOST, BROKER_BACK];

/// A logger that passes at most [`LINES`] lines per source line in each [`WINDOW`], the limit for outages too. Lines at `debug`
/// and `trace` are not limited.
pub(super) struct Limited<L> {
    inner: L,
    places: Mutex<HashMap<(String, u32), Place>>,
}

/// The lines that one place in the source logged in its current window.
#[derive(Debug, Clone, Copy)]
struct Place {
    since: BootTime,
    lines: u32,
}

impl Place {
    /// Whether one more line may pass, and how many were left out before it.
    fn admit(&mut self, now: BootTime) -> Option<u32> {
        if now >= self.since + WINDOW {
            let left_out = self.lines.saturating_sub(LINES);
            *self = Self { since: now, lines: 1 };
            return Some(left_out);
        }
        self.lines = self.lines.saturating_add(1);
        (self.lines <= LINES).then_some(0)
    }
}

impl<L: Log> Limited<L> {
    pub(super) fn new(inner: L) -> Self {
        Self { inner, places: Mutex::default() }
    }

    fn admit(&self, record: &Record<'_>) -> Option<u32> {
        // Keyed by source line and not by message, which may differ each time. The number of source lines is bounded.
        let place = (record.target().to_owned(), record.line().unwrap_or_default());
        let now = SystemClock.boot();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(place).or_insert(Place { since: now, lines: 0 }).admit(now)
    }
}

impl<L: Log> Log for Limited<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let event = record.key_values().get("MESSAGE_ID".into());
        let elsewhere =
            event.is_some_and(|id| id.to_borrowed_str().is_some_and(|id| COUNTED_ELSEWHERE.contains(&id)));
        if record.level() > Level::Info || elsewhere {
            return self.inner.log(record);
        }
        match self.admit(record) {
            None => {}
            Some(0) => self.inner.log(record),
            Some(left_out) => {
                let note = format_args!("{left_out} more like the next line were left out");
                self.inner.log(&Record::builder().metadata(record.metadata().clone()).args(note).build());
                self.inner.log(record);
            }
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flooding_place_logs_ten_lines_and_then_a_summary() {
        let mut place = Place { since: Duration::ZERO, lines: 0 };
        let admitted = (0..500).filter(|second| place.admit(Duration::from_secs(*second)).is_some()).count();
        assert_eq!(admitted, 10);
        assert_eq!(place.admit(Duration::from_secs(700)), Some(490));
        assert_eq!(place.admit(Duration::from_secs(701)), Some(0));
    }
    struct Count(std::sync::atomic::AtomicU32);

    impl Log for Count {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &Record<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn flush(&self) {}
    }

    #[test]
    fn the_end_of_a_logged_outage_is_never_dropped() {
        let admitted = |id: &str| {
            let limited = Limited::new(Count(0.into()));
            let fields = [("MESSAGE_ID", id)];
            let record = Record::builder().level(Level::Info).line(Some(1)).key_values(&fields).build();
            (0..15).for_each(|_| limited.log(&record));
            limited.inner.0.into_inner()
        };
        assert_eq!((admitted(BROKER_BACK), admitted(BROKER_LOST), admitted("another")), (15, 15, 10));
    }
}
