//! `lectern aim`: position, size, brightness and sharpness of the face as text; no picture.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::check::GOOD_LIGHT;
use super::detection_range::DetectionRange;
use super::{STANDARD_OUTPUT, open_camera};
use crate::camera::{CameraError, Capture};
use crate::cli::Aim;
use crate::clock::{Clock, Stop, SystemClock};
use crate::config::Settings;
use crate::help::Explained;
use crate::logging::printable::{is_terminal, print_lines, print_over};
use crate::vision::MIN_CLASSIFIABLE_PX;
use crate::vision::Rotation;
use crate::vision::frame_quality::{FrameQuality, QualityMeter};
use crate::vision::geometry::to_f32;
use crate::vision::models::ModelStore;

/// Time between two measurements.
const EVERY: Duration = Duration::from_millis(500);

/// Below it a face is blurred; measured with the portrait out of focus by ever more.
const SHARP: f32 = 0.08;

/// Width of a picture that most cameras support; in a smaller one the same face has fewer pixels.
const WIDE: usize = 1920;

/// The middle of a face should lie within this part of the picture's width and height.
const WELL_PLACED: std::ops::RangeInclusive<f32> = 0.25..=0.75;

/// Measures and prints until stopped, or as often as requested.
///
/// # Errors
/// When the configuration is wrong, the camera cannot be used, a network cannot be loaded, or standard output
/// cannot be written.
pub fn run(arguments: &Aim, models: Option<&Path>) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config)?;
    let mut meter =
        QualityMeter::new(&ModelStore::open(models)?, &settings.analysis, 1.0 / EVERY.as_secs_f64())?;
    let mut source = open_camera(&settings)?;
    let mut screen = Screen { in_place: is_terminal(), lines: 0 };
    let mut count = 0;
    while arguments.looks.is_none_or(|most| count < most) {
        let began = SystemClock.boot();
        match source.next() {
            Ok(Capture::Frame(frame)) => {
                let quality = meter.measure(&frame)?;
                source.recycle(frame);
                screen.show(&report(&quality, settings.analysis.min_face_px, settings.camera.rotate))?;
            }
            Ok(Capture::Corrupt) => screen.show(&["a torn picture".to_owned()])?,
            Ok(Capture::Missing) => screen.show(&["no picture: a pause of the recording".to_owned()])?,
            Ok(Capture::End) => break,
            Err(error @ CameraError::Lost { .. }) => {
                screen.show(&[Explained(&error).to_string()])?;
                SystemClock.sleep_until(began + EVERY, &Stop::default());
                meter.forget();
                // A failure shows at the next measurement.
                let _ = source.reopen();
            }
            Err(error) => return Err(error.into()),
        }
        count += 1;
        SystemClock.sleep_until(began + EVERY, &Stop::default());
    }
    Ok(())
}

/// Where the report goes: over the last one at a terminal, one line each elsewhere.
struct Screen {
    in_place: bool,
    lines: usize,
}

impl Screen {
    fn show(&mut self, report: &[String]) -> anyhow::Result<()> {
        let printed = if self.in_place {
            let above = std::mem::replace(&mut self.lines, report.len());
            print_over(above, report)
        } else {
            print_lines([report.join("; ")])
        };
        printed.context(STANDARD_OUTPUT)
    }
}

/// The measurements, one a line, and what to do as the last one.
fn report(quality: &FrameQuality, needed: u32, rotate: Rotation) -> Vec<String> {
    let mut lines = Vec::new();
    let reach = DetectionRange::of(quality, needed);
    if let Some(face) = &quality.face {
        let (across, down) = place(quality);
        lines.push(format!("face      {:.0} pixels high, {needed} are needed", face.bbox.longer_side()));
        lines.push(format!("reach     {reach}"));
        lines.push(format!(
            "position  {:.0} % from the left, {:.0} % from the top",
            across * 100.0,
            down * 100.0
        ));
        lines.push(format!("sharpness {:.0} of 100", (face.sharpness / SHARP * 50.0).min(100.0)));
    } else {
        lines.push(format!("face      none, {needed} pixels are needed"));
        lines.push(format!("reach     {reach}"));
    }
    lines.push(format!("light     {:.0} of 255", quality.light));
    lines.push(format!("=> {}", advice(quality, needed, rotate)));
    lines
}

/// The middle of the largest face, in fractions of the picture.
fn place(quality: &FrameQuality) -> (f32, f32) {
    let middle = |from: f32, to: f32, side: usize| f32::midpoint(from, to) / to_f32(side);
    quality.face.map_or((0.5, 0.5), |face| {
        (
            middle(face.bbox.x1, face.bbox.x2, quality.width),
            middle(face.bbox.y1, face.bbox.y2, quality.height),
        )
    })
}

/// The one thing to change first.
fn advice(quality: &FrameQuality, needed: u32, rotate: Rotation) -> String {
    let light = quality.light;
    if let Some(turned) = quality.turned {
        let rotate = rotate.then(turned);
        return format!(
            "faces show only in the turned picture: set camera.rotate = {rotate}, or turn the camera"
        );
    }
    if light < *GOOD_LIGHT.start() {
        return format!("more light: the brightness is {light:.0}, {} or more is good", GOOD_LIGHT.start());
    }
    if light > *GOOD_LIGHT.end() {
        return format!("less light: the brightness is {light:.0}, {} or less is good", GOOD_LIGHT.end());
    }
    let Some(face) = &quality.face else {
        return "no face is seen: stand where the lecturer stands and look at the camera".to_owned();
    };
    let (across, down) = place(quality);
    let size = face.bbox.longer_side();
    if size < to_f32(needed as usize) {
        let otherwise = if size >= to_f32(MIN_CLASSIFIABLE_PX as usize) {
            " (or lower min_face_px)"
        } else if quality.picture_width < WIDE {
            " (or take a larger picture)"
        } else {
            ""
        };
        format!("move the camera closer: the face is {size:.0} pixels high, {needed} are needed{otherwise}")
    } else if across < *WELL_PLACED.start() {
        "turn the camera to the left: the face is near the left edge of the picture".to_owned()
    } else if across > *WELL_PLACED.end() {
        "turn the camera to the right: the face is near the right edge of the picture".to_owned()
    } else if down < *WELL_PLACED.start() {
        "turn the camera up: the face is near the upper edge of the picture".to_owned()
    } else if down > *WELL_PLACED.end() {
        "turn the camera down: the face is near the lower edge of the picture".to_owned()
    } else if face.sharpness < SHARP {
        "focus the camera, clean its lens, or give more light: the face is blurred".to_owned()
    } else if !quality.is_counted {
        "a face is seen, but not clearly enough to be counted: look at the camera, and give more light"
            .to_owned()
    } else if quality.faces > 1 {
        format!(
            "good; {} faces are seen, and with analysis.faces = \"largest\" this one is counted",
            quality.faces
        )
    } else {
        "good: this face will be counted".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::frame_quality::FaceQuality;
    use crate::vision::geometry::BBox;

    /// A face of `height` pixels whose middle is at (`x`, `y`) of a 640 x 480 picture.
    fn quality(x: f32, y: f32, height: f32) -> FrameQuality {
        let half = height / 2.0;
        let bbox = BBox { x1: x - half, y1: y - half, x2: x + half, y2: y + half };
        FrameQuality {
            picture_width: 640,
            width: 640,
            height: 480,
            light: 120.0,
            faces: 1,
            face: Some(FaceQuality { bbox, sharpness: 0.3 }),
            is_counted: true,
            turned: None,
        }
    }

    #[test]
    fn the_advice_names_what_to_change_first() {
        let good = quality(320.0, 240.0, 100.0);
        for (quality, expected) in [
            (good, "good"),
            (
                quality(320.0, 240.0, 31.0),
                "move the camera closer: the face is 31 pixels high, 60 are needed (or lower min_face_px)",
            ),
            (
                quality(320.0, 240.0, 15.0),
                "move the camera closer: the face is 15 pixels high, 60 are needed (or take a larger picture",
            ),
            (quality(60.0, 240.0, 100.0), "turn the camera to the left"),
            (quality(600.0, 240.0, 100.0), "turn the camera to the right"),
            (quality(320.0, 60.0, 100.0), "turn the camera up"),
            (quality(320.0, 440.0, 100.0), "turn the camera down"),
            (FrameQuality { light: 12.0, ..good }, "more light: the brightness is 12"),
            (FrameQuality { light: 250.0, ..good }, "less light"),
            (FrameQuality { face: None, faces: 0, ..good }, "no face is seen"),
            (FrameQuality { is_counted: false, ..good }, "a face is seen, but not clearly enough"),
            (
                FrameQuality { face: None, faces: 0, turned: Some(Rotation::Half), ..good },
                "faces show only in the turned picture: set camera.rotate = 270",
            ),
            (
                FrameQuality { face: good.face.map(|f| FaceQuality { sharpness: 0.01, ..f }), ..good },
                "focus the camera",
            ),
        ] {
            let given = advice(&quality, 60, Rotation::Quarter);
            assert!(given.starts_with(expected), "{given}");
        }
    }
}
