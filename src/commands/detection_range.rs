//! How far away a face is still seen: in parts of where it is now, and in metres for a camera as most are.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::vision::frame_quality::Look;
use crate::vision::geometry::to_f32;

/// How much a camera is assumed to see across, in degrees: ordinary webcams see 60 to 80.
const ASSUMED_VIEW: f32 = 70.0;

/// The longer side of the box that is found around a grown-up's face, in metres: pupils are 63 mm apart (Dodgson 2004), and
/// by the manifest's landmarks .373 of the classifier's crop, which is 1.04 boxes (`models/training/distant.py`).
const FACE: f32 = 0.16;

/// The reach of a camera, with the face that it was measured on, if any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Reach {
    /// The smallest face that is looked for, in pixels.
    smallest_face_px: u32,
    /// The face that is seen now, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    face_px: Option<f32>,
    /// How many times as far away as that face the smallest one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_as_far: Option<f32>,
    /// How far away the smallest face is, if the camera sees as much as assumed.
    metres: f32,
    assumed_view_degrees: f32,
}

impl Reach {
    /// What a picture of `width` pixels tells, in which faces of `min_face_px` are looked for and one of `face_px` is seen.
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

    /// The reach of the camera of a look.
    pub(super) fn of(look: &Look, min_face_px: u32) -> Self {
        Self::new(look.picture_width, min_face_px, look.face.map(|face| face.bbox.longer_side()))
    }

    /// The face that is seen, and which would be too small.
    pub(super) fn sizes(&self) -> String {
        let smallest = self.smallest_face_px;
        match self.face_px {
            Some(face) => format!("a face is {face:.0} pixels high, smaller than {smallest} is not seen"),
            None => format!("a face smaller than {smallest} pixels is not seen"),
        }
    }
}

impl Display for Reach {
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
    fn the_reach_is_told_from_the_face_that_is_seen() {
        let reach = Reach::new(1920, 24, Some(31.2));
        assert_eq!(reach.sizes(), "a face is 31 pixels high, smaller than 24 is not seen");
        assert_eq!(reach.to_string(), "1.3 times as far, about 9 m if it sees 70 degrees across");
        let nobody = Reach::new(640, 60, None);
        assert_eq!(nobody.sizes(), "a face smaller than 60 pixels is not seen");
        assert_eq!(nobody.to_string(), "about 1.2 m if it sees 70 degrees across");
    }
}
