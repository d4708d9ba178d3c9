//! What pictures without a face show when they are looked at differently: turned, for smaller faces, beyond the region.

use super::analysis::Region;
use super::error::VisionError;
use super::geometry::View;
use super::models::ModelStore;
use super::mtcnn::Detector;
use super::parameters::{ALTERNATIVE_TRIES, CERTAIN, TURNED_FACES};
use crate::camera::Frame;
use lectern_record::analysis::{Analysis, Rotation};

/// The smallest face that P-Net proposes, and the smallest that is looked for in turned pictures; in pixels.
const SMALLEST: u32 = 12;
const SMALLEST_TURNED: u32 = 24;

/// Another way to look at a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alternative {
    /// Turned clockwise, as a whole.
    Turned(Rotation),
    /// For faces from so many pixels on.
    Smaller(u32),
    /// Without the region.
    Whole,
}

/// Tries alternatives on some of the pictures without a face.
pub(super) struct Alternatives {
    detector: Detector,
    analysis: Analysis,
    /// Pictures without a face so far; those of which the number is a power of two are tried.
    seen: u32,
    tried: u32,
    /// In how many of the tried ones each showed a face.
    faces: Vec<(Alternative, u32)>,
}

impl Alternatives {
    /// The three rotations.
    pub(super) fn turned(store: &ModelStore) -> Result<Self, VisionError> {
        let faces = Rotation::TURNS.map(|rotation| (Alternative::Turned(rotation), 0)).to_vec();
        Ok(Self { detector: Detector::new(store)?, analysis: Analysis::default(), seen: 0, tried: 0, faces })
    }

    /// All that differ from `analysis`.
    pub(super) fn to(analysis: &Analysis, store: &ModelStore) -> Result<Self, VisionError> {
        let mut alternatives = Self { analysis: *analysis, ..Self::turned(store)? };
        let half = (analysis.min_face_px / 2).max(SMALLEST);
        let smaller = (half < analysis.min_face_px).then_some(Alternative::Smaller(half));
        let whole = (analysis.region != Region::WHOLE).then_some(Alternative::Whole);
        alternatives.faces.extend(smaller.into_iter().chain(whole).map(|it| (it, 0)));
        Ok(alternatives)
    }

    /// Resets the counts.
    pub(super) fn forget(&mut self) {
        (self.seen, self.tried) = (0, 0);
        self.faces.iter_mut().for_each(|(_, faces)| *faces = 0);
    }

    /// Counts a picture without a face, and tries some of them.
    pub(super) fn see(&mut self, frame: &Frame) -> Result<(), VisionError> {
        self.seen += 1;
        if !self.seen.is_power_of_two() || self.seen >= 1 << ALTERNATIVE_TRIES {
            return Ok(());
        }
        self.tried += 1;
        let Analysis { region, min_face_px, .. } = self.analysis;
        let large = u32::try_from(frame.width().max(frame.height()) / TURNED_FACES).unwrap_or(u32::MAX);
        for (alternative, faces) in &mut self.faces {
            let mut shows_face =
                |frame: &Frame, region, smallest| shows_face(&mut self.detector, frame, region, smallest);
            *faces += u32::from(match *alternative {
                Alternative::Turned(rotation) => {
                    shows_face(&frame.rotated(rotation, None), Region::WHOLE, large.max(SMALLEST_TURNED))
                }
                Alternative::Smaller(smallest) => shows_face(frame, region, smallest),
                Alternative::Whole => shows_face(frame, Region::WHOLE, min_face_px),
            }?);
        }
        Ok(())
    }

    /// Whether a picture shows a face as it is.
    pub(super) fn shows_face(&mut self, frame: &Frame) -> Result<bool, VisionError> {
        let Analysis { region, min_face_px, .. } = self.analysis;
        shows_face(&mut self.detector, frame, region, min_face_px)
    }

    /// How many pictures were tried, and in how many of them each alternative showed a face.
    pub(super) fn results(&self) -> (u32, &[(Alternative, u32)]) {
        (self.tried, &self.faces)
    }

    /// The alternative that showed faces in most pictures.
    pub(super) fn best(&self) -> Option<Alternative> {
        let (best, faces) = self.faces.iter().rev().max_by_key(|(_, faces)| *faces)?;
        (*faces > 0).then_some(*best)
    }
}

/// Whether an exact search of this part of a picture finds a certain face.
fn shows_face(
    detector: &mut Detector,
    frame: &Frame,
    region: Region,
    smallest: u32,
) -> Result<bool, VisionError> {
    let found = detector.search(&View::new(frame, region), smallest)?;
    Ok(found.iter().any(|face| face.score >= CERTAIN))
}
