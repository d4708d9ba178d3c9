//! Candidate boxes: regression and non-maximum suppression, with the conventions of the original.

use crate::geometry::{BBox, Face};

/// A box that may be a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) bbox: BBox,
    /// Logit of being a face.
    pub(crate) logit: f32,
    /// Offsets of the four sides, in fractions of the box's width and height.
    pub(super) offsets: [f32; 4],
}

impl Candidate {
    /// What [`suppress`] compares.
    pub(super) fn key(&self) -> (f32, BBox) {
        (self.logit, self.bbox)
    }

    /// R-Net's input square for this proposal of P-Net.
    pub(super) fn proposed(&self) -> BBox {
        self.regressed(0.0).square()
    }

    /// O-Net's input square for this refinement of R-Net.
    pub(super) fn refined(&self) -> BBox {
        self.regressed(1.0).square()
    }

    /// Moves the sides by the offsets. The original counts pixels inclusively after the first stage, so that
    /// a box is `one` = 1 pixel wider than the difference of its sides; in the first stage `one` = 0.
    pub(super) fn regressed(&self, one: f32) -> BBox {
        let BBox { x1, y1, x2, y2 } = self.bbox;
        let (width, height) = (x2 - x1 + one, y2 - y1 + one);
        let [dx1, dy1, dx2, dy2] = self.offsets;
        BBox { x1: x1 + dx1 * width, y1: y1 + dy1 * height, x2: x2 + dx2 * width, y2: y2 + dy2 * height }
    }
}

/// What an overlap is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// The union of both boxes (IoU).
    Union,
    /// The smaller box, pixels counted inclusively: a small box within a large one is suppressed.
    Minimum,
}

/// Keeps the best of those that overlap by more than `threshold`, best first, and at most `most` of them.
///
/// In place, without an allocation.
pub(crate) fn suppress<T>(
    candidates: &mut Vec<T>,
    key: impl Fn(&T) -> (f32, BBox),
    overlap: Overlap,
    threshold: f32,
    most: usize,
) {
    candidates.sort_unstable_by(|a, b| key(b).0.total_cmp(&key(a).0));
    let mut kept = 0;
    for at in 0..candidates.len() {
        if kept == most {
            break;
        }
        let bbox = key(&candidates[at]).1;
        if candidates[..kept].iter().all(|other| overlap.of(&key(other).1, &bbox) <= threshold) {
            // What stood here was suppressed already.
            candidates.swap(kept, at);
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

/// Keeps the best of those that cover the same face, best first.
pub(super) fn distinct(faces: &mut Vec<Face>) {
    suppress(faces, |face| (face.score, face.bbox), Overlap::Minimum, 0.7, usize::MAX);
}

impl Overlap {
    pub(crate) fn of(self, a: &BBox, b: &BBox) -> f32 {
        let one = if self == Self::Minimum { 1.0 } else { 0.0 };
        let width = (a.x2.min(b.x2) - a.x1.max(b.x1) + one).max(0.0);
        let height = (a.y2.min(b.y2) - a.y1.max(b.y1) + one).max(0.0);
        let area = |c: &BBox| (c.width() + one) * (c.height() + one);
        let both = width * height;
        match self {
            Self::Union => both / (area(a) + area(b) - both),
            Self::Minimum => both / area(a).min(area(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox { x1, y1, x2, y2 }
    }

    #[test]
    fn union_keeps_a_contained_box_and_minimum_does_not() {
        let mut boxes = vec![(2.0, bbox(0.0, 0.0, 100.0, 100.0)), (1.0, bbox(10.0, 10.0, 50.0, 50.0))];
        suppress(&mut boxes, |b| *b, Overlap::Union, 0.7, 9);
        assert_eq!(boxes.len(), 2);
        suppress(&mut boxes, |b| *b, Overlap::Minimum, 0.7, 9);
        assert_eq!(boxes, [(2.0, bbox(0.0, 0.0, 100.0, 100.0))]);
    }

    #[test]
    fn the_best_come_first_and_the_limit_holds() {
        let mut boxes: Vec<_> = (0..5u8)
            .map(|i| (f32::from(i), bbox(f32::from(i) * 50.0, 0.0, f32::from(i) * 50.0 + 20.0, 20.0)))
            .collect();
        suppress(&mut boxes, |b| *b, Overlap::Union, 0.5, 3);
        assert_eq!(boxes.iter().map(|b| b.0).collect::<Vec<_>>(), [4.0, 3.0, 2.0]);
    }

    #[test]
    fn regression_moves_each_side_by_its_fraction() {
        let candidate =
            Candidate { bbox: bbox(10.0, 20.0, 29.0, 59.0), logit: 0.0, offsets: [0.1, 0.1, -0.1, 0.0] };
        assert_eq!(candidate.regressed(1.0), bbox(12.0, 24.0, 27.0, 59.0));
    }
}
