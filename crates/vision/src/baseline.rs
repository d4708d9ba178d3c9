//! The resting face of whoever is watched: what the network says of it while no emotion shows, taken off what it says later.
//!
//! Some faces look sad or amused while they rest. For each followed face a [`RestingFace`] keeps how far the network's 13 logits
//! lie from a resting face of the population, as a mean over time in which a second counts by its probability of neutral. That is
//! 14 numbers, which say how a face is classified and cannot tell whose it is. Form and constants were chosen in simulated
//! lectures (`models/training/person.py`; the model card has the figures).

use zeroize::Zeroize;

use super::classifier::{Logits, softmax};
use super::geometry::BBox;
use lectern_record::expression::Expression;

/// Seconds of a resting face that the population's counts for: how much must be seen before the person's own prevails.
const CAUTION_S: f32 = 3.0;

/// Seconds after which what was seen counts half.
const HALF_LIFE_S: f32 = 300.0;

/// The furthest that a logit is moved, so that whoever smiles all the time is not taken to rest. Neutral's is only ever lowered.
const FURTHEST: f32 = 3.0;

/// Seconds after which a face that is not seen is forgotten.
const FORGOTTEN_S: f32 = 120.0;

/// The furthest that the same face is expected from where it was seen last, in its sides, and the most that its side has
/// changed; otherwise it is another person's.
const SAME_STEP: f32 = 3.0;
const SAME_SIDE: f32 = 1.5;

/// How many faces are known at once: as many as are followed.
const MOST_FACES: usize = 32;

/// What is known of one resting face; overwritten when it is dropped.
#[derive(Debug, Default)]
pub struct RestingFace {
    /// How far the logits lay above the population's, times `seconds`.
    beyond: Logits,
    /// Seconds, each counted by its probability of neutral.
    seconds: f32,
}

impl RestingFace {
    /// Takes what is known of this face off the logits of a frame, then learns from the frame.
    ///
    /// `resting` has the population's logits, with a mean of 0; the frame stands for `seconds`.
    pub fn adapt(&mut self, logits: &mut Logits, resting: &Logits, seconds: f32) {
        let mean = logits.iter().sum::<f32>() / COUNT;
        let seen: Logits = std::array::from_fn(|kind| logits[kind] - mean - resting[kind]);
        for (kind, logit) in logits.iter_mut().enumerate() {
            let lowest = if kind == Expression::Neutral.index() { 0.0 } else { -FURTHEST };
            *logit -= (self.beyond[kind] / (self.seconds + CAUTION_S)).clamp(lowest, FURTHEST);
        }
        let neutral = softmax(*logits)[Expression::Neutral.index()];
        // The network may answer with no number.
        if !neutral.is_finite() {
            return;
        }
        let weight = neutral * seconds;
        let kept = (-seconds / HALF_LIFE_S).exp2();
        for (sum, seen) in self.beyond.iter_mut().zip(seen) {
            *sum = *sum * kept + seen * weight;
        }
        self.seconds = self.seconds * kept + weight;
    }
}

#[allow(clippy::cast_precision_loss, reason = "13")]
const COUNT: f32 = Expression::COUNT as f32;

impl Zeroize for RestingFace {
    fn zeroize(&mut self) {
        self.beyond.zeroize();
        self.seconds.zeroize();
    }
}

impl Drop for RestingFace {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// The resting faces of those who are followed, told apart by where they were seen last and by nothing else.
pub(super) struct RestingFaces {
    /// Never grows, so that no copy is left behind.
    known: Box<[Known]>,
    /// Whose each face of this frame is, by its number among `known`.
    given: Vec<Option<usize>>,
}

struct Known {
    face: RestingFace,
    place: BBox,
    /// Seconds since it was seen; infinite where no face is kept.
    away_s: f32,
}

impl Known {
    fn forget(&mut self) {
        self.face.zeroize();
        self.place = BBox { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 };
        self.away_s = f32::INFINITY;
    }

    /// How far a box is from where this face was, in its sides; none where it is another one's.
    fn step(&self, bbox: &BBox) -> Option<f32> {
        let (at, was_at) = (bbox.middle(), self.place.middle());
        let (side, was_side) = (bbox.longer_side(), self.place.longer_side());
        let step = (at.x - was_at.x).hypot(at.y - was_at.y) / was_side;
        let is_same = self.away_s.is_finite()
            && step < SAME_STEP
            && side < was_side * SAME_SIDE
            && was_side < side * SAME_SIDE;
        is_same.then_some(step)
    }
}

impl RestingFaces {
    pub(super) fn new() -> Self {
        let nobody = || Known {
            face: RestingFace::default(),
            place: BBox { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 },
            away_s: f32::INFINITY,
        };
        let known = std::iter::repeat_with(nobody).take(MOST_FACES).collect();
        Self { known, given: Vec::with_capacity(MOST_FACES) }
    }

    /// A frame has come, so many seconds after the one before.
    pub(super) fn pass(&mut self, seconds: f32) {
        for known in &mut self.known {
            known.away_s += seconds;
            if known.away_s > FORGOTTEN_S {
                known.forget();
            }
        }
    }

    /// Tells whose the faces of this frame are that have these boxes, after [`RestingFaces::pass`].
    ///
    /// The nearest go first, so that whoever comes does not take the resting face of whoever is there. The others are new.
    pub(super) fn assign(&mut self, boxes: impl ExactSizeIterator<Item = BBox> + Clone) {
        self.given.clear();
        self.given.resize(boxes.len(), None);
        loop {
            let left = boxes.clone().enumerate().filter(|(face, _)| self.given[*face].is_none());
            let pairs = left.flat_map(|(face, bbox)| {
                self.free().filter_map(move |(at, known)| Some((known.step(&bbox)?, at, face, bbox)))
            });
            let Some((_, at, face, bbox)) = pairs.min_by(|(a, ..), (b, ..)| a.total_cmp(b)) else { break };
            self.give(at, face, bbox);
        }
        for (face, bbox) in boxes.enumerate() {
            let longest_away = self.free().max_by(|(_, a), (_, b)| a.away_s.total_cmp(&b.away_s));
            if let (None, Some((at, _))) = (self.given[face], longest_away) {
                self.known[at].forget();
                self.give(at, face, bbox);
            }
        }
    }

    /// Those who have no box of this frame yet.
    fn free(&self) -> impl Iterator<Item = (usize, &Known)> {
        self.known.iter().enumerate().filter(|(_, known)| known.away_s > 0.0)
    }

    fn give(&mut self, at: usize, face: usize, bbox: BBox) {
        self.given[face] = Some(at);
        (self.known[at].place, self.known[at].away_s) = (bbox, 0.0);
    }

    /// The resting face of the face with this number; none where more are seen than can be known.
    pub(super) fn of(&mut self, face: usize) -> Option<&mut RestingFace> {
        let at = (*self.given.get(face)?)?;
        Some(&mut self.known[at].face)
    }

    /// Forgets everybody.
    pub(super) fn forget(&mut self) {
        self.known.iter_mut().for_each(Known::forget);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is not moved is the same number")]
mod tests {
    use super::*;

    use serde::Deserialize;

    const NOBODY: Logits = [0.0; Expression::COUNT];

    /// What `models/training/person.py --fixture` computes.
    #[derive(Deserialize)]
    struct Fixture {
        resting: Logits,
        seconds: f32,
        frames: Vec<[Logits; 2]>,
    }

    fn at(x: f32, side: f32) -> BBox {
        BBox { x1: x, y1: 10.0, x2: x + side, y2: 10.0 + side }
    }

    /// Logits of a face that rests, and looks sad.
    fn sad() -> Logits {
        let mut logits = NOBODY;
        (logits[0], logits[9]) = (4.0, 5.0);
        logits
    }

    fn watched(faces: &mut RestingFaces, bbox: &BBox, seconds: f32) -> Logits {
        let mut logits = sad();
        faces.pass(seconds);
        faces.assign([*bbox].into_iter());
        faces.of(0).unwrap().adapt(&mut logits, &NOBODY, seconds);
        logits
    }

    #[test]
    fn the_program_adapts_as_the_simulation_did() {
        let text = include_str!("../../../tests/fixtures/baseline.json");
        let fixture: Fixture = serde_json::from_str(text).unwrap();
        let mut face = RestingFace::default();
        for (number, [said, expected]) in fixture.frames.iter().enumerate() {
            let mut logits = *said;
            face.adapt(&mut logits, &fixture.resting, fixture.seconds);
            for (found, expected) in logits.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "frame {number}: {found} and not {expected}");
            }
        }
        assert!(fixture.frames.len() > 100 && face.seconds > 3.0);
    }

    #[test]
    fn no_logit_moves_further_than_the_limit_and_neutral_is_never_raised() {
        let mut face = RestingFace::default();
        let mut said = [-30.0; Expression::COUNT];
        (said[0], said[9]) = (60.0, 300.0);
        for _ in 0..10_000 {
            let mut logits = said;
            face.adapt(&mut logits, &NOBODY, 0.5);
            assert!(logits.iter().zip(said).all(|(now, before)| (now - before).abs() <= FURTHEST + 1e-3));
            assert!(logits[0] <= said[0]);
        }
        face.adapt(&mut [f32::NAN; Expression::COUNT], &NOBODY, 0.5);
        let mut logits = sad();
        face.adapt(&mut logits, &NOBODY, 0.5);
        assert!(logits.iter().all(|logit| logit.is_finite()), "one bad frame spoils what is known");
    }

    #[test]
    fn a_face_is_known_while_it_is_followed_and_forgotten_when_it_is_away_or_another() {
        let mut faces = RestingFaces::new();
        assert_eq!(watched(&mut faces, &at(100.0, 50.0), 0.5), sad(), "nothing is known at first");
        for _ in 0..600 {
            watched(&mut faces, &at(100.0, 50.0), 0.5);
        }
        let known = watched(&mut faces, &at(180.0, 60.0), 0.5);
        assert!(known[9] < sad()[9] - 2.0, "{known:?}");
        // Another place, another size: another person.
        assert_eq!(watched(&mut faces, &at(600.0, 60.0), 0.5), sad());
        assert_eq!(watched(&mut faces, &at(180.0, 120.0), 0.5), sad());
        // Away for a minute, and for three.
        faces.pass(60.0);
        assert!(watched(&mut faces, &at(180.0, 60.0), 0.5)[9] < sad()[9] - 2.0);
        faces.pass(180.0);
        assert_eq!(watched(&mut faces, &at(180.0, 60.0), 0.5), sad());
        faces.forget();
        assert!(faces.known.iter().all(|known| known.face.beyond == NOBODY && known.face.seconds == 0.0));
    }

    #[test]
    fn two_faces_of_a_frame_do_not_share_and_more_than_can_be_known_are_left_alone() {
        let mut faces = RestingFaces::new();
        faces.pass(0.5);
        faces.assign([at(100.0, 50.0); MOST_FACES + 1].into_iter());
        for number in 0..MOST_FACES {
            let mut logits = sad();
            faces.of(number).expect("one more").adapt(&mut logits, &NOBODY, 0.5);
            assert_eq!(logits, sad(), "face {number} is new");
        }
        assert!(faces.of(MOST_FACES).is_none());
    }

    #[test]
    fn who_comes_and_stands_nearby_does_not_take_the_resting_face_of_who_is_there() {
        let mut faces = RestingFaces::new();
        for _ in 0..600 {
            watched(&mut faces, &at(100.0, 50.0), 0.5);
        }
        faces.pass(0.5);
        // Told first, because the detector is surer of it.
        faces.assign([at(190.0, 50.0), at(101.0, 50.0)].into_iter());
        let [comes, stays] = [0, 1].map(|number| {
            let mut logits = sad();
            faces.of(number).unwrap().adapt(&mut logits, &NOBODY, 0.5);
            logits
        });
        assert_eq!(comes, sad());
        assert!(stays[9] < sad()[9] - 2.0, "{stays:?}");
    }
}
