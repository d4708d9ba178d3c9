//! From a frame to sightings: detect, track, align, classify.
//!
//! Nothing that leaves this module holds pixels: a [`Sighting`] is one of 13 kinds, or uncertain.

pub mod classifier;
pub mod engine;
pub mod geometry;
pub mod look;
pub mod mtcnn;
mod tracker;

use std::fmt::Display;
use std::path::Path;

use crate::camera::Frame;
use crate::expression::Sighting;
use classifier::{Classifier, most_likely};
use engine::ModelStore;
pub use geometry::Region;
use geometry::View;
use mtcnn::Detector;
use tracker::Tracker;

/// Why the networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A model file is missing, damaged, or not what this version expects.
    #[error("model {model}: {problem}")]
    Model {
        /// The file or network.
        model: String,
        /// What is wrong, and the way out.
        problem: String,
    },
}

impl VisionError {
    pub(crate) fn model(model: impl Display, problem: impl Display) -> Self {
        Self::Model { model: model.to_string(), problem: problem.to_string() }
    }
}

/// Which faces of a frame are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faces {
    /// The largest one: the lecturer, who stands nearest to the camera.
    Largest,
    /// All of them.
    All,
}

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

/// Turns frames into sightings.
pub struct Analyzer {
    analysis: Analysis,
    detector: Detector,
    tracker: Tracker,
    classifier: Classifier,
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
            tracker: Tracker::default(),
            classifier: match classifier {
                Some(file) => Classifier::from_file(file, store)?,
                None => Classifier::new(store)?,
            },
        })
    }

    /// The faces of one frame, as they are counted.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn analyze(&mut self, frame: &Frame) -> Result<Vec<Sighting>, VisionError> {
        let view = View::new(frame, self.analysis.region);
        let faces =
            self.tracker.find(&mut self.detector, &view, self.analysis.min_face_px, self.analysis.faces)?;
        faces
            .iter()
            .map(|face| {
                let (kind, probability) = most_likely(&self.classifier.classify_face(&view, face)?);
                let certain = probability >= self.analysis.min_confidence;
                Ok(if certain { Sighting::Certain(kind) } else { Sighting::Uncertain })
            })
            .collect()
    }

    /// Forgets where faces were; to be called when the picture jumps.
    pub fn forget(&mut self) {
        self.tracker = Tracker::default();
    }
}
