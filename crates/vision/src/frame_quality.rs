//! Measures a picture for the technician who installs the camera: position of the largest face, light, blur.
//!
//! A [`FrameQuality`] is a handful of numbers, from which no picture can be reconstructed.

use super::alternatives::{Alternative, Alternatives};
use super::analysis::Analysis;
use super::error::VisionError;
use super::geometry::{Affine, BBox, Face, View, to_f32};
use super::models::ModelStore;
use super::mtcnn::Detector;
use super::parameters::CERTAIN;
use super::tracker::Tracker;
use crate::camera::Frame;
use lectern_record::analysis::Rotation;

/// Upper limit of the smallest face to search for, in pixels: below the smallest counted face, so that a camera too far away
/// differs from an empty room.
const MAX_SMALLEST: u32 = 24;

/// Its lower limit: P-Net detects no smaller ones.
const MIN_SMALLEST: u32 = 12;

/// Side of the crop that is measured, in pixels: that of the classifier's input, so that blur which it cannot see
/// does not count.
const SIDE: usize = 48;

/// The measurements of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameQuality {
    /// Width of the whole picture, in pixels.
    pub picture_width: usize,
    /// Width of the analysed part, in pixels.
    pub width: usize,
    /// Its height in pixels.
    pub height: usize,
    /// Mean luma from 0 to 255: of the largest face, or of the whole part where none was found.
    pub light: f32,
    /// How many faces were found.
    pub faces: usize,
    /// The largest one that is counted, or of those that are not.
    pub face: Option<FaceQuality>,
    /// Whether the daemon would count that face.
    pub is_counted: bool,
    /// Where no face was found: the rotation, clockwise, in which this picture or one before it shows one.
    pub turned: Option<Rotation>,
}

/// The largest face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceQuality {
    /// Its box within the analysed part, in pixels.
    pub bbox: BBox,
    /// Strength of the finest details against that of all, at the classifier's size: some 0.2 and more for a sharp
    /// face, less where it is out of focus or moves.
    pub sharpness: f32,
}

/// Measures a camera's pictures one after the other, with the daemon's search.
pub struct QualityMeter {
    tracker: Tracker,
    /// The daemon's search.
    detector: Detector,
    /// Finds faces that the daemon would not count.
    wider: Detector,
    upright: Alternatives,
    analysis: Analysis,
}

impl QualityMeter {
    /// Loads the detector of `store`; `analysis` defines which faces count, and `rate_hz` is the rate of the pictures.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a file is missing, damaged, or not what this version expects.
    pub fn new(store: &ModelStore, analysis: &Analysis, rate_hz: f64) -> Result<Self, VisionError> {
        Ok(Self {
            tracker: Tracker::new(rate_hz),
            detector: Detector::new(store)?,
            wider: Detector::new(store)?,
            upright: Alternatives::turned(store)?,
            analysis: *analysis,
        })
    }

    /// Measures the next picture.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn measure(&mut self, frame: &Frame) -> Result<FrameQuality, VisionError> {
        let Analysis { region, min_face_px, faces: which, .. } = self.analysis;
        let view = View::new(frame, region);
        let counted = largest(self.tracker.find(&mut self.detector, &view, min_face_px, which)?);
        // Below the counted size, so that a camera too far away differs from an empty room.
        let smallest = (min_face_px * 2 / 3).clamp(MIN_SMALLEST, MAX_SMALLEST);
        let mut seen = self.wider.search(&view, smallest)?;
        // Below the counted size, some detections are no faces.
        let counted_px = to_f32(min_face_px as usize);
        seen.retain(|face| face.bbox.longer_side() >= counted_px || face.score >= CERTAIN);
        let face = counted.or_else(|| largest(&seen));
        if face.is_some() {
            self.upright.forget();
        } else {
            self.upright.see(frame)?;
        }
        let whole = BBox { x1: 0.0, y1: 0.0, x2: to_f32(view.width), y2: to_f32(view.height) };
        let crop = Affine::onto(&face.unwrap_or(whole)).crop(&view, SIDE);
        Ok(FrameQuality {
            picture_width: frame.width(),
            width: view.width,
            height: view.height,
            light: mean(&crop),
            faces: seen.len().max(usize::from(face.is_some())),
            face: face.map(|bbox| FaceQuality { bbox, sharpness: sharpness(&crop) }),
            is_counted: counted.is_some(),
            turned: match self.upright.best() {
                Some(Alternative::Turned(rotation)) => Some(rotation),
                _ => None,
            },
        })
    }

    /// Drops the tracks: the next picture may show another scene.
    pub fn forget(&mut self) {
        self.tracker.forget();
        self.upright.forget();
    }
}

/// The box of the largest face.
fn largest(faces: &[Face]) -> Option<BBox> {
    faces.iter().map(|face| face.bbox).max_by(|a, b| a.area().total_cmp(&b.area()))
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / to_f32(values.len())
}

/// Root mean square of the Laplacian over the standard deviation of luma; 0 for a crop without any contrast.
fn sharpness(crop: &[f32]) -> f32 {
    let at = |x: usize, y: usize| crop[y * SIDE + x];
    let mut squares = Vec::with_capacity(SIDE * SIDE);
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let laplacian = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
            squares.push(laplacian * laplacian);
        }
    }
    let middle = mean(crop);
    let spread = crop.iter().map(|v| (v - middle) * (v - middle)).collect::<Vec<_>>();
    let spread = mean(&spread);
    if spread < 1.0 { 0.0 } else { (mean(&squares) / spread).sqrt() / 4.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::stills;
    use std::path::Path;

    fn portrait(width: usize) -> Frame {
        let portrait = stills::read(Path::new("../../tests/fixtures/portrait.png")).unwrap();
        portrait.scaled(width, width * portrait.height() / portrait.width())
    }

    fn quality(frame: &Frame) -> FrameQuality {
        let store = ModelStore::open(None).unwrap();
        QualityMeter::new(&store, &Analysis::default(), 2.0).unwrap().measure(frame).unwrap()
    }

    #[test]
    fn a_face_s_sharpness_differs_from_a_blurred_ones() {
        let sharp = quality(&portrait(400));
        // Out of focus: nothing finer than 5 pixels is left.
        let blurred = quality(&portrait(80).scaled(400, 400));
        let (sharp, blurred) = (sharp.face.unwrap(), blurred.face.unwrap());
        assert!(sharp.sharpness > 2.0 * blurred.sharpness);
    }
}
