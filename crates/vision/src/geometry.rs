//! Points, boxes and the similarity that maps a face onto the classifier's framing. Units are pixels.

use std::ops::Range;

use zeroize::Zeroizing;

use super::analysis::Region;
use crate::camera::{BLACK, Frame, LUMA, Pixels, Planes};

/// A point; pixel (0, 0) covers the square from (0, 0) to (1, 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Distance from the picture's left side.
    pub x: f32,
    /// Distance from the picture's top; grows downwards.
    pub y: f32,
}

/// An axis-parallel box from its top left to its bottom right corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BBox {
    /// `x` of the left side; negative where the box begins outside the picture.
    pub x1: f32,
    /// `y` of the upper side.
    pub y1: f32,
    /// `x` of the right side.
    pub x2: f32,
    /// `y` of the lower side.
    pub y2: f32,
}

impl BBox {
    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.x2 - self.x1
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.y2 - self.y1
    }

    /// Area in square pixels.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Width or height, whichever is more, in pixels.
    #[must_use]
    pub fn longer_side(&self) -> f32 {
        self.width().max(self.height())
    }

    /// The centre.
    #[must_use]
    pub fn middle(&self) -> Point {
        Point { x: (self.x1 + self.x2) / 2.0, y: (self.y1 + self.y2) / 2.0 }
    }

    /// The square with the same centre whose side is the longer one.
    #[must_use]
    pub fn square(&self) -> Self {
        let side = self.longer_side();
        let x1 = self.x1 + self.width() * 0.5 - side * 0.5;
        let y1 = self.y1 + self.height() * 0.5 - side * 0.5;
        Self { x1, y1, x2: x1 + side, y2: y1 + side }
    }

    /// The same box elsewhere.
    #[must_use]
    pub fn moved(&self, by: Point) -> Self {
        Self { x1: self.x1 + by.x, y1: self.y1 + by.y, x2: self.x2 + by.x, y2: self.y2 + by.y }
    }

    /// The box with the same centre and `factor` times the sides.
    #[must_use]
    pub fn grown(&self, factor: f32) -> Self {
        let (dx, dy) = (self.width() * (factor - 1.0) / 2.0, self.height() * (factor - 1.0) / 2.0);
        Self { x1: self.x1 - dx, y1: self.y1 - dy, x2: self.x2 + dx, y2: self.y2 + dy }
    }
}

/// A found face: its box, its probability, and its eyes, nose and mouth corners, those at the left of the
/// picture first.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// Where it is.
    pub bbox: BBox,
    /// Probability that it is a face, from 0 to 1.
    pub score: f32,
    /// Left eye, right eye, nose, left and right corner of the mouth.
    pub landmarks: [Point; 5],
}

/// How many pixels a region covers of a picture of `width` x `height`; at least one each way.
#[must_use]
pub fn size_of(region: Region, width: u32, height: u32) -> (u32, u32) {
    let covered = |from, to, side: u32| {
        let (_, length) = span(from, to, side as usize);
        u32::try_from(length).unwrap_or(side)
    };
    let [left, top, right, bottom] = region.edges();
    (covered(left, right, width), covered(top, bottom, height))
}

/// Start and length in pixels of a part of a side; at least one pixel long.
fn span(from: f32, to: f32, side: usize) -> (usize, usize) {
    let start = to_usize((from * to_f32(side)).floor()).min(side - 1);
    (start, to_usize((to * to_f32(side)).ceil()).clamp(start + 1, side) - start)
}

/// A number of pixels, or what the levels of some add up to.
#[expect(
    clippy::cast_precision_loss,
    reason = "pictures' sides and crops are far below 2^24, up to which an f32 is exact; a larger sum is rounded once"
)]
#[inline]
#[must_use]
pub fn to_f32(pixels: usize) -> f32 {
    pixels as f32
}

/// A length without its fraction; 0 for a negative one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
#[inline]
pub(super) fn to_usize(length: f32) -> usize {
    length as usize
}

/// A rectangle of a frame, addressed by its own coordinates.
#[derive(Clone, Copy)]
pub struct View<'a> {
    frame: &'a Frame,
    left: usize,
    top: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl<'a> View<'a> {
    /// The part of `frame` that `region` covers; at least one pixel.
    #[must_use]
    pub fn new(frame: &'a Frame, region: Region) -> Self {
        let [left, top, right, bottom] = region.edges();
        let (left, width) = span(left, right, frame.width());
        let (top, height) = span(top, bottom, frame.height());
        Self { frame, left, top, width, height }
    }

    /// Where its top left corner lies in the frame, in whole pixels from the left and from the top.
    #[must_use]
    pub fn origin(&self) -> (f32, f32) {
        (to_f32(self.left), to_f32(self.top))
    }

    /// The samples of the whole frame, and where the view begins in them: columns and rows.
    pub(super) fn pixels(&self) -> (Pixels<'a>, usize, usize) {
        (self.frame.pixels(), self.left, self.top)
    }

    /// The width of the whole frame in pixels.
    pub(super) fn frame_width(&self) -> usize {
        self.frame.width()
    }

    /// The mean brightness of a part of a row, from 0 to 255.
    pub(super) fn brightness(&self, y: usize, columns: Range<usize>) -> f32 {
        let (from, count) = (self.left + columns.start, columns.len());
        let sum = |samples: &[u8]| to_f32(samples.iter().map(|sample| usize::from(*sample)).sum());
        let row = self.top + y;
        match self.frame.pixels() {
            Pixels::Rgb(rgb) => {
                sum(&rgb[(row * self.frame.width() + from) * 3..][..count * 3]) / to_f32(count * 3)
            }
            Pixels::Planes(Planes { luma, .. }) => {
                let mean = sum(&luma[row * self.frame.width() + from..][..count]) / to_f32(count);
                (mean - BLACK) * LUMA
            }
        }
    }

    /// Luma (ITU-R BT.601) from 0 to 255 between pixels by bilinear interpolation; outside, the border goes on.
    fn luma_at(&self, at: Point) -> f32 {
        let x = (at.x - 0.5).clamp(0.0, to_f32(self.width - 1));
        let y = (at.y - 0.5).clamp(0.0, to_f32(self.height - 1));
        let (left, top) = (to_usize(x), to_usize(y));
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (fx, fy) = (x - to_f32(left), y - to_f32(top));
        let mix = |row: usize| self.luma(left, row) * (1.0 - fx) + self.luma(right, row) * fx;
        mix(top) * (1.0 - fy) + mix(bottom) * fy
    }

    /// The luma of one pixel, from 0 to 255.
    fn luma(&self, x: usize, y: usize) -> f32 {
        let at = (self.top + y) * self.frame.width() + self.left + x;
        match self.frame.pixels() {
            Pixels::Rgb(rgb) => {
                let [r, g, b] = [rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2]].map(f32::from);
                0.299 * r + 0.587 * g + 0.114 * b
            }
            Pixels::Planes(Planes { luma, .. }) => ((f32::from(luma[at]) - BLACK) * LUMA).clamp(0.0, 255.0),
        }
    }
}

/// An affine map from crop to picture: `x' = a x + b y + c`, `y' = d x + e y + f`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    a: f32,
    b: f32,
    c: f32,
    d: f32,
    e: f32,
    f: f32,
}

impl Affine {
    /// Stretches a unit square onto `width` x `height` pixels.
    #[must_use]
    pub fn stretch(width: usize, height: usize) -> Self {
        Self { a: to_f32(width), b: 0.0, c: 0.0, d: 0.0, e: to_f32(height), f: 0.0 }
    }

    /// Stretches a unit square onto a box.
    #[must_use]
    pub fn onto(bbox: &BBox) -> Self {
        Self { a: bbox.width(), b: 0.0, c: bbox.x1, d: 0.0, e: bbox.height(), f: bbox.y1 }
    }

    /// The similarity (rotation, scale, shift) that maps `from` onto `to` with the least squared error
    /// (Umeyama 1991, without reflection).
    #[must_use]
    pub fn similarity(from: &[Point; 5], to: &[Point; 5]) -> Self {
        let mean = |points: &[Point; 5]| Point {
            x: points.iter().map(|p| p.x).sum::<f32>() / 5.0,
            y: points.iter().map(|p| p.y).sum::<f32>() / 5.0,
        };
        let (mean_from, mean_to) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p.x - mean_from.x, p.y - mean_from.y);
            let (qx, qy) = (q.x - mean_to.x, q.y - mean_to.y);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (a, d) = (dot / spread, cross / spread);
        Self {
            a,
            b: -d,
            c: mean_to.x - a * mean_from.x + d * mean_from.y,
            d,
            e: a,
            f: mean_to.y - d * mean_from.x - a * mean_from.y,
        }
    }

    /// The image of a point.
    #[must_use]
    pub fn apply(&self, p: Point) -> Point {
        Point { x: self.a * p.x + self.b * p.y + self.c, y: self.d * p.x + self.e * p.y + self.f }
    }

    /// The crop of `size` x `size` luma values, 0 to 255, whose unit square this map sends into `view`.
    ///
    /// Where the crop has fewer pixels than the picture, each is the mean of as many samples as it covers.
    #[must_use]
    pub fn crop(&self, view: &View<'_>, size: usize) -> Zeroizing<Vec<f32>> {
        let mut crop = Zeroizing::new(Vec::new());
        self.crop_into(view, size, &mut crop);
        crop
    }

    /// [`Affine::crop`] into a buffer that is kept.
    pub fn crop_into(&self, view: &View<'_>, size: usize, crop: &mut Vec<f32>) {
        let step = 1.0 / to_f32(size);
        let samples = |dx: f32, dy: f32| to_usize((dx.hypot(dy) * step).round()).clamp(1, 32);
        let (across, down) = (samples(self.a, self.d), samples(self.b, self.e));
        let share = 1.0 / to_f32(across * down);
        // Reserved at once: a growing vector would leave copies of its pixels in memory.
        crop.clear();
        crop.reserve(size * size);
        for row in 0..size {
            for column in 0..size {
                let mut sum = 0.0;
                for v in 0..down {
                    for u in 0..across {
                        let x = (to_f32(column) + (to_f32(u) + 0.5) / to_f32(across)) * step;
                        let y = (to_f32(row) + (to_f32(v) + 0.5) / to_f32(down)) * step;
                        sum += view.luma_at(self.apply(Point { x, y }));
                    }
                }
                crop.push(sum * share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: [(f32, f32); 5]) -> [Point; 5] {
        values.map(|(x, y)| Point { x, y })
    }

    #[test]
    fn a_similarity_is_found_again() {
        let from = points([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]);
        let (scale, angle) = (80.0f32, 0.3f32);
        let to = from.map(|p| Point {
            x: scale * (angle.cos() * p.x - angle.sin() * p.y) + 100.0,
            y: scale * (angle.sin() * p.x + angle.cos() * p.y) + 50.0,
        });
        let map = Affine::similarity(&from, &to);
        for (p, q) in from.iter().zip(&to) {
            let found = map.apply(*p);
            assert!((found.x - q.x).abs() < 1e-3 && (found.y - q.y).abs() < 1e-3);
        }
    }

    #[test]
    fn a_crop_of_its_own_size_is_the_picture() {
        let rgb = (0..4 * 4).flat_map(|i| [i * 10; 3]).collect();
        let frame = Frame::from_rgb(4, 4, rgb).unwrap();
        let crop = Affine::stretch(4, 4).crop(&View::new(&frame, Region::WHOLE), 4);
        for (i, value) in (0u8..).zip(crop.iter()) {
            assert!((value - f32::from(i) * 10.0).abs() < 1e-3);
        }
    }

    #[test]
    fn a_smaller_crop_is_the_mean() {
        let rgb = (0..64).flat_map(|i| if i % 2 == 0 { [0; 3] } else { [200; 3] }).collect();
        let frame = Frame::from_rgb(8, 8, rgb).unwrap();
        let crop = Affine::stretch(8, 8).crop(&View::new(&frame, Region::WHOLE), 2);
        assert!(crop.iter().all(|v| (v - 100.0).abs() < 1e-3), "{crop:?}");
    }

    #[test]
    fn a_region_outside_the_picture_is_refused() {
        assert!(Region::new([0.0, 0.0, 1.1, 1.0]).is_none());
        assert!(Region::new([0.5, 0.0, 0.5, 1.0]).is_none());
        assert!(Region::new([f32::NAN, 0.0, 1.0, 1.0]).is_none());
        let frame = Frame::black(640, 480);
        let view = View::new(&frame, Region::new([0.25, 0.5, 0.75, 1.0]).unwrap());
        assert_eq!((view.width, view.height), (320, 240));
    }
}
