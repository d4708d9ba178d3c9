//! What moved: the picture as 40 x 30 blocks of mean brightness, compared with those of the last search, and with those that were
//! looked at in parts.
//!
//! A face of the smallest size covers a dozen blocks. Brightness is compared row by row of blocks after taking out the
//! row's common gain, because lamps flicker, a rolling shutter turns that into stripes, and a camera corrects its
//! exposure; sensor noise is estimated from the blocks themselves.

use zeroize::Zeroize;

use super::geometry::{BBox, Point, View, to_f32};

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

/// Added to every block before its gain is reckoned, so that black has one too.
const ABOVE_ZERO: f32 = 16.0;

/// So many changed blocks are someone; a clock's hand or a lamp on a device is fewer.
const BLOCKS_CHANGED: usize = 3;

/// So many are somebody who moves where nothing did.
const BLOCKS_FRESH: usize = 2;

/// How far beside a known face its person may move, in widths of the face; downwards it is to the border.
const ASIDE: f32 = 2.0;

/// How far above a known face its person may move, in heights of the face.
const ABOVE: f32 = 1.0;

type Blocks = [f32; ACROSS * DOWN];

/// A row whose gain differs from 1 by more has new light, which stays: it is compared with itself from then on.
const NEW_LIGHT: f32 = 0.1;

/// The blocks of this frame and of earlier ones.
pub(super) struct Scene {
    now: Blocks,
    /// Each block as it was when it was told last that it had changed, in one light.
    told: Blocks,
    searched: Blocks,
    /// By how much each block has changed, in levels of 255.
    change: Blocks,
    /// Frames since each block was news last.
    quiet: [u32; ACROSS * DOWN],
    /// Which blocks are news after a quiet time.
    fresh: [bool; ACROSS * DOWN],
}

impl Default for Scene {
    fn default() -> Self {
        let empty = [0.0; ACROSS * DOWN];
        let (quiet, fresh) = ([0; ACROSS * DOWN], [false; ACROSS * DOWN]);
        Self { now: empty, told: empty, searched: empty, change: empty, quiet, fresh }
    }
}

impl Drop for Scene {
    /// Coarse as they are, the blocks are a picture.
    fn drop(&mut self) {
        for blocks in [&mut self.now, &mut self.told, &mut self.searched, &mut self.change] {
            blocks.zeroize();
        }
    }
}

impl Scene {
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

    /// Remembers this frame as the one that was searched.
    pub(super) fn searched(&mut self) {
        self.searched = self.now;
    }

    /// Begins anew. If news will be asked for, this frame is taken as known; otherwise no such frame is kept.
    pub(super) fn begin(&mut self, wants_news: bool) {
        self.told = if wants_news { self.now } else { [0.0; ACROSS * DOWN] };
    }

    /// Where in the picture something has changed since this was last said of the same place, however slowly, away from the person of
    /// a `known` face. What was news within the last `quiet` frames is not fresh ([`Scene::mover`]).
    pub(super) fn news(
        &mut self,
        view: &View<'_>,
        known: Option<BBox>,
        quiet: f64,
    ) -> impl Iterator<Item = BBox> + Clone {
        let (threshold, gains) = difference(&self.now, &self.told, &mut self.change);
        for (at, change) in self.change.iter().enumerate() {
            let gain = gains[at / ACROSS];
            if (gain - 1.0).abs() > NEW_LIGHT {
                self.told[at] = self.now[at];
            } else if *change > threshold {
                // In the light of its neighbours, which are still compared with what was told before.
                self.told[at] = (self.now[at] + ABOVE_ZERO) / gain - ABOVE_ZERO;
            }
        }
        let (width, height) = (view.width, view.height);
        let is_news = move |at: usize, change: f32| {
            change > threshold && !known.is_some_and(|bbox| belongs(width, height, at, &bbox))
        };
        for (at, change) in self.change.iter().enumerate() {
            self.fresh[at] = is_news(at, *change) && f64::from(self.quiet[at]) >= quiet;
            self.quiet[at] = if *change > threshold { 0 } else { self.quiet[at].saturating_add(1) };
        }
        let edge = |block: usize, side: usize, blocks: usize| to_f32(block * side / blocks);
        self.change.iter().enumerate().filter(move |(at, change)| is_news(*at, **change)).map(
            move |(at, _)| {
                let (across, down) = (at % ACROSS, at / ACROSS);
                BBox {
                    x1: edge(across, width, ACROSS),
                    y1: edge(down, height, DOWN),
                    x2: edge(across + 1, width, ACROSS),
                    y2: edge(down + 1, height, DOWN),
                }
            },
        )
    }

    /// Where most of the picture's fresh news is, within `across` of its width: the middle of its upper side. Somebody who walks is
    /// there, with the head up.
    pub(super) fn mover(&self, view: &View<'_>, across: usize) -> Option<Point> {
        let columns = (across * ACROSS / view.width).clamp(1, ACROSS);
        let fresh = |column: usize| (0..DOWN).filter(move |down| self.fresh[down * ACROSS + column]);
        let counts: [usize; ACROSS] = std::array::from_fn(|column| fresh(column).count());
        let (first, window) =
            counts.windows(columns).enumerate().max_by_key(|(_, counts)| counts.iter().sum::<usize>())?;
        let total: usize = window.iter().sum();
        if total < BLOCKS_FRESH {
            return None;
        }
        let top = (first..first + columns).flat_map(fresh).min()?;
        let middle =
            window.iter().zip(first..).map(|(count, column)| to_f32(count * (2 * column + 1))).sum::<f32>();
        Some(Point {
            x: middle / to_f32(2 * total) * to_f32(view.width) / to_f32(ACROSS),
            y: to_f32(top * view.height / DOWN),
        })
    }

    /// Whether this frame differs from the last one that was searched, away from the persons of `known` faces.
    pub(super) fn changed(&mut self, view: &View<'_>, known: impl Iterator<Item = BBox> + Clone) -> bool {
        let (threshold, _) = difference(&self.now, &self.searched, &mut self.change);
        let count = self.change.iter().enumerate().filter(|(at, change)| {
            **change > threshold && !known.clone().any(|bbox| belongs(view.width, view.height, *at, &bbox))
        });
        count.take(BLOCKS_CHANGED).count() == BLOCKS_CHANGED
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
    ((TIMES_NOISE * noise).clamp(LEAST_CHANGE, MOST_NOISE), gains)
}

/// Whether the middle of block `at` may be the person with the face `bbox`.
fn belongs(width: usize, height: usize, at: usize, bbox: &BBox) -> bool {
    let middle =
        |block: usize, side: usize, blocks: usize| (to_f32(block) + 0.5) * to_f32(side) / to_f32(blocks);
    let (x, y) = (middle(at % ACROSS, width, ACROSS), middle(at / ACROSS, height, DOWN));
    let aside = ASIDE * bbox.width();
    x > bbox.x1 - aside && x < bbox.x2 + aside && y > bbox.y1 - ABOVE * bbox.height()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Region;
    use crate::camera::Frame;

    const SIZE: (usize, usize) = (640, 480);

    /// A grey room with a screen that is bright or dark, and perhaps somebody 48 pixels wide, whose head is 160 pixels below the top.
    fn room(bright: bool, somebody_at: Option<usize>) -> Frame {
        let level = |x: usize, y: usize| match somebody_at {
            _ if x < 160 && y < 128 => 40 + 160 * u8::from(bright),
            Some(left) if (left..left + 48).contains(&x) && y >= 160 => 220,
            _ => 110,
        };
        let pixels = (0..SIZE.1).flat_map(|y| (0..SIZE.0).flat_map(move |x| [level(x, y); 3]));
        Frame::from_rgb(SIZE.0, SIZE.1, pixels.collect()).unwrap()
    }

    /// Sees a frame; where the mover is in it.
    fn see(scene: &mut Scene, frame: &Frame) -> Option<Point> {
        let view = View::new(frame, Region::WHOLE);
        scene.see(&view);
        scene.news(&view, None, 4.0).count();
        scene.mover(&view, 128)
    }

    #[test]
    fn who_comes_into_a_quiet_place_is_told_from_a_screen_that_never_rests() {
        let mut scene = Scene::default();
        let empty = room(false, None);
        scene.see(&View::new(&empty, Region::WHOLE));
        scene.begin(true);
        for number in 0..12 {
            let moves = see(&mut scene, &room(number % 2 == 0, None));
            assert!(number < 4 || moves.is_none(), "{moves:?} in frame {number}");
        }
        let Point { x, y } = see(&mut scene, &room(true, Some(400))).unwrap();
        assert!((x - 424.0).abs() <= 16.0 && (y - 160.0).abs() <= 16.0, "{x} {y}");
        // A step aside changes both places, of which the new one alone was quiet.
        let Point { x, .. } = see(&mut scene, &room(false, Some(448))).unwrap();
        assert!((x - 472.0).abs() <= 16.0, "{x}");
        // Whoever stands still is no news.
        assert!(see(&mut scene, &room(true, Some(448))).is_none());
    }

    #[test]
    fn what_changes_at_the_person_of_a_known_face_is_no_news() {
        let mut scene = Scene::default();
        let empty = room(false, None);
        let view = View::new(&empty, Region::WHOLE);
        scene.see(&view);
        scene.begin(true);
        let somebody = room(false, Some(400));
        let view = View::new(&somebody, Region::WHOLE);
        scene.see(&view);
        let face = BBox { x1: 400.0, y1: 160.0, x2: 448.0, y2: 220.0 };
        assert_eq!(scene.news(&view, Some(face), 0.0).count(), 0);
        // It was told, although nobody heard of it; nobody's coming is news.
        scene.see(&View::new(&empty, Region::WHOLE));
        assert!(scene.news(&view, None, 0.0).count() > 20);
    }
}
