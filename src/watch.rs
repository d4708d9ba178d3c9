//! The watch thread: on each tick one frame is seen and counted, and each window ends in one record.
//!
//! ```text
//!            reopen ok                        frame
//!   Lost ───────────────▶ Watching ◀─────────────────────┐
//!    ▲  └─ away: wait,        │ tick: source.next() ──────┘
//!    │     try again          │
//!    └──── CameraError::Lost ─┘── End of the recording, or a stop ──▶ partial window, done
//! ```

use std::time::Duration;

use crate::camera::{CameraError, Capture, FrameSource};
use crate::clock::{BootTime, Clock, Stop};
use crate::expression::Sighting;
use crate::tally::{Grid, MinuteRecord, Window};
use crate::vision::{Analyzer, VisionError};

/// How long a lost camera is left alone between two attempts to open it.
const REOPEN_EVERY: Duration = Duration::from_secs(2);

/// Who is told what the watch saw.
pub trait Observer {
    /// One frame was analysed, or was corrupt (`None`), at this offset from the start of the watch.
    fn frame(&mut self, _offset: Duration, _sightings: Option<&[Sighting]>) {}
    /// The camera delivers (again), or is lost.
    fn camera(&mut self, _watching: bool) {}
    /// A window ended.
    fn window(&mut self, record: MinuteRecord);
}

/// Why a watch ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The source cannot go on.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The networks cannot go on.
    #[error(transparent)]
    Vision(#[from] VisionError),
}

/// One watch: what it looks with, and how often.
pub struct Watch<'a> {
    /// The clock of both ticks and windows.
    pub clock: &'a dyn Clock,
    /// Ends the watch when set.
    pub stop: &'a Stop,
    /// Where windows begin.
    pub grid: Grid,
    /// Frames analysed each second.
    pub rate_hz: f64,
    /// The `seq` of the first window to end.
    pub first_seq: u64,
}

impl Watch<'_> {
    /// Watches until the stop is set or the source ends; returns the `seq` of the window that would come next.
    ///
    /// Windows that ended, and the open one as a partial window, are handed on even when it ends in an error.
    ///
    /// # Errors
    /// [`WatchError`] when the source or a network fails for good; a camera that may come back is waited for.
    pub fn run(
        &self,
        source: &mut dyn FrameSource,
        analyzer: &mut Analyzer,
        observer: &mut dyn Observer,
    ) -> Result<u64, WatchError> {
        let began = self.clock.boot();
        let mut seq = self.first_seq;
        loop {
            let mut window = Window::open(self.grid, self.clock);
            let outcome = self.watch_window(began, &mut window, source, analyzer, observer);
            let ended_early = !matches!(outcome, Ok(Next::Window));
            let at = if ended_early { self.clock.boot() } else { window.ends() };
            let record = window.close(at, seq, self.rate_hz, self.grid, self.clock);
            // A watch that begins just before a grid line has a first window without a single tick.
            if record.frames_expected > 0 {
                observer.window(record);
                seq += 1;
            }
            if matches!(outcome?, Next::Stop) {
                return Ok(seq);
            }
        }
    }

    /// Fills one window. Ticks lie at whole multiples of the period after its start; the ones that pass while
    /// a frame is being analysed are skipped, not caught up.
    fn watch_window(
        &self,
        began: BootTime,
        window: &mut Window,
        source: &mut dyn FrameSource,
        analyzer: &mut Analyzer,
        observer: &mut dyn Observer,
    ) -> Result<Next, WatchError> {
        let period = Duration::from_secs_f64(1.0 / self.rate_hz);
        let mut tick = window.opened();
        // Half a period of grace, so that a window's last tick is not one that rounding put before its end.
        while tick + period / 2 <= window.ends() {
            self.clock.sleep_until(tick, self.stop);
            if self.stop.is_set() {
                return Ok(Next::Stop);
            }
            match source.next() {
                Ok(Capture::Frame(frame)) => {
                    let sightings = analyzer.analyze(&frame)?;
                    drop(frame);
                    window.add_frame(&sightings);
                    observer.frame(tick - began, Some(&sightings));
                }
                Ok(Capture::Corrupt) => {
                    window.add_corrupt();
                    observer.frame(tick - began, None);
                }
                // A stop reaches ffmpeg too, so what a recording says then is of no interest.
                Ok(Capture::End) => return Ok(Next::Stop),
                Err(_) if self.stop.is_set() => return Ok(Next::Stop),
                Err(lost @ CameraError::Lost { .. }) => {
                    if !self.wait_for_camera(&lost, window.ends(), source, observer) {
                        break;
                    }
                    analyzer.forget();
                }
                Err(error) => return Err(error.into()),
            }
            tick = next_tick(window.opened(), tick, self.clock.boot(), period);
        }
        self.clock.sleep_until(window.ends(), self.stop);
        Ok(if self.stop.is_set() { Next::Stop } else { Next::Window })
    }

    /// Tries to open a lost camera until it is back or the window ends; the next window's first tick goes on.
    fn wait_for_camera(
        &self,
        lost: &CameraError,
        until: BootTime,
        source: &mut dyn FrameSource,
        observer: &mut dyn Observer,
    ) -> bool {
        log::warn!("{lost}");
        observer.camera(false);
        while !self.stop.is_set() && self.clock.boot() < until {
            match source.reopen() {
                Ok(()) => {
                    log::info!("the camera is back");
                    observer.camera(true);
                    return true;
                }
                Err(error) => log::debug!("{error}"),
            }
            self.clock.sleep_until((self.clock.boot() + REOPEN_EVERY).min(until), self.stop);
        }
        false
    }
}

/// What follows a window.
enum Next {
    Window,
    Stop,
}

/// The first tick after `tick` that is not already over at boot time `now`.
fn next_tick(opened: BootTime, tick: BootTime, now: BootTime, period: Duration) -> BootTime {
    let following = tick + period;
    if now < following + period {
        return following;
    }
    let passed = (now - opened).as_secs_f64() / period.as_secs_f64();
    opened + period.mul_f64(passed.floor())
}
