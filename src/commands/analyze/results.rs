//! What all recordings come to: lines in the order of the list, and tables that are put in place when they are whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

use super::super::{STANDARD_OUTPUT, atomic_file};
use super::checkpoint::{Part, Unfinished};
use super::tables::Kind;
use crate::cli::Analyze;
use crate::commands::report;

/// By which Excel recognises UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The results of all recordings, which are analysed side by side.
pub(super) struct Results {
    unfinished: Unfinished,
    /// Tables as they were asked for, each opened beside its place, so that one that cannot be written is known at the start.
    tables: Vec<(Kind, PathBuf, atomic_file::Placed)>,
    chart: Option<PathBuf>,
    /// Whether tables begin with a byte order mark.
    byte_order_mark: bool,
    lines: Mutex<Lines>,
    ends: Mutex<Vec<End>>,
}

/// JSON lines, each recording's when its turn comes.
struct Lines {
    /// The recording whose lines are printed as they come.
    turn: usize,
    /// Those of later ones.
    waiting: Vec<String>,
    done: Vec<bool>,
    /// Whether nobody reads any more; the tables are made all the same.
    closed: bool,
    has_tables: bool,
}

/// How far a recording came.
pub(super) enum End {
    /// Not begun, or of no use, which has a reason.
    Nothing(Option<anyhow::Error>),
    /// Whole, under this key on the disk.
    Kept(String),
    /// In memory: cut short, or without a table to lie beside.
    Here(Part),
}

impl Results {
    /// # Errors
    /// When an output cannot be written, or an earlier run's results would be lost.
    pub(super) fn open(arguments: &Analyze, recordings: usize) -> anyhow::Result<Self> {
        let asked = [&arguments.csv, &arguments.frames_csv, &arguments.faces_csv].into_iter().zip(Kind::ALL);
        let asked: Vec<(Kind, &Path)> =
            asked.filter_map(|(path, kind)| Some((kind, path.as_deref()?))).collect();
        let first = asked.iter().find_map(|(_, path)| atomic_file::place(path));
        let has_tables = !asked.is_empty() || arguments.chart.is_some();
        let unfinished = Unfinished::open(first.as_deref(), arguments.resume)?;
        let mut tables = Vec::new();
        for (kind, path) in asked {
            let folder = unfinished.folder().filter(|_| first == atomic_file::place(path));
            tables.push((kind, path.to_owned(), atomic_file::Placed::open(path, folder)?));
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
            unfinished,
            tables,
            chart: arguments.chart.clone(),
            byte_order_mark: arguments.bom,
            lines: Mutex::new(lines),
            ends: Mutex::new(ends),
        })
    }

    /// What an earlier run has finished under this key.
    pub(super) fn earlier(&self, key: &str) -> Option<Part> {
        self.unfinished.get(key)
    }

    /// Prints a line of a recording, now or when its turn comes.
    pub(super) fn line(&self, index: usize, line: &str) -> anyhow::Result<()> {
        lock(&self.lines).add(index, &format!("{line}\n"))
    }

    /// All lines of a recording that an earlier run has finished.
    pub(super) fn lines(&self, index: usize, lines: &str) -> anyhow::Result<()> {
        lock(&self.lines).add(index, lines)
    }

    /// A recording is finished: what it came to is kept on the disk.
    pub(super) fn keep(&self, index: usize, key: String, part: Part) -> anyhow::Result<()> {
        let end = self.unfinished.put(&key, part)?.map_or(End::Kept(key), End::Here);
        self.end(index, end)
    }

    /// A recording has ended in any other way.
    pub(super) fn end(&self, index: usize, end: End) -> anyhow::Result<()> {
        lock(&self.ends)[index] = end;
        lock(&self.lines).end(index)
    }

    /// Puts the tables in place, unless not one recording came to anything, and says what was wrong with which recording.
    ///
    /// # Errors
    /// When something cannot be written; then the places hold what they held.
    pub(super) fn finish(self, carried: &[String], cut_short: bool) -> anyhow::Result<Vec<anyhow::Error>> {
        let Self { unfinished, mut tables, chart, byte_order_mark, lines, ends } = self;
        lines.into_inner().unwrap_or_else(PoisonError::into_inner).flush()?;
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What the places hold is worth more than nothing: a name that was mistyped, a drive that is not mounted.
        if ends.iter().all(|end| matches!(end, End::Nothing(_))) {
            drop(tables);
            unfinished.close(cut_short)?;
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
            let part = match end {
                End::Nothing(reason) => {
                    failures.extend(reason);
                    continue;
                }
                End::Kept(key) => unfinished.get(&key).context("what was finished cannot be read again")?,
                End::Here(part) => part,
            };
            failures.extend(part.failure.map(anyhow::Error::msg));
            for (kind, path, table) in &mut tables {
                let rows = &part.rows[*kind as usize];
                table.write_all(rows.as_bytes()).with_context(|| atomic_file::cannot_write(path))?;
            }
            if chart.is_some() {
                minutes.extend_from_slice(part.rows[Kind::Minutes as usize].as_bytes());
            }
        }
        for (_, _, table) in tables {
            table.finish()?;
        }
        if let Some(chart) = chart {
            report::chart_of(&minutes, &chart)?;
        }
        unfinished.close(cut_short)?;
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

    /// A recording has no more lines: those of the next one are printed as far as they are there.
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

    /// Prints all that still waits, after a stop.
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
        let mut out = io::stdout().lock();
        match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.has_tables => {
                self.closed = true;
                Ok(())
            }
            result => result.context(STANDARD_OUTPUT),
        }
    }
}

/// What another thread left behind when it failed is whole: each of these is written in one step.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
