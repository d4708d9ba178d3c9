//! ELAN's tab-delimited export: annotations with their times and tiers, whichever columns were chosen.

use csv::StringRecord;

use crate::help::Problem;

/// One annotation.
#[derive(Debug, PartialEq)]
pub(super) struct Annotation {
    pub(super) line: u64,
    pub(super) tier: String,
    /// Milliseconds.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) value: String,
}

/// How a column writes times.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Times {
    /// hh:mm:ss.ms
    Clock,
    /// ss.msec
    Seconds,
    /// msec
    Milliseconds,
}

impl Times {
    const ALL: [Self; 3] = [Self::Clock, Self::Seconds, Self::Milliseconds];

    fn read(self, cell: &str) -> Option<u64> {
        match self {
            Self::Milliseconds => cell.parse().ok(),
            Self::Seconds if cell.contains('.') => super::milliseconds(cell),
            Self::Seconds => None,
            Self::Clock if cell.contains(':') => super::milliseconds(cell),
            Self::Clock => None,
        }
    }
}

const HELP: &str = "export it from ELAN as tab-delimited text with begin and end times, or write a table with the columns source, \
                    start, end, expression";

/// Reads an export without a line of headings (tier, times, annotation) or with one (times, and a column for each tier).
///
/// # Errors
/// What of it cannot be used.
pub(super) fn read(text: &str) -> Result<Vec<Annotation>, Problem> {
    let none = || Problem::new("has neither a column `start` nor times as ELAN writes them").with_help(HELP);
    let rows = rows(text)?;
    let (_, first) = rows.first().ok_or_else(none)?;
    let heading = first.iter().position(|cell| cell.starts_with("Begin Time"));
    let (start, end, times) = columns(&rows, heading.is_some()).ok_or_else(none)?;
    let mut annotations = Vec::new();
    for (line, row) in rows.iter().skip(usize::from(heading.is_some())) {
        let time = |at: usize| {
            row.get(at).and_then(|cell| times.read(cell)).ok_or_else(|| format!("line {line}: has no time"))
        };
        let (start, end) = (time(start)?, time(end)?);
        let mut add = |tier: &str, value: &str| {
            let (tier, value) = (tier.to_owned(), value.to_owned());
            annotations.push(Annotation { line: *line, tier, start, end, value });
        };
        if heading.is_some() {
            for (tier, value) in
                first.iter().zip(row).filter(|(tier, value)| is_tier(tier) && !value.is_empty())
            {
                add(tier, value);
            }
        } else {
            let last =
                (0..row.len()).rev().find(|at| Times::ALL.iter().any(|it| it.read(&row[*at]).is_some()));
            let value = last.and_then(|last| row.get(last + 1)).unwrap_or_default();
            add(row.get(0).unwrap_or_default(), value);
        }
    }
    Ok(annotations)
}

fn is_tier(heading: &str) -> bool {
    !heading.is_empty()
        && !["Begin Time", "End Time", "Duration", "File"].iter().any(|it| heading.starts_with(it))
}

/// Rows with their lines, without those that name the media.
fn rows(text: &str) -> Result<Vec<(u64, StringRecord)>, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .quoting(false)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| Problem::new("cannot be read").caused_by(error))?;
        let line = row.position().map_or(0, csv::Position::line);
        let media = row.get(0).is_some_and(|cell| cell.starts_with('#') || cell.starts_with("\"#"));
        if !media && !row.iter().all(str::is_empty) {
            rows.push((line, row));
        }
    }
    Ok(rows)
}

/// The columns of begin and end, and how they write times: with each format ELAN writes begin, end, duration.
fn columns(rows: &[(u64, StringRecord)], headed: bool) -> Option<(usize, usize, Times)> {
    let (_, first) = rows.first()?;
    let (_, sample) = rows.get(usize::from(headed))?;
    Times::ALL.into_iter().find_map(|times| {
        // The first column is the tier's name, which may be a number.
        let mut columns = (usize::from(!headed)..sample.len()).filter(|at| {
            let named = |at: usize| first.get(at).is_some_and(|it| !is_tier(it) && !it.is_empty());
            (!headed || named(*at)) && times.read(&sample[*at]).is_some()
        });
        Some((columns.next()?, columns.next()?, times))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_with_any_choice_of_columns() {
        for text in [
            "Anna\tP1\t00:00:01.500\t1.500\t1500\t00:00:02.000\t2.000\t2000\t00:00:00.500\t0.500\t500\thappy\n",
            "Anna\t\t1.5\t2.0\t0.5\thappy\n",
            "\"#file:///lectures/monday.mp4 -- offset: 0\nAnna\t1500\t2000\t500\thappy\n",
            "Anna\t00:00:01.500\t00:00:02.000\thappy\tmonday.eaf\n",
            "Begin Time - hh:mm:ss.ms\tBegin Time - ss.msec\tEnd Time - hh:mm:ss.ms\tEnd Time - ss.msec\tAnna\tOther\n\
             00:00:01.500\t1.5\t00:00:02.000\t2.0\thappy\t\n",
        ] {
            let found = read(text).unwrap();
            let [Annotation { tier, start, end, value, .. }] = &found[..] else {
                panic!("{text}: {found:?}")
            };
            assert_eq!((&**tier, *start, *end, &**value), ("Anna", 1500, 2000, "happy"), "{text}");
        }
        for text in ["", "a,b\n1,2\n", "Anna\thappy\n"] {
            assert!(read(text).is_err_and(|it| it.to_string().contains("nor times")), "{text}");
        }
    }
}
