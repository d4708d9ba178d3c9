//! What moved: the picture as 40 x 30 blocks of mean brightness, each compared with what it was when it was reported as changed
//! last.
//!
//! A face of the smallest size covers a dozen blocks. Brightness is compared row by row of blocks after taking out the
//! row's common gain, because lamps flicker, a rolling shutter turns that into stripes, and a camera corrects its
//! exposure; sensor noise is estimated from the blocks themselves.

use zeroize::Zeroize;

use super::geometry::{BBox, View, to_f32};

/// Blocks in a row.
const ACROSS: usize = 40;

/// Rows of blocks.
const DOWN: usize = 30;

/// Only each so many rows of pixels are read: the mean of a block needs no more.
const EVERY_ROW: usize = 4;

/// A block has changed when its brightness did by so many times what the blocks of this picture usually differ by.
const TIMES_NOISE: f32 = 6.0;

/// A block whose brightness changed by less (of 255) has not changed, however quiet the picture is.
const MIN_CHANGE: f32 = 4.0;

/// A block whose brightness changed by more (of 255) has changed: where half of the picture moves, what its blocks usually
/// differ by is no noise.
const MAX_NOISE: f32 = 12.0;

/// What a row's gain may be wrong by, because a camera's black is not 0: so many levels times the gain's distance from 1.
const BLACK: f32 = 24.0;

/// Added to every block before its gain is reckoned, so that black has one too.
const ABOVE_ZERO: f32 = 16.0;

/// So many adjacent changed blocks may be a person; a clock's hand, a lamp on a device and noise are fewer.
const CLUSTER: usize = 3;

/// How far beside a tracked face its person may move, in widths of the face; downwards it is to the border.
const ASIDE: f32 = 2.0;

/// How far above a tracked face its person may move, in heights of the face.
const ABOVE: f32 = 1.0;

type Blocks = [f32; ACROSS * DOWN];

/// A row whose gain differs from 1 by more has new light, which stays: it is compared with itself from then on.
const NEW_LIGHT: f32 = 0.1;

/// The blocks of this frame and of earlier ones.
pub(super) struct Motion {
    now: Blocks,
    /// Each block as it was when it was reported as changed last, in one light.
    reference: Blocks,
    /// By how much each block has changed, in levels of 255.
    change: Blocks,
    /// Frames since each block changed last.
    quiet: [u32; ACROSS * DOWN],
}

impl Default for Motion {
    fn default() -> Self {
        let empty = [0.0; ACROSS * DOWN];
        Self { now: empty, reference: empty, change: empty, quiet: [0; ACROSS * DOWN] }
    }
}

impl Drop for Motion {
    /// Coarse as they are, the blocks are a picture.
    fn drop(&mut self) {
        for blocks in [&mut self.now, &mut self.reference, &mut self.change] {
            blocks.zeroize();
        }
    }
}

impl Motion {
    /// Reads a frame.
    pub(super) fn see(&mut self, view: &View<'_>) {
        for (down, row) in self.now.chunks_exact_mut(ACROSS).enumerate() {
            let (top, bottom) = (down * view.height / DOWN, (down + 1) * view.height / DOWN);
            let rows = (top..bottom.max(top + 1)).step_by(EVERY_ROW).map(|y| y.min(view.height - 1));
            row.fill(0.0);
            for y in rows.clone() {
                for (across, block) in row.iter_mut().enumerate() {
                    let (left, right) = (across * view.width / ACROSS, (across + 1) * view.width / ACROSS);
                    if left < right {
                        *block += view.brightness(y, left..right);
                    }
                }
            }
            let count = to_f32(rows.len());
            row.iter_mut().for_each(|block| *block /= count);
        }
    }

    /// Resets the reference to this frame.
    pub(super) fn begin(&mut self) {
        self.reference = self.now;
        self.quiet = [0; ACROSS * DOWN];
    }

    /// The blocks that have changed since they were last reported, however slowly, except those of the person of a `tracked` face;
    /// and whether each was quiet for `quiet` frames before.
    pub(super) fn changed(
        &mut self,
        view: &View<'_>,
        tracked: Option<BBox>,
        quiet: f64,
    ) -> impl Iterator<Item = (BBox, bool)> + Clone {
        let (threshold, gains) = difference(&self.now, &self.reference, &mut self.change);
        let (width, height) = (view.width, view.height);
        let exceeds: [bool; ACROSS * DOWN] = std::array::from_fn(|at| self.change[at] > threshold);
        for at in 0..ACROSS * DOWN {
            let (gain, is_changed) = (gains[at / ACROSS], exceeds[at] && is_cluster(&exceeds, at));
            if (gain - 1.0).abs() > NEW_LIGHT {
                self.reference[at] = self.now[at];
            } else if is_changed {
                // In the light of its neighbours, which are still compared with what was reported before.
                self.reference[at] = (self.now[at] + ABOVE_ZERO) / gain - ABOVE_ZERO;
            }
            // From here on the sign encodes whether the block was quiet.
            self.change[at] =
                match is_changed && !tracked.is_some_and(|bbox| belongs(width, height, at, &bbox)) {
                    false => 0.0,
                    true if f64::from(self.quiet[at]) >= quiet => 1.0,
                    true => -1.0,
                };
            self.quiet[at] = if is_changed { 0 } else { self.quiet[at].saturating_add(1) };
        }
        let edge = |block: usize, side: usize, blocks: usize| to_f32(block * side / blocks);
        self.change.iter().enumerate().filter(|(_, change)| **change != 0.0).map(move |(at, change)| {
            let (across, down) = (at % ACROSS, at / ACROSS);
            let bbox = BBox {
                x1: edge(across, width, ACROSS),
                y1: edge(down, height, DOWN),
                x2: edge(across + 1, width, ACROSS),
                y2: edge(down + 1, height, DOWN),
            };
            (bbox, *change > 0.0)
        })
    }
}

/// By how much each block of `now` differs from an `earlier` one, without what lamps and exposure do; the difference above which
/// one has changed, and each row's gain.
fn difference(now: &Blocks, earlier: &Blocks, change: &mut Blocks) -> (f32, [f32; DOWN]) {
    let mut gains = [1.0; DOWN];
    let rows =
        now.chunks_exact(ACROSS).zip(earlier.chunks_exact(ACROSS)).zip(change.chunks_exact_mut(ACROSS));
    for (((now, earlier), change), gain) in rows.zip(&mut gains) {
        for ((now, earlier), gain) in now.iter().zip(earlier).zip(change.iter_mut()) {
            *gain = (now + ABOVE_ZERO) / (earlier + ABOVE_ZERO);
        }
        *gain = *change.select_nth_unstable_by(ACROSS / 2, f32::total_cmp).1;
        for ((now, earlier), change) in now.iter().zip(earlier).zip(change.iter_mut()) {
            *change = (now + ABOVE_ZERO - *gain * (earlier + ABOVE_ZERO)).abs() - BLACK * (*gain - 1.0).abs();
        }
    }
    let mut sorted = *change;
    let noise = *sorted.select_nth_unstable_by(ACROSS * DOWN / 2, f32::total_cmp).1;
    ((TIMES_NOISE * noise).clamp(MIN_CHANGE, MAX_NOISE), gains)
}

/// Whether block `at` and its neighbours have changed: noise changes single ones, and a reference from such an outlier
/// would differ again in the next frame.
fn is_cluster(exceeds: &[bool; ACROSS * DOWN], at: usize) -> bool {
    let (across, down) = (at % ACROSS, at / ACROSS);
    let rows = down.saturating_sub(1)..=(down + 1).min(DOWN - 1);
    let columns = across.saturating_sub(1)..=(across + 1).min(ACROSS - 1);
    let blocks = rows.flat_map(|row| columns.clone().map(move |column| row * ACROSS + column));
    blocks.filter(|block| exceeds[*block]).count() >= CLUSTER
}

/// Whether any of block `at` may be the person with the face `bbox`.
fn belongs(width: usize, height: usize, at: usize, bbox: &BBox) -> bool {
    let edge = |block: usize, side: usize, blocks: usize| to_f32(block * side / blocks);
    let (left, right) = (edge(at % ACROSS, width, ACROSS), edge(at % ACROSS + 1, width, ACROSS));
    let aside = ASIDE * bbox.width();
    right > bbox.x1 - aside
        && left < bbox.x2 + aside
        && edge(at / ACROSS + 1, height, DOWN) > bbox.y1 - ABOVE * bbox.height()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Region;
    use crate::camera::Frame;

    const SIZE: (usize, usize) = (640, 480);

    /// A grey room with a screen that is bright or dark, and perhaps a person 48 pixels wide from 160 pixels below the top.
    fn room(bright: bool, person_at: Option<usize>) -> Frame {
        let level = |x: usize, y: usize| match person_at {
            _ if x < 160 && y < 128 => 40 + 160 * u8::from(bright),
            Some(left) if (left..left + 48).contains(&x) && y >= 160 => 220,
            _ => 110,
        };
        let pixels = (0..SIZE.1).flat_map(|y| (0..SIZE.0).flat_map(move |x| [level(x, y); 3]));
        Frame::from_rgb(SIZE.0, SIZE.1, pixels.collect()).unwrap()
    }

    /// What is fresh in a frame, and what is not.
    fn see(motion: &mut Motion, frame: &Frame, tracked: Option<BBox>) -> [Vec<BBox>; 2] {
        let view = View::new(frame, Region::WHOLE);
        motion.see(&view);
        let changed: Vec<_> = motion.changed(&view, tracked, 4.0).collect();
        [true, false].map(|is_fresh| {
            changed.iter().filter(|(_, fresh)| *fresh == is_fresh).map(|(bbox, _)| *bbox).collect()
        })
    }

    fn begun() -> Motion {
        let mut motion = Motion::default();
        let empty = room(false, None);
        motion.see(&View::new(&empty, Region::WHOLE));
        motion.begin();
        motion
    }

    #[test]
    fn a_person_entering_differs_from_a_restless_screen() {
        let mut motion = begun();
        for number in 0..12 {
            let [fresh, _] = see(&mut motion, &room(number % 2 == 0, None), None);
            assert!(number < 5 || fresh.is_empty(), "{fresh:?} in frame {number}");
        }
        let is_at = |blocks: &[BBox], left: f32| {
            blocks.iter().all(|b| b.x2 > left && b.x1 < left + 48.0 && b.y1 >= 144.0)
        };
        let [fresh, other] = see(&mut motion, &room(true, Some(400)), None);
        assert!(fresh.len() > 20 && is_at(&fresh, 400.0), "{fresh:?}");
        assert!(other.iter().all(|block| block.x2 <= 160.0), "{other:?}");
        // A step aside changes both places, of which the new one alone was quiet.
        let [fresh, _] = see(&mut motion, &room(false, Some(448)), None);
        assert!(fresh.len() > 20 && is_at(&fresh, 448.0), "{fresh:?}");
        // Who stands still changes nothing.
        assert!(see(&mut motion, &room(true, Some(448)), None)[0].is_empty());
    }

    #[test]
    fn changes_at_a_tracked_person_are_not_reported() {
        let mut motion = begun();
        let face = BBox { x1: 400.0, y1: 160.0, x2: 448.0, y2: 220.0 };
        assert_eq!(see(&mut motion, &room(false, Some(400)), Some(face)), [vec![], vec![]]);
        // Going away is.
        let [fresh, other] = see(&mut motion, &room(false, None), None);
        assert!(fresh.len() + other.len() > 20);
    }
}
