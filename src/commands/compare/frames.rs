//! The analysed frames that somebody coded, with the labels of all raters.

use std::collections::BTreeSet;

use super::super::UsageError;
use super::super::label_set::LabelSet;
use super::super::samples::{Observation, Samples};
use super::human::{Codings, Label};
use crate::help::Problem;

/// What stands between a frame of a coder and the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    NotCoded,
    /// The coder saw none of the kinds.
    NoKind,
    Uncertain,
    NoFace,
    Corrupt,
}

impl LeftOut {
    pub(super) const ALL: [(Self, &str); 5] = [
        (Self::NotCoded, "not coded"),
        (Self::NoKind, "coded as uncertain or no face"),
        (Self::Uncertain, "uncertain for Lectern"),
        (Self::NoFace, "without a face for Lectern"),
        (Self::Corrupt, "unreadable"),
    ];
}

/// A frame that at least one person coded.
pub(super) struct Frame {
    recording: usize,
    block: u64,
    machine: Observation,
    /// By coder.
    labels: Vec<Option<Label>>,
}

/// All frames of the recordings that were coded.
pub(super) struct Frames {
    pub(super) coders: Vec<String>,
    pub(super) coded: Vec<Frame>,
    /// By coder: frames of the recordings that they coded, and why these are left out.
    pub(super) left_out: Vec<[usize; LeftOut::ALL.len()]>,
    /// By coder: coded time in minutes.
    pub(super) minutes: Vec<f64>,
    /// By coder: whether they named some emotion without its intensity.
    pub(super) merged: Vec<bool>,
}

impl Frames {
    /// Finds the label of each coder in each frame; blocks have so many milliseconds.
    ///
    /// # Errors
    /// [`UsageError`] when a coded recording has several faces in a frame, or stands in the table twice.
    pub(super) fn pair(recordings: &[Samples], codings: &Codings, block: u64) -> Result<Self, UsageError> {
        let coders: Vec<String> = codings
            .intervals
            .iter()
            .map(|it| it.coder.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut frames = Self {
            coded: Vec::new(),
            left_out: vec![[0; LeftOut::ALL.len()]; coders.len()],
            minutes: vec![0.0; coders.len()],
            merged: vec![false; coders.len()],
            coders,
        };
        let coder_of = |name: &String| frames.coders.binary_search(name).unwrap_or_default();
        let mut blocks_before = 0;
        for (at, samples) in recordings.iter().enumerate() {
            let mut theirs = vec![Vec::new(); frames.coders.len()];
            for interval in codings.intervals.iter().filter(|it| it.recording == at) {
                theirs[coder_of(&interval.coder)].push(interval);
            }
            if theirs.iter().all(Vec::is_empty) {
                continue;
            }
            refuse(recordings, at)?;
            let period = milliseconds_to_minutes(samples.period());
            let mut next = vec![0; theirs.len()];
            for row in &samples.rows {
                let mut labels = vec![None; theirs.len()];
                for (coder, intervals) in theirs.iter().enumerate().filter(|(_, it)| !it.is_empty()) {
                    while intervals.get(next[coder]).is_some_and(|it| it.end <= row.at) {
                        next[coder] += 1;
                    }
                    let label = intervals.get(next[coder]).filter(|it| it.start <= row.at).map(|it| it.label);
                    labels[coder] = label;
                    let reason = match (label, row.observation) {
                        (None, _) => Some(LeftOut::NotCoded),
                        (Some(Label::None), _) => Some(LeftOut::NoKind),
                        (_, Observation::Uncertain) => Some(LeftOut::Uncertain),
                        (_, Observation::NoFace) => Some(LeftOut::NoFace),
                        (_, Observation::Corrupt) => Some(LeftOut::Corrupt),
                        (Some(_), Observation::Kind(_)) => None,
                    };
                    if let Some(reason) = reason {
                        frames.left_out[coder][reason as usize] += 1;
                    }
                    if label.is_some() {
                        frames.minutes[coder] += period;
                    }
                    frames.merged[coder] |= matches!(label, Some(Label::Merged(_)));
                }
                if labels.iter().any(Option::is_some) {
                    let block = blocks_before + row.at / block;
                    frames.coded.push(Frame { recording: at, block, machine: row.observation, labels });
                }
            }
            // No block spans two recordings.
            blocks_before += samples.rows.last().map_or(0, |row| row.at / block) + 1;
        }
        Ok(frames)
    }

    /// Those with a coded frame.
    pub(super) fn recordings(&self) -> Vec<usize> {
        self.coded.iter().map(|frame| frame.recording).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn refuse(recordings: &[Samples], at: usize) -> Result<(), UsageError> {
    let Samples { source, rows, .. } = &recordings[at];
    let refused = |what: &str, help: &'static str| {
        Err(UsageError::new(Problem::new(format!("{source}: {what}")).with_help(help)))
    };
    if recordings.iter().enumerate().any(|(other, it)| other != at && it.source == *source) {
        return refused(
            "is analysed in two ways in one table",
            "keep the rows of one analysis, and give different recordings different names",
        );
    }
    if rows.windows(2).any(|pair| pair[0].at == pair[1].at) {
        return refused(
            "has several faces in a frame, and codings do not say of whom they are",
            "analyze it with --faces largest, and with a --region where others are seen",
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a time between two frames")]
fn milliseconds_to_minutes(milliseconds: u64) -> f64 {
    milliseconds as f64 / 60_000.0
}

/// The kinds that all raters named in some frames, of a label set; the last rater is Lectern.
pub(super) struct Scope {
    pub(super) raters: usize,
    /// A frame's block, and the kinds.
    pub(super) frames: Vec<(u64, Vec<Option<usize>>)>,
}

impl Scope {
    /// Of one recording, or of all.
    pub(super) fn new(frames: &Frames, label_set: &LabelSet, recording: Option<usize>) -> Self {
        let thirteen = label_set.kinds.len() == LabelSet::thirteen().kinds.len();
        let kinds = |frame: &Frame| {
            let coders = frame.labels.iter().zip(&frames.merged).map(|(label, merged)| match label {
                // Whoever names some emotions alone would be left with the neutral ones.
                _ if thirteen && *merged => None,
                Some(Label::Kind(kind)) => Some(label_set.kind_of(kind.index())),
                Some(Label::Merged(kind)) => Some(*kind),
                Some(Label::None) | None => None,
            });
            let machine = match frame.machine {
                Observation::Kind(kind) => Some(label_set.kind_of(kind.index())),
                _ => None,
            };
            coders.chain([machine]).collect::<Vec<_>>()
        };
        let scope = frames.coded.iter().filter(|frame| recording.is_none_or(|at| at == frame.recording));
        Self {
            raters: frames.coders.len() + 1,
            frames: scope.map(|frame| (frame.block, kinds(frame))).collect(),
        }
    }
}
