//! A recording in any format that ffmpeg reads, decoded by an `ffmpeg` child process into a pipe of raw planes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroize;

use super::deadline;
use super::ffmpeg::Decoder;
use super::ffprobe::{Probe, not_started, probe, without_pointers};
use super::frame::{Chroma, Frame, Layout};
use super::source::{CameraError, Capture, FrameSource};
use super::stills::has_extension;
use lectern_record::help::Problem;

/// Pauses of more hours than this in all are damage: a timestamp, and no lecture.
const MAX_GAP_HOURS: u32 = 6;

/// What the names of videos end in, as cameras, recorders and lecture hall systems write them.
const ENDINGS: [&str; 25] = [
    "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg",
    "mts", "mxf", "ogm", "ogv", "rm", "rmvb", "ts", "vob", "webm", "wmv", "y4m",
];

/// Whether a file is a video of a folder, by its name.
#[must_use]
pub fn is_video(path: &Path) -> bool {
    has_extension(path, &ENDINGS)
}

/// A recording being played at the analysis rate.
pub struct Video {
    path: PathBuf,
    rate_hz: f64,
    endless: bool,
    probe: Probe,
    decoder: Option<Decoder>,
    /// Ticks returned so far, with a picture or without.
    ticks: i64,
    /// Ticks by which the recording's time fell permanently; added to all later ticks.
    fallen: i64,
    /// Ticks without a picture that come before `waiting`.
    missing: i64,
    /// All ticks without a picture so far.
    missed: i64,
    /// A picture that lies beyond a gap.
    waiting: Option<Frame>,
    /// Age of the last picture at its tick.
    age: Duration,
    /// A wiped frame, whose memory the next one reuses.
    spare: Option<Frame>,
}

impl Video {
    /// Starts to decode the video stream of this `number` (from 0) of `path`, sampled at `rate_hz` frames a second; in a loop when
    /// `endless`. ffmpeg decodes on so many `threads`, or its default.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when ffmpeg is not installed or finds no video in the file; [`CameraError::Lost`] when one that
    /// is `endless` is silent.
    pub fn open(
        path: &Path,
        number: usize,
        rate_hz: f64,
        endless: bool,
        threads: Option<usize>,
    ) -> Result<Self, CameraError> {
        let probe = probe(path, number, endless)?;
        let decoder = Decoder::start(path, &probe, rate_hz, endless, threads)
            .map_err(|e| not_started(path, "ffmpeg", e))?;
        Ok(Self {
            path: path.to_owned(),
            rate_hz,
            endless,
            probe,
            decoder: Some(decoder),
            ticks: 0,
            fallen: 0,
            missing: 0,
            missed: 0,
            waiting: None,
            age: Duration::ZERO,
            spare: None,
        })
    }

    /// Ends the ffmpeg process; an error if it failed or reported damage.
    fn finish(&mut self, cut: bool) -> Result<Capture, CameraError> {
        let Some(decoder) = self.decoder.take() else { return Ok(Capture::End) };
        let (sound, errors) = decoder.finish(cut);
        if sound && errors.trim().is_empty() {
            return Ok(Capture::End);
        }
        let said = errors.lines().find(|line| !line.trim().is_empty()).unwrap_or("it ended early");
        let problem =
            Problem::new(format!("is damaged or cut off (ffmpeg: {})", without_pointers(said.trim())));
        Err(CameraError::recording(&self.path, problem.with_help("what could be read is counted")))
    }

    /// Counts the pause before a picture of this tick; an error when it is absurd.
    fn pause(&mut self, tick: i64) -> Result<(), CameraError> {
        let mut tick = tick.saturating_add(self.fallen);
        if tick < self.ticks {
            self.fallen = self.fallen.saturating_add(self.ticks - tick);
            tick = self.ticks;
        }
        self.missing = tick - self.ticks;
        self.missed = self.missed.saturating_add(self.missing);
        let hours = |ticks: i64| to_f64(ticks) / self.rate_hz / 3600.0;
        // A loop may run for years.
        let paused = if self.endless { self.missing } else { self.missed };
        if hours(paused) > f64::from(MAX_GAP_HOURS) {
            self.decoder = None;
            let what = format!(
                "is damaged (its time jumps by {:.1} hours, and pauses of {MAX_GAP_HOURS} hours in all are read)",
                hours(self.missing)
            );
            let problem = Problem::new(what).with_help("what came before is counted");
            return Err(CameraError::recording(&self.path, problem));
        }
        Ok(())
    }
}

impl FrameSource for Video {
    fn next(&mut self) -> Result<Capture, CameraError> {
        if self.waiting.is_none() {
            let Some(decoder) = &mut self.decoder else { return Ok(Capture::End) };
            let mut frame = Frame::reuse(
                self.spare.take(),
                self.probe.width,
                self.probe.height,
                Layout::Planes(Chroma::Yuv420),
            );
            let shown = match decoder.next(frame.bytes_mut()) {
                Ok(Some(shown)) if shown.is_over => return self.finish(true),
                Ok(Some(shown)) => shown,
                Err(e) if deadline::is_over(&e) => return Err(CameraError::lost(&self.path, e)),
                Ok(None) | Err(_) => return self.finish(false),
            };
            self.pause(shown.tick)?;
            // A picture of up to half a millisecond later counts as one of this tick.
            self.age = Duration::try_from_secs_f64(shown.age).unwrap_or_default();
            self.waiting = Some(frame);
        }
        self.ticks += 1;
        if self.missing > 0 {
            self.missing -= 1;
            return Ok(Capture::Missing);
        }
        Ok(self.waiting.take().map_or(Capture::Missing, Capture::Frame))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only a progress bar's length"
    )]
    fn ticks(&self) -> Option<u64> {
        self.probe.seconds.filter(|_| !self.endless).map(|seconds| (seconds * self.rate_hz).round() as u64)
    }

    fn other_streams(&self) -> Option<String> {
        self.probe.others.clone()
    }

    fn age(&self) -> Duration {
        self.age
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

#[expect(clippy::cast_precision_loss, reason = "only hours for a message")]
fn to_f64(ticks: i64) -> f64 {
    ticks as f64
}
