//! The result of a window of time: counts, and nothing else.

use jiff::Timestamp;

use crate::expression::{Expression, Sighting};

/// How often each thing was seen.
///
/// With one face a frame at most, `frames = no_face + uncertain + faces()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames analysed.
    pub frames: u32,
    /// Frames that were torn or could not be decoded.
    pub corrupt: u32,
    /// Frames without a face.
    pub no_face: u32,
    /// Faces whose expression was not certain enough.
    pub uncertain: u32,
    /// Faces of each kind, by [`Expression::index`].
    pub kinds: [u32; Expression::COUNT],
}

impl Counts {
    /// Faces with a certain expression: the sum of the 13 kinds.
    #[must_use]
    pub fn faces(&self) -> u32 {
        self.kinds.iter().sum()
    }

    /// Adds the counts of another stretch of time.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.corrupt += other.corrupt;
        self.no_face += other.no_face;
        self.uncertain += other.uncertain;
        for (kind, more) in self.kinds.iter_mut().zip(other.kinds) {
            *kind += more;
        }
    }

    /// Adds one analysed frame with the faces it showed.
    pub fn add_frame(&mut self, sightings: &[Sighting]) {
        self.frames += 1;
        if sightings.is_empty() {
            self.no_face += 1;
        }
        for sighting in sightings {
            match sighting {
                Sighting::Certain(kind) => self.kinds[kind.index()] += 1,
                Sighting::Uncertain => self.uncertain += 1,
            }
        }
    }

    /// Adds one frame that could not be read.
    pub fn add_corrupt(&mut self) {
        self.corrupt += 1;
    }
}

/// One ended window; `(device, boot, seq)` names it for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteRecord {
    /// Position among the ended windows of this boot, from 0, without gaps.
    pub seq: u64,
    /// Label in UTC: the start of the window on the grid, or of the recording.
    pub start: Timestamp,
    /// Seconds watched, measured on boot time.
    pub seconds: u32,
    /// Frames that were due in those seconds.
    pub frames_expected: u32,
    /// What was seen.
    pub counts: Counts,
    /// Whether the clock was synchronised when the window ended.
    pub clock_synced: bool,
    /// Whether less than a whole window was watched.
    pub partial: bool,
}

/// The fewest expected frames with which a partial window keeps its counts. With fewer it would expose a person's expression
/// at one moment.
pub const MIN_PARTIAL_FRAMES: u32 = 10;

impl MinuteRecord {
    /// The record as a live device may publish it: a partial window that expected too few frames keeps its key, its time and its
    /// expected frames, but no counts.
    #[must_use]
    pub fn as_aggregate(self) -> Self {
        if self.partial && self.frames_expected < MIN_PARTIAL_FRAMES {
            return Self { counts: Counts::default(), ..self };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Emotion, Intensity};

    #[test]
    fn every_frame_is_counted_once() {
        let mut counts = Counts::default();
        counts.add_frame(&[]);
        counts.add_frame(&[Sighting::Uncertain]);
        counts.add_frame(&[Sighting::Certain(Expression::Of(Emotion::Happy, Intensity::Weak))]);
        counts.add_corrupt();
        assert_eq!((counts.frames, counts.no_face, counts.uncertain, counts.faces()), (3, 1, 1, 1));
        assert_eq!(counts.frames, counts.no_face + counts.uncertain + counts.faces());
        assert_eq!(counts.corrupt, 1);
    }

    #[test]
    fn a_partial_window_of_few_frames_has_no_counts() {
        let record = |partial, frames_expected| {
            let mut counts = Counts::default();
            counts.add_frame(&[Sighting::Uncertain]);
            counts.add_frame(&[]);
            counts.add_corrupt();
            let start = Timestamp::UNIX_EPOCH;
            MinuteRecord { seq: 7, start, seconds: 4, frames_expected, counts, clock_synced: true, partial }
        };
        for (partial, expected) in [(true, 10), (true, 119), (false, 9), (false, 1)] {
            assert_eq!(record(partial, expected).as_aggregate(), record(partial, expected));
        }
        let few = record(true, 9);
        assert_eq!(few.clone().as_aggregate(), MinuteRecord { counts: Counts::default(), ..few });
    }
}
