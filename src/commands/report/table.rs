//! Tables of minutes, as `lectern analyze --csv` writes them, read back into lectures.

use std::collections::HashSet;

use csv::StringRecord;

use super::super::spreadsheet::{Table, from_text};
use crate::expression::Expression;
use crate::help::Problem;
use crate::window::Counts;

/// One minute of a lecture.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Minute {
    pub(super) seconds: u32,
    pub(super) expected: u32,
    pub(super) counts: Counts,
}

/// One recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lecture {
    pub(super) device: String,
    pub(super) boot: String,
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
        for Minute { seconds, expected, counts } in &self.minutes {
            total.seconds += seconds;
            total.expected += expected;
            total.counts.add(counts);
        }
        total
    }
}

/// Adds the lectures of a table to `lectures`, except the minutes in `counted`, and adds the table's minutes to it: a minute that
/// occurs twice, in one table or in two, counts once. A minute has a device, a boot and a `seq`.
///
/// # Errors
/// What of the table cannot be used.
pub(super) fn read(
    table: Vec<u8>,
    counted: &mut HashSet<[String; 3]>,
    lectures: &mut Vec<Lecture>,
) -> Result<(), Problem> {
    let help = "name a table that `lectern analyze --csv` wrote";
    let table = Table::read(table, "device", help)?;
    let position = |name: &str| table.position(name);
    let must = |name: &str| {
        position(name).ok_or_else(|| Problem::new(format!("has no column `{name}`")).with_help(help))
    };
    let names = [must("device")?, must("boot")?, must("label")?, must("source")?];
    let counts = ["seconds", "frames_expected", "frames", "corrupt", "no_face", "uncertain"];
    let counts = counts.map(must).into_iter().collect::<Result<Vec<_>, _>>()?;
    let kinds = Expression::ALL.map(|kind| must(kind.name())).into_iter().collect::<Result<Vec<_>, _>>()?;
    let (seq, settings, teacher) = (must("seq")?, must("settings")?, position("teacher"));
    for row in table.rows() {
        let (line, row) = row?;
        if row.len() < table.header.len() {
            return Err(
                format!("line {line}: has {} cells instead of {}", row.len(), table.header.len()).into()
            );
        }
        let [device, boot, label, source] = names.map(|at| from_text(&row[at]).to_owned());
        let number = |at: usize| number(&row, line, at);
        let at = lectures.iter().rposition(|it| (&it.device, &it.boot) == (&device, &boot));
        if !counted.insert([device.clone(), boot.clone(), row[seq].to_owned()]) {
            continue;
        }
        let all = counts.iter().map(|at| number(*at)).collect::<Result<Vec<_>, _>>()?;
        let &[seconds, expected, frames, corrupt, no_face, uncertain] = &all[..] else { continue };
        let mut minute = Minute {
            seconds,
            expected,
            counts: Counts { frames, corrupt, no_face, uncertain, ..Counts::default() },
        };
        for (kind, at) in minute.counts.kinds.iter_mut().zip(&kinds) {
            *kind = number(*at)?;
        }
        let lecture = match at {
            Some(at) => &mut lectures[at],
            None => {
                let teacher = teacher.map_or_else(String::new, |at| from_text(&row[at]).to_owned());
                let settings = row[settings].to_owned();
                lectures.push(Lecture {
                    device,
                    boot,
                    label,
                    source,
                    teacher,
                    settings,
                    minutes: Vec::new(),
                });
                lectures.last_mut().expect("one was pushed")
            }
        };
        lecture.minutes.push(minute);
    }
    Ok(())
}

fn number(row: &StringRecord, line: u64, at: usize) -> Result<u32, String> {
    row[at].parse().map_err(|_| format!("line {line}: `{}` is no count", &row[at]))
}
