//! Which tiles of a large picture are looked at next: those where something moved soon, and all of them in turn.

use super::geometry::BBox;
use super::mtcnn::Tile;

/// Seconds in which all tiles are looked at.
const ALL: f64 = 9.0;

/// The most tiles of a frame that are looked at because something moved there.
const MOST_MOVED: usize = 5;

/// The same while a face is known.
const MOST_MOVED_KNOWN: usize = 2;

/// The most tiles of a frame that are looked at because it is their turn.
const MOST_IN_TURN: usize = 24;

/// The turns of the tiles of one picture.
#[derive(Default)]
pub(super) struct Sweep {
    turns: Vec<Turn>,
}

#[derive(Clone, Copy)]
struct Turn {
    /// Frames since it was looked at.
    age: u32,
    /// Whether something moved there since.
    moved: bool,
}

impl Sweep {
    /// Begins anew with so many tiles, none of which was looked at.
    pub(super) fn begin(&mut self, tiles: usize) {
        self.turns.clear();
        // Those at the beginning first.
        self.turns.extend(
            (0..tiles).rev().map(|at| Turn { age: u32::try_from(at).unwrap_or(u32::MAX), moved: false }),
        );
    }

    /// A frame has come, in which something moved in these places.
    pub(super) fn see(&mut self, tiles: &[Tile], moved: impl Iterator<Item = BBox> + Clone) {
        for (turn, tile) in self.turns.iter_mut().zip(tiles) {
            turn.age = turn.age.saturating_add(1);
            turn.moved = turn.moved || moved.clone().any(|place| tile.meets(&place));
        }
    }

    /// The tiles that this frame should look at, where `rate_hz` come in a second: some where something moved, and as many in turn
    /// as it takes to see all in [`ALL`] seconds. Tiles of smaller cells than `least_cell` are left out.
    pub(super) fn pick(
        &mut self,
        tiles: &[Tile],
        rate_hz: f64,
        is_known: bool,
        least_cell: f32,
        picked: &mut Vec<Tile>,
    ) {
        picked.clear();
        let in_turn = self.turns.len().div_ceil(whole((ALL * rate_hz).max(1.0))).min(MOST_IN_TURN);
        let moved = if is_known { MOST_MOVED_KNOWN } else { MOST_MOVED };
        for must_have_moved in std::iter::repeat_n(true, moved).chain(std::iter::repeat_n(false, in_turn)) {
            let eligible = self.turns.iter_mut().zip(tiles).filter(|(turn, tile)| {
                turn.age > 0 && tile.cell >= least_cell && (turn.moved || !must_have_moved)
            });
            if let Some((turn, tile)) = eligible.max_by_key(|(turn, _)| turn.age) {
                *turn = Turn { age: 0, moved: false };
                picked.push(*tile);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds of frames")]
fn whole(frames: f64) -> usize {
    frames as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    /// A row of tiles of 100 pixels, cells of 24.
    fn row(count: usize) -> Vec<Tile> {
        (0..count).map(|at| Tile::new(at * 100, 0, 100, 24.0)).collect()
    }

    fn place(at: f32) -> BBox {
        BBox { x1: at, y1: 10.0, x2: at + 5.0, y2: 15.0 }
    }

    fn looked_at(sweep: &mut Sweep, tiles: &[Tile], rate_hz: f64) -> Vec<usize> {
        let mut picked = Vec::new();
        sweep.pick(tiles, rate_hz, false, 0.0, &mut picked);
        picked.iter().map(|picked| tiles.iter().position(|tile| tile == picked).unwrap()).collect()
    }

    #[test]
    fn all_tiles_are_looked_at_within_ten_seconds_whatever_moves() {
        let tiles = row(90);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        let mut seen = vec![false; tiles.len()];
        for _ in 0..20 {
            // A screen that never rests.
            sweep.see(&tiles, (0..4_u8).map(|at| place(f32::from(at) * 100.0 + 50.0)));
            for at in looked_at(&mut sweep, &tiles, 2.0) {
                seen[at] = true;
            }
        }
        assert!(seen.iter().all(|seen| *seen), "{seen:?}");
    }

    #[test]
    fn where_something_moved_is_looked_at_first() {
        let tiles = row(90);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        for _ in 0..30 {
            sweep.see(&tiles, std::iter::empty());
            looked_at(&mut sweep, &tiles, 2.0);
        }
        sweep.see(&tiles, [place(4250.0)].into_iter());
        assert_eq!(looked_at(&mut sweep, &tiles, 2.0)[0], 42);
    }

    #[test]
    fn tiles_of_smaller_faces_than_wanted_are_left_out() {
        let tiles = row(3);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        sweep.see(&tiles, std::iter::empty());
        let mut picked = Vec::new();
        sweep.pick(&tiles, 2.0, false, 25.0, &mut picked);
        assert!(picked.is_empty());
        sweep.pick(&tiles, 2.0, false, 24.0, &mut picked);
        assert!(!picked.is_empty());
    }
}
