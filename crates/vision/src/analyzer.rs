//! The pipeline of a frame: find faces, align them, classify their expressions.

use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::alternatives::{Alternative, Alternatives};
use super::analysis::{Analysis, Baseline};
use super::baseline::NeutralBaselines;
use super::blur::blur;
use super::classifier::{Classifier, Probabilities, most_likely};
use super::error::VisionError;
use super::geometry::{BBox, Face, Point, View, to_f32};
use super::models::ModelStore;
use super::mtcnn::Detector;
use super::track::Follow;
use super::tracker::{Pace, Tracker};
use crate::camera::Frame;
use lectern_record::expression::Sighting;
use lectern_record::rate;

/// The longer side of a face's box below which its expression is `uncertain`, in pixels. The classifier's crop is about as
/// large; at 20 pixels its accuracy is nine tenths of that at 48, and it is lower below (the model card's table, by
/// `models/training/dataset/shrink.py` and `evaluate/small_faces.py`).
pub const MIN_CLASSIFIABLE_PX: u32 = 20;

/// The stages of a frame in the [`Analyzer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Following or searching for faces; once a frame.
    Find,
    /// Cropping a face to the classifier's framing; once a face.
    Align,
    /// Classifying its expression; once a face.
    Classify,
}

/// The result for one face of the last frame.
#[derive(Debug, Clone, Copy)]
pub struct FaceResult {
    /// The same for the same followed face since the last [`Analyzer::forget`], from 1; also where it was lost for some seconds.
    pub track: u32,
    /// Where it is, in pixels of the whole picture.
    pub bbox: BBox,
    /// The share of the detector's box that lay beyond the picture, and is cut off.
    pub outside: f32,
    /// Probability that it is a face.
    pub score: f32,
    /// Of the crop that the classifier sees, from 0 (sharp) to 1; none where it is not measured, and for a face below
    /// [`MIN_CLASSIFIABLE_PX`].
    pub blur: Option<f32>,
    /// Of the 13 kinds; none for a face below [`MIN_CLASSIFIABLE_PX`].
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
    alternatives: Option<Alternatives>,
    classifier: Classifier,
    baselines: NeutralBaselines,
    /// Seconds from one frame to the next.
    period_s: f32,
    // Kept from one frame to the next, so that none allocates.
    crop: Zeroizing<Vec<f32>>,
    sightings: Vec<Sighting>,
    seen: Vec<FaceResult>,
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
            alternatives: None,
            classifier: match classifier {
                Some(file) => Classifier::from_file(file, store)?,
                None => Classifier::new(store)?,
            },
            baselines: NeutralBaselines::new(),
            period_s: period_s(rate::DEFAULT_HZ),
            crop: Zeroizing::default(),
            sightings: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// Configures it for recordings, which have no time limit: each picture without a certain tracked face is searched completely,
    /// some pictures without a face are looked at differently, and blur is measured.
    ///
    /// # Errors
    /// As [`Analyzer::new`].
    pub fn for_recordings(mut self, store: &ModelStore) -> Result<Self, VisionError> {
        self.tracker.set_pace(Pace::Recorded);
        self.alternatives = Some(Alternatives::to(&self.analysis, store)?);
        Ok(self)
    }

    /// Where pictures of a recording show no face: how many of them were looked at differently, and in how many each alternative
    /// showed one.
    #[must_use]
    pub fn alternatives(&self) -> (u32, &[(Alternative, u32)]) {
        self.alternatives.as_ref().map_or((0, &[]), Alternatives::results)
    }

    /// Whether a picture shows a face, regardless of what was followed before; nothing of it is counted. Only for recordings, without
    /// which it is false.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn shows_face(&mut self, frame: &Frame) -> Result<bool, VisionError> {
        self.alternatives.as_mut().map_or(Ok(false), |alternatives| alternatives.shows_face(frame))
    }

    /// Sets the frame rate, from which the analyzer computes times; [`rate::DEFAULT_HZ`] by default.
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
        self.tracker.find(&mut self.detector, &view, min_face_px, faces)?;
        let (faces, follows) = (self.tracker.faces(), self.tracker.follows());
        if let Some(alternatives) = self.alternatives.as_mut().filter(|_| faces.is_empty()) {
            alternatives.see(frame)?;
        }
        ended(Stage::Find);
        self.sightings.clear();
        self.seen.clear();
        self.baselines.pass(self.period_s);
        if baseline == Baseline::Person {
            self.baselines.assign(faces.iter().map(|face| face.bbox));
        }
        let (left, top) = view.origin();
        for (number, (face, &Follow { track, outside })) in faces.iter().zip(follows).enumerate() {
            let bbox = face.bbox.moved(Point { x: left, y: top });
            let (probabilities, sighting) = (None, Sighting::Uncertain);
            let mut seen =
                FaceResult { track, bbox, outside, score: face.score, blur: None, probabilities, sighting };
            if face.bbox.longer_side() >= to_f32(MIN_CLASSIFIABLE_PX as usize) {
                self.classifier.align(&view, face, &mut self.crop);
                if self.alternatives.is_some() {
                    seen.blur = Some(blur(&self.crop, self.classifier.size()));
                }
                ended(Stage::Align);
                let mut logits = self.classifier.logits(&self.crop)?;
                let neutral = match baseline {
                    Baseline::Person => self.baselines.of(number),
                    Baseline::None => None,
                };
                if let Some(neutral) = neutral {
                    neutral.adapt(&mut logits, self.classifier.neutral_logits(), self.period_s);
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

    /// The last result of [`Analyzer::analyze`].
    #[must_use]
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Where the faces are that the last frame's sightings were of, in pixels of the region.
    #[must_use]
    pub fn faces(&self) -> &[Face] {
        self.tracker.faces()
    }

    /// The same faces in the whole picture, with the classifier's results.
    #[must_use]
    pub fn seen(&self) -> &[FaceResult] {
        &self.seen
    }

    /// How many frames were searched so far; in the others only tracked faces were followed, or nothing had moved.
    #[must_use]
    pub fn searches(&self) -> u64 {
        self.tracker.searches()
    }

    /// Skips an unreadable frame: only time passes for the tracked faces.
    pub fn skip(&mut self) {
        self.baselines.pass(self.period_s);
    }

    /// Drops the tracks and baselines; call it when the picture jumps.
    pub fn forget(&mut self) {
        self.tracker.forget();
        self.baselines.forget();
        self.alternatives.iter_mut().for_each(Alternatives::forget);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at least 0.1 Hz, at most 30")]
fn period_s(rate_hz: f64) -> f32 {
    (1.0 / rate_hz) as f32
}
