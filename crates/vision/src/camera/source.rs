//! What a source of pictures is, and why it may have none.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::deadline;
use super::frame::Frame;
use lectern_record::help::{Help, Problem};

/// A source that returns one picture for each call.
pub trait FrameSource {
    /// The newest picture there is; blocks until there is one.
    ///
    /// # Errors
    /// [`CameraError::Lost`] when the source may come back after [`FrameSource::reopen`]; any other kind is
    /// final.
    fn next(&mut self) -> Result<Capture, CameraError>;

    /// Reopens a lost source, and renegotiates its format.
    ///
    /// # Errors
    /// [`CameraError::Lost`] while it is still away; any other kind is final.
    fn reopen(&mut self) -> Result<(), CameraError> {
        Ok(())
    }

    /// The total number of ticks, if it is available.
    fn ticks(&self) -> Option<u64> {
        None
    }

    /// Age of the last picture at its tick: the offset of a recording's frame.
    fn age(&self) -> Duration {
        Duration::ZERO
    }

    /// All video streams of a recording that has several, as a message describes them.
    fn other_streams(&self) -> Option<String> {
        None
    }

    /// What of a folder is no part of the recording, as a message describes it.
    fn left_out(&self) -> Option<String> {
        None
    }

    /// Accepts a frame that is no longer needed; a source that reuses its memory wipes it first.
    fn recycle(&mut self, _frame: Frame) {}
}

/// What a source shows on a tick.
pub enum Capture {
    /// A picture.
    Frame(Frame),
    /// A picture that was torn, empty or could not be decoded.
    Corrupt,
    /// Nothing: the recording has no picture for this tick.
    Missing,
    /// The recording is over.
    End,
}

/// Why there is no picture, by what the caller can do about it.
#[derive(Debug)]
pub enum CameraError {
    /// The camera is absent: wait, then [`FrameSource::reopen`].
    Lost {
        /// The device as configured.
        device: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The camera is there and cannot be used.
    Unusable {
        /// The device as configured.
        device: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A recording or a still cannot be read, or ended before its time.
    Recording {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl Display for CameraError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost { device, .. } => write!(f, "{device}: no picture"),
            Self::Unusable { device, problem } => write!(f, "{device}: {problem}"),
            Self::Recording { path, problem } => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl Error for CameraError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lost { cause, .. } => Some(cause),
            Self::Unusable { problem, .. } | Self::Recording { problem, .. } => problem.source(),
        }
    }
}

impl Help for CameraError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Lost { cause, .. } => Some(Cow::Borrowed(advice(cause))),
            Self::Unusable { problem, .. } | Self::Recording { problem, .. } => Help::help(problem),
        }
    }
}

/// What to do about a lost camera.
fn advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EBUSY) => "another program uses it: `fuser -v` on the device names that program",
        Some(libc::EACCES | libc::EPERM) => "let this user into the group `video`",
        Some(libc::ENOSPC) => {
            "the USB bus has too little bandwidth left: use another port, or lower camera.width and camera.height"
        }
        None if cause.kind() == io::ErrorKind::NotFound => "start what writes it: it is to make the pipe",
        None if deadline::is_over(cause)
            || matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
        {
            "see whether what writes it still runs"
        }
        _ => "plug it in again, or name another one in camera.device",
    }
}

impl CameraError {
    /// A recording that is silent, or any other trouble with reading it.
    pub(super) fn lost(path: &Path, cause: io::Error) -> Self {
        Self::Lost { device: path.display().to_string(), cause }
    }

    /// A recording that cannot be used.
    pub fn recording(path: &Path, problem: impl Into<Problem>) -> Self {
        Self::Recording { path: path.to_owned(), problem: problem.into() }
    }

    /// A recording that the system does not let this program read.
    pub fn unreadable(path: &Path, cause: io::Error) -> Self {
        Self::recording(path, Problem::new("cannot be read").caused_by(cause))
    }
}
