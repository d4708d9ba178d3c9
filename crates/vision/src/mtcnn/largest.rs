//! The search for the largest face alone: a policy by which most of the cascade's work is left out.
//!
//! It goes from the smallest level of the pyramid, where the largest faces are, to the largest, and no further than where a
//! face larger than the one found could still be. O-Net looks at no candidate that cannot be larger than a face found already,
//! and again at a face only where R-Net is surer of it.

use super::boxes::{Candidate, Overlap};
use super::cascade::Cascade;
use crate::error::VisionError;
use crate::geometry::{BBox, Face, View};

/// The most candidates that R-Net and O-Net look at: a crowd costs little more than one face.
const MOST_CANDIDATES: [usize; 2] = [128, 20];

/// The longer side of the largest face that P-Net proposes, in sides of its cell. It was trained on cells that overlap a face
/// by .65 (IoU) and more: a face as wide as high that holds its cell is 1 / sqrt(.65) as long.
const LARGEST_IN_CELL: f32 = 1.25;

/// P-Net's boxes are rough: one with less than so much of the area of the largest face found is a smaller face.
const LEAST_OF_LARGEST: f32 = 0.5;

/// A candidate that overlaps one in which a face was found by more (IoU) is the same face.
const SAME_FACE: f32 = 0.5;

/// What one search has found so far.
#[derive(Default)]
pub(super) struct Largest {
    /// The candidates in which a face was found; kept from one search to the next, so that none allocates.
    found: Vec<Candidate>,
}

impl Largest {
    /// Searches the view for its largest face of `min_face_px` or more, which alone is in `faces` afterwards.
    pub(super) fn search(
        &mut self,
        cascade: &mut Cascade,
        view: &View<'_>,
        min_face_px: u32,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        faces.clear();
        self.found.clear();
        let [mut most, mut looks_left] = MOST_CANDIDATES;
        for level in (0..cascade.levels(view, min_face_px)?).rev() {
            let longest = faces.first().map_or(0.0, |face| face.bbox.longer_side());
            if LARGEST_IN_CELL * cascade.cell_side(level) < longest || most == 0 || looks_left == 0 {
                break;
            }
            cascade.candidates.clear();
            cascade.propose(level, view)?;
            cascade.select(most);
            most -= cascade.candidates.len();
            let least = LEAST_OF_LARGEST * faces.first().map_or(0.0, |face| face.bbox.area());
            cascade.candidates.retain(|candidate| candidate.bbox.area() >= least);
            cascade.refine(view)?;
            for at in 0..cascade.candidates.len() {
                if looks_left > 0 && cascade.work_left > 0.0 {
                    let candidate = cascade.candidates[at];
                    looks_left -= usize::from(self.look(cascade, view, candidate, faces)?);
                }
            }
        }
        cascade.wipe();
        Ok(())
    }

    /// O-Net on a candidate that may hold the largest face, or a better view of one that was found already; false where a
    /// look would be in vain. The largest face so far is the one in `faces`.
    fn look(
        &mut self,
        cascade: &mut Cascade,
        view: &View<'_>,
        candidate: Candidate,
        faces: &mut Vec<Face>,
    ) -> Result<bool, VisionError> {
        let same = |bbox: &BBox, other: &BBox| Overlap::Union.of(bbox, other) > SAME_FACE;
        let known = self.found.iter().position(|found| same(&found.bbox, &candidate.bbox));
        let largest = faces.first().map_or(0.0, |face| face.bbox.area());
        let in_vain = match known {
            Some(known) => {
                candidate.logit <= self.found[known].logit
                    || faces.first().is_some_and(|largest| !same(&largest.bbox.square(), &candidate.bbox))
            }
            None => candidate.bbox.area() < largest,
        };
        if in_vain {
            return Ok(false);
        }
        let Some(face) = cascade.finish(view, &candidate.bbox)? else { return Ok(true) };
        match known {
            Some(known) => self.found[known] = candidate,
            None => self.found.push(candidate),
        }
        let better = known.is_some() && faces.first().is_some_and(|largest| same(&largest.bbox, &face.bbox));
        if better || face.bbox.area() > largest {
            faces.clear();
            faces.push(face);
        }
        Ok(true)
    }
}
