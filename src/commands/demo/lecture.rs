//! The lecture of the demo: a portrait moves before a wall, nearer and farther, in changing light and under row noise of the
//! sensor, changes its expression, and is out of the picture for ten seconds of each minute.
//!
//! The portrait is NASA's of the astronaut Eileen Collins, in the public domain; the expressions are drawn (`assets/README.md`).

use crate::camera::{CameraError, Capture, Frame, FrameSource};
use crate::camera::{decode, synthetic};

const PORTRAIT: &[u8] = include_bytes!("../../../assets/portrait.jpg");

/// The drawn expressions, square tiles side by side.
const EXPRESSIONS: &[u8] = include_bytes!("../../../assets/expressions.jpg");

/// Where a tile belongs in the portrait, in pixels from the left and from the top.
const TILE_AT: (usize, usize) = (168, 56);

/// What the lecturer shows: seconds, and the tile. The script repeats itself after two minutes and a half.
const SCRIPT: [(u8, Tile); 17] = {
    use Tile::{Angry, Fear, Neutral, Sad, SlightSadness, SlightSmile, SlightSurprise, Smile, Surprise};
    [
        (12, Neutral),
        (6, SlightSmile),
        (4, Smile),
        (5, Neutral),
        (4, Surprise),
        (8, Neutral),
        (14, SlightSmile),
        (9, Neutral),
        (6, SlightSadness),
        (10, Neutral),
        (3, Angry),
        (9, Neutral),
        (10, Smile),
        (7, SlightSurprise),
        (3, Fear),
        (6, Sad),
        (34, Neutral),
    ]
};

/// The tiles in their order; the portrait itself smiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tile {
    Neutral,
    SlightSmile,
    SlightSurprise,
    Surprise,
    SlightSadness,
    Sad,
    Angry,
    Fear,
    Smile,
}

/// How many tiles are drawn.
const TILES: usize = Tile::Smile as usize;

/// A lecture without an end, the same each time.
pub(super) struct Lecture {
    /// The portrait with each tile, then as it is.
    portraits: Vec<Frame>,
    rate_hz: f64,
    tick: u32,
}

impl Lecture {
    /// A lecture seen `rate_hz` times a second.
    ///
    /// # Errors
    /// Never for the pictures that are part of the program.
    pub(super) fn new(rate_hz: f64) -> Result<Self, CameraError> {
        let picture = |bytes: &[u8]| {
            decode::mjpeg(bytes).map(Frame::into_rgb).ok_or_else(|| CameraError::Unusable {
                device: "the demo's lecture".to_owned(),
                problem: "a built-in picture is damaged".into(),
            })
        };
        let (portrait, tiles) = (picture(PORTRAIT)?, picture(EXPRESSIONS)?);
        let portraits = (0..=TILES).map(|tile| with_tile(&portrait, &tiles, tile)).collect();
        Ok(Self { portraits, rate_hz, tick: 0 })
    }
}

impl FrameSource for Lecture {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let seconds = f64::from(self.tick) / self.rate_hz;
        let mut frame = synthetic::scene(&self.portraits[tile_at(seconds) as usize], seconds);
        expose(&mut frame, synthetic::light(seconds), self.tick);
        self.tick = self.tick.wrapping_add(1);
        Ok(Capture::Frame(frame))
    }
}

/// What the script shows at this time.
fn tile_at(seconds: f64) -> Tile {
    let length = SCRIPT.iter().map(|(length, _)| f64::from(*length)).sum();
    let mut rest = seconds.rem_euclid(length);
    for (length, tile) in SCRIPT {
        rest -= f64::from(length);
        if rest < 0.0 {
            return tile;
        }
    }
    Tile::Neutral
}

/// The portrait with a drawn expression, or as it is where `tile` is none of them.
fn with_tile(portrait: &Frame, tiles: &Frame, tile: usize) -> Frame {
    let mut picture = Frame::black(portrait.width(), portrait.height());
    picture.rgb_mut().copy_from_slice(portrait.rgb());
    if tile < TILES {
        let (side, (left, top), width) = (tiles.height(), TILE_AT, portrait.width());
        for y in 0..side {
            let from = &tiles.row(y)[tile * side * 3..][..side * 3];
            picture.rgb_mut()[((top + y) * width + left) * 3..][..side * 3].copy_from_slice(from);
        }
    }
    picture
}

/// Multiplies by `light` and adds up to 8 levels of noise to each row, drawn from the tick (a linear congruential generator).
/// Through tables, because this crate is compiled without optimisation in the profile `dev`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 255")]
fn expose(frame: &mut Frame, light: f64, tick: u32) {
    let gain = (light * 256.0) as i32;
    let table = |noise: i32| -> [u8; 256] {
        std::array::from_fn(|value| {
            let value = i32::try_from(value).unwrap_or_default();
            (value * gain / 256 + noise).clamp(0, 255) as u8
        })
    };
    let tables: [_; 16] = std::array::from_fn(|noise| table(i32::try_from(noise).unwrap_or_default() - 8));
    let mut random = tick.wrapping_mul(2_654_435_761).wrapping_add(1);
    let bytes = frame.width() * 3;
    for row in frame.rgb_mut().chunks_exact_mut(bytes) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let table = &tables[(random >> 28) as usize];
        for value in row {
            *value = table[usize::from(*value)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lecture_moves_and_is_reproducible() {
        let mut lectures = [Lecture::new(2.0).unwrap(), Lecture::new(2.0).unwrap()];
        let mut last = Vec::new();
        for _ in 0..3 {
            let [a, b] = lectures.each_mut().map(|lecture| match lecture.next() {
                Ok(Capture::Frame(frame)) => frame.rgb().to_vec(),
                _ => panic!("no frame"),
            });
            assert_eq!(a, b);
            assert_ne!(a, last);
            last = a;
        }
    }

    #[test]
    fn each_tile_is_drawn_and_each_differs() {
        let lecture = Lecture::new(2.0).unwrap();
        assert_eq!(decode::mjpeg(EXPRESSIONS).unwrap().width() % TILES, 0);
        for (n, portrait) in lecture.portraits.iter().enumerate() {
            assert!(lecture.portraits[..n].iter().all(|other| other.rgb() != portrait.rgb()), "{n}");
        }
        let shown = |tile: Tile| SCRIPT.iter().any(|(_, other)| *other == tile);
        assert!(shown(Tile::Fear) && shown(Tile::Smile) && tile_at(0.0) == Tile::Neutral);
    }
}
