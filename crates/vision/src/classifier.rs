//! The expression of a face: aligned to the framing the network was trained on, classified into 13 kinds.

use std::path::Path;

use zeroize::Zeroizing;

use super::analysis::Region;
use super::error::VisionError;
use super::geometry::{Affine, Face, Point, View};
use super::models::{MAX_BYTES, ModelStore};
use super::network::Network;
use crate::camera::Frame;
use lectern_record::expression::Expression;
use lectern_record::file;

/// Probabilities of the 13 kinds, by [`Expression::index`]; they sum to 1.
pub type Probabilities = [f32; Expression::COUNT];

/// The network's output for the 13 kinds, by [`Expression::index`]: logarithms of probabilities, up to a constant.
pub type Logits = [f32; Expression::COUNT];

/// How much of an emotion's lead over neutral counts for its strength (`models/training/selection/intensity.py`).
const LEAD: f32 = 0.5;

/// The classifier and its framing.
///
/// The network's input is `[1, C, S, S]` with C = 1 (luma) or 3 (the luma three times), 0 to 255, and its output 13
/// logits; what else a network needs (normalisation, temperature) is part of its graph.
pub struct Classifier {
    network: Network,
    channels: usize,
    size: usize,
    /// Where the landmarks lie in a crop, in fractions of its side.
    framing: [Point; 5],
    /// Logits of a resting face of the population.
    neutral_logits: Logits,
    /// The strength from which each emotion is strong; none where the larger of its two logits decides.
    intensity_thresholds: Option<[f32; 6]>,
}

impl Classifier {
    /// Loads the classifier that the manifest names.
    ///
    /// # Errors
    /// [`VisionError::Model`] when it is missing, damaged, or has another shape.
    pub fn new(store: &ModelStore) -> Result<Self, VisionError> {
        let manifest = &store.manifest.classifier;
        let model = &manifest.network;
        let intensity_thresholds = Some(manifest.borders);
        Ok(Self { intensity_thresholds, ..Self::from_bytes(&model.file, &store.bytes(model)?, store)? })
    }

    /// Loads another classifier from an ONNX file with a fixed input shape. Of weak and strong the more probable one counts, for the
    /// manifest's thresholds belong to its own network.
    ///
    /// # Errors
    /// [`VisionError::Model`] when it is missing or has another shape.
    pub fn from_file(path: &Path, store: &ModelStore) -> Result<Self, VisionError> {
        let bytes = file::read(path, MAX_BYTES).map_err(|e| VisionError::model(path.display(), e))?;
        Self::from_bytes(&path.display().to_string(), &bytes, store)
    }

    fn from_bytes(name: &str, bytes: &[u8], store: &ModelStore) -> Result<Self, VisionError> {
        let network = Network::new(name, bytes, None)?;
        let &[1, channels @ (1 | 3), size, width] = network.shape() else {
            return Err(wrong_shape(name, network.shape()));
        };
        if size != width {
            return Err(wrong_shape(name, network.shape()));
        }
        let manifest = &store.manifest.classifier;
        let framing = manifest.landmarks.map(|[x, y]| Point { x, y });
        let mut classifier = Self {
            network,
            channels,
            size,
            framing,
            neutral_logits: manifest.resting,
            intensity_thresholds: None,
        };
        // One run at load time finds a wrong output before the first lecture does.
        classifier.classify(&vec![0.0; size * size])?;
        Ok(classifier)
    }

    /// The side of the network's input, in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Cuts a face out of a view by its landmarks into `crop`: luma from 0 to 255, of the network's size.
    ///
    /// The crop is the similarity (shift, scale, rotation) that brings the five landmarks nearest to where
    /// they lie on average in the training images, so that the network's input resembles them.
    pub fn align(&self, view: &View<'_>, face: &Face, crop: &mut Vec<f32>) {
        Affine::similarity(&self.framing, &face.landmarks).crop_into(view, self.size, crop);
    }

    /// Classifies a face of a view by its landmarks.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the network fails.
    pub fn classify_face(&mut self, view: &View<'_>, face: &Face) -> Result<Probabilities, VisionError> {
        let mut crop = Zeroizing::new(Vec::new());
        self.align(view, face, &mut crop);
        self.classify(&crop)
    }

    /// Classifies a picture that is already a face crop in the training framing, of any size.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the network fails.
    pub fn classify_crop(&mut self, frame: &Frame) -> Result<Probabilities, VisionError> {
        let logits = self.logits_of_crop(frame)?;
        Ok(self.probabilities(&logits))
    }

    /// The logits of such a picture.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the network fails.
    pub fn logits_of_crop(&mut self, frame: &Frame) -> Result<Logits, VisionError> {
        let view = View::new(frame, Region::WHOLE);
        self.logits(&Affine::stretch(frame.width(), frame.height()).crop(&view, self.size))
    }

    /// Classifies a crop that [`Classifier::align`] has made.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the network fails, or the crop has another size.
    pub fn classify(&mut self, luma: &[f32]) -> Result<Probabilities, VisionError> {
        let logits = self.logits(luma)?;
        Ok(self.probabilities(&logits))
    }

    /// The logits of a crop that [`Classifier::align`] has made.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the network fails, or the crop has another size.
    pub fn logits(&mut self, luma: &[f32]) -> Result<Logits, VisionError> {
        let logits = if self.channels == 1 {
            self.network.run(luma)?
        } else {
            self.network.run(&luma.repeat(self.channels))?
        };
        let logits = logits.values();
        logits.try_into().map_err(|_| {
            let problem =
                format!("gives {} numbers, and {} logits are needed", logits.len(), Expression::COUNT);
            VisionError::model("classifier", problem)
        })
    }

    /// The logits of a resting face of the population; their mean is 0.
    #[must_use]
    pub fn neutral_logits(&self) -> &Logits {
        &self.neutral_logits
    }

    /// Probabilities of the kinds, with each emotion divided into weak and strong.
    #[must_use]
    pub fn probabilities(&self, logits: &Logits) -> Probabilities {
        let mut probabilities = softmax(*logits);
        if let Some(intensity_thresholds) = &self.intensity_thresholds {
            split_intensity(logits, intensity_thresholds, &mut probabilities);
        }
        probabilities
    }
}

/// Splits the probability of each emotion into weak and strong so that the split follows the intensity that people perceive. An
/// emotion's strength is the log ratio of strong to weak plus half the log ratio of the emotion to neutral; the split compares it
/// with the emotion's threshold.
fn split_intensity(logits: &Logits, intensity_thresholds: &[f32; 6], probabilities: &mut Probabilities) {
    let neutral = logits[Expression::Neutral.index()];
    let pairs = logits[1..].chunks_exact(2).zip(probabilities[1..].chunks_exact_mut(2));
    for ((logits, pair), threshold) in pairs.zip(intensity_thresholds) {
        let (weak, strong) = (logits[0], logits[1]);
        let higher = weak.max(strong);
        let either = higher + ((weak - higher).exp() + (strong - higher).exp()).ln();
        let strength = LEAD * (either - neutral) + strong - weak;
        let share = 1.0 / (1.0 + (threshold - strength).exp());
        let both = pair[0] + pair[1];
        (pair[0], pair[1]) = (both * (1.0 - share), both * share);
    }
}

/// The kind with the highest probability, with that probability.
#[must_use]
pub fn most_likely(probabilities: &Probabilities) -> (Expression, f32) {
    let best = Expression::ALL
        .into_iter()
        .max_by(|a, b| probabilities[a.index()].total_cmp(&probabilities[b.index()]));
    let kind = best.unwrap_or(Expression::Neutral);
    (kind, probabilities[kind.index()])
}

pub(super) fn softmax(logits: Logits) -> Probabilities {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| (logit - highest).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

fn wrong_shape(name: &str, shape: &[usize]) -> VisionError {
    VisionError::model(name, format!("takes {shape:?}, and [1, 1 or 3, S, S] is needed: luma, NCHW, square"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_keeps_the_order() {
        let mut logits = [0.0; Expression::COUNT];
        logits[7] = 90.0;
        logits[3] = 89.0;
        let probabilities = softmax(logits);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(most_likely(&probabilities).0, Expression::ALL[7]);
        assert!(probabilities[3] > 0.2 && probabilities[3] < 0.3);
    }

    #[test]
    fn strength_splits_within_an_emotion_by_its_lead() {
        let intensity_thresholds = [0.0, 0.0, 0.0, 2.0, 0.0, 0.0];
        let strong_share = |neutral: f32| {
            // Happy, as weak as strong.
            let mut logits = [0.0; Expression::COUNT];
            (logits[0], logits[7], logits[8]) = (neutral, 6.0, 6.0);
            let mut probabilities = softmax(logits);
            let before = probabilities;
            split_intensity(&logits, &intensity_thresholds, &mut probabilities);
            for pair in (1..Expression::COUNT).step_by(2) {
                let sum = |of: &Probabilities| of[pair] + of[pair + 1];
                assert!((sum(&before) - sum(&probabilities)).abs() < 1e-6);
            }
            probabilities[8] / (probabilities[7] + probabilities[8])
        };
        // The threshold lies where happy, with probability e^6.69 of both kinds, leads by 4.
        let at_threshold = 6.0 + 2f32.ln() - 4.0;
        assert!((strong_share(at_threshold) - 0.5).abs() < 1e-3);
        assert!(strong_share(at_threshold + 1.0) < 0.4 && strong_share(at_threshold - 1.0) > 0.6);
        assert!(strong_share(-30.0) > 0.999 && strong_share(30.0) < 0.001);
    }
}
