//! Frames that follow each other with the same observation, merged into intervals.

use std::collections::BTreeMap;

use super::super::samples::Samples;

/// A stretch of time with one observation; its end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    /// Milliseconds.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) label: &'static str,
}

/// The intervals of one face, or of the frames.
#[derive(Debug, PartialEq)]
pub(super) struct Tier {
    pub(super) name: String,
    pub(super) intervals: Vec<Interval>,
}

/// The tiers of a recording: one a track, or one for the frames. A frame stands until the next one, or for a period.
pub(super) fn tiers(samples: &Samples) -> Vec<Tier> {
    let period = samples.period();
    let mut tiers: BTreeMap<u32, Vec<Interval>> = BTreeMap::new();
    for row in &samples.rows {
        let intervals = tiers.entry(row.face).or_default();
        let new = Interval { start: row.at, end: row.at + period, label: row.observation.name() };
        match intervals.last_mut() {
            // Rounded times may lie a little apart; a missing frame is a gap.
            Some(last) if row.at < last.end + period / 2 => {
                last.end = row.at;
                if last.label == new.label {
                    last.end = new.end;
                } else {
                    intervals.push(new);
                }
            }
            _ => intervals.push(new),
        }
    }
    // Two rows of one face at one time leave nothing of the first.
    tiers.values_mut().for_each(|intervals| intervals.retain(|it| it.start < it.end));
    let faces = samples.rows.iter().any(|row| row.details.is_some());
    let name = |face: u32| match (faces, face) {
        (true, face) => format!("face {face}"),
        (false, 0) => "expression".to_owned(),
        (false, face) => format!("expression {}", face + 1),
    };
    tiers.into_iter().map(|(face, intervals)| Tier { name: name(face), intervals }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::samples::{Details, Observation, Sample};
    use super::*;
    use crate::expression::Expression;

    /// Rows of time, face and kind; a kind of 13 is no face.
    pub(in super::super) fn samples(rows: &[(u64, u32, usize)], faces: bool) -> Samples {
        let row = |&(at, face, kind): &(u64, u32, usize)| Sample {
            at,
            face,
            observation: Expression::ALL.get(kind).map_or(Observation::NoFace, |it| Observation::Kind(*it)),
            details: faces.then_some(Details { probability: Some(0.75), bounds: [10.0, 20.0, 30.4, 40.0] }),
        };
        Samples {
            label: "L".to_owned(),
            source: "a b/mon & day.mp4".to_owned(),
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn alike_frames_are_merged_and_gaps_are_kept() {
        let rows = [(0, 0, 0), (500, 0, 0), (1001, 0, 7), (1500, 0, 13), (4000, 0, 13), (4500, 0, 13)];
        let tiers = tiers(&samples(&rows, false));
        let found: Vec<_> = tiers[0].intervals.iter().map(|it| (it.start, it.end, it.label)).collect();
        let expected = [
            (0, 1001, "neutral"),
            (1001, 1500, "happy_weak"),
            (1500, 2000, "no_face"),
            (4000, 5000, "no_face"),
        ];
        assert_eq!((&*tiers[0].name, &found[..]), ("expression", &expected[..]));
    }

    #[test]
    fn each_track_has_a_tier() {
        let rows = [(0, 3, 0), (0, 8, 1), (500, 3, 0), (1000, 8, 1), (1500, 3, 0)];
        let tiers = tiers(&samples(&rows, true));
        let found: Vec<_> = tiers.iter().map(|it| (&*it.name, it.intervals.len())).collect();
        assert_eq!(found, [("face 3", 2), ("face 8", 2)]);
    }
}
