//! The whole way of a frame: find faces, cut them out, name their expressions.

use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::analysis::{Analysis, Baseline};
use super::baseline::RestingFaces;
use super::classifier::{Classifier, Probabilities, most_likely};
use super::error::VisionError;
use super::geometry::{BBox, Face, Point, View, to_f32};
use super::models::ModelStore;
use super::mtcnn::Detector;
use super::tracker::{Pace, Tracker};
use super::upright::Upright;
use crate::camera::Frame;
use lectern_record::analysis::Rotation;
use lectern_record::expression::Sighting;
use lectern_record::rate;

/// The longer side of a face's box below which its expression is `uncertain`, in pixels. The classifier's crop is about as
/// large, and of 20 pixels it names nine tenths as many faces rightly as of 48, of fewer pixels less (the model card's
/// table, by `models/training/shrink.py` and `distant.py`).
pub const SMALLEST_TOLD_PX: u32 = 20;

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

/// What is known of a face of the last frame.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Where it is, in pixels of the whole picture.
    pub bbox: BBox,
    /// Probability that it is a face.
    pub score: f32,
    /// Of the 13 kinds; none of a face that is too small ([`SMALLEST_TOLD_PX`]).
    pub probabilities: Option<Probabilities>,
    /// As it is counted.
    pub sighting: Sighting,
}

/// Turns frames into sightings.
pub struct Analyzer {
    analysis: Analysis,
    detector: Detector,
    tracker: Tracker,
    /// In recordings.
    upright: Option<Upright>,
    classifier: Classifier,
    resting: RestingFaces,
    /// Seconds from one frame to the next.
    period_s: f32,
    // Kept from one frame to the next, so that none allocates.
    crop: Zeroizing<Vec<f32>>,
    sightings: Vec<Sighting>,
    seen: Vec<Seen>,
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
            upright: None,
            classifier: match classifier {
                Some(file) => Classifier::from_file(file, store)?,
                None => Classifier::new(store)?,
            },
            resting: RestingFaces::new(),
            period_s: period_s(rate::DEFAULT_HZ),
            crop: Zeroizing::default(),
            sightings: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// Analyses recordings, which wait: each picture in which no certain face is followed is searched to the end, and some without a
    /// face are tried in the three rotations.
    ///
    /// # Errors
    /// As [`Analyzer::new`].
    pub fn for_recordings(mut self, store: &ModelStore) -> Result<Self, VisionError> {
        self.tracker.set_pace(Pace::Recorded);
        self.upright = Some(Upright::new(store)?);
        Ok(self)
    }

    /// Where pictures of a recording show no face: the rotation, clockwise, in which several of them do.
    #[must_use]
    pub fn turned(&self) -> Option<Rotation> {
        self.upright.as_ref()?.turned(2)
    }

    /// Says how many frames a second will come, from which the analyzer reckons time; [`rate::DEFAULT_HZ`] until it is told.
    pub fn expect_rate(&mut self, rate_hz: f64) {
        self.tracker.set_rate(rate_hz);
        self.period_s = period_s(rate_hz);
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
        let Analysis { min_face_px, faces, baseline, .. } = self.analysis;
        let faces = self.tracker.find(&mut self.detector, &view, min_face_px, faces)?;
        if let Some(upright) = self.upright.as_mut().filter(|_| faces.is_empty()) {
            upright.see(frame)?;
        }
        ended(Stage::Find);
        self.sightings.clear();
        self.seen.clear();
        self.resting.pass(self.period_s);
        if baseline == Baseline::Person {
            self.resting.assign(faces.iter().map(|face| face.bbox));
        }
        let (left, top) = view.origin();
        for (number, face) in faces.iter().enumerate() {
            let bbox = face.bbox.moved(Point { x: left, y: top });
            let (probabilities, sighting) = (None, Sighting::Uncertain);
            let mut seen = Seen { bbox, score: face.score, probabilities, sighting };
            if face.bbox.longer_side() >= to_f32(SMALLEST_TOLD_PX as usize) {
                self.classifier.align(&view, face, &mut self.crop);
                ended(Stage::Align);
                let mut logits = self.classifier.logits(&self.crop)?;
                let resting = match baseline {
                    Baseline::Person => self.resting.of(number),
                    Baseline::None => None,
                };
                if let Some(resting) = resting {
                    resting.adapt(&mut logits, self.classifier.resting(), self.period_s);
                }
                let probabilities = self.classifier.probabilities(&logits);
                let (kind, probability) = most_likely(&probabilities);
                seen.probabilities = Some(probabilities);
                if probability >= self.analysis.min_confidence {
                    seen.sighting = Sighting::Certain(kind);
                }
                ended(Stage::Classify);
            }
            self.sightings.push(seen.sighting);
            self.seen.push(seen);
        }
        self.crop.as_mut_slice().zeroize();
        Ok(&self.sightings)
    }

    /// What [`Analyzer::analyze`] answered last.
    #[must_use]
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Where the faces are that the last frame's sightings were of, in pixels of the region.
    #[must_use]
    pub fn faces(&self) -> &[Face] {
        self.tracker.faces()
    }

    /// The same faces in the whole picture, with what the classifier said of them.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// How many frames were searched from border to border so far; in the others known faces were followed, or
    /// nothing had moved.
    #[must_use]
    pub fn searches(&self) -> u64 {
        self.tracker.searches()
    }

    /// A frame came that cannot be read: time has passed for those who are known.
    pub fn skip(&mut self) {
        self.resting.pass(self.period_s);
    }

    /// Forgets where faces were, and how they look at rest; to be called when the picture jumps.
    pub fn forget(&mut self) {
        self.tracker.forget();
        self.resting.forget();
        self.upright.iter_mut().for_each(Upright::forget);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at least 0.1 Hz, at most 30")]
fn period_s(rate_hz: f64) -> f32 {
    (1.0 / rate_hz) as f32
}
