//! Records the watch's results for one recording.

use std::fmt::Write;
use std::time::Duration;

use super::progress::{Bar, Progress};
use super::results::Results;
use super::tables::TableRows;
use crate::cli::Analyze;
use crate::clock::Stop;
use crate::delivery::payload::{self, Identity};
use crate::expression::Sighting;
use crate::vision::{Alternative, FaceResult};
use crate::watch::{At, Observer};
use crate::window::{Counts, MinuteRecord};

/// Gaps that are printed for each recording; the others are only counted.
const MAX_PRINTED_GAPS: u32 = 10;

/// Recordings with fewer frames get no hint.
const MIN_FRAMES_FOR_HINT: u32 = 12;

/// Collects the results of one recording.
pub(super) struct Recorder<'a> {
    pub(super) identity: Identity,
    pub(super) table_rows: TableRows,
    pub(super) results: &'a Results,
    /// Its position in the list.
    pub(super) index: usize,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a Progress,
    pub(super) bar: Bar<'a>,
    /// The path as given, for messages.
    pub(super) source: &'a str,
    pub(super) summary: Summary,
    pub(super) result: anyhow::Result<()>,
}

/// The state of a recording besides its rows.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) lines: String,
    total: Counts,
    /// Width and height of the pictures.
    size: (usize, usize),
    /// The smallest and the largest face, by the longer side in pixels.
    faces: Option<(f32, f32)>,
    /// Where the current gap began.
    gap_began: Option<Duration>,
    gaps: u32,
}

impl Recorder<'_> {
    fn keep(&mut self, result: anyhow::Result<()>) {
        if result.is_err() && self.result.is_ok() {
            self.stop.set();
            self.result = result;
        }
    }

    /// Prints the gap that ends at this offset.
    fn end_gap(&mut self, offset: Duration) {
        let Some(began) = self.summary.gap_began.take() else { return };
        self.summary.gaps += 1;
        if self.summary.gaps <= MAX_PRINTED_GAPS {
            let (source, began, ended) = (self.source, clock_face(began), clock_face(offset));
            self.progress.print_error(format_args!(
                "{source}: no picture from {began} to {ended}; these frames are expected, not counted"
            ));
        }
    }

    /// Prints the final messages.
    ///
    /// `alternatives`: how many pictures without a face were looked at differently, and in how many each alternative showed one.
    ///
    /// `streams`: of each other video stream its number, how many pictures were tried, and how many of these show a face.
    pub(super) fn end(
        &self,
        arguments: &Analyze,
        alternatives: (u32, &[(Alternative, u32)]),
        streams: &[(usize, u32, u32)],
    ) {
        if let Some(more) = self.summary.gaps.checked_sub(MAX_PRINTED_GAPS).filter(|more| *more > 0) {
            self.progress
                .print_error(format_args!("{}: {more} more stretches without a picture", self.source));
        }
        if let Some(hint) = self.summary.hint(arguments, alternatives, streams) {
            self.progress.print_error(format_args!("{}: {hint}", self.source));
        }
    }
}

impl Summary {
    /// Whether not one picture could be read.
    pub(super) fn is_blank(&self) -> bool {
        self.total.frames == 0
    }

    /// Whether nearly no picture shows a face.
    pub(super) fn is_mostly_empty(&self) -> bool {
        let Counts { frames, no_face, .. } = self.total;
        // Fewer pictures are no lecture.
        frames >= MIN_FRAMES_FOR_HINT && u64::from(no_face) * 10 >= u64::from(frames) * 9
    }

    /// The hint for a recording in which nearly no face was found: what else was tried on some of its pictures, and what it gave.
    fn hint(
        &self,
        arguments: &Analyze,
        (tried, alternatives): (u32, &[(Alternative, u32)]),
        streams: &[(usize, u32, u32)],
    ) -> Option<String> {
        if !self.is_mostly_empty() {
            return None;
        }
        let Counts { frames, no_face, .. } = self.total;
        let (width, height) = self.size;
        let seen = self.faces.map_or_else(
            || format!("none was seen in pictures of {width} x {height} pixels"),
            |(smallest, largest)| {
                format!(
                    "those seen had {smallest:.0} to {largest:.0} pixels in pictures of {width} x {height}"
                )
            },
        );
        let option = |alternative: &Alternative| match alternative {
            Alternative::Turned(turned) => format!("--rotate {}", arguments.rotate.then(*turned)),
            Alternative::Smaller(smallest) => format!("--min-face {smallest}"),
            Alternative::Whole => "no --region".to_owned(),
        };
        let given: Vec<String> =
            alternatives.iter().map(|(it, faces)| format!("{} in {faces}", option(it))).collect();
        // Of several that are equal the first, which changes least, and one picture may be chance.
        let best = alternatives.iter().rev().max_by_key(|(_, faces)| *faces).filter(|(_, faces)| *faces > 1);
        let stream = streams.iter().rev().max_by_key(|(.., faces)| *faces).filter(|(.., faces)| *faces > 1);
        let advice = match (best, stream) {
            (Some((_, faces)), Some((number, _, more))) if more > faces => {
                format!("try --video-stream {number}")
            }
            (Some((best, _)), _) => format!("try {}", option(best)),
            (None, Some((number, ..))) => format!("try --video-stream {number}"),
            (None, None) => {
                "see whether the lecturer is in the picture, uncovered and facing the camera".to_owned()
            }
        };
        let streams: String = streams
            .iter()
            .map(|(number, tried, faces)| format!("; video stream {number} shows one in {faces} of {tried}"))
            .collect();
        Some(format!(
            "{no_face} of {frames} frames show no face ({seen}; faces from {} pixels on are looked for). {tried} of them were \
             tried otherwise, and show a face with {}{streams}; {advice}",
            arguments.analysis().min_face_px,
            given.join(", with "),
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
    fn faces(&mut self, at: At, faces: &[FaceResult], size: (usize, usize)) {
        self.summary.size = size;
        for side in faces.iter().map(|face| face.bbox.longer_side()) {
            let (smallest, largest) = self.summary.faces.unwrap_or((side, side));
            self.summary.faces = Some((smallest.min(side), largest.max(side)));
        }
        let result = self.table_rows.faces(at, faces);
        self.keep(result.map_err(Into::into));
    }

    fn frame(&mut self, at: At, sightings: Option<&[Sighting]>) {
        self.bar.step();
        self.end_gap(at.tick);
        let result = self.table_rows.frame(at, sightings);
        self.keep(result.map_err(Into::into));
    }

    fn missing(&mut self, offset: Duration) {
        self.bar.step();
        self.summary.gap_began.get_or_insert(offset);
        self.table_rows.missing(offset);
    }

    fn window(&mut self, record: MinuteRecord) {
        self.summary.total.add(&record.counts);
        let json = payload::minute(&self.identity, &record, false);
        let _ = writeln!(self.summary.lines, "{json}");
        let result = self.progress.suspend(|| self.results.line(self.index, &json));
        self.keep(result);
        let result = self.table_rows.minute(&record);
        self.keep(result.map_err(Into::into));
    }
}
