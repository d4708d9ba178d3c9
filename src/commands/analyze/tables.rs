//! The rows of the tables.

use std::io;
use std::time::Duration;

use super::super::samples::Observation;
use super::super::spreadsheet::as_text;
use super::segments::{Frame, Segment, SegmentCounts};
use crate::expression::{Expression, Sighting};
use crate::vision::FaceResult;
use crate::watch::At;
use crate::window::MinuteRecord;

/// The first columns of every table: they identify the recording.
const NAMES: [&str; 4] = ["device", "boot", "label", "source"];

const COUNTS: [&str; 9] =
    ["seq", "start", "seconds", "frames_expected", "frames", "corrupt", "no_face", "uncertain", "faces"];

/// The last columns of the minutes, before what a manifest carries through.
const ENDS: [&str; 2] = ["partial", "settings"];

const FRAME: [&str; 3] = ["seconds", "picture_seconds", "expression"];

const FACE: [&str; 12] = [
    "seconds",
    "picture_seconds",
    "face",
    "track",
    "x",
    "y",
    "width",
    "height",
    "outside",
    "score",
    "blur",
    "expression",
];

/// Of a segment, before its counts.
const SEGMENT: [&str; 3] = ["segment", "segment_start", "segment_end"];

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Minutes,
    Frames,
    Faces,
    Segments,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Minutes, Self::Frames, Self::Faces, Self::Segments];

    fn columns(self) -> Vec<&'static str> {
        let kinds = Expression::ALL.map(Expression::name);
        match self {
            Self::Minutes => [&NAMES[..], &COUNTS, &kinds, &ENDS].concat(),
            Self::Frames => [&NAMES[..], &FRAME].concat(),
            Self::Faces => [&NAMES[..], &FACE, &kinds].concat(),
            // As the minutes, without `seq`, `start` and `partial`.
            Self::Segments => [&NAMES[..], &SEGMENT, &COUNTS[2..], &kinds, &ENDS[1..]].concat(),
        }
    }

    /// The first line, with the columns that a manifest carries through.
    pub(super) fn header(self, carried: &[String]) -> io::Result<Vec<u8>> {
        let mut rows = Rows::default();
        let carried: Vec<String> = carried.iter().map(|column| as_text(column)).collect();
        rows.add(self.columns().into_iter().chain(carried.iter().map(String::as_str)))?;
        rows.into_bytes()
    }
}

/// Whether a column of a manifest would stand in a table twice.
pub(super) fn is_reserved(column: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.columns().contains(&column))
}

/// Rows of CSV in memory.
pub(super) struct Rows(csv::Writer<Vec<u8>>);

impl Default for Rows {
    fn default() -> Self {
        Self(csv::WriterBuilder::new().flexible(true).from_writer(Vec::new()))
    }
}

impl Rows {
    fn add<T: AsRef<[u8]>>(&mut self, row: impl IntoIterator<Item = T>) -> io::Result<()> {
        Ok(self.0.write_record(row)?)
    }

    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// One recording's rows in each table.
pub(super) struct TableRows {
    minutes: Rows,
    frames: Option<Rows>,
    faces: Option<Rows>,
    segments: Vec<SegmentCounts>,
    /// Frames that are due each second.
    rate_hz: f64,
    names: [String; 4],
    settings: String,
    carried: Vec<String>,
}

impl TableRows {
    /// For a recording with these names (device, boot, label, source) and columns of its manifest.
    pub(super) fn new(
        names: [String; 4],
        settings: &str,
        carried: &[String],
        frames: bool,
        faces: bool,
        segments: &[Segment],
        rate_hz: f64,
    ) -> Self {
        Self {
            minutes: Rows::default(),
            frames: frames.then(Rows::default),
            faces: faces.then(Rows::default),
            segments: segments.iter().map(SegmentCounts::new).collect(),
            rate_hz,
            names: names.map(|name| as_text(&name)),
            settings: settings.to_owned(),
            carried: carried.iter().map(|cell| as_text(cell)).collect(),
        }
    }

    pub(super) fn minute(&mut self, record: &MinuteRecord) -> io::Result<()> {
        let counts = &record.counts;
        let numbers = [
            record.seconds,
            record.frames_expected,
            counts.frames,
            counts.corrupt,
            counts.no_face,
            counts.uncertain,
            counts.faces(),
        ];
        let mut row = self.names.to_vec();
        row.extend([record.seq.to_string(), record.start.to_string()]);
        row.extend(numbers.iter().chain(&counts.kinds).map(u32::to_string));
        row.extend([record.partial.to_string(), self.settings.clone()]);
        self.minutes.add(row.iter().chain(&self.carried))
    }

    /// A frame that was due and has no picture: only segments count it.
    pub(super) fn missing(&mut self, offset: Duration) {
        self.segments.iter_mut().for_each(|it| it.add(offset, Frame::Missing));
    }

    pub(super) fn frame(&mut self, at: At, sightings: Option<&[Sighting]>) -> io::Result<()> {
        let frame = sightings.map_or(Frame::Corrupt, Frame::Analyzed);
        self.segments.iter_mut().for_each(|it| it.add(at.tick, frame));
        let Self { frames: Some(table), names, carried, .. } = self else { return Ok(()) };
        let times = times(at);
        let mut write = |observation: Observation| {
            let expression = observation.name();
            let row =
                names.iter().map(String::as_str).chain(times.iter().map(String::as_str)).chain([expression]);
            table.add(row.chain(carried.iter().map(String::as_str)))
        };
        match sightings {
            None => write(Observation::Corrupt),
            Some([]) => write(Observation::NoFace),
            Some(faces) => faces.iter().try_for_each(|face| write((*face).into())),
        }
    }

    pub(super) fn faces(&mut self, at: At, faces: &[FaceResult]) -> io::Result<()> {
        let Self { faces: Some(table), names, carried, .. } = self else { return Ok(()) };
        for (number, face) in faces.iter().enumerate() {
            let FaceResult { track, bbox, outside, score, blur, probabilities, sighting } = face;
            let mut row = names.to_vec();
            row.extend(times(at));
            row.extend([number.to_string(), track.to_string()]);
            row.extend([bbox.x1, bbox.y1, bbox.width(), bbox.height()].map(|pixels| format!("{pixels:.1}")));
            row.extend([format!("{outside:.3}"), format!("{score:.4}")]);
            row.extend([blur.map_or_else(String::new, |blur| format!("{blur:.3}"))]);
            row.push(Observation::from(*sighting).name().to_owned());
            // A face below the classifiable size has none.
            let cell = |kind: Expression| {
                probabilities.map_or_else(String::new, |p| format!("{:.4}", p[kind.index()]))
            };
            row.extend(Expression::ALL.map(cell));
            table.add(row.iter().chain(&*carried))?;
        }
        Ok(())
    }

    /// The rows of each table, in the order of [`Kind::ALL`].
    pub(super) fn into_bytes(self) -> io::Result<[Vec<u8>; 4]> {
        let segments = self.segment_rows()?;
        let bytes = |rows: Option<Rows>| rows.map_or(Ok(Vec::new()), Rows::into_bytes);
        Ok([self.minutes.into_bytes()?, bytes(self.frames)?, bytes(self.faces)?, segments])
    }

    fn segment_rows(&self) -> io::Result<Vec<u8>> {
        let mut rows = Rows::default();
        for SegmentCounts { segment, expected, counts } in &self.segments {
            let mut row = self.names.to_vec();
            row.push(as_text(&segment.name));
            row.extend([segment.start, segment.end].map(seconds));
            row.push(format!("{:.0}", f64::from(*expected) / self.rate_hz));
            let numbers =
                [*expected, counts.frames, counts.corrupt, counts.no_face, counts.uncertain, counts.faces()];
            row.extend(numbers.iter().chain(&counts.kinds).map(u32::to_string));
            row.push(self.settings.clone());
            rows.add(row.iter().chain(&self.carried))?;
        }
        rows.into_bytes()
    }
}

fn times(at: At) -> [String; 2] {
    [at.tick, at.picture].map(seconds)
}

fn seconds(offset: Duration) -> String {
    format!("{:.3}", offset.as_secs_f64())
}
