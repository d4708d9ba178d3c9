//! The neutral baseline of each followed person: the network's logits for the resting face, subtracted from later logits.
//!
//! Some faces look sad or amused while they rest. A [`NeutralBaseline`] keeps the offsets of the network's 13 logits from those of
//! the population's neutral faces, as a mean over time weighted by the probability of neutral. These 14 numbers describe how a face
//! is classified and cannot identify a person. Form and constants were chosen in simulated lectures
//! (`models/training/selection/simulate_lectures.py`; the model card has the figures).

use zeroize::Zeroize;

use super::classifier::{Logits, softmax};
use super::geometry::BBox;
use lectern_record::expression::Expression;

/// Weight of the population's baseline in seconds: a person's own prevails after so many seconds of neutral.
const PRIOR_S: f32 = 3.0;

/// Half-life of an observation, in seconds.
const HALF_LIFE_S: f32 = 300.0;

/// The limit of a logit's correction, so that a person who always smiles is not classified as neutral. Neutral's logit is
/// never raised.
const MAX_OFFSET: f32 = 3.0;

/// Seconds after which the baseline of an absent face is dropped.
const FORGOTTEN_S: f32 = 120.0;

/// The limits within which a face is the same person's: its distance from the last position, in sides of the box, and the
/// ratio of the sides.
const SAME_STEP: f32 = 3.0;
const SAME_SIDE: f32 = 1.5;

/// The most baselines at a time: as many as faces are tracked.
const MAX_FACES: usize = 32;

/// The baseline of one face; overwritten when it is dropped.
#[derive(Debug, Default)]
pub struct NeutralBaseline {
    /// Mean offset of the logits from the population's, times `seconds`.
    offsets: Logits,
    /// Observed seconds, weighted by the probability of neutral.
    seconds: f32,
}

impl NeutralBaseline {
    /// Subtracts the baseline from a frame's logits, then updates the baseline with the frame.
    ///
    /// `resting` has the population's logits, with a mean of 0; the frame represents `seconds`.
    pub fn adapt(&mut self, logits: &mut Logits, resting: &Logits, seconds: f32) {
        let mean = logits.iter().sum::<f32>() / COUNT;
        let seen: Logits = std::array::from_fn(|kind| logits[kind] - mean - resting[kind]);
        for (kind, logit) in logits.iter_mut().enumerate() {
            let lowest = if kind == Expression::Neutral.index() { 0.0 } else { -MAX_OFFSET };
            *logit -= (self.offsets[kind] / (self.seconds + PRIOR_S)).clamp(lowest, MAX_OFFSET);
        }
        let neutral = softmax(*logits)[Expression::Neutral.index()];
        // The network's output may be NaN.
        if !neutral.is_finite() {
            return;
        }
        let weight = neutral * seconds;
        let kept = (-seconds / HALF_LIFE_S).exp2();
        for (sum, seen) in self.offsets.iter_mut().zip(seen) {
            *sum = *sum * kept + seen * weight;
        }
        self.seconds = self.seconds * kept + weight;
    }
}

#[allow(clippy::cast_precision_loss, reason = "13")]
const COUNT: f32 = Expression::COUNT as f32;

impl Zeroize for NeutralBaseline {
    fn zeroize(&mut self) {
        self.offsets.zeroize();
        self.seconds.zeroize();
    }
}

impl Drop for NeutralBaseline {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// The baselines of all tracked faces, matched only by their last positions.
pub(super) struct NeutralBaselines {
    /// Never grows, because a reallocation would leave a copy in memory.
    entries: Box<[Entry]>,
    /// The entry of each face of this frame, by its index in `entries`.
    assigned: Vec<Option<usize>>,
}

struct Entry {
    baseline: NeutralBaseline,
    place: BBox,
    /// Seconds since the face was last seen; infinite for a free entry.
    away_s: f32,
}

impl Entry {
    fn forget(&mut self) {
        self.baseline.zeroize();
        self.place = BBox { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 };
        self.away_s = f32::INFINITY;
    }

    /// Distance of a box from this face's last position, in sides; none if it is another face.
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

impl NeutralBaselines {
    pub(super) fn new() -> Self {
        let empty = || Entry {
            baseline: NeutralBaseline::default(),
            place: BBox { x1: 0.0, y1: 0.0, x2: 0.0, y2: 0.0 },
            away_s: f32::INFINITY,
        };
        let entries = std::iter::repeat_with(empty).take(MAX_FACES).collect();
        Self { entries, assigned: Vec::with_capacity(MAX_FACES) }
    }

    /// Advances time by the seconds since the last frame.
    pub(super) fn pass(&mut self, seconds: f32) {
        for entry in &mut self.entries {
            entry.away_s += seconds;
            if entry.away_s > FORGOTTEN_S {
                entry.forget();
            }
        }
    }

    /// Assigns entries to the boxes of this frame, after [`NeutralBaselines::pass`].
    ///
    /// The nearest pairs go first, so that a new face nearby does not get the baseline of a tracked one. The others get new entries.
    pub(super) fn assign(&mut self, boxes: impl ExactSizeIterator<Item = BBox> + Clone) {
        self.assigned.clear();
        self.assigned.resize(boxes.len(), None);
        loop {
            let left = boxes.clone().enumerate().filter(|(face, _)| self.assigned[*face].is_none());
            let pairs = left.flat_map(|(face, bbox)| {
                self.free().filter_map(move |(at, entry)| Some((entry.step(&bbox)?, at, face, bbox)))
            });
            let Some((_, at, face, bbox)) = pairs.min_by(|(a, ..), (b, ..)| a.total_cmp(b)) else { break };
            self.assign_to(at, face, bbox);
        }
        for (face, bbox) in boxes.enumerate() {
            let longest_away = self.free().max_by(|(_, a), (_, b)| a.away_s.total_cmp(&b.away_s));
            if let (None, Some((at, _))) = (self.assigned[face], longest_away) {
                self.entries[at].forget();
                self.assign_to(at, face, bbox);
            }
        }
    }

    /// The entries without a box of this frame so far.
    fn free(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.away_s > 0.0)
    }

    fn assign_to(&mut self, at: usize, face: usize, bbox: BBox) {
        self.assigned[face] = Some(at);
        (self.entries[at].place, self.entries[at].away_s) = (bbox, 0.0);
    }

    /// The baseline of the face with this number; none if there are more faces than entries.
    pub(super) fn of(&mut self, face: usize) -> Option<&mut NeutralBaseline> {
        let at = (*self.assigned.get(face)?)?;
        Some(&mut self.entries[at].baseline)
    }

    /// Drops all baselines.
    pub(super) fn forget(&mut self) {
        self.entries.iter_mut().for_each(Entry::forget);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is not moved is the same number")]
mod tests {
    use super::*;

    use serde::Deserialize;

    const ZEROS: Logits = [0.0; Expression::COUNT];

    /// What `models/training/selection/simulate_lectures.py --fixture` computes.
    #[derive(Deserialize)]
    struct Fixture {
        resting: Logits,
        seconds: f32,
        frames: Vec<[Logits; 2]>,
    }

    fn at(x: f32, side: f32) -> BBox {
        BBox { x1: x, y1: 10.0, x2: x + side, y2: 10.0 + side }
    }

    /// Logits of a resting face that resembles a sad one.
    fn sad() -> Logits {
        let mut logits = ZEROS;
        (logits[0], logits[9]) = (4.0, 5.0);
        logits
    }

    fn watched(faces: &mut NeutralBaselines, bbox: &BBox, seconds: f32) -> Logits {
        let mut logits = sad();
        faces.pass(seconds);
        faces.assign([*bbox].into_iter());
        faces.of(0).unwrap().adapt(&mut logits, &ZEROS, seconds);
        logits
    }

    #[test]
    fn the_program_adapts_as_the_simulation_did() {
        let text = include_str!("../../../tests/fixtures/baseline.json");
        let fixture: Fixture = serde_json::from_str(text).unwrap();
        let mut face = NeutralBaseline::default();
        for (number, [raw, expected]) in fixture.frames.iter().enumerate() {
            let mut logits = *raw;
            face.adapt(&mut logits, &fixture.resting, fixture.seconds);
            for (found, expected) in logits.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "frame {number}: {found} and not {expected}");
            }
        }
        assert!(fixture.frames.len() > 100 && face.seconds > 3.0);
    }

    #[test]
    fn corrections_are_limited_and_neutral_never_rises() {
        let mut face = NeutralBaseline::default();
        let mut raw = [-30.0; Expression::COUNT];
        (raw[0], raw[9]) = (60.0, 300.0);
        for _ in 0..10_000 {
            let mut logits = raw;
            face.adapt(&mut logits, &ZEROS, 0.5);
            assert!(logits.iter().zip(raw).all(|(now, before)| (now - before).abs() <= MAX_OFFSET + 1e-3));
            assert!(logits[0] <= raw[0]);
        }
        face.adapt(&mut [f32::NAN; Expression::COUNT], &ZEROS, 0.5);
        let mut logits = sad();
        face.adapt(&mut logits, &ZEROS, 0.5);
        assert!(logits.iter().all(|logit| logit.is_finite()), "one bad frame spoils what is known");
    }

    #[test]
    fn a_baseline_lasts_while_its_face_is_tracked() {
        let mut faces = NeutralBaselines::new();
        assert_eq!(watched(&mut faces, &at(100.0, 50.0), 0.5), sad(), "nothing is known at first");
        for _ in 0..600 {
            watched(&mut faces, &at(100.0, 50.0), 0.5);
        }
        let adapted = watched(&mut faces, &at(180.0, 60.0), 0.5);
        assert!(adapted[9] < sad()[9] - 2.0, "{adapted:?}");
        // Another place, another size: another person.
        assert_eq!(watched(&mut faces, &at(600.0, 60.0), 0.5), sad());
        assert_eq!(watched(&mut faces, &at(180.0, 120.0), 0.5), sad());
        // Away for a minute, and for three.
        faces.pass(60.0);
        assert!(watched(&mut faces, &at(180.0, 60.0), 0.5)[9] < sad()[9] - 2.0);
        faces.pass(180.0);
        assert_eq!(watched(&mut faces, &at(180.0, 60.0), 0.5), sad());
        faces.forget();
        assert!(
            faces
                .entries
                .iter()
                .all(|entry| entry.baseline.offsets == ZEROS && entry.baseline.seconds == 0.0)
        );
    }

    #[test]
    fn faces_do_not_share_a_baseline_and_entries_are_limited() {
        let mut faces = NeutralBaselines::new();
        faces.pass(0.5);
        faces.assign([at(100.0, 50.0); MAX_FACES + 1].into_iter());
        for number in 0..MAX_FACES {
            let mut logits = sad();
            faces.of(number).expect("one more").adapt(&mut logits, &ZEROS, 0.5);
            assert_eq!(logits, sad(), "face {number} is new");
        }
        assert!(faces.of(MAX_FACES).is_none());
    }

    #[test]
    fn a_new_face_nearby_does_not_get_anothers_baseline() {
        let mut faces = NeutralBaselines::new();
        for _ in 0..600 {
            watched(&mut faces, &at(100.0, 50.0), 0.5);
        }
        faces.pass(0.5);
        // Listed first, because its score is higher.
        faces.assign([at(190.0, 50.0), at(101.0, 50.0)].into_iter());
        let [comes, stays] = [0, 1].map(|number| {
            let mut logits = sad();
            faces.of(number).unwrap().adapt(&mut logits, &ZEROS, 0.5);
            logits
        });
        assert_eq!(comes, sad());
        assert!(stays[9] < sad()[9] - 2.0, "{stays:?}");
    }
}
