//! `lectern report`: compares recordings on one page that needs no network and shows no person.
//!
//! `table` reads tables of `lectern analyze --csv`, `groups` joins a teacher's lectures, `statistics` computes the
//! intervals, `confusion` the effect of known classifier errors, `charts` draws, and `page` combines all of them.

mod charts;
mod confusion;
mod groups;
mod page;
pub(super) mod statistics;
mod table;

use std::path::Path;

use self::charts::{Chart, Panels};
use self::table::{Lecture, Lectures};
use super::label_set::LabelSet;
use super::spreadsheet::bytes;
use super::{UsageError, atomic_file, drawing, outputs};
use crate::cli::Report;
use crate::help::Problem;

/// Writes the page, and the chart where one is requested.
///
/// # Errors
/// [`UsageError`] when a table is none of ours or an output would overwrite it; when something cannot be read or written.
pub fn run(arguments: &Report) -> anyhow::Result<()> {
    let requested = [("--out", Some(arguments.out.as_path())), ("--chart", arguments.chart.as_deref())];
    outputs::check(&requested, arguments.tables.iter().map(AsRef::as_ref))?;
    let mut lectures = Lectures::default();
    for path in &arguments.tables {
        lectures
            .read(bytes(path)?)
            .map_err(|problem| UsageError::new(problem.of(format_args!("{}:", path.display()))))?;
    }
    let lectures = lectures.all;
    if lectures.is_empty() {
        let problem =
            Problem::new("the tables hold no minute").with_help("analyze recordings with --csv first");
        return Err(UsageError::new(problem).into());
    }
    atomic_file::write(&arguments.out, page::page(&lectures)?.as_bytes())?;
    arguments.chart.as_deref().map_or(Ok(()), |path| write_chart(&lectures, path))
}

/// Draws the chart of a table of minutes, as `lectern analyze --chart` does.
///
/// # Errors
/// When it cannot be written.
pub(super) fn chart_of(table: Vec<u8>, path: &Path) -> anyhow::Result<()> {
    let mut lectures = Lectures::default();
    lectures.read(table)?;
    write_chart(&lectures.all, path)
}

fn write_chart(lectures: &[Lecture], path: &Path) -> anyhow::Result<()> {
    let rows = groups::rows(lectures);
    let (seven, thirteen) = (LabelSet::seven(), LabelSet::thirteen());
    let charts = [
        ("Shares of 7 kinds".to_owned(), Chart::Shares(&seven, &rows)),
        ("Shares of 13 kinds".to_owned(), Chart::Shares(&thirteen, &rows)),
    ];
    drawing::write(&Panels(&charts), path)
}
