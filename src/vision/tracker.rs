//! Follows known faces from frame to frame, because a full search on each frame is waste.
//!
//! ```text
//!            found                 every face confirmed
//! Searching ──────▶ Following ◀────────────────────────┐
//!     ▲                 │ follow each by one O-Net pass ┘
//!     └── one is lost, or the last search is old ──┘
//! ```

use super::Faces;
use super::VisionError;
use super::geometry::{BBox, Face, View};
use super::mtcnn::{Detector, distinct};

/// Frames after which the whole picture is searched again, so that a new face is seen within seconds.
const SEARCH_EVERY: u32 = 8;

/// The faces of the last frame.
#[derive(Default)]
pub(super) struct Tracker {
    known: Vec<BBox>,
    since_search: u32,
}

impl Tracker {
    /// The faces to count in this frame; none smaller than about `min_face_px`.
    pub(super) fn find(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        min_face_px: u32,
        which: Faces,
    ) -> Result<Vec<Face>, VisionError> {
        let followed = if self.since_search < SEARCH_EVERY { self.follow(detector, view)? } else { None };
        let faces = match followed {
            Some(faces) => {
                self.since_search += 1;
                faces
            }
            None => {
                self.since_search = 0;
                let mut faces = detector.search(view, min_face_px)?;
                if which == Faces::Largest {
                    faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
                    faces.truncate(1);
                }
                faces
            }
        };
        self.known = faces.iter().map(|face| face.bbox).collect();
        Ok(faces)
    }

    /// Every known face where it is now; none when one is lost or nothing is known.
    fn follow(&self, detector: &mut Detector, view: &View<'_>) -> Result<Option<Vec<Face>>, VisionError> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let mut faces = Vec::with_capacity(self.known.len());
        for bbox in &self.known {
            match detector.follow(view, bbox)? {
                Some(face) => faces.push(face),
                None => return Ok(None),
            }
        }
        // Where one face covers another, both old boxes may have settled on the same one.
        let known = faces.len();
        let faces = distinct(faces);
        Ok((faces.len() == known).then_some(faces))
    }
}
