//! Tables of minutes, as `lectern analyze --csv` writes them, read back into lectures.

use std::collections::{HashMap, HashSet};

use csv::StringRecord;

use super::super::spreadsheet::{Table, from_text};
use crate::expression::Expression;
use crate::help::Problem;

/// One minute of a lecture, or several together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Minute {
    pub(super) seconds: u64,
    pub(super) expected: u64,
    pub(super) frames: u64,
    pub(super) corrupt: u64,
    pub(super) no_face: u64,
    pub(super) uncertain: u64,
    /// By [`Expression::index`].
    pub(super) kinds: [u64; Expression::COUNT],
}

impl Minute {
    /// No table has as many rows as would overflow: a cell is less than 2^32.
    pub(super) fn add(&mut self, more: &Self) {
        self.seconds += more.seconds;
        self.expected += more.expected;
        self.frames += more.frames;
        self.corrupt += more.corrupt;
        self.no_face += more.no_face;
        self.uncertain += more.uncertain;
        self.kinds.iter_mut().zip(&more.kinds).for_each(|(count, more)| *count += more);
    }

    /// Counted faces.
    pub(super) fn faces(&self) -> u64 {
        self.kinds.iter().sum()
    }
}

/// One recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lecture {
    pub(super) label: String,
    pub(super) source: String,
    /// Where the manifest had a column of that name.
    pub(super) teacher: String,
    pub(super) settings: String,
    pub(super) minutes: Vec<Minute>,
}

impl Lecture {
    /// All minutes together.
    pub(super) fn total(&self) -> Minute {
        let mut total = Minute::default();
        self.minutes.iter().for_each(|minute| total.add(minute));
        total
    }
}

/// The lectures of all tables.
#[derive(Default)]
pub(super) struct Lectures {
    pub(super) all: Vec<Lecture>,
    /// The position of a lecture, by device and boot.
    positions: HashMap<(String, String), usize>,
    /// Lecture and `seq` of each minute.
    counted: HashSet<(usize, u32)>,
}

impl Lectures {
    /// Adds the minutes of a table: one that occurs twice, in one table or in two, counts once. A minute has a device, a boot and a
    /// `seq`.
    ///
    /// # Errors
    /// What of the table cannot be used.
    pub(super) fn read(&mut self, table: Vec<u8>) -> Result<(), Problem> {
        let help = "name a table that `lectern analyze --csv` wrote";
        let table = Table::read(table, "device", help)?;
        let position = |name: &str| table.position(name);
        let must = |name: &str| {
            position(name).ok_or_else(|| Problem::new(format!("has no column `{name}`")).with_help(help))
        };
        let [device, boot] = [must("device")?, must("boot")?];
        let names = [must("label")?, must("source")?];
        let counts = ["seconds", "frames_expected", "frames", "corrupt", "no_face", "uncertain"];
        let counts = counts.map(must).into_iter().collect::<Result<Vec<_>, _>>()?;
        let kinds =
            Expression::ALL.map(|kind| must(kind.name())).into_iter().collect::<Result<Vec<_>, _>>()?;
        let (seq, settings, teacher) = (must("seq")?, must("settings")?, position("teacher"));
        for row in table.rows() {
            let (line, row) = row?;
            if row.len() < table.header.len() {
                let (cells, columns) = (row.len(), table.header.len());
                return Err(format!("line {line}: has {cells} cells instead of {columns}").into());
            }
            let number = |at: usize| number(&row, line, at);
            let key = [device, boot].map(|at| from_text(&row[at]).to_owned()).into();
            let at = *self.positions.entry(key).or_insert_with(|| {
                let [label, source] = names.map(|at| from_text(&row[at]).to_owned());
                let teacher = teacher.map_or_else(String::new, |at| from_text(&row[at]).to_owned());
                let settings = row[settings].to_owned();
                self.all.push(Lecture { label, source, teacher, settings, minutes: Vec::new() });
                self.all.len() - 1
            });
            if !self.counted.insert((at, number(seq)?)) {
                continue;
            }
            let all = counts.iter().map(|at| number(*at).map(u64::from)).collect::<Result<Vec<_>, _>>()?;
            let &[seconds, expected, frames, corrupt, no_face, uncertain] = &all[..] else { continue };
            let mut minute =
                Minute { seconds, expected, frames, corrupt, no_face, uncertain, ..Minute::default() };
            for (kind, at) in minute.kinds.iter_mut().zip(&kinds) {
                *kind = number(*at)?.into();
            }
            self.all[at].minutes.push(minute);
        }
        Ok(())
    }
}

fn number(row: &StringRecord, line: u64, at: usize) -> Result<u32, String> {
    row[at].parse().map_err(|_| format!("line {line}: `{}` is no count", &row[at]))
}
