//! Windows: lengths measured on boot time, labels on whole steps of the wall clock.

mod record;

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

pub use record::{Counts, MIN_PARTIAL_FRAMES, MinuteRecord};

use crate::clock::{BootTime, Clock};
use crate::expression::Sighting;

/// How far the wall clock may stray from a grid line and still be on it. NTP slews by at most half a
/// millisecond a second, so drift within an hour-long window stays below it; a step does not.
const SLACK: Duration = Duration::from_secs(2);

/// Where windows begin: every `seconds`, counted from `origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Length of a window in seconds; a divisor of 3600.
    pub seconds: u32,
    /// Where the grid starts: the epoch for a camera, its own start for a recording.
    pub origin: Timestamp,
}

/// The open window, which turns frames into counts.
pub struct Window {
    grid: Grid,
    /// Frames that are due each second.
    rate_hz: f64,
    /// Boot time at which it opened.
    opened: BootTime,
    /// Boot time at which it ends.
    ends: BootTime,
    /// Boot time of tick number 0.
    ticks_from: BootTime,
    start: Timestamp,
    /// Whether it began on the grid rather than between two lines.
    whole: bool,
    counts: Counts,
}

impl Window {
    /// Opens the window that begins at boot time `at`, now or where the window before it ended, and in which `rate_hz` frames
    /// are due each second.
    ///
    /// One that begins between two grid lines is short, so that the next one begins on the grid again.
    #[must_use]
    pub fn open(grid: Grid, rate_hz: f64, clock: &dyn Clock, at: BootTime) -> Self {
        // What the wall clock reads now, less the time since then: a clock that was stepped meanwhile is right now.
        let late = clock.boot().saturating_sub(at);
        let wall = clock.wall().saturating_sub(late).unwrap_or(Timestamp::MIN);
        let step = i128::from(grid.seconds) * 1_000_000_000;
        let slack = slack(grid);
        let now = wall.as_nanosecond() - grid.origin.as_nanosecond();
        // A clock that is a little behind the line it is about to cross has crossed it already.
        let line = (now + slack).div_euclid(step) * step;
        let left = u64::try_from(line + step - now).unwrap_or_default();
        Self {
            grid,
            rate_hz,
            opened: at,
            ends: at + Duration::from_nanos(left),
            ticks_from: at,
            start: Timestamp::from_nanosecond(grid.origin.as_nanosecond() + line).unwrap_or(Timestamp::MIN),
            whole: (now - line).abs() <= slack,
            counts: Counts::default(),
        }
    }

    /// The same window with ticks that began at boot time `from`, before it, instead of with it.
    #[must_use]
    pub fn with_ticks_from(self, from: BootTime) -> Self {
        Self { ticks_from: from, ..self }
    }

    /// The numbers of the ticks that belong to this window. One that is nearer to its end than half a period belongs to the next.
    #[must_use]
    pub fn ticks(&self) -> Range<u64> {
        let before = |at| to_u64(self.ticks_at(at).round());
        before(self.opened)..before(self.ends)
    }

    /// Boot time of a tick.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are longer than any watch")]
    pub fn tick(&self, number: u64) -> BootTime {
        self.ticks_from + Duration::from_secs_f64(number as f64 / self.rate_hz)
    }

    /// The number of the last tick that has begun at boot time `at`.
    #[must_use]
    pub fn last_tick(&self, at: BootTime) -> u64 {
        to_u64((self.ticks_at(at) + ROUNDING).floor())
    }

    /// How many periods have passed at boot time `at`.
    fn ticks_at(&self, at: BootTime) -> f64 {
        at.saturating_sub(self.ticks_from).as_secs_f64() * self.rate_hz
    }

    /// Boot time at which this window opened.
    #[must_use]
    pub fn opened(&self) -> BootTime {
        self.opened
    }

    /// Boot time at which this window ends.
    #[must_use]
    pub fn ends(&self) -> BootTime {
        self.ends
    }

    /// Counts one analysed frame.
    pub fn add_frame(&mut self, sightings: &[Sighting]) {
        self.counts.add_frame(sightings);
    }

    /// Counts one frame that could not be read.
    pub fn add_corrupt(&mut self) {
        self.counts.add_corrupt();
    }

    /// The record of this window if it ends at boot time `at`, at the latest at its own end.
    #[must_use]
    pub fn record_at(&self, at: BootTime, seq: u64, clock: &dyn Clock) -> MinuteRecord {
        let at = at.min(self.ends);
        let watched = at.saturating_sub(self.opened).as_secs_f64();
        // Whole windows differ from their nominal length only by what the clock was slewed.
        let whole = self.whole && at == self.ends;
        let seconds = if whole { f64::from(self.grid.seconds) } else { watched };
        let ticks = self.ticks();
        // A watch that ends early has had every tick before its end.
        let last = if at == self.ends { ticks.end } else { to_u64((self.ticks_at(at) - ROUNDING).ceil()) };
        MinuteRecord {
            seq,
            start: self.start,
            seconds: to_u32(to_u64(seconds.round())),
            frames_expected: to_u32(last.saturating_sub(ticks.start)),
            counts: self.counts.clone(),
            clock_synced: clock.synced(),
            partial: !whole,
        }
    }
}

/// [`SLACK`] in nanoseconds; shorter windows get less, so that it stays a small part of them.
fn slack(grid: Grid) -> i128 {
    let largest = i128::from(grid.seconds) * 1_000_000_000 / 30;
    i128::try_from(SLACK.as_nanos()).unwrap_or(largest).min(largest)
}

/// In ticks: what a sum of periods may be off by.
const ROUNDING: f64 = 1e-6;

/// A number that is whole already.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no watch is as long")]
fn to_u64(value: f64) -> u64 {
    value as u64
}

/// A window lasts an hour at most.
fn to_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimulatedClock, Stop};
    use proptest::prelude::*;

    const MINUTES: Grid = Grid { seconds: 60, origin: Timestamp::UNIX_EPOCH };

    fn at(wall: &str) -> SimulatedClock {
        SimulatedClock::starting_at(wall.parse().unwrap(), true)
    }

    #[test]
    fn the_first_window_is_cut_to_the_grid() {
        let clock = at("2026-11-23T10:15:20Z");
        let window = Window::open(MINUTES, 2.0, &clock, clock.boot());
        assert_eq!(window.ends() - window.opened(), Duration::from_secs(40));
        clock.sleep_until(window.ends(), &Stop::default());
        let record = window.record_at(clock.boot(), 0, &clock);
        assert_eq!(record.start.to_string(), "2026-11-23T10:15:00Z");
        assert_eq!((record.seconds, record.frames_expected, record.partial), (40, 80, true));
    }

    #[test]
    fn a_window_on_the_grid_is_whole() {
        let clock = at("2026-11-23T10:15:00Z");
        let window = Window::open(MINUTES, 2.0, &clock, clock.boot());
        clock.sleep_until(window.ends(), &Stop::default());
        let record = window.record_at(clock.boot(), 7, &clock);
        assert_eq!((record.seq, record.seconds, record.frames_expected), (7, 60, 120));
        assert!(!record.partial);
    }

    #[test]
    fn a_window_records_whether_its_clock_was_synchronised() {
        for synced in [false, true] {
            let clock = SimulatedClock::starting_at("1970-01-01T00:00:00Z".parse().unwrap(), synced);
            let window = Window::open(MINUTES, 2.0, &clock, clock.boot());
            clock.sleep_until(window.ends(), &Stop::default());
            assert_eq!(window.record_at(clock.boot(), 0, &clock).clock_synced, synced);
        }
    }

    #[test]
    fn a_window_ended_early_expects_the_ticks_it_had() {
        let clock = at("2026-11-23T10:15:00Z");
        for (millis, ticks) in [(0, 0), (1, 1), (500, 1), (501, 2), (2500, 5)] {
            let window = Window::open(MINUTES, 2.0, &clock, clock.boot());
            let record = window.record_at(clock.boot() + Duration::from_millis(millis), 0, &clock);
            assert_eq!((record.frames_expected, record.partial), (ticks, true), "{millis} ms");
        }
    }

    #[test]
    fn a_clock_slightly_behind_the_line_has_crossed_it() {
        let window = Window::open(MINUTES, 2.0, &at("2026-11-23T10:14:59.700Z"), Duration::ZERO);
        assert_eq!(window.start.to_string(), "2026-11-23T10:15:00Z");
        assert_eq!(window.ends() - window.opened(), Duration::from_millis(60_300));
    }

    proptest! {
        /// Whatever the wall clock does and however late the watch wakes, windows follow one another on boot time
        /// without gap or overlap, and none is longer than its nominal length and the slack.
        #[test]
        fn clock_steps_and_late_wakings_keep_every_second(
            steps in prop::collection::vec((-400_000i64..400_000, 0u64..100_000), 1..40),
            seconds in prop::sample::select(vec![1u32, 5, 60, 900, 3600]),
        ) {
            let clock = at("2026-11-23T10:15:20.3Z");
            let grid = Grid { seconds, origin: Timestamp::UNIX_EPOCH };
            let mut covered = Duration::ZERO;
            for (seq, (step, late)) in steps.into_iter().enumerate() {
                let window = Window::open(grid, 2.0, &clock, covered);
                prop_assert_eq!(window.opened(), covered);
                clock.step_wall(jiff::SignedDuration::from_millis(step)).unwrap();
                covered = window.ends();
                clock.sleep_until(window.ends() + Duration::from_millis(late), &Stop::default());
                let length = window.ends() - window.opened();
                prop_assert!(length <= Duration::from_secs(u64::from(seconds)) + SLACK);
                let record = window.record_at(clock.boot(), seq as u64, &clock);
                prop_assert!(record.seconds <= seconds);
                prop_assert_eq!(record.start.as_second().rem_euclid(i64::from(seconds)), 0);
            }
        }
    }
}
