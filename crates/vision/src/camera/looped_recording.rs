//! A recording as a camera: played in a loop, lost when it delivers nothing, and reopened.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::Frame;
use super::recording::open_recording;
use super::source::{CameraError, Capture, FrameSource};

/// A recording that is played in a loop; open or lost.
pub struct LoopedRecording {
    path: PathBuf,
    rate_hz: f64,
    recording: Option<Box<dyn FrameSource>>,
}

impl LoopedRecording {
    /// A recording that is not opened yet: [`FrameSource::reopen`] opens it.
    #[must_use]
    pub fn new(path: &Path, rate_hz: f64) -> Self {
        Self { path: path.to_owned(), rate_hz, recording: None }
    }
}

impl FrameSource for LoopedRecording {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let Some(recording) = &mut self.recording else {
            return Err(CameraError::lost(&self.path, io::ErrorKind::WouldBlock.into()));
        };
        let captured = recording.next();
        if matches!(captured, Err(CameraError::Lost { .. })) {
            // Ends the processes behind it.
            self.recording = None;
        }
        captured
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        self.recording = None;
        self.recording = Some(open_recording(&self.path, self.rate_hz, true)?);
        Ok(())
    }

    fn recycle(&mut self, frame: Frame) {
        if let Some(recording) = &mut self.recording {
            recording.recycle(frame);
        }
    }
}
