//! The subcommands, one file each.

pub mod aim;
pub mod analyze;
mod atomic_file;
pub mod bench;
pub mod check;
pub mod compare;
#[cfg(feature = "demo")]
pub mod demo;
mod detection_range;
mod drawing;
pub mod eval;
pub mod explain;
pub mod export;
mod fonts;
mod label_set;
mod loading;
mod outputs;
mod reload;
pub mod report;
pub mod run;
mod samples;
pub mod schema;
mod spreadsheet;
pub mod status;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::camera::v4l2::V4l2;
use crate::camera::{CameraError, FrameSource, LoopedRecording, Pipe, rotated};
use crate::config::{CameraSource, MIN_FRAMES, MIN_SECONDS, Settings};
use crate::help::{Help, Problem};

/// The context of an error while writing to standard output.
const STANDARD_OUTPUT: &str = "standard output cannot be written";

/// A progress bar on standard error, hidden where that is no terminal; without a length it counts.
fn progress_bar(length: Option<u64>, unit: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let bar = bar.with_style(progress_style(length.is_some(), unit));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The style of a progress bar, with a length or without.
fn progress_style(has_length: bool, unit: &str) -> ProgressStyle {
    let template = match has_length {
        true => "{msg} {wide_bar} {pos}/{len} UNIT, {eta} left",
        false => "{msg} {spinner} {pos} UNIT, {elapsed}",
    };
    let style = ProgressStyle::with_template(&template.replace("UNIT", unit));
    style.expect("the templates above are valid")
}

/// A signal ended a command before its work was done.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Interrupted {
    /// The signal's number.
    pub number: i32,
    problem: Problem,
}

impl Help for Interrupted {
    fn help(&self) -> Option<Cow<'_, str>> {
        Help::help(&self.problem)
    }
}

/// Arguments that are valid each by itself and cannot be used together, or an input that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(Problem);

impl UsageError {
    fn new(problem: impl Into<Problem>) -> Self {
        Self(problem.into())
    }

    /// What is wrong with a file.
    fn in_file(path: &Path, problem: Problem) -> Self {
        Self::new(problem.of(format_args!("{}:", path.display())))
    }
}

impl Help for UsageError {
    fn help(&self) -> Option<Cow<'_, str>> {
        Help::help(&self.0)
    }
}

/// The advice for the warning of [`short_windows`].
const REMOVE_ALLOW_SHORT: &str = "remove window.allow_short, unless this is a test";

/// The warning about a camera's windows that are too short to be aggregates.
fn short_windows(settings: &Settings) -> String {
    format!(
        "window.allow_short lets a record sum up {} s and {:.0} frames of a camera, less than {MIN_SECONDS} s or {MIN_FRAMES} \
         frames: it says how somebody looked at a moment",
        settings.window_seconds,
        settings.frames_per_window()
    )
}

/// Opens what `camera.device` names. An absent camera is not an error: the watch retries it.
fn open_camera(settings: &Settings) -> Result<Box<dyn FrameSource>, CameraError> {
    let camera = &settings.camera;
    let source: Box<dyn FrameSource> = match &camera.source {
        CameraSource::Recording(path) => Box::new(LoopedRecording::new(path, settings.rate_hz)),
        CameraSource::Pipe(path) => Box::new(Pipe::new(path, settings.rate_hz)),
        CameraSource::Device(device) => {
            let camera_of = V4l2::new(device, camera.width, camera.height, settings.rate_hz);
            Box::new(camera_of.with_format(camera.format))
        }
    };
    let mut source = rotated(source, camera.rotate);
    match source.reopen() {
        Ok(()) | Err(CameraError::Lost { .. }) => Ok(source),
        Err(error) => Err(error),
    }
}
