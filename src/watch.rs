//! The watch thread: each tick analyses and counts one frame, and each window ends in one record.
//!
//! ```text
//!            reopen ok                        frame
//!   Lost ───────────────▶ Watching ◀─────────────────────┐
//!    ▲  └─ away: wait,        │ tick: source.next() ──────┘
//!    │     try again          │
//!    └──── CameraError::Lost ─┘── End of the recording, or a stop ──▶ partial window, done
//! ```

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use crate::camera::{CameraError, Capture, FrameSource};
use crate::clock::{BootTime, Clock, Stop};
use crate::expression::Sighting;
use crate::help::{Explained, Help};
use crate::logging::events;
use crate::vision::{Analyzer, FaceResult, VisionError};
use crate::window::{Grid, MinuteRecord, Window};

/// Pause between two attempts to reopen a lost camera.
const REOPEN_EVERY: Duration = Duration::from_secs(2);

/// How often the open window is reported, so that a crash loses no more of it.
const OPEN_WINDOW_EVERY: Duration = Duration::from_secs(1);

/// A tick and the picture that is shown then, as offsets from the start of the watch.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The tick.
    pub tick: Duration,
    /// The picture's own time, at or before the tick.
    pub picture: Duration,
}

/// Receives the results of the watch.
pub trait Observer {
    /// One frame was analysed, or was corrupt (`None`), at this tick.
    fn frame(&mut self, _at: At, _sightings: Option<&[Sighting]>) {}
    /// The faces of the frame that [`Observer::frame`] gets next, in a picture of this width and height.
    fn faces(&mut self, _at: At, _faces: &[FaceResult], _size: (usize, usize)) {}
    /// The recording has no picture for the tick at this offset: a frame is missing that was expected.
    fn missing(&mut self, _offset: Duration) {}
    /// The camera is lost; the next frame means that it is back.
    fn camera_lost(&mut self) {}
    /// The record of the open window as if it ended now; about once a second.
    fn open_window(&mut self, _record: MinuteRecord) {}
    /// Reopening the camera failed once more.
    fn camera_away(&mut self) {}
    /// A window ended.
    fn window(&mut self, record: MinuteRecord);
}

/// Why a watch ended before a stop was requested.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The source cannot go on.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The networks cannot go on.
    #[error(transparent)]
    Vision(#[from] VisionError),
}

impl Help for WatchError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Camera(error) => error.help(),
            Self::Vision(error) => error.help(),
        }
    }
}

/// The parameters of one watch.
pub struct Watch<'a> {
    /// The clock of both ticks and windows.
    pub clock: &'a dyn Clock,
    /// Ends the watch when set.
    pub stop: &'a Stop,
    /// Where windows begin.
    pub grid: Grid,
    /// Frames analysed each second.
    pub rate_hz: f64,
    /// Whether each frame of the source lies `1 / rate_hz` seconds after the one before, as a recording's: ticks then go on across
    /// windows. A camera's ticks restart with each window.
    pub evenly: bool,
    /// The `seq` of the first window to end.
    pub first_seq: u64,
}

impl Watch<'_> {
    /// Watches until the stop is set or the source ends; returns the `seq` of the window that would come next.
    ///
    /// Windows that ended, and the open one as a partial window, are reported even when it ends in an error.
    ///
    /// # Errors
    /// [`WatchError`] when the source or a network fails permanently; a lost camera is retried.
    pub fn run(
        &self,
        source: &mut dyn FrameSource,
        analyzer: &mut Analyzer,
        observer: &mut dyn Observer,
    ) -> Result<u64, WatchError> {
        let began = self.clock.boot();
        analyzer.expect_rate(self.rate_hz);
        let mut session = Session { watch: self, began, source, analyzer, observer, problem: None };
        let mut seq = self.first_seq;
        let mut opens = began;
        loop {
            // Where the last one ended, however late it is by now: no second may belong to no window.
            let mut window = Window::open(self.grid, self.rate_hz, self.clock, opens);
            if self.evenly {
                window = window.with_ticks_from(began);
            }
            opens = window.ends();
            let outcome = session.watch_window(&mut window, seq);
            let ended_early = !matches!(outcome, Ok(Next::Window));
            let at = if ended_early { self.clock.boot() } else { window.ends() };
            let record = window.record_at(at, seq, self.clock);
            // A watch that begins just before a grid line has a first window without a single tick.
            if record.frames_expected > 0 {
                session.observer.window(record);
                seq += 1;
            }
            if matches!(outcome?, Next::Stop) {
                return Ok(seq);
            }
        }
    }
}

/// One run of a watch.
struct Session<'a> {
    watch: &'a Watch<'a>,
    began: BootTime,
    source: &'a mut dyn FrameSource,
    analyzer: &'a mut Analyzer,
    observer: &'a mut dyn Observer,
    /// The camera's last problem; an attempt that fails alike is not logged again.
    problem: Option<String>,
}

impl Session<'_> {
    /// Fills one window. The ticks that pass while a frame is being analysed are skipped, not caught up.
    fn watch_window(&mut self, window: &mut Window, seq: u64) -> Result<Next, WatchError> {
        let Watch { clock, stop, .. } = *self.watch;
        let Range { start, end } = window.ticks();
        // A window that is over already, because the machine slept, has no tick left.
        let mut number = start.max(window.last_tick(clock.boot()));
        let mut reported = window.opened();
        while number < end {
            let tick = window.tick(number);
            clock.sleep_until(tick, stop);
            if stop.is_set() {
                return Ok(Next::Stop);
            }
            let captured = self.source.next();
            let offset = tick - self.began;
            let at = At { tick: offset, picture: offset.saturating_sub(self.source.age()) };
            match captured {
                Ok(Capture::Frame(frame)) => {
                    window.add_frame(self.analyzer.analyze(&frame)?);
                    let size = (frame.width(), frame.height());
                    self.source.recycle(frame);
                    // Only now: a camera may reopen and deliver nothing.
                    if self.problem.take().is_some() {
                        events::camera_back();
                    }
                    self.observer.faces(at, self.analyzer.seen(), size);
                    self.observer.frame(at, Some(self.analyzer.sightings()));
                }
                Ok(Capture::Corrupt) => {
                    window.add_corrupt();
                    self.analyzer.skip();
                    self.observer.frame(at, None);
                }
                Ok(Capture::Missing) => {
                    self.analyzer.forget();
                    self.observer.missing(offset);
                }
                // A stop signal also reaches ffmpeg, so an error of the recording is expected then.
                Ok(Capture::End) => return Ok(Next::Stop),
                Err(_) if stop.is_set() => return Ok(Next::Stop),
                Err(lost @ CameraError::Lost { .. }) => {
                    self.observer.camera_lost();
                    self.log_problem(&lost);
                    self.wait_for_camera(window.ends())?;
                    self.analyzer.forget();
                }
                Err(error) => return Err(error.into()),
            }
            let now = clock.boot();
            if now >= reported + OPEN_WINDOW_EVERY {
                reported = now;
                self.observer.open_window(window.record_at(now, seq, clock));
            }
            number = (number + 1).max(window.last_tick(now));
        }
        clock.sleep_until(window.ends(), stop);
        Ok(if stop.is_set() { Next::Stop } else { Next::Window })
    }

    /// Tries to reopen a lost camera until it is back, the window ends, or a stop is requested.
    fn wait_for_camera(&mut self, until: BootTime) -> Result<(), CameraError> {
        let Watch { clock, stop, .. } = *self.watch;
        while !stop.is_set() && clock.boot() < until {
            match self.source.reopen() {
                Ok(()) => break,
                Err(away @ CameraError::Lost { .. }) => {
                    self.observer.camera_away();
                    self.log_problem(&away);
                }
                Err(error) => return Err(error),
            }
            clock.sleep_until((clock.boot() + REOPEN_EVERY).min(until), stop);
        }
        Ok(())
    }

    fn log_problem(&mut self, lost: &CameraError) {
        let problem = Explained(lost).to_string();
        if self.problem.as_ref() != Some(&problem) {
            events::camera_lost(&problem);
            self.problem = Some(problem);
        }
    }
}

/// What follows a window.
enum Next {
    Window,
    Stop,
}
