//! The whole way of a frame: find faces, cut them out, name their expressions.

use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::classifier::{Classifier, most_likely};
use super::error::VisionError;
use super::geometry::{Face, Region, View, to_f32};
use super::models::ModelStore;
use super::mtcnn::{self, Detector};
use super::tracker::{Faces, Tracker};
use crate::camera::Frame;
use crate::expression::Sighting;
use crate::rate;

/// What to look for in a frame.
#[derive(Debug, Clone, Copy)]
pub struct Analysis {
    /// Side of the smallest face that is looked for, in pixels.
    pub min_face_px: u32,
    /// The part of the picture to look at.
    pub region: Region,
    /// Which faces are counted.
    pub faces: Faces,
    /// The probability below which an expression is `uncertain`.
    pub min_confidence: f32,
}

impl Default for Analysis {
    fn default() -> Self {
        Self { min_face_px: 60, region: Region::WHOLE, faces: Faces::Largest, min_confidence: 0.4 }
    }
}

/// What a frame goes through in the [`Analyzer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Following or searching for faces; once a frame.
    Find,
    /// Cutting a face out in the classifier's framing; once a face.
    Align,
    /// Naming its expression; once a face.
    Classify,
}

/// The most pixels of the pyramid's first level, so that the time for a search is bounded: for 640x480 those of a
/// smallest face of 35 px. In a larger picture the smallest face that is looked for grows with it.
const MOST_PIXELS: f64 = 37_000.0;

/// Turns frames into sightings.
pub struct Analyzer {
    analysis: Analysis,
    detector: Detector,
    tracker: Tracker,
    classifier: Classifier,
    // Kept from one frame to the next, so that none allocates.
    crop: Zeroizing<Vec<f32>>,
    sightings: Vec<Sighting>,
    /// The last picture's size, to tell once what it means.
    size: (usize, usize),
}

impl Analyzer {
    /// Loads the networks of `store`, with the classifier in the file `classifier` where one is given.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a file is missing, damaged, or not what this version expects.
    pub fn new(
        store: &ModelStore,
        classifier: Option<&Path>,
        analysis: Analysis,
    ) -> Result<Self, VisionError> {
        Ok(Self {
            analysis,
            detector: Detector::new(store)?,
            tracker: Tracker::new(rate::DEFAULT_HZ),
            classifier: match classifier {
                Some(file) => Classifier::from_file(file, store)?,
                None => Classifier::new(store)?,
            },
            crop: Zeroizing::default(),
            sightings: Vec::new(),
            size: (0, 0),
        })
    }

    /// Says how many frames a second will come, from which the analyzer reckons time; [`rate::DEFAULT_HZ`] until it is told.
    pub fn expect_rate(&mut self, rate_hz: f64) {
        self.tracker.set_rate(rate_hz);
    }

    /// The faces of one frame, as they are counted.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn analyze(&mut self, frame: &Frame) -> Result<&[Sighting], VisionError> {
        self.analyze_in_stages(frame, &mut |_| ())
    }

    /// The same, with a call of `ended` whenever a stage has ended.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn analyze_in_stages(
        &mut self,
        frame: &Frame,
        ended: &mut dyn FnMut(Stage),
    ) -> Result<&[Sighting], VisionError> {
        let view = View::new(frame, self.analysis.region);
        let smallest = self.smallest_face(&view);
        let faces = self.tracker.find(&mut self.detector, &view, smallest, self.analysis.faces)?;
        ended(Stage::Find);
        self.sightings.clear();
        for face in faces {
            self.classifier.align(&view, face, &mut self.crop);
            ended(Stage::Align);
            let (kind, probability) = most_likely(&self.classifier.classify(&self.crop)?);
            let certain = probability >= self.analysis.min_confidence;
            self.sightings.push(if certain { Sighting::Certain(kind) } else { Sighting::Uncertain });
            ended(Stage::Classify);
        }
        self.crop.as_mut_slice().zeroize();
        Ok(&self.sightings)
    }

    /// Where the faces are that the last frame's sightings were of, in pixels of the region.
    #[must_use]
    pub fn faces(&self) -> &[Face] {
        self.tracker.faces()
    }

    /// How many frames were searched from border to border so far; in the others known faces were followed, or
    /// nothing had moved.
    #[must_use]
    pub fn searches(&self) -> u64 {
        self.tracker.searches()
    }

    /// Forgets where faces were; to be called when the picture jumps.
    pub fn forget(&mut self) {
        self.tracker.forget();
    }

    /// The smallest face that is looked for in this view, in pixels; tells once where that is not the configured one.
    fn smallest_face(&mut self, view: &View<'_>) -> u32 {
        let wanted = self.analysis.min_face_px;
        let smallest = wanted.max(smallest_bounded(view.width, view.height));
        if self.size != (view.width, view.height) && smallest > wanted {
            log::warn!(
                "analysis.min_face_px is raised to {smallest} for a picture of {}x{}: choose a smaller picture or \
                 region to find smaller faces",
                view.width,
                view.height
            );
        }
        self.size = (view.width, view.height);
        smallest
    }
}

/// The smallest face for which the pyramid's first level has no more than [`MOST_PIXELS`].
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a picture's side")]
fn smallest_bounded(width: usize, height: usize) -> u32 {
    let [cell, width, height] = [mtcnn::CELL, width, height].map(|side| f64::from(to_f32(side)));
    (cell * (width * height / MOST_PIXELS).sqrt()).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_face_grows_with_a_large_picture_only() {
        assert!(smallest_bounded(640, 480) < 40);
        assert_eq!(smallest_bounded(1920, 1080), 90);
        assert_eq!(smallest_bounded(3840, 2160), 180);
    }
}
