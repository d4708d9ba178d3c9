//! `lectern report`: compares recordings on one page that needs no network and shows no person.
//!
//! `table` reads tables of `lectern analyze --csv`, `groups` joins lectures of one teacher or another column, `statistics`
//! computes the intervals, `confusion` the effect of known classifier errors, `charts` draws, `methods` describes the analysis for
//! a paper, and `page` combines all of them.

mod charts;
mod confusion;
mod groups;
mod methods;
mod page;
pub(super) mod statistics;
mod table;

use std::path::Path;

use self::charts::{Chart, Panels};
use self::groups::Groups;
use self::table::Lectures;
use super::drawing::Format;
use super::label_set::LabelSet;
use super::spreadsheet::bytes;
use super::{UsageError, atomic_file, drawing, outputs};
use crate::cli::{ChartStyle, Report};

/// Writes the page, and the chart where one is requested.
///
/// # Errors
/// [`UsageError`] when a table is none of ours or an output would overwrite it; when something cannot be read or written.
pub fn run(arguments: &Report) -> anyhow::Result<()> {
    let requested = [("--out", Some(arguments.out.as_path())), ("--chart", arguments.chart.as_deref())];
    outputs::check(&requested, arguments.tables.iter().map(AsRef::as_ref))?;
    let mut lectures = Lectures::new(arguments.by.as_deref());
    for path in &arguments.tables {
        lectures.read(bytes(path)?).map_err(|problem| UsageError::in_file(path, problem))?;
    }
    lectures.check().map_err(UsageError::new)?;
    let groups = Groups::of(&lectures);
    atomic_file::write(&arguments.out, page::page(&lectures, &groups)?.as_bytes())?;
    let format = Format { width: arguments.chart_width, style: arguments.chart_style };
    arguments.chart.as_deref().map_or(Ok(()), |path| write_chart(&groups, path, format))
}

/// Draws the chart of a table of minutes, as `lectern analyze --chart` does.
///
/// # Errors
/// When it cannot be written.
pub(super) fn chart_of(table: Vec<u8>, path: &Path) -> anyhow::Result<()> {
    let mut lectures = Lectures::new(None);
    lectures.read(table)?;
    write_chart(&Groups::of(&lectures), path, Format::SCREEN)
}

fn write_chart(groups: &Groups<'_>, path: &Path, format: Format) -> anyhow::Result<()> {
    let in_style = |set: LabelSet| if format.style == ChartStyle::Grey { set.in_grey() } else { set };
    let (seven, thirteen) = (in_style(LabelSet::seven()), in_style(LabelSet::thirteen()));
    let charts = [
        ("Shares of 7 kinds", Chart::Shares(&seven, &groups.all)),
        ("Shares of 13 kinds", Chart::Shares(&thirteen, &groups.all)),
    ];
    drawing::write(&Panels { charts: &charts, format }, path, format)
}
