//! The fine levels of the pyramid in tiles of one size, because small faces in a large picture are many pixels to look at.
//!
//! Levels with no more than [`MOST_PIXELS`] pixels are searched whole (`pyramid`). Those above, where the smallest faces are, are cut
//! into tiles; a frame looks at a few of them (`sweep`), so that what it costs does not grow with the picture. One plan
//! serves all tiles of all pictures.

use super::pyramid::CELL;
use super::resample::Cut;
use crate::geometry::{BBox, Point, View, to_f32, to_usize};

/// Side of a tile in pixels of its level.
pub(super) const SIDE: usize = 128;

/// What neighbouring tiles share, in pixels of their level, so that each cell lies in one of them.
const SHARED: usize = CELL;

/// The most pixels of the largest level that is searched whole: for 640x480 those of a smallest face of 48 px.
const MOST_PIXELS: f32 = 20_000.0;

/// Cells for a face whose place is about known, in parts of its longer side: P-Net sees faces of one to 1.4 cells.
const AROUND: [f32; 3] = [0.85, 0.72, 1.0];

/// So many of the finest levels are looked at below something that moves.
pub(super) const BELOW: usize = 2;

/// A square of the picture, to be looked at in one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tile {
    pub(super) cut: Cut,
    /// Side of P-Net's cell in pixels of the picture.
    pub(crate) cell: f32,
}

impl Tile {
    /// A square of `side` pixels with its upper left corner at `x`, `y`, for faces of about `cell` pixels.
    pub(crate) fn new(x: usize, y: usize, side: usize, cell: f32) -> Self {
        Self { cut: Cut { x, y, width: side, height: side }, cell }
    }

    /// How many pixels of the picture it is wide and high.
    pub(super) fn side(&self) -> usize {
        self.cut.width
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

/// The tiles of one picture.
#[derive(Default)]
pub(super) struct Tiles {
    /// Width and height of the picture for which they were made, and its smallest face.
    made_for: Option<(usize, usize, u32)>,
    /// The finest level first, row by row.
    tiles: Vec<Tile>,
    /// The smallest face of the levels that are searched whole.
    coarse: u32,
}

impl Tiles {
    /// Plans the tiles for this view, unless its size is the last one's; true where it is another.
    pub(super) fn plan(&mut self, view: &View<'_>, min_face_px: u32, factor: f32) -> bool {
        let wanted = Some((view.width, view.height, min_face_px));
        if self.made_for == wanted {
            return false;
        }
        self.made_for = wanted;
        self.tiles.clear();
        let (width, height) = (to_f32(view.width), to_f32(view.height));
        let mut cell = to_f32(min_face_px.max(1) as usize);
        loop {
            let scale = to_f32(CELL) / cell;
            let side = to_usize((to_f32(SIDE) / scale).round());
            // A level that is lower than a tile is narrow, so that it may well be searched whole.
            if width * height * scale * scale <= MOST_PIXELS || side > view.width.min(view.height) {
                break;
            }
            let shared = to_usize((to_f32(SHARED) / scale).ceil());
            for y in starts(view.height, side, shared) {
                for x in starts(view.width, side, shared) {
                    self.tiles.push(Tile::new(x, y, side, cell));
                }
            }
            cell /= factor;
        }
        self.coarse = if self.tiles.is_empty() {
            min_face_px
        } else {
            u32::try_from(to_usize(cell.ceil())).unwrap_or(u32::MAX)
        };
        true
    }

    pub(super) fn all(&self) -> &[Tile] {
        &self.tiles
    }

    /// The smallest face of the levels that are searched whole, in pixels.
    pub(super) fn coarse(&self) -> u32 {
        self.coarse
    }
}

/// The tiles of the finest levels for what is below a point, one of each size.
pub(super) fn below(tiles: &[Tile], view: &View<'_>, point: Point) -> [Option<Tile>; BELOW] {
    let mut levels = tiles.chunk_by(|a, b| a.cut.width == b.cut.width).map(|level| {
        let Tile { cut: Cut { width: side, .. }, cell } = level[0];
        let start = |from: f32, length: usize| to_usize(from).min(length - side);
        let (x, y) = (point.x - to_f32(side) / 2.0, point.y - to_f32(side) / 4.0);
        Tile::new(start(x, view.width), start(y, view.height), side, cell)
    });
    std::array::from_fn(|_| levels.next())
}

/// The tiles around a place where a face of about this size should be.
pub(super) fn around(view: &View<'_>, bbox: &BBox) -> impl Iterator<Item = Tile> {
    let (longest, limit) = (bbox.longer_side(), view.width.min(view.height));
    let Point { x, y } = bbox.middle();
    let (width, height) = (view.width, view.height);
    AROUND.into_iter().filter_map(move |part| {
        let cell = part * longest;
        let side = to_usize((to_f32(SIDE) * cell / to_f32(CELL)).round());
        let start = |middle: f32, length: usize| to_usize(middle - to_f32(side) / 2.0).min(length - side);
        (side >= SIDE / 4 && side <= limit).then(|| Tile::new(start(x, width), start(y, height), side, cell))
    })
}

/// Where tiles of `side` begin, so that they cover `length` and neighbours share `shared`.
fn starts(length: usize, side: usize, shared: usize) -> impl Iterator<Item = usize> {
    let count = length.saturating_sub(shared).div_ceil(side - shared).max(1);
    (0..count).map(move |i| i * (length - side) / (count - 1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Region;
    use crate::camera::Frame;

    fn plan(width: usize, height: usize, smallest: u32) -> Tiles {
        let frame = Frame::from_rgb(width, height, vec![0; width * height * 3]).unwrap();
        let mut tiles = Tiles::default();
        assert!(tiles.plan(&View::new(&frame, Region::WHOLE), smallest, 0.709));
        tiles
    }

    #[test]
    fn a_small_picture_has_no_tiles() {
        let tiles = plan(640, 480, 60);
        assert!(tiles.all().is_empty());
        assert_eq!(tiles.coarse(), 60);
    }

    #[test]
    fn every_face_lies_in_a_tile_of_its_size() {
        for (width, height) in [(640, 480), (1280, 720), (1920, 1080), (3840, 2160)] {
            let tiles = plan(width, height, 24);
            assert!(tiles.coarse() > 24);
            let mut cell: f32 = 24.0;
            while cell < to_f32(tiles.coarse() as usize) / 1.01 {
                let level: Vec<_> =
                    tiles.all().iter().filter(|tile| (tile.cell - cell).abs() < 0.1).collect();
                for x in (0..=width - to_usize(cell.ceil())).step_by(37) {
                    for y in [0, height / 3, height - to_usize(cell.ceil())] {
                        let inside = level.iter().any(|Tile { cut, .. }| {
                            let fits = |at: usize, from: usize, side: usize| {
                                at >= from && to_f32(at) + cell <= to_f32(from + side) + 1.0
                            };
                            fits(x, cut.x, cut.width) && fits(y, cut.y, cut.height)
                        });
                        assert!(inside, "{width}x{height}: a face of {cell} at {x}, {y}");
                    }
                }
                cell /= 0.709;
            }
        }
    }

    #[test]
    fn tiles_around_a_place_stay_in_the_picture() {
        let frame = Frame::from_rgb(640, 480, vec![0; 640 * 480 * 3]).unwrap();
        let view = View::new(&frame, Region::WHOLE);
        for (x, y) in [(-20.0, 0.0), (600.0, 470.0), (300.0, 200.0)] {
            let bbox = BBox { x1: x, y1: y, x2: x + 28.0, y2: y + 32.0 };
            for tile in around(&view, &bbox) {
                assert!(tile.cut.x + tile.cut.width <= 640 && tile.cut.y + tile.cut.height <= 480);
                assert!(tile.meets(&bbox));
            }
            assert_eq!(around(&view, &bbox).count(), AROUND.len());
        }
    }
}
