//! `lectern aim`: position, size, brightness and sharpness of the face as text; no picture.

use std::io::{IsTerminal, Write};
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
use crate::vision::Rotation;
use crate::vision::SMALLEST_TOLD_PX;
use crate::vision::frame_quality::{Look, Looker};
use crate::vision::geometry::to_f32;
use crate::vision::models::ModelStore;

/// Time between two measurements.
const EVERY: Duration = Duration::from_millis(500);

/// Below it a face is blurred; measured with the portrait out of focus by ever more.
const SHARP: f32 = 0.08;

/// Width of a picture that most cameras can give; in a smaller one the same face has fewer pixels.
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
    let mut looker = Looker::new(&ModelStore::open(models)?, &settings.analysis, 1.0 / EVERY.as_secs_f64())?;
    let mut source = open_camera(&settings)?;
    let mut screen = Screen { in_place: std::io::stdout().is_terminal(), lines: 0 };
    let mut measured = 0;
    while arguments.looks.is_none_or(|most| measured < most) {
        let began = SystemClock.boot();
        match source.next() {
            Ok(Capture::Frame(frame)) => {
                let look = looker.look(&frame)?;
                source.recycle(frame);
                screen.show(&report(&look, settings.analysis.min_face_px, settings.camera.rotate))?;
            }
            Ok(Capture::Corrupt) => screen.show(&["a torn picture".to_owned()])?,
            Ok(Capture::Missing) => screen.show(&["no picture: a pause of the recording".to_owned()])?,
            Ok(Capture::End) => break,
            Err(error @ CameraError::Lost { .. }) => {
                screen.show(&[Explained(&error).to_string()])?;
                SystemClock.sleep_until(began + EVERY, &Stop::default());
                looker.forget();
                // A failure shows at the next measurement.
                let _ = source.reopen();
            }
            Err(error) => return Err(error.into()),
        }
        measured += 1;
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
        let mut out = std::io::stdout().lock();
        if self.in_place {
            if self.lines > 0 {
                // Up to the first line of the last report, and clear from there (ECMA-48: CPL, ED).
                write!(out, "\x1b[{}F\x1b[J", self.lines).context(STANDARD_OUTPUT)?;
            }
            writeln!(out, "{}", report.join("\n")).context(STANDARD_OUTPUT)?;
            self.lines = report.len();
        } else {
            writeln!(out, "{}", report.join("; ")).context(STANDARD_OUTPUT)?;
        }
        out.flush().context(STANDARD_OUTPUT)
    }
}

/// The measurements, one a line, and what to do as the last one.
fn report(look: &Look, needed: u32, rotate: Rotation) -> Vec<String> {
    let mut lines = Vec::new();
    let reach = DetectionRange::of(look, needed);
    if let Some(face) = &look.face {
        let (across, down) = place(look);
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
    lines.push(format!("light     {:.0} of 255", look.light));
    lines.push(format!("=> {}", advice(look, needed, rotate)));
    lines
}

/// The middle of the largest face, in fractions of the picture.
fn place(look: &Look) -> (f32, f32) {
    let middle = |from: f32, to: f32, side: usize| f32::midpoint(from, to) / to_f32(side);
    look.face.map_or((0.5, 0.5), |face| {
        (middle(face.bbox.x1, face.bbox.x2, look.width), middle(face.bbox.y1, face.bbox.y2, look.height))
    })
}

/// The one thing to change first.
fn advice(look: &Look, needed: u32, rotate: Rotation) -> String {
    let light = look.light;
    if let Some(turned) = look.turned {
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
    let Some(face) = &look.face else {
        return "no face is seen: stand where the lecturer stands and look at the camera".to_owned();
    };
    let (across, down) = place(look);
    let size = face.bbox.longer_side();
    if size < to_f32(needed as usize) {
        let otherwise = if size >= to_f32(SMALLEST_TOLD_PX as usize) {
            " (or lower min_face_px)"
        } else if look.picture_width < WIDE {
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
    } else if !look.is_counted {
        "a face is seen, but not clearly enough to be counted: look at the camera, and give more light"
            .to_owned()
    } else if look.faces > 1 {
        format!(
            "good; {} faces are seen, and with analysis.faces = \"largest\" this one is counted",
            look.faces
        )
    } else {
        "good: this face will be counted".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::frame_quality::FaceLook;
    use crate::vision::geometry::BBox;

    /// A face of `height` pixels whose middle is at (`x`, `y`) of a 640 x 480 picture.
    fn look(x: f32, y: f32, height: f32) -> Look {
        let half = height / 2.0;
        let bbox = BBox { x1: x - half, y1: y - half, x2: x + half, y2: y + half };
        Look {
            picture_width: 640,
            width: 640,
            height: 480,
            light: 120.0,
            faces: 1,
            face: Some(FaceLook { bbox, sharpness: 0.3 }),
            is_counted: true,
            turned: None,
        }
    }

    #[test]
    fn the_advice_names_what_to_change_first() {
        let good = look(320.0, 240.0, 100.0);
        for (look, expected) in [
            (good, "good"),
            (
                look(320.0, 240.0, 31.0),
                "move the camera closer: the face is 31 pixels high, 60 are needed (or lower min_face_px)",
            ),
            (
                look(320.0, 240.0, 15.0),
                "move the camera closer: the face is 15 pixels high, 60 are needed (or take a larger picture",
            ),
            (look(60.0, 240.0, 100.0), "turn the camera to the left"),
            (look(600.0, 240.0, 100.0), "turn the camera to the right"),
            (look(320.0, 60.0, 100.0), "turn the camera up"),
            (look(320.0, 440.0, 100.0), "turn the camera down"),
            (Look { light: 12.0, ..good }, "more light: the brightness is 12"),
            (Look { light: 250.0, ..good }, "less light"),
            (Look { face: None, faces: 0, ..good }, "no face is seen"),
            (Look { is_counted: false, ..good }, "a face is seen, but not clearly enough"),
            (
                Look { face: None, faces: 0, turned: Some(Rotation::Half), ..good },
                "faces show only in the turned picture: set camera.rotate = 270",
            ),
            (Look { face: good.face.map(|f| FaceLook { sharpness: 0.01, ..f }), ..good }, "focus the camera"),
        ] {
            let given = advice(&look, 60, Rotation::Quarter);
            assert!(given.starts_with(expected), "{given}");
        }
    }
}
