//! What a source of pictures is, and why it may have none.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::Frame;
use super::patience;

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

    /// How many ticks it will have, where that can be known.
    fn ticks(&self) -> Option<u64> {
        None
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
    /// Nothing: the recording has no picture for this tick.
    Missing,
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
        cause: io::Error,
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
fn advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EBUSY) => "another program uses it: `fuser -v` on the device names that program",
        Some(libc::EACCES | libc::EPERM) => "let this user into the group `video`",
        None if patience::is_over(cause) => "see whether what writes it still runs",
        _ => "plug it in again, or name another one in camera.device",
    }
}

impl CameraError {
    /// A recording that is silent, or any other trouble with reading it.
    pub(super) fn lost(path: &Path, cause: io::Error) -> Self {
        Self::Lost { device: path.display().to_string(), cause }
    }

    pub(super) fn recording(path: &Path, problem: impl Into<String>) -> Self {
        Self::Recording { path: path.to_owned(), problem: problem.into() }
    }
}
