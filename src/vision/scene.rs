//! What moved: the picture as 40 x 30 blocks of mean brightness, compared with those of the last search.
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
const LEAST_CHANGE: f32 = 4.0;

/// A block whose brightness changed by more (of 255) has changed: where half of the picture moves, what its blocks usually
/// differ by is no noise.
const MOST_NOISE: f32 = 12.0;

/// What a row's gain may be wrong by, because a camera's black is not 0: so many levels times the gain's distance from 1.
const BLACK: f32 = 24.0;

/// So many changed blocks are someone; a clock's hand or a lamp on a device is fewer.
const BLOCKS_CHANGED: usize = 3;

/// How far beside a known face its person may move, in widths of the face; downwards it is to the border.
const ASIDE: f32 = 2.0;

/// How far above a known face its person may move, in heights of the face.
const ABOVE: f32 = 1.0;

type Blocks = [f32; ACROSS * DOWN];

/// The blocks of this frame and of the last search.
pub(super) struct Scene {
    now: Blocks,
    last: Blocks,
    searched: Blocks,
    /// By how much each block has changed, in levels of 255.
    change: Blocks,
}

impl Default for Scene {
    fn default() -> Self {
        let empty = [0.0; ACROSS * DOWN];
        Self { now: empty, last: empty, searched: empty, change: empty }
    }
}

impl Drop for Scene {
    /// Coarse as they are, the blocks are a picture.
    fn drop(&mut self) {
        for blocks in [&mut self.now, &mut self.last, &mut self.searched, &mut self.change] {
            blocks.zeroize();
        }
    }
}

impl Scene {
    /// Reads a frame.
    pub(super) fn see(&mut self, view: &View<'_>) {
        self.last = self.now;
        for (down, row) in self.now.chunks_exact_mut(ACROSS).enumerate() {
            let (top, bottom) = (down * view.height / DOWN, (down + 1) * view.height / DOWN);
            let mut sums = [0u32; ACROSS];
            let mut rows = 0;
            for y in (top..bottom.max(top + 1)).step_by(EVERY_ROW) {
                let pixels = view.row(y.min(view.height - 1));
                for (across, sum) in sums.iter_mut().enumerate() {
                    let (left, right) = (across * view.width / ACROSS, (across + 1) * view.width / ACROSS);
                    *sum += pixels[left * 3..right * 3].iter().map(|value| u32::from(*value)).sum::<u32>();
                }
                rows += 1;
            }
            for (across, (block, sum)) in row.iter_mut().zip(sums).enumerate() {
                let width = (across + 1) * view.width / ACROSS - across * view.width / ACROSS;
                *block = to_f32(sum as usize) / (to_f32(rows * 3) * to_f32(width.max(1)));
            }
        }
    }

    /// Remembers this frame as the one that was searched.
    pub(super) fn searched(&mut self) {
        self.searched = self.now;
    }

    /// Where in the picture something moved since the last frame.
    pub(super) fn moved(&mut self, view: &View<'_>) -> impl Iterator<Item = BBox> + Clone {
        let threshold = difference(&self.now, &self.last, &mut self.change);
        let (width, height) = (view.width, view.height);
        let edge = |block: usize, side: usize, blocks: usize| to_f32(block * side / blocks);
        self.change.iter().enumerate().filter(move |(_, change)| **change > threshold).map(move |(at, _)| {
            let (across, down) = (at % ACROSS, at / ACROSS);
            BBox {
                x1: edge(across, width, ACROSS),
                y1: edge(down, height, DOWN),
                x2: edge(across + 1, width, ACROSS),
                y2: edge(down + 1, height, DOWN),
            }
        })
    }

    /// Whether this frame differs from the last one that was searched, away from the persons of `known` faces.
    pub(super) fn changed(&mut self, view: &View<'_>, known: impl Iterator<Item = BBox> + Clone) -> bool {
        let threshold = difference(&self.now, &self.searched, &mut self.change);
        let count = self.change.iter().enumerate().filter(|(at, change)| {
            **change > threshold && !known.clone().any(|bbox| belongs(view, *at, &bbox))
        });
        count.take(BLOCKS_CHANGED).count() == BLOCKS_CHANGED
    }
}

/// By how much each block of `now` differs from an `earlier` one, without what lamps and exposure do; and the difference above which
/// one has changed.
fn difference(now: &Blocks, earlier: &Blocks, change: &mut Blocks) -> f32 {
    let rows = now.chunks_exact(ACROSS).zip(earlier.chunks_exact(ACROSS));
    for ((now, earlier), change) in rows.zip(change.chunks_exact_mut(ACROSS)) {
        // Away from zero, so that black has a gain too.
        for ((now, earlier), gain) in now.iter().zip(earlier).zip(change.iter_mut()) {
            *gain = (now + 16.0) / (earlier + 16.0);
        }
        let gain = *change.select_nth_unstable_by(ACROSS / 2, f32::total_cmp).1;
        for ((now, earlier), change) in now.iter().zip(earlier).zip(change.iter_mut()) {
            *change = (now + 16.0 - gain * (earlier + 16.0)).abs() - BLACK * (gain - 1.0).abs();
        }
    }
    let mut sorted = *change;
    let noise = *sorted.select_nth_unstable_by(ACROSS * DOWN / 2, f32::total_cmp).1;
    (TIMES_NOISE * noise).clamp(LEAST_CHANGE, MOST_NOISE)
}

/// Whether the middle of block `at` may be the person with the face `bbox`.
fn belongs(view: &View<'_>, at: usize, bbox: &BBox) -> bool {
    let middle =
        |block: usize, side: usize, blocks: usize| (to_f32(block) + 0.5) * to_f32(side) / to_f32(blocks);
    let (x, y) = (middle(at % ACROSS, view.width, ACROSS), middle(at / ACROSS, view.height, DOWN));
    let aside = ASIDE * bbox.width();
    x > bbox.x1 - aside && x < bbox.x2 + aside && y > bbox.y1 - ABOVE * bbox.height()
}
