//! Whether there is a camera, and whether it delivers pictures.

use super::super::open_camera;
use super::finding::{Finding, first};
use super::unit;
use crate::camera::v4l2::V4l2;
use crate::camera::{CameraError, Capture, Frame, FrameSource};
use crate::cli::Part;
use crate::config::{CameraSource, Settings};
use crate::vision::frame_quality::FrameQuality;

/// Frames to analyse: a camera needs some to adjust its exposure, and the daemon some to find a small face.
const FRAMES: u32 = 6;

/// Reports what the camera offers; passes each frame to `measure`.
pub(super) fn check(settings: &Settings, measure: &mut dyn FnMut(&Frame)) -> Finding {
    let failed = |error: CameraError| Finding::error(Part::Camera, &error);
    let mut offers = String::new();
    if let CameraSource::Device(device) = &settings.camera.source {
        let mut opened = V4l2::new(device, settings.camera.width, settings.camera.height, settings.rate_hz);
        match opened.formats() {
            Ok(formats) => offers = format!("offers {}, ", first(&formats)),
            Err(error) => return failed(error),
        }
    }
    if settings.camera.source.is_camera() && unit::is_active() {
        return Finding::ok(Part::Camera, format_args!("{offers}is in use by the running service"));
    }
    let mut source = match open_camera(settings) {
        Ok(source) => source,
        Err(error) => return failed(error),
    };
    match frames(source.as_mut(), measure) {
        Ok(Frames { size: Some((width, height)), corrupt }) if corrupt * 2 <= FRAMES => {
            Finding::ok(Part::Camera, format_args!("{offers}gives {width} x {height} pixels"))
        }
        Ok(Frames { corrupt, .. }) => Finding::failed(
            Part::Camera,
            format_args!("{offers}{corrupt} of {FRAMES} pictures are torn, empty or cannot be decoded"),
        )
        .advise("try another USB port and a shorter cable, or another camera.format"),
        Err(error) => failed(error),
    }
}

/// What a few frames showed.
#[derive(Default)]
struct Frames {
    /// Of the last one that could be decoded.
    size: Option<(usize, usize)>,
    corrupt: u32,
}

/// Measures a few frames.
fn frames(source: &mut dyn FrameSource, measure: &mut dyn FnMut(&Frame)) -> Result<Frames, CameraError> {
    let mut frames = Frames::default();
    for _ in 0..FRAMES {
        match source.next()? {
            Capture::Frame(frame) => {
                measure(&frame);
                frames.size = Some((frame.width(), frame.height()));
                source.recycle(frame);
            }
            Capture::Corrupt => frames.corrupt += 1,
            Capture::Missing | Capture::End => {}
        }
    }
    Ok(frames)
}

/// The finding with what the daemon would count; a warning where faces show only once the picture is turned.
pub(super) fn judge(finding: Finding, quality: &FrameQuality, settings: &Settings) -> Finding {
    match quality.turned {
        Some(turned) => finding.warn("faces show only in the turned picture").advise(format_args!(
            "set camera.rotate = {}, or turn the camera",
            settings.camera.rotate.then(turned)
        )),
        None if quality.is_counted => finding.and("this face is counted"),
        None => finding.and("no face is counted"),
    }
}
