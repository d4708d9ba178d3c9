//! Writes down what the watch sees of one recording.

use std::fmt::Write;
use std::time::Duration;

use super::progress::{Bar, Progress};
use super::results::Results;
use super::tables::Sheets;
use crate::clock::Stop;
use crate::delivery::payload::{self, Identity};
use crate::expression::Sighting;
use crate::vision::Rotation;
use crate::vision::{Analysis, Seen};
use crate::watch::{At, Observer};
use crate::window::{Counts, MinuteRecord};

/// Stretches without a picture that are told of, for each recording; of the others only how many there are.
const TOLD_PAUSES: u32 = 10;

/// Frames below which a recording without a face has no hint.
const FEWEST_HINTED: u32 = 12;

/// What is written down of one recording.
pub(super) struct Recorder<'a> {
    pub(super) identity: Identity,
    pub(super) sheets: Sheets,
    pub(super) results: &'a Results,
    /// Its position in the list.
    pub(super) index: usize,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a Progress,
    pub(super) bar: Bar<'a>,
    /// As it was named, for messages.
    pub(super) source: &'a str,
    pub(super) notes: Notes,
    pub(super) result: anyhow::Result<()>,
}

/// What is remembered of a recording beside its rows.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) lines: String,
    total: Counts,
    /// Width and height of the pictures.
    size: (usize, usize),
    /// The smallest and the largest face, by the longer side in pixels.
    faces: Option<(f32, f32)>,
    /// Where the stretch without a picture began that is on.
    pause_began: Option<Duration>,
    pauses: u32,
}

impl Recorder<'_> {
    fn keep(&mut self, result: anyhow::Result<()>) {
        if result.is_err() && self.result.is_ok() {
            self.stop.set();
            self.result = result;
        }
    }

    /// Tells of the stretch without a picture that ends at this offset.
    fn end_pause(&mut self, offset: Duration) {
        let Some(began) = self.notes.pause_began.take() else { return };
        self.notes.pauses += 1;
        if self.notes.pauses <= TOLD_PAUSES {
            let (source, began, ended) = (self.source, clock_face(began), clock_face(offset));
            self.progress.print_error(format_args!(
                "{source}: no picture from {began} to {ended}; these frames are expected, not counted"
            ));
        }
    }

    /// Tells what is left to tell at the end.
    ///
    /// `turned` is the rotation in which pictures without a face showed some.
    pub(super) fn end(&self, analysis: &Analysis, turned: Option<Rotation>) {
        if let Some(untold) = self.notes.pauses.checked_sub(TOLD_PAUSES).filter(|untold| *untold > 0) {
            self.progress
                .print_error(format_args!("{}: {untold} more stretches without a picture", self.source));
        }
        if let Some(hint) = self.notes.hint(analysis, turned) {
            self.progress.print_error(format_args!("{}: {hint}", self.source));
        }
    }
}

impl Notes {
    /// Whether not one picture could be read.
    pub(super) fn is_blank(&self) -> bool {
        self.total.frames == 0
    }

    /// What to try when nearly nobody was seen.
    fn hint(&self, analysis: &Analysis, turned: Option<Rotation>) -> Option<String> {
        let Counts { frames, no_face, .. } = self.total;
        // A few pictures are no lecture.
        if frames < FEWEST_HINTED || u64::from(no_face) * 10 < u64::from(frames) * 9 {
            return None;
        }
        if let Some(turned) = turned {
            return Some(format!(
                "{no_face} of {frames} frames show no face, and some of them do once they are turned; try --rotate {turned}"
            ));
        }
        let (width, height) = self.size;
        let seen = self.faces.map_or_else(
            || format!("none was seen in pictures of {width} x {height} pixels"),
            |(smallest, largest)| {
                format!(
                    "those seen had {smallest:.0} to {largest:.0} pixels in pictures of {width} x {height}"
                )
            },
        );
        Some(format!(
            "{no_face} of {frames} frames show no face ({seen}; faces from {} pixels on are looked for); try a smaller \
             --min-face, and see whether --region holds the lecturer",
            analysis.min_face_px
        ))
    }
}

/// A time in a recording, as players show it.
fn clock_face(offset: Duration) -> String {
    let seconds = offset.as_secs();
    format!(
        "{}:{:02}:{:02}.{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        offset.subsec_millis() / 100
    )
}

impl Observer for Recorder<'_> {
    fn faces(&mut self, at: At, faces: &[Seen], size: (usize, usize)) {
        self.notes.size = size;
        for side in faces.iter().map(|face| face.bbox.longer_side()) {
            let (smallest, largest) = self.notes.faces.unwrap_or((side, side));
            self.notes.faces = Some((smallest.min(side), largest.max(side)));
        }
        let result = self.sheets.faces(at, faces);
        self.keep(result.map_err(Into::into));
    }

    fn frame(&mut self, at: At, sightings: Option<&[Sighting]>) {
        self.bar.step();
        self.end_pause(at.tick);
        let result = self.sheets.frame(at, sightings);
        self.keep(result.map_err(Into::into));
    }

    fn missing(&mut self, offset: Duration) {
        self.bar.step();
        self.notes.pause_began.get_or_insert(offset);
    }

    fn window(&mut self, record: MinuteRecord) {
        self.notes.total.add(&record.counts);
        let json = payload::minute(&self.identity, &record, false);
        let _ = writeln!(self.notes.lines, "{json}");
        let told = self.progress.suspend(|| self.results.line(self.index, &json));
        self.keep(told);
        let result = self.sheets.minute(&record);
        self.keep(result.map_err(Into::into));
    }
}
