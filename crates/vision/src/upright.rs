//! Detects a rotated camera, upside down or on its side: whether pictures without a face show some once they are turned.

use super::analysis::Region;
use super::error::VisionError;
use super::geometry::View;
use super::models::ModelStore;
use super::mtcnn::Detector;
use super::parameters::{CERTAIN, TURNED_FACES, TURNED_TRIES};
use crate::camera::Frame;
use lectern_record::analysis::Rotation;

/// Tries the three rotations on some of its pictures.
pub(super) struct Upright {
    detector: Detector,
    /// Pictures without a face so far; those of which the number is a power of two are tried.
    seen: u32,
    /// In how many of the tried ones each rotation showed a face.
    faces: [u32; 3],
}

impl Upright {
    /// Loads the detector of `store`.
    pub(super) fn new(store: &ModelStore) -> Result<Self, VisionError> {
        Ok(Self { detector: Detector::new(store)?, seen: 0, faces: [0; 3] })
    }

    /// Resets the counts.
    pub(super) fn forget(&mut self) {
        (self.seen, self.faces) = (0, [0; 3]);
    }

    /// Counts a picture without a face, and tries some turned.
    pub(super) fn see(&mut self, frame: &Frame) -> Result<(), VisionError> {
        self.seen += 1;
        if !self.seen.is_power_of_two() || self.seen >= 1 << TURNED_TRIES {
            return Ok(());
        }
        for (rotation, faces) in Rotation::TURNS.into_iter().zip(&mut self.faces) {
            let turned = frame.rotated(rotation, None);
            let view = View::new(&turned, Region::WHOLE);
            let smallest = u32::try_from(view.width.max(view.height) / TURNED_FACES).unwrap_or(u32::MAX);
            let found = self.detector.search(&view, smallest.max(24))?;
            *faces += u32::from(found.iter().any(|face| face.score >= CERTAIN));
        }
        Ok(())
    }

    /// The rotation that showed faces in `least` pictures or more, and in more than the others did.
    pub(super) fn turned(&self, least: u32) -> Option<Rotation> {
        let (rotation, faces) =
            Rotation::TURNS.into_iter().zip(self.faces).max_by_key(|(_, faces)| *faces)?;
        (faces >= least).then_some(rotation)
    }
}
