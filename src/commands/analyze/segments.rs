//! Stretches of recordings that are counted beside the windows: slides, tasks, chapters.

use std::path::Path;
use std::time::Duration;

use super::super::UsageError;
use super::super::samples::milliseconds;
use super::super::spreadsheet::{Table, from_text};
use super::list::Recording;
use crate::expression::Sighting;
use crate::help::Problem;
use crate::window::Counts;

/// One stretch; its end is exclusive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) start: Duration,
    pub(super) end: Duration,
}

/// The segments of each recording of a list, in the order of the table.
///
/// # Errors
/// [`UsageError`] when the table cannot be used; when it cannot be read.
pub(super) fn read(path: &Path, recordings: &[Recording]) -> anyhow::Result<Vec<Vec<Segment>>> {
    let table = Table::open(path, "source", HELP)?;
    let segments = parse(&table, recordings);
    segments.map_err(|problem| UsageError::in_file(path, problem).into())
}

const HELP: &str = "segments have the columns source, name, start, end";

fn parse(table: &Table, recordings: &[Recording]) -> Result<Vec<Vec<Segment>>, Problem> {
    let must = |name: &str| table.column(name, HELP);
    let [source, name, start, end] = [must("source")?, must("name")?, must("start")?, must("end")?];
    let mut segments = vec![Vec::new(); recordings.len()];
    for row in table.rows() {
        let (line, row) = row?;
        let cell = |at: usize| row.get(at).map(from_text).unwrap_or_default();
        let time = |at: usize| {
            let time = milliseconds(cell(at)).map(Duration::from_millis);
            time.ok_or_else(|| format!("line {line}: `{}` is no time in seconds or h:mm:ss", cell(at)))
        };
        let segment = Segment { name: cell(name).to_owned(), start: time(start)?, end: time(end)? };
        if segment.end <= segment.start {
            return Err(format!("line {line}: ends before it begins").into());
        }
        let of = of_source(recordings, cell(source));
        if of.is_empty() {
            let problem = Problem::new(format!("line {line}: `{}` is none of the recordings", cell(source)));
            return Err(problem.with_help("name it as on the command line or in the manifest"));
        }
        of.into_iter().for_each(|at| segments[at].push(segment.clone()));
    }
    Ok(segments)
}

/// The recordings of this source, or of the only one with this file name.
fn of_source(recordings: &[Recording], source: &str) -> Vec<usize> {
    let all =
        |is: &dyn Fn(&Recording) -> bool| (0..recordings.len()).filter(|at| is(&recordings[*at])).collect();
    let exact: Vec<usize> = all(&|it| it.source == source);
    if !exact.is_empty() {
        return exact;
    }
    let named: Vec<usize> = all(&|it| it.path.file_name().is_some_and(|name| name == source));
    if named.windows(2).all(|pair| recordings[pair[0]].source == recordings[pair[1]].source) {
        named
    } else {
        Vec::new()
    }
}

/// The counts of a segment so far.
#[derive(Debug, Clone)]
pub(super) struct SegmentCounts {
    pub(super) segment: Segment,
    /// Frames that were due.
    pub(super) expected: u32,
    pub(super) counts: Counts,
}

impl SegmentCounts {
    pub(super) fn new(segment: &Segment) -> Self {
        Self { segment: segment.clone(), expected: 0, counts: Counts::default() }
    }

    /// Counts a frame that was due at `offset`: its sightings, none if it could not be read, or that there was no picture.
    pub(super) fn add(&mut self, offset: Duration, frame: Frame<'_>) {
        if !(self.segment.start..self.segment.end).contains(&offset) {
            return;
        }
        self.expected += 1;
        match frame {
            Frame::Missing => {}
            Frame::Corrupt => self.counts.add_corrupt(),
            Frame::Analyzed(sightings) => self.counts.add_frame(sightings),
        }
    }
}

/// What became of a frame that was due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frame<'a> {
    Missing,
    Corrupt,
    Analyzed(&'a [Sighting]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_belong_to_recordings_by_source_or_name() {
        let recording = |source: &str| Recording {
            path: source.into(),
            source: source.to_owned(),
            label: String::new(),
            start: None,
            carried: Vec::new(),
        };
        let recordings = ["a/one.mkv", "b/one.mkv", "two.mkv"].map(recording);
        let read = |rows: &str| {
            let text = format!("source;name;start;end\n{rows}");
            parse(&Table::read(text.into(), "source", HELP).unwrap(), &recordings)
        };
        let found = read("b/one.mkv;Task 1;0;1:30\ntwo.mkv;'=x;1:00:00.5;4000\n").unwrap();
        let seconds = Duration::from_secs_f64;
        let segment = |name: &str, start, end| Segment {
            name: name.to_owned(),
            start: seconds(start),
            end: seconds(end),
        };
        assert_eq!(found, [vec![], vec![segment("Task 1", 0.0, 90.0)], vec![segment("=x", 3600.5, 4000.0)]]);
        for (rows, expected) in [
            ("one.mkv;x;0;1\n", "line 2: `one.mkv` is none of the recordings"),
            ("two.mkv;x;0;0\n", "line 2: ends before it begins"),
            ("two.mkv;x;soon;1\n", "line 2: `soon` is no time"),
        ] {
            let problem = read(rows).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
