//! How far away a face is still detected: relative to its distance now, and in metres for a typical camera.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::vision::frame_quality::FrameQuality;
use crate::vision::geometry::to_f32;

/// Assumed horizontal field of view of a camera, in degrees: ordinary webcams have 60 to 80.
const ASSUMED_VIEW: f32 = 70.0;

/// The longer side of the detected box around an adult's face, in metres: pupils are 63 mm apart (Dodgson 2004), and
/// by the manifest's landmarks .373 of the classifier's crop, which is 1.04 boxes (`models/training/evaluate/small_faces.py`).
const FACE: f32 = 0.16;

/// A camera's detection range, with the face that it was measured on, if any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct DetectionRange {
    /// The smallest face that is searched for, in pixels.
    smallest_face_px: u32,
    /// The face in the current picture, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    face_px: Option<f32>,
    /// Distance of the smallest face over the distance of that face.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_as_far: Option<f32>,
    /// Distance of the smallest face, at the assumed field of view.
    metres: f32,
    assumed_view_degrees: f32,
}

impl DetectionRange {
    /// The range for a picture of `width` pixels that shows a face of `face_px`, when faces of `min_face_px` are searched for.
    pub(super) fn new(width: usize, min_face_px: u32, face_px: Option<f32>) -> Self {
        let smallest = to_f32(min_face_px as usize);
        // A pinhole camera.
        let focal = to_f32(width) / 2.0 / (ASSUMED_VIEW / 2.0).to_radians().tan();
        let tenths = |value: f32| (value * 10.0).round() / 10.0;
        Self {
            smallest_face_px: min_face_px,
            face_px: face_px.map(f32::round),
            times_as_far: face_px.map(|face| tenths(face / smallest)),
            metres: tenths(FACE * focal / smallest),
            assumed_view_degrees: ASSUMED_VIEW,
        }
    }

    /// The range for a measured picture.
    pub(super) fn of(quality: &FrameQuality, min_face_px: u32) -> Self {
        Self::new(quality.picture_width, min_face_px, quality.face.map(|face| face.bbox.longer_side()))
    }

    /// The detected face's size, and the size that is too small.
    pub(super) fn sizes(&self) -> String {
        let smallest = self.smallest_face_px;
        match self.face_px {
            Some(face) => format!("a face is {face:.0} pixels high, smaller than {smallest} is not seen"),
            None => format!("a face smaller than {smallest} pixels is not seen"),
        }
    }
}

impl Display for DetectionRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(times) = self.times_as_far {
            write!(f, "{times} times as far, ")?;
        }
        let Self { metres, assumed_view_degrees, .. } = self;
        let digits = usize::from(*metres < 5.0);
        write!(f, "about {metres:.digits$} m if it sees {assumed_view_degrees:.0} degrees across")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_follows_from_the_measured_face() {
        let reach = DetectionRange::new(1920, 24, Some(31.2));
        assert_eq!(reach.sizes(), "a face is 31 pixels high, smaller than 24 is not seen");
        assert_eq!(reach.to_string(), "1.3 times as far, about 9 m if it sees 70 degrees across");
        let empty = DetectionRange::new(640, 60, None);
        assert_eq!(empty.sizes(), "a face smaller than 60 pixels is not seen");
        assert_eq!(empty.to_string(), "about 1.2 m if it sees 70 degrees across");
    }
}
