//! Whether there is a camera, and whether it gives pictures.

use super::super::open_camera;
use super::finding::{Finding, first};
use super::unit;
use crate::camera::v4l2::V4l2;
use crate::camera::{CameraError, Capture, Frame, FrameSource};
use crate::cli::Part;
use crate::config::{CameraSource, Settings};

/// Frames that are thrown away first: a camera needs some to find its exposure.
const SETTLING: u32 = 5;

/// What the camera offers, and a frame of it.
pub(super) fn check(settings: &Settings) -> (Finding, Option<Frame>) {
    let failed = |error: CameraError| (Finding::error(Part::Camera, &error), None);
    let mut offers = String::new();
    if let CameraSource::Device(device) = &settings.camera.source {
        let mut opened = V4l2::new(device, settings.camera.width, settings.camera.height, settings.rate_hz);
        match opened.formats() {
            Ok(formats) => offers = format!("offers {}, ", first(&formats)),
            Err(error) => return failed(error),
        }
        if unit::is_active() {
            return (
                Finding::ok(Part::Camera, format_args!("{offers}is in use by the running service")),
                None,
            );
        }
    }
    let mut source = match open_camera(settings) {
        Ok(source) => source,
        Err(error) => return failed(error),
    };
    match settle(source.as_mut()) {
        Ok(Some(frame)) => {
            let told = format!("{offers}gives {} x {} pixels", frame.width(), frame.height());
            (Finding::ok(Part::Camera, told), Some(frame))
        }
        Ok(None) => {
            let finding = Finding::failed(Part::Camera, "every frame was torn or empty");
            (finding.advise("try another USB port and a shorter cable"), None)
        }
        Err(error) => failed(error),
    }
}

/// The last good one of a few frames.
fn settle(source: &mut dyn FrameSource) -> Result<Option<Frame>, CameraError> {
    let mut last = None;
    for _ in 0..=SETTLING {
        if let Capture::Frame(frame) = source.next()? {
            last = Some(frame);
        }
    }
    Ok(last)
}
