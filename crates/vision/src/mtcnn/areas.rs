//! P-Net's input of one run: a level of the pyramid, or a tile of a large level.
//!
//! P-Net sees faces of one size, so the picture is searched in several sizes, the levels of a pyramid. A small level is one area. A
//! level with more than [`MAX_LEVEL_PIXELS`] pixels is cut into tiles of one size, so that no single run costs more than the
//! budget of a frame can bear, and one plan serves all tiles of all pictures.

use super::resample::Cut;
use crate::geometry::{BBox, Point, View, to_f32, to_usize};
use crate::parameters::{MAX_LEVEL_PIXELS, NEAR_CELLS, PROPOSAL_WORK};

/// Side of a P-Net cell, and of the smallest face it sees, in pixels of a level.
pub(super) const CELL: usize = 12;

/// Side of a tile in pixels of its level.
pub(super) const TILE: usize = 128;

/// What neighbouring tiles share, in pixels of their level, so that each cell lies in one of them.
const SHARED: usize = CELL;

/// A rectangle of the picture at one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    /// In pixels of the picture.
    pub(super) cut: Cut,
    /// Width and height in pixels of the level.
    pub(super) size: (usize, usize),
    /// Pixels of the level for one of the picture's.
    pub(super) scale: f32,
    /// Whether it is a whole level.
    pub(super) is_level: bool,
}

impl Area {
    /// `side` pixels of the picture, shown as so many `pixels` of a level.
    fn tile(x: usize, y: usize, side: usize, pixels: usize) -> Self {
        let cut = Cut { x, y, width: side, height: side };
        Self { cut, size: (pixels, pixels), scale: to_f32(pixels) / to_f32(side), is_level: false }
    }

    /// Side of P-Net's cell in pixels of the picture: it finds faces of that size and some larger ones.
    pub(crate) fn cell(&self) -> f32 {
        to_f32(CELL) / self.scale
    }

    /// Pixels of the level.
    fn pixels(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// What P-Net costs there, in millions of instructions of a Cortex-A72.
    pub(crate) fn work(&self) -> f32 {
        PROPOSAL_WORK * to_f32(self.pixels())
    }

    /// Whether any of it lies in a rectangle of the picture.
    pub(crate) fn meets(&self, bbox: &BBox) -> bool {
        let Cut { x, y, width, height } = self.cut;
        to_f32(x) < bbox.x2
            && to_f32(x + width) > bbox.x1
            && to_f32(y) < bbox.y2
            && to_f32(y + height) > bbox.y1
    }
}

/// The levels of a picture of `width` x `height` for faces of `min_face_px` or more, each as one area; the largest level first.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a level is no larger than a picture, and boxes are computed in f32"
)]
pub(super) fn levels(
    width: usize,
    height: usize,
    min_face_px: u32,
    factor: f64,
) -> impl Iterator<Item = Area> {
    let [cell, across, down] = [CELL, width, height].map(|side| f64::from(to_f32(side)));
    let first = cell / f64::from(min_face_px.max(1));
    std::iter::successors(Some(first), move |scale| Some(scale * factor))
        .take_while(move |scale| across.min(down) * scale >= cell)
        .map(move |scale| Area {
            cut: Cut { x: 0, y: 0, width, height },
            size: ((across * scale + 1.0) as usize, (down * scale + 1.0) as usize),
            scale: scale as f32,
            is_level: true,
        })
}

/// The areas of one picture.
#[derive(Default)]
pub(super) struct Areas {
    /// Width and height of the picture for which they were made, and its smallest face.
    made_for: Option<(usize, usize, u32)>,
    /// The largest faces first; a level's tiles row by row.
    areas: Vec<Area>,
}

impl Areas {
    /// Plans the areas of this view, unless they are planned already; true where they are new.
    pub(super) fn plan(&mut self, view: &View<'_>, min_face_px: u32, factor: f64) -> bool {
        let requested = Some((view.width, view.height, min_face_px));
        if self.made_for == requested {
            return false;
        }
        self.made_for = requested;
        self.areas.clear();
        for level in levels(view.width, view.height, min_face_px, factor) {
            let side = to_usize((to_f32(TILE) / level.scale).round());
            // A level that is lower than a tile is narrow, so it may well be searched whole.
            if level.pixels() <= MAX_LEVEL_PIXELS || side > view.width.min(view.height) {
                self.areas.push(level);
                continue;
            }
            let shared = to_usize((to_f32(SHARED) / level.scale).ceil());
            // P-Net's stride: from there on a tile shows it the same pixels as the whole level.
            let step = to_usize((2.0 / level.scale).round()).max(1);
            for y in starts(view.height, side, shared, step) {
                self.areas
                    .extend(starts(view.width, side, shared, step).map(|x| Area::tile(x, y, side, TILE)));
            }
        }
        self.areas.sort_by(|a, b| b.cell().total_cmp(&a.cell()));
        true
    }

    pub(super) fn all(&self) -> &[Area] {
        &self.areas
    }

    /// The side of the smallest cell of a level that is searched whole, in pixels of the picture.
    pub(super) fn finest_level(&self) -> f32 {
        self.areas.iter().filter(|area| area.is_level).map(Area::cell).fold(f32::INFINITY, f32::min)
    }

    /// The areas in which P-Net sees a face of about this size at about this place: tiles around it, or levels where a tile would
    /// be larger than the picture. A tile has `pixels` x `pixels` of its level.
    pub(super) fn near(
        &self,
        view: &View<'_>,
        bbox: &BBox,
        pixels: usize,
    ) -> [Option<Area>; NEAR_CELLS.len()] {
        let (longest, Point { x, y }) = (bbox.longer_side(), bbox.middle());
        let (width, height) = (view.width, view.height);
        NEAR_CELLS.map(|part| {
            let cell = (part * longest).max(to_f32(CELL) / 4.0);
            let side = to_usize((to_f32(pixels) * cell / to_f32(CELL)).round());
            if side > width.min(height) {
                let off = |area: &Area| (area.cell() / cell).ln().abs();
                let levels = self.areas.iter().filter(|area| area.is_level);
                return levels.min_by(|a, b| off(a).total_cmp(&off(b))).copied();
            }
            let start = |middle: f32, length: usize| to_usize(middle - to_f32(side) / 2.0).min(length - side);
            Some(Area::tile(start(x, width), start(y, height), side, pixels))
        })
    }
}

/// The starts of tiles of `side`, so that they cover `length` and neighbours share `shared` or more: at multiples of `step`, except
/// the last.
fn starts(length: usize, side: usize, shared: usize, step: usize) -> impl Iterator<Item = usize> {
    let apart = (side - shared) / step * step;
    let count = length.saturating_sub(side).div_ceil(apart) + 1;
    (0..count).map(move |i| (i * apart).min(length - side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Region;
    use crate::camera::Frame;

    fn plan(width: usize, height: usize, smallest: u32) -> Areas {
        let frame = Frame::from_rgb(width, height, vec![0; width * height * 3]).unwrap();
        let mut areas = Areas::default();
        assert!(areas.plan(&View::new(&frame, Region::WHOLE), smallest, 0.709));
        areas
    }

    #[test]
    fn every_face_lies_in_an_area_of_its_size() {
        for (width, height, smallest) in
            [(320, 240, 60), (640, 480, 24), (1280, 720, 24), (1920, 1080, 24), (3840, 2160, 24)]
        {
            let areas = plan(width, height, smallest);
            for Area { scale, .. } in levels(width, height, smallest, 0.709) {
                let cell = to_f32(CELL) / scale;
                let level: Vec<_> =
                    areas.all().iter().filter(|area| (area.cell() / cell - 1.0).abs() < 0.01).collect();
                for x in (0..=width - to_usize(cell.ceil())).step_by(37) {
                    let lowest = height - to_usize(cell.ceil());
                    for y in [0, lowest / 3, lowest] {
                        let inside = level.iter().any(|Area { cut, .. }| {
                            let fits = |at: usize, from: usize, side: usize| {
                                at >= from && to_f32(at) + cell <= to_f32(from + side) + 1.0
                            };
                            fits(x, cut.x, cut.width) && fits(y, cut.y, cut.height)
                        });
                        assert!(inside, "{width}x{height}: a face of {cell} at {x}, {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn areas_near_a_place_stay_in_the_picture() {
        let frame = Frame::from_rgb(640, 480, vec![0; 640 * 480 * 3]).unwrap();
        let view = View::new(&frame, Region::WHOLE);
        let areas = plan(640, 480, 24);
        for (x, y, side) in
            [(-20.0, 0.0, 28.0), (600.0, 470.0, 28.0), (300.0, 200.0, 28.0), (100.0, 50.0, 300.0)]
        {
            let bbox = BBox { x1: x, y1: y, x2: x + side, y2: y + side };
            let near = areas.near(&view, &bbox, TILE / 2);
            assert!(near.iter().all(Option::is_some));
            for area in near.into_iter().flatten() {
                assert!(area.cut.x + area.cut.width <= 640 && area.cut.y + area.cut.height <= 480);
                assert!(area.meets(&bbox) && area.cell() < 1.4 * side && area.cell() > 0.5 * side);
            }
        }
    }
}
