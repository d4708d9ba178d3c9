//! A track, and when two boxes are of one face.

use super::geometry::{BBox, Face, Point, View, to_f32};
use super::mtcnn::Overlap;
use super::parameters::{CONTAINED, MAX_STEP, SAME_FACE};

/// What following adds to a face.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follow {
    /// The track's number, from 1.
    pub(super) track: u32,
    /// The share of the box that lay beyond the picture.
    pub(super) outside: f32,
}

/// A face that is followed, or was until it was lost.
pub(super) struct Track {
    pub(super) face: Face,
    pub(super) follow: Follow,
    /// Frames since a search has found it, and its area when it was first followed after that: the boxes of both differ a little.
    pub(super) age: u32,
    pub(super) area: Option<f32>,
    /// Frames since it was lost.
    pub(super) lost: Option<u32>,
    /// How far it has moved since the frame before.
    pub(super) step: Option<Point>,
}

/// Whether two boxes are of one face.
pub(super) fn is_same(a: &BBox, b: &BBox) -> bool {
    Overlap::Union.of(a, b) > SAME_FACE || Overlap::Minimum.of(a, b) > CONTAINED
}

/// Whether a face may be one that was lost there.
pub(super) fn is_near(lost: &BBox, face: &BBox) -> bool {
    step(lost, face).is_some()
}

/// The face with its box clipped to the picture, and the share of it that lay beyond.
pub(super) fn within(view: &View<'_>, mut face: Face) -> (Face, f32) {
    let area = face.bbox.area();
    let BBox { x1, y1, x2, y2 } = face.bbox;
    let (width, height) = (to_f32(view.width), to_f32(view.height));
    face.bbox = BBox { x1: x1.max(0.0), y1: y1.max(0.0), x2: x2.min(width), y2: y2.min(height) };
    let outside = 1.0 - face.bbox.area() / area.max(f32::MIN_POSITIVE);
    (face, outside.max(0.0))
}

/// How far a face has moved from one frame to the next; none where it must be another one's.
pub(super) fn step(before: &BBox, now: &BBox) -> Option<Point> {
    let (before_at, now_at) = (before.middle(), now.middle());
    let step = Point { x: now_at.x - before_at.x, y: now_at.y - before_at.y };
    (step.x.hypot(step.y) < MAX_STEP * before.longer_side()).then_some(step)
}
