//! Which reader a recording needs.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::source::{CameraError, FrameSource};
use super::stills::{Stills, has_extension, is_still};
use super::video::Video;
use super::y4m::Y4m;
use lectern_record::clock::Stop;
use lectern_record::help::Problem;

/// Opens a recording, sampled at `rate_hz` frames for each second of its own time.
///
/// `path` is a folder of stills (one tick each), a single still, a `.y4m` file, `-` for Y4M on standard input, a pipe (FIFO) that
/// carries Y4M, or a file that ffmpeg reads. With `endless` it starts again at its end, and is played live: one that shows
/// nothing for four seconds is lost. Otherwise there is no timeout.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing or unreadable, or when ffmpeg is not installed;
/// [`CameraError::Lost`] when it is silent.
pub fn open_recording(path: &Path, rate_hz: f64, endless: bool) -> Result<Box<dyn FrameSource>, CameraError> {
    open(path, 0, rate_hz, endless, None, &Stop::default())
}

/// Opens one of the recordings that are analysed in parallel: ffmpeg decodes its video stream of this `number` (from 0) on so many
/// `threads`, and waiting for the bytes of a pipe ends with `stop`.
///
/// # Errors
/// As [`open_recording`].
pub fn open_recording_among(
    path: &Path,
    number: usize,
    rate_hz: f64,
    threads: usize,
    stop: &Stop,
) -> Result<Box<dyn FrameSource>, CameraError> {
    open(path, number, rate_hz, false, Some(threads), stop)
}

fn open(
    path: &Path,
    number: usize,
    rate_hz: f64,
    endless: bool,
    threads: Option<usize>,
    stop: &Stop,
) -> Result<Box<dyn FrameSource>, CameraError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(Y4m::stdin(rate_hz, stop)?));
    }
    let kind = std::fs::metadata(path).map_err(|e| CameraError::unreadable(path, e))?.file_type();
    if kind.is_dir() {
        Ok(Box::new(Stills::open(path, endless)?))
    } else if kind.is_fifo() || (kind.is_file() && has_extension(path, &["y4m"])) {
        Ok(Box::new(Y4m::open(path, rate_hz, endless, stop)?))
    } else if kind.is_file() && is_still(path) {
        Ok(Box::new(Stills::one(path, endless)))
    } else if kind.is_file() {
        // ffmpeg keeps some pictures for each thread: with eight of them the unit's memory would not suffice.
        let threads = threads.or(endless.then_some(1));
        Ok(Box::new(Video::open(path, number, rate_hz, endless, threads)?))
    } else {
        let problem = Problem::new("is no recording");
        Err(CameraError::recording(
            path,
            problem.with_help("name a file, a folder of stills, or a pipe with Y4M"),
        ))
    }
}
