//! Tables of minutes, as `lectern analyze --csv` writes them, read back into lectures.

use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// Its cell in the column by which lectures are grouped; empty where there is none.
    pub(super) group: String,
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

/// One slide, task or chapter of a lecture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) name: String,
    /// The lecture's label.
    pub(super) label: String,
    pub(super) total: Minute,
}

/// The column by which lectures are grouped where none is named.
const DEFAULT_COLUMN: &str = "teacher";

/// The lectures of all tables.
pub(super) struct Lectures {
    pub(super) all: Vec<Lecture>,
    pub(super) segments: Vec<Segment>,
    /// The column by which lectures are grouped.
    pub(super) by: String,
    /// Whether a table has it.
    has_by: bool,
    /// The columns that manifests had.
    carried: BTreeSet<String>,
    /// The position of a lecture, by device and boot.
    positions: HashMap<(String, String), usize>,
    /// Lecture and `seq` of each minute.
    counted: HashSet<(usize, u32)>,
    counted_segments: HashSet<[String; 5]>,
}

impl Lectures {
    pub(super) fn new(by: Option<&str>) -> Self {
        Self {
            all: Vec::new(),
            segments: Vec::new(),
            by: by.unwrap_or(DEFAULT_COLUMN).to_owned(),
            has_by: by.is_none(),
            carried: BTreeSet::new(),
            positions: HashMap::new(),
            counted: HashSet::new(),
            counted_segments: HashSet::new(),
        }
    }

    /// Checks that there is something to report, grouped as requested.
    ///
    /// # Errors
    /// When no table has a lecture, or the column by which lectures are to be grouped.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.all.is_empty() {
            let problem = Problem::new("the tables hold no minute");
            return Err(problem.with_help("analyze recordings with --csv first"));
        }
        if !self.has_by {
            let columns = self.carried.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let help = match columns.is_empty() {
                true => "analyze the recordings with a --manifest that has it".to_owned(),
                false => format!("the manifest's columns are {columns}"),
            };
            return Err(Problem::new(format!("no table has a column `{}`", self.by)).with_help(help));
        }
        Ok(())
    }

    /// Adds the minutes or the segments of a table: one that occurs twice, in one table or in two, counts once. A minute has a device, a boot and a
    /// `seq`.
    ///
    /// # Errors
    /// What of the table cannot be used.
    pub(super) fn read(&mut self, table: Vec<u8>) -> Result<(), Problem> {
        let help = "name a table that `lectern analyze --csv` wrote";
        let table = Table::read(table, "device", help)?;
        let position = |name: &str| table.position(name);
        let must = |name: &str| table.column(name, help);
        let [device, boot] = [must("device")?, must("boot")?];
        let names = [must("label")?, must("source")?];
        let counts = ["seconds", "frames_expected", "frames", "corrupt", "no_face", "uncertain"];
        let counts = counts.map(must).into_iter().collect::<Result<Vec<_>, _>>()?;
        let kinds =
            Expression::ALL.map(|kind| must(kind.name())).into_iter().collect::<Result<Vec<_>, _>>()?;
        let settings = must("settings")?;
        let by = position(&self.by);
        self.has_by |= by.is_some();
        self.carried.extend(table.header.iter().skip(settings + 1).map(|it| from_text(it).to_owned()));
        let segment = match position("segment") {
            Some(name) => Some([name, must("segment_start")?, must("segment_end")?]),
            None => None,
        };
        let seq = if segment.is_some() { device } else { must("seq")? };
        for row in table.whole_rows() {
            let (line, row) = row?;
            let number = |at: usize| number(&row, line, at);
            let minute = || -> Result<Minute, String> {
                let all =
                    counts.iter().map(|at| number(*at).map(u64::from)).collect::<Result<Vec<_>, _>>()?;
                let mut minute = Minute {
                    seconds: all[0],
                    expected: all[1],
                    frames: all[2],
                    corrupt: all[3],
                    no_face: all[4],
                    uncertain: all[5],
                    ..Minute::default()
                };
                for (kind, at) in minute.kinds.iter_mut().zip(&kinds) {
                    *kind = number(*at)?.into();
                }
                Ok(minute)
            };
            if let Some([name, start, end]) = segment {
                let key = [device, boot, name, start, end].map(|at| row[at].to_owned());
                if self.counted_segments.insert(key) {
                    let [name, label] = [name, names[0]].map(|at| from_text(&row[at]).to_owned());
                    self.segments.push(Segment { name, label, total: minute()? });
                }
                continue;
            }
            let key = [device, boot].map(|at| from_text(&row[at]).to_owned()).into();
            let at = *self.positions.entry(key).or_insert_with(|| {
                let [label, source] = names.map(|at| from_text(&row[at]).to_owned());
                let group = by.map_or_else(String::new, |at| from_text(&row[at]).to_owned());
                let settings = row[settings].to_owned();
                self.all.push(Lecture { label, source, group, settings, minutes: Vec::new() });
                self.all.len() - 1
            });
            if self.counted.insert((at, number(seq)?)) {
                self.all[at].minutes.push(minute()?);
            }
        }
        Ok(())
    }
}

fn number(row: &StringRecord, line: u64, at: usize) -> Result<u32, String> {
    row[at].parse().map_err(|_| format!("line {line}: `{}` is no count", &row[at]))
}
