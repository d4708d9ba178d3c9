//! The watch under scripted faults of the camera and the machine, in simulated time. `cross/vm/camera-test.sh` tests a
//! real camera.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use lectern::camera::{CameraError, Capture, Frame, FrameSource};
use lectern::clock::{Clock, SimulatedClock, Stop};
use lectern::expression::Sighting;
use lectern::vision::models::ModelStore;
use lectern::vision::{Analysis, Analyzer};
use lectern::watch::{At, Observer, Watch, WatchError};
use lectern::window::{Grid, MinuteRecord};

/// What the source does on a tick.
enum Step {
    Frame,
    Corrupt,
    /// The recording has no picture.
    Missing,
    /// The machine sleeps for so long before the frame arrives.
    Sleep(Duration),
    /// The camera is lost, and returns at the n-th attempt.
    Lost(u32),
    Unusable,
}

struct Script {
    steps: VecDeque<Step>,
    clock: SimulatedClock,
    away: u32,
}

impl FrameSource for Script {
    fn next(&mut self) -> Result<Capture, CameraError> {
        match self.steps.pop_front() {
            None => Ok(Capture::End),
            Some(Step::Frame) => Ok(Capture::Frame(Frame::black(64, 64))),
            Some(Step::Corrupt) => Ok(Capture::Corrupt),
            Some(Step::Missing) => Ok(Capture::Missing),
            Some(Step::Sleep(length)) => {
                self.clock.sleep_until(self.clock.boot() + length, &Stop::default());
                Ok(Capture::Frame(Frame::black(64, 64)))
            }
            Some(Step::Lost(attempts)) => {
                self.away = attempts;
                Err(lost())
            }
            Some(Step::Unusable) => {
                Err(CameraError::Unusable { device: "script".to_owned(), problem: "broken".into() })
            }
        }
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        self.away = self.away.saturating_sub(1);
        if self.away == 0 { Ok(()) } else { Err(lost()) }
    }
}

fn lost() -> CameraError {
    CameraError::Lost { device: "script".to_owned(), cause: std::io::Error::from_raw_os_error(libc::ENODEV) }
}

#[derive(Default)]
struct Seen {
    records: Vec<MinuteRecord>,
    losses: u32,
    frames: Vec<Duration>,
}

impl Observer for Seen {
    fn frame(&mut self, at: At, _sightings: Option<&[Sighting]>) {
        self.frames.push(at.tick);
    }

    fn camera_lost(&mut self) {
        self.losses += 1;
    }

    fn window(&mut self, record: MinuteRecord) {
        self.records.push(record);
    }
}

/// Runs a script from 10:15:00 on, in windows of five seconds with two ticks a second.
fn watch(steps: impl IntoIterator<Item = Step>) -> (Seen, Result<u64, WatchError>) {
    watch_from("2026-11-23T10:15:00Z", 5, steps)
}

fn watch_from(
    start: &str,
    seconds: u32,
    steps: impl IntoIterator<Item = Step>,
) -> (Seen, Result<u64, WatchError>) {
    let clock = SimulatedClock::starting_at(start.parse().unwrap(), true);
    let mut source = Script { steps: steps.into_iter().collect(), clock: clock.clone(), away: 0 };
    let mut analyzer = Analyzer::new(&ModelStore::open(None).unwrap(), None, Analysis::default()).unwrap();
    let grid = Grid { seconds, origin: Timestamp::UNIX_EPOCH };
    let stop = Stop::default();
    let watch = Watch { clock: &clock, stop: &stop, grid, rate_hz: 2.0, evenly: false, first_seq: 0 };
    let mut seen = Seen::default();
    let outcome = watch.run(&mut source, &mut analyzer, &mut seen);
    (seen, outcome)
}

fn frames(count: usize) -> impl Iterator<Item = Step> {
    (0..count).map(|_| Step::Frame)
}

/// Start, seconds, expected, frames, partial.
fn summary(record: &MinuteRecord) -> (i64, u32, u32, u32, bool) {
    let start = record.start.as_second() - 1_795_428_900;
    (start, record.seconds, record.frames_expected, record.counts.frames, record.partial)
}

#[test]
fn whole_windows_leave_no_partial_one() {
    let (seen, outcome) = watch(frames(20));
    assert_eq!(outcome.unwrap(), 2);
    let records: Vec<_> = seen.records.iter().map(summary).collect();
    assert_eq!(records, [(0, 5, 10, 10, false), (5, 5, 10, 10, false)]);
    assert_eq!(seen.frames.last(), Some(&Duration::from_millis(9_500)));
}

/// A window that opens just before its boundary expects only the frames that it has.
#[test]
fn window_opened_late_expects_its_own_frames() {
    for start in ["2026-11-23T10:14:58.1Z", "2026-11-23T10:15:01.9Z"] {
        let (seen, _) = watch_from(start, 60, frames(300));
        for record in &seen.records {
            assert_eq!(record.counts.frames, record.frames_expected, "{start}");
        }
        assert_eq!((seen.records[0].seconds, seen.records[0].partial), (60, false), "{start}");
    }
}

#[test]
fn corrupt_frames_are_counted_not_analysed() {
    let (seen, _) = watch(frames(4).chain([Step::Corrupt, Step::Corrupt]).chain(frames(1)));
    assert_eq!(summary(&seen.records[0]), (0, 4, 7, 5, true));
    assert_eq!(seen.records[0].counts.corrupt, 2);
}

#[test]
fn tick_without_frame_is_expected_not_counted() {
    let missing = (0..12).map(|_| Step::Missing);
    let (seen, _) = watch(frames(4).chain(missing).chain(frames(2)));
    let records: Vec<_> = seen.records.iter().map(summary).collect();
    assert_eq!(records, [(0, 5, 10, 4, false), (5, 4, 8, 2, true)]);
    assert!(seen.records.iter().all(|record| record.counts.corrupt == 0));
}

/// A lost camera is retried, and its windows show the missing frames.
#[test]
fn lost_camera_is_retried_and_recorded() {
    // Away from second 1 on; attempts at 1, 3, 5 (the window's end, so in the next one) and 7.
    let (seen, outcome) = watch(frames(2).chain([Step::Lost(2)]).chain(frames(6)));
    assert!(outcome.is_ok());
    assert_eq!(seen.losses, 1);
    let records: Vec<_> = seen.records.iter().map(summary).collect();
    // Lost at 1.0 s, back at 3.0 s: ticks 3.0 to 4.5 and two of the next window.
    assert_eq!(records, [(0, 5, 10, 6, false), (5, 1, 2, 2, true)]);
}

#[test]
fn sleep_leaves_no_time_outside_windows() {
    let steps = frames(3).chain([Step::Sleep(Duration::from_secs(13))]).chain(frames(4));
    let (seen, _) = watch(steps);
    let records: Vec<_> = seen.records.iter().map(summary).collect();
    // Asleep from 1.5 to 14.5 s: one whole window is missed, and the current one has one tick left.
    assert_eq!(
        records,
        [(0, 5, 10, 4, false), (5, 5, 10, 0, false), (10, 5, 10, 1, false), (15, 2, 3, 3, true)]
    );
    let seqs: Vec<_> = seen.records.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
}

#[test]
fn final_camera_failure_keeps_the_counts() {
    let (seen, outcome) = watch(frames(3).chain([Step::Unusable]));
    assert!(matches!(outcome, Err(WatchError::Camera(CameraError::Unusable { .. }))));
    assert_eq!(summary(&seen.records[0]), (0, 2, 3, 3, true));
}
