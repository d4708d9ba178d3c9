//! What a technician needs to know of a picture without seeing it: where the largest face is, light, blur.
//!
//! A [`Look`] is a handful of numbers; no picture can be made of them.

use super::analysis::{Analysis, Region};
use super::error::VisionError;
use super::geometry::{Affine, BBox, View, to_f32};
use super::models::ModelStore;
use super::mtcnn::{CERTAIN, Detector};
use crate::camera::Frame;

/// The most that the smallest face has that is looked for, in pixels: it is smaller than any that is counted, so that a camera
/// too far away can be told from an empty room.
const MOST_SMALLEST: u32 = 24;

/// The least: P-Net sees no smaller ones.
const LEAST_SMALLEST: u32 = 12;

/// Side of the crop that is measured, in pixels: that of the classifier's input, so that blur which it cannot see
/// does not count.
const SIDE: usize = 48;

/// What was seen in one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Width of the whole picture, in pixels.
    pub picture_width: usize,
    /// Width of the part that is looked at, in pixels.
    pub width: usize,
    /// Its height in pixels.
    pub height: usize,
    /// Mean luma from 0 to 255: of the largest face, or of the whole part where none was found.
    pub light: f32,
    /// How many faces were found.
    pub faces: usize,
    /// The largest of them.
    pub face: Option<FaceLook>,
}

/// The largest face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceLook {
    /// Its box within the part that is looked at, in pixels.
    pub bbox: BBox,
    /// Strength of the finest details against that of all, at the classifier's size: some 0.2 and more for a sharp
    /// face, less where it is out of focus or moves.
    pub sharpness: f32,
}

/// Looks at single pictures.
pub struct Looker {
    detector: Detector,
    region: Region,
    /// The smallest face that is counted, in pixels.
    counted: f32,
    /// The smallest one that is looked for.
    smallest: u32,
}

impl Looker {
    /// Loads the detector of `store`; looks at the part of each picture that is analysed, for smaller faces than are counted
    /// too.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a file is missing, damaged, or not what this version expects.
    pub fn new(store: &ModelStore, analysis: &Analysis) -> Result<Self, VisionError> {
        let Analysis { region, min_face_px, .. } = *analysis;
        Ok(Self {
            detector: Detector::new(store)?,
            region,
            counted: to_f32(min_face_px as usize),
            smallest: (min_face_px * 2 / 3).clamp(LEAST_SMALLEST, MOST_SMALLEST),
        })
    }

    /// Measures one picture.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn look(&mut self, frame: &Frame) -> Result<Look, VisionError> {
        let view = View::new(frame, self.region);
        let mut faces = self.detector.search(&view, self.smallest)?;
        // Below the size that is counted some things look like a face.
        faces.retain(|face| face.bbox.longer_side() >= self.counted || face.score >= CERTAIN);
        let largest = faces.iter().max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area()));
        let whole = BBox { x1: 0.0, y1: 0.0, x2: to_f32(view.width), y2: to_f32(view.height) };
        let crop = Affine::onto(&largest.map_or(whole, |face| face.bbox)).crop(&view, SIDE);
        Ok(Look {
            picture_width: frame.width(),
            width: view.width,
            height: view.height,
            light: mean(&crop),
            faces: faces.len(),
            face: largest.map(|face| FaceLook { bbox: face.bbox, sharpness: sharpness(&crop) }),
        })
    }
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

    fn look(frame: &Frame) -> Look {
        let store = ModelStore::open(None).unwrap();
        Looker::new(&store, &Analysis::default()).unwrap().look(frame).unwrap()
    }

    #[test]
    fn a_face_is_measured_and_a_blurred_one_is_told_from_a_sharp_one() {
        let sharp = look(&portrait(400));
        // Out of focus: nothing finer than 5 pixels is left.
        let blurred = look(&portrait(80).scaled(400, 400));
        let (sharp, blurred) = (sharp.face.unwrap(), blurred.face.unwrap());
        assert!(sharp.sharpness > 2.0 * blurred.sharpness);
    }
}
