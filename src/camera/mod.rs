//! Where frames come from: a V4L2 camera, a recording, a folder of stills, or the staged lecture of the demo.

pub mod decode;
mod frame;
pub mod staged;
pub mod stills;
pub mod v4l2;
pub mod video;
pub mod y4m;

use std::path::{Path, PathBuf};

pub use frame::Frame;

/// The longest side of a recorded picture in pixels; it keeps a bad header from asking for all memory.
const LONGEST_SIDE: usize = 8192;

/// Something that shows one picture whenever it is asked.
pub trait FrameSource {
    /// The newest picture there is; blocks until there is one.
    ///
    /// # Errors
    /// [`CameraError::Lost`] when the source may come back after [`FrameSource::reopen`]; any other kind is
    /// final.
    fn next(&mut self) -> Result<Capture, CameraError>;

    /// Opens a lost source again, with its format negotiated anew.
    ///
    /// # Errors
    /// [`CameraError::Lost`] while it is still away; any other kind is final.
    fn reopen(&mut self) -> Result<(), CameraError> {
        Ok(())
    }

    /// Takes back a frame that is no longer needed; one that keeps its memory for the next wipes it first.
    fn recycle(&mut self, _frame: Frame) {}
}

/// What a source shows on a tick.
pub enum Capture {
    /// A picture.
    Frame(Frame),
    /// A picture that was torn, empty or could not be decoded.
    Corrupt,
    /// The recording is over.
    End,
}

/// Why there is no picture, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The camera is away: wait, then [`FrameSource::reopen`].
    #[error("{device}: no picture: {cause}; {}", advice(cause))]
    Lost {
        /// The device as configured.
        device: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The camera is there and cannot be used.
    #[error("{device}: {problem}")]
    Unusable {
        /// The device as configured.
        device: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// A recording or a still cannot be read, or ended before its time.
    #[error("{}: {problem}", path.display())]
    Recording {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and the way out.
        problem: String,
    },
}

/// The way out of a lost camera.
fn advice(cause: &std::io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EBUSY) => "another program uses it: `fuser -v` on the device names that program",
        Some(libc::EACCES | libc::EPERM) => "let this user into the group `video`",
        _ => "plug it in again, or name another one in camera.device",
    }
}

impl CameraError {
    pub(crate) fn recording(path: &Path, problem: impl Into<String>) -> Self {
        Self::Recording { path: path.to_owned(), problem: problem.into() }
    }
}

/// Opens a recording, sampled at `rate_hz` frames for each second of its own time.
///
/// `path` is a folder of stills (one tick each), a `.y4m` file, `-` for Y4M on standard input, or anything
/// that ffmpeg reads. With `endless` it starts again at its end.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing or unreadable, or when ffmpeg is not installed.
pub fn open_recording(path: &Path, rate_hz: f64, endless: bool) -> Result<Box<dyn FrameSource>, CameraError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(y4m::Y4m::stdin(rate_hz)?));
    }
    let kind =
        std::fs::metadata(path).map_err(|e| CameraError::recording(path, format!("cannot be read: {e}")))?;
    if kind.is_dir() {
        return Ok(Box::new(stills::Stills::open(path, endless)?));
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("y4m")) {
        return Ok(Box::new(y4m::Y4m::open(path, rate_hz, endless)?));
    }
    Ok(Box::new(video::Video::open(path, rate_hz, endless)?))
}
