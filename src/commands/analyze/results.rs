//! The results of all recordings: lines in the order of the list, and tables that are put in place once complete.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

use super::super::STANDARD_OUTPUT;
use super::super::atomic_file::{self, Access, AtomicFile};
use super::checkpoint::{Checkpoint, RecordingResult};
use super::tables::Kind;
use crate::cli::Analyze;
use crate::commands::report;
use crate::logging::printable::print_json;

/// Excel detects UTF-8 by it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The results of all recordings, which are analysed in parallel.
pub(super) struct Results {
    checkpoint: Checkpoint,
    /// The requested tables; each is opened at the start, so that one that cannot be written fails early.
    tables: Vec<(Kind, PathBuf, AtomicFile)>,
    chart: Option<PathBuf>,
    /// Whether tables begin with a byte order mark.
    byte_order_mark: bool,
    lines: Mutex<Lines>,
    ends: Mutex<Vec<End>>,
}

/// JSON lines, printed in the order of the recordings.
struct Lines {
    /// The recording whose lines are printed as they come.
    turn: usize,
    /// Those of later ones.
    waiting: Vec<String>,
    done: Vec<bool>,
    /// Whether the reader closed the pipe; the tables are still written.
    closed: bool,
    has_tables: bool,
}

/// The outcome of a recording.
pub(super) enum End {
    /// Not begun, or failed for this reason.
    Nothing(Option<anyhow::Error>),
    /// Complete, in the checkpoint under this key.
    Kept(String),
    /// In memory: cut short, or without a checkpoint.
    Here(RecordingResult),
}

impl Results {
    /// # Errors
    /// When an output cannot be written, or an earlier run's results would be lost.
    pub(super) fn open(arguments: &Analyze, recordings: usize) -> anyhow::Result<Self> {
        let Analyze { csv, frames_csv, faces_csv, segments_csv, .. } = arguments;
        let requested = [csv, frames_csv, faces_csv, segments_csv].into_iter().zip(Kind::ALL);
        let requested: Vec<(Kind, &Path)> =
            requested.filter_map(|(path, kind)| Some((kind, path.as_deref()?))).collect();
        let first = requested.iter().find_map(|(_, path)| atomic_file::place(path));
        let has_tables = !requested.is_empty() || arguments.chart.is_some();
        let checkpoint = Checkpoint::open(first.as_deref(), arguments.resume)?;
        let mut tables = Vec::new();
        for (kind, path) in requested {
            let folder = checkpoint.folder().filter(|_| first == atomic_file::place(path));
            // A row of faces says where one person was at one moment.
            let access = if kind == Kind::Faces { Access::Private } else { Access::Default };
            tables.push((kind, path.to_owned(), AtomicFile::open(path, folder, access)?));
        }
        let lines = Lines {
            turn: 0,
            waiting: vec![String::new(); recordings],
            done: vec![false; recordings],
            closed: false,
            has_tables,
        };
        let ends = (0..recordings).map(|_| End::Nothing(None)).collect();
        Ok(Self {
            checkpoint,
            tables,
            chart: arguments.chart.clone(),
            byte_order_mark: arguments.bom,
            lines: Mutex::new(lines),
            ends: Mutex::new(ends),
        })
    }

    /// The result of an earlier run with this key.
    pub(super) fn earlier(&self, key: &str) -> Option<RecordingResult> {
        self.checkpoint.get(key)
    }

    /// Prints a line of a recording, now or when its turn comes.
    pub(super) fn line(&self, index: usize, line: &str) -> anyhow::Result<()> {
        lock(&self.lines).add(index, &format!("{line}\n"))
    }

    /// All lines of a recording that an earlier run has finished.
    pub(super) fn lines(&self, index: usize, lines: &str) -> anyhow::Result<()> {
        lock(&self.lines).add(index, lines)
    }

    /// Stores the result of a finished recording in the checkpoint.
    pub(super) fn keep(&self, index: usize, key: String, result: RecordingResult) -> anyhow::Result<()> {
        let end = self.checkpoint.put(&key, result)?.map_or(End::Kept(key), End::Here);
        self.end(index, end)
    }

    /// Records any other outcome of a recording.
    pub(super) fn end(&self, index: usize, end: End) -> anyhow::Result<()> {
        lock(&self.ends)[index] = end;
        lock(&self.lines).end(index)
    }

    /// Puts the tables in place, unless all recordings failed; returns each recording's failure.
    ///
    /// # Errors
    /// When something cannot be written; the targets are then unchanged.
    pub(super) fn finish(self, carried: &[String], cut_short: bool) -> anyhow::Result<Vec<anyhow::Error>> {
        let Self { checkpoint, mut tables, chart, byte_order_mark, lines, ends } = self;
        lines.into_inner().unwrap_or_else(PoisonError::into_inner).flush()?;
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Keep existing tables when all recordings failed: a mistyped name, a drive that is not mounted.
        if ends.iter().all(|end| matches!(end, End::Nothing(_))) {
            drop(tables);
            checkpoint.close(cut_short)?;
            let reasons =
                ends.into_iter().map(|end| if let End::Nothing(reason) = end { reason } else { None });
            return Ok(reasons.flatten().collect());
        }
        let mut minutes = Kind::Minutes.header(carried)?;
        for (kind, path, table) in &mut tables {
            let mark = if byte_order_mark { BYTE_ORDER_MARK } else { "" };
            table
                .write_all(&[mark.as_bytes(), &kind.header(carried)?].concat())
                .with_context(|| atomic_file::cannot_write(path))?;
        }
        let mut failures = Vec::new();
        for end in ends {
            let result = match end {
                End::Nothing(reason) => {
                    failures.extend(reason);
                    continue;
                }
                End::Kept(key) => checkpoint.get(&key).context("what was finished cannot be read again")?,
                End::Here(result) => result,
            };
            failures.extend(result.failure.map(anyhow::Error::msg));
            for (kind, path, table) in &mut tables {
                let rows = &result.rows[*kind as usize];
                table.write_all(rows.as_bytes()).with_context(|| atomic_file::cannot_write(path))?;
            }
            if chart.is_some() {
                minutes.extend_from_slice(result.rows[Kind::Minutes as usize].as_bytes());
            }
        }
        for (_, _, table) in tables {
            table.finish()?;
        }
        if let Some(chart) = chart {
            report::chart_of(minutes, &chart)?;
        }
        checkpoint.close(cut_short)?;
        Ok(failures)
    }
}

impl Lines {
    fn add(&mut self, index: usize, lines: &str) -> anyhow::Result<()> {
        if index == self.turn {
            return self.print(lines);
        }
        self.waiting[index].push_str(lines);
        Ok(())
    }

    /// Ends a recording's lines, and prints those of the next one so far.
    fn end(&mut self, index: usize) -> anyhow::Result<()> {
        self.done[index] = true;
        while self.done.get(self.turn).copied().unwrap_or(false) {
            self.turn += 1;
            if let Some(lines) = self.waiting.get_mut(self.turn).map(std::mem::take) {
                self.print(&lines)?;
            }
        }
        Ok(())
    }

    /// Prints all pending lines, after a stop.
    fn flush(&mut self) -> anyhow::Result<()> {
        for lines in std::mem::take(&mut self.waiting) {
            self.print(&lines)?;
        }
        Ok(())
    }

    fn print(&mut self, lines: &str) -> anyhow::Result<()> {
        if self.closed || lines.is_empty() {
            return Ok(());
        }
        match print_json(lines) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.has_tables => {
                self.closed = true;
                Ok(())
            }
            result => result.context(STANDARD_OUTPUT),
        }
    }
}

/// Ignores poisoning: each of the guarded values is written in one step.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
