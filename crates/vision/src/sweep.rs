//! Which tiles of a large picture are looked at next: those where something changed soon, and all of them in turn.
//!
//! A face that comes changes the picture, so that what has not changed since it was looked at need not be looked at again, but for
//! the faces that nobody saw come: too much like the wall behind them, or turned away until now.

use super::geometry::BBox;
use super::mtcnn::Tile;

/// Seconds in which all tiles are looked at, whatever has changed.
const ALL: f64 = 30.0;

/// The most tiles of a frame that are looked at because something changed there; and while a face is known, those of a new picture
/// included.
const MOST_CHANGED: usize = 3;
const MOST_CHANGED_KNOWN: usize = 1;

/// The most tiles of a frame that are looked at while some of a new picture never were.
const MOST_UNSEEN: usize = 5;

/// The turns of the tiles of one picture.
#[derive(Default)]
pub(super) struct Sweep {
    turns: Vec<Turn>,
    /// How many tiles may still be looked at in this frame because something changed, or because they never were.
    wanted_left: usize,
    /// The same for those whose turn it is, with what earlier frames have left over.
    in_turn_left: f64,
}

#[derive(Clone, Copy)]
struct Turn {
    /// Frames since it was looked at.
    age: u32,
    why: Why,
}

/// Why a tile should be looked at, the weakest reason first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Only because its turn comes.
    Turn,
    /// Something changed there.
    Changed,
    /// It never was.
    Unseen,
}

impl Sweep {
    /// Begins anew with so many tiles, none of which was looked at.
    pub(super) fn begin(&mut self, tiles: usize) {
        self.turns.clear();
        // Those at the beginning first.
        self.turns.extend(
            (0..tiles).rev().map(|at| Turn { age: u32::try_from(at).unwrap_or(u32::MAX), why: Why::Unseen }),
        );
        self.in_turn_left = 0.0;
    }

    /// A frame has come, in which something has changed in these places; `rate_hz` come in a second, and a face is known or not.
    pub(super) fn see(
        &mut self,
        tiles: &[Tile],
        changed: impl Iterator<Item = BBox> + Clone,
        rate_hz: f64,
        is_known: bool,
    ) {
        for (turn, tile) in self.turns.iter_mut().zip(tiles) {
            turn.age = turn.age.saturating_add(1);
            if turn.why == Why::Turn && changed.clone().any(|place| tile.meets(&place)) {
                turn.why = Why::Changed;
            }
        }
        self.in_turn_left = self.in_turn_left.fract() + to_f64(self.turns.len()) / (ALL * rate_hz).max(1.0);
        self.wanted_left = match is_known {
            true => MOST_CHANGED_KNOWN,
            false if self.turns.iter().any(|turn| turn.why == Why::Unseen) => MOST_UNSEEN,
            false => MOST_CHANGED,
        };
    }

    /// The next tile that this frame should look at; those of smaller cells than `least_cell` are left out.
    pub(super) fn next(&mut self, tiles: &[Tile], least_cell: f32) -> Option<Tile> {
        let eligible = |(turn, tile): &(&mut Turn, &Tile)| turn.age > 0 && tile.cell >= least_cell;
        let wanted = |(turn, _): &(&mut Turn, &Tile)| turn.why > Why::Turn && self.wanted_left > 0;
        let turns = self.turns.iter_mut().zip(tiles).filter(eligible);
        let (turn, tile) = match turns.filter(wanted).max_by_key(|(turn, _)| (turn.why, turn.age)) {
            Some(picked) => {
                self.wanted_left -= 1;
                picked
            }
            None if self.in_turn_left >= 1.0 => {
                self.in_turn_left -= 1.0;
                self.turns.iter_mut().zip(tiles).filter(eligible).max_by_key(|(turn, _)| turn.age)?
            }
            None => return None,
        };
        *turn = Turn { age: 0, why: Why::Turn };
        Some(*tile)
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundreds of tiles")]
fn to_f64(tiles: usize) -> f64 {
    tiles as f64
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

    fn looked_at(sweep: &mut Sweep, tiles: &[Tile]) -> Vec<usize> {
        std::iter::from_fn(|| sweep.next(tiles, 0.0))
            .map(|picked| tiles.iter().position(|tile| *tile == picked).unwrap())
            .collect()
    }

    #[test]
    fn a_new_picture_is_seen_within_ten_seconds_and_again_every_thirty_whatever_moves() {
        let tiles = row(90);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        for frames in [20, 60, 60] {
            let mut seen = vec![false; tiles.len()];
            for _ in 0..frames {
                // Screens that never rest.
                let screens = (0..20).map(|at| place(f32::from(at * 100_u16) + 50.0));
                sweep.see(&tiles, screens, 2.0, false);
                let looked_at = looked_at(&mut sweep, &tiles);
                assert!(looked_at.len() <= MOST_UNSEEN + 2, "{looked_at:?}");
                for at in looked_at {
                    seen[at] = true;
                }
            }
            assert!(seen.iter().all(|seen| *seen), "{seen:?}");
        }
    }

    #[test]
    fn where_something_changed_is_looked_at_first_and_once() {
        let tiles = row(90);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        for _ in 0..30 {
            sweep.see(&tiles, std::iter::empty(), 2.0, false);
            looked_at(&mut sweep, &tiles);
        }
        sweep.see(&tiles, [place(4250.0)].into_iter(), 2.0, false);
        assert_eq!(looked_at(&mut sweep, &tiles)[0], 42);
        sweep.see(&tiles, std::iter::empty(), 2.0, false);
        assert!(!looked_at(&mut sweep, &tiles).contains(&42));
    }

    #[test]
    fn tiles_of_smaller_faces_than_wanted_are_left_out() {
        let tiles = row(3);
        let mut sweep = Sweep::default();
        sweep.begin(tiles.len());
        sweep.see(&tiles, std::iter::empty(), 2.0, false);
        assert!(sweep.next(&tiles, 25.0).is_none());
        assert!(sweep.next(&tiles, 24.0).is_some());
    }
}
