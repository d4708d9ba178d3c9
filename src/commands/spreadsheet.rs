//! Tables as spreadsheets write them: their encodings, separators, line ends and dates, and cells that they would read as formulas.

use std::io;
use std::path::Path;

use anyhow::Context;
use csv::StringRecord;
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::UsageError;
use crate::file;
use crate::help::Problem;

/// What may stand between two cells.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The first characters of cells that a spreadsheet reads as formulas.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// The mark with which a spreadsheet shows a cell as text.
const TEXT: char = '\'';

/// The largest table that is read.
const MAX_BYTES: usize = 1 << 30;

/// The longest cell: a missing quote would make one of the rest of the table.
const MAX_CELL: usize = 1 << 16;

/// A table that was read.
pub(super) struct Table {
    pub(super) header: StringRecord,
    text: String,
    /// Where the header begins, behind `sep=`.
    body: usize,
    separator: u8,
}

impl Table {
    /// Reads a file with a table as [`Table::read`] does.
    ///
    /// # Errors
    /// [`UsageError`] when it cannot be used; when it cannot be read.
    pub(super) fn open(path: &Path, must: &str, without: &'static str) -> anyhow::Result<Self> {
        let table = Self::read(bytes(path)?, must, without);
        table.map_err(|problem| UsageError::in_file(path, problem).into())
    }

    /// Reads a table that has a column `must`: UTF-8 or, as "Unicode text" of Excel is, UTF-16; separated by commas, semicolons or
    /// tabs.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub(super) fn read(bytes: Vec<u8>, must: &str, without: &'static str) -> Result<Self, Problem> {
        let text = decoded(bytes)?;
        let first = text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("sep=").and_then(|rest| rest.chars().next()).filter(char::is_ascii);
        let body = if named.is_some() { (first.len() + 1).min(text.len()) } else { 0 };
        let mut best: Option<(StringRecord, char)> = None;
        for separator in named.map_or(SEPARATORS.to_vec(), |named| vec![named]) {
            let Ok(header) = reader(&text[body..], separator as u8).headers().cloned() else { continue };
            let has_it = header.iter().any(|name| name.eq_ignore_ascii_case(must));
            if has_it && best.as_ref().is_none_or(|(best, _)| best.len() < header.len()) {
                best = Some((header, separator));
            }
        }
        let (header, separator) = best.ok_or_else(|| no_column(must, without))?;
        Ok(Self { header, text, body, separator: separator as u8 })
    }

    /// Rows with the numbers of their lines; rows whose cells are all empty are left out.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<(u64, StringRecord), Problem>> {
        let text = &self.text[self.body..];
        let breaks = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        let (mut line, mut read) = (1 + u64::from(self.body > 0), 0);
        reader(text, self.separator).into_records().filter_map(move |row| {
            let row = match row {
                Ok(row) => row,
                Err(error) => return Some(Err(Problem::new("cannot be read").caused_by(error))),
            };
            // Where it begins, behind lines that are empty, at which the reader's own number is.
            let at = row.position().and_then(|it| usize::try_from(it.byte()).ok()).unwrap_or(read);
            let begins = at + text[at..].bytes().take_while(|byte| *byte == b'\n').count();
            (line, read) = (line + breaks(&text[read..begins]), begins);
            if row.iter().any(|cell| cell.len() > MAX_CELL) {
                let problem = Problem::new(format!("line {line}: has a cell of more than {MAX_CELL} bytes"));
                return Some(Err(problem.with_help("see whether a quotation mark is missing")));
            }
            (!row.iter().all(str::is_empty)).then_some(Ok((line, row)))
        })
    }

    /// The rows, each of which must have a cell for each column.
    pub(super) fn whole_rows(&self) -> impl Iterator<Item = Result<(u64, StringRecord), Problem>> {
        let columns = self.header.len();
        self.rows().map(move |row| match row? {
            (line, row) if row.len() < columns => {
                Err(format!("line {line}: has {} cells instead of {columns}", row.len()).into())
            }
            row => Ok(row),
        })
    }

    /// Where the column of this name is, which the table must have.
    ///
    /// # Errors
    /// That it has none, and `help`.
    pub(super) fn column(&self, name: &str, help: &'static str) -> Result<usize, Problem> {
        self.position(name).ok_or_else(|| no_column(name, help))
    }

    /// Where a column of this name is, in letters of either case.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column.eq_ignore_ascii_case(name))
    }
}

fn no_column(name: &str, help: &'static str) -> Problem {
    Problem::new(format!("has no column `{name}`")).with_help(help)
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

/// The content of a file.
///
/// # Errors
/// [`UsageError`] when it is too large; when it cannot be read.
pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    match file::read(path, MAX_BYTES) {
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
            let problem = format!("{}: is larger than {} MiB", path.display(), MAX_BYTES >> 20);
            Err(UsageError::new(Problem::new(problem).with_help("divide the table")).into())
        }
        read => read.with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The text of a table, with one kind of line ends: csv's reader counts lines by line feeds.
pub(super) fn decoded(bytes: Vec<u8>) -> Result<String, Problem> {
    let no_text = || Problem::new("is no UTF-8").with_help("save it as CSV in UTF-8");
    let wide = |of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().skip(1).map(|pair| of(*pair)).collect();
        String::from_utf16(&units).map_err(|_| no_text())
    };
    let text = match bytes[..] {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes)?,
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes)?,
        _ => String::from_utf8(bytes).map_err(|_| no_text())?,
    };
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// A cell that no spreadsheet reads as a formula. Numbers stay numbers.
pub(super) fn as_text(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok_and(f64::is_finite);
    if cell.starts_with(FORMULA) && !is_number { format!("{TEXT}{cell}") } else { cell.to_owned() }
}

/// The inverse of [`as_text`].
pub(super) fn from_text(cell: &str) -> &str {
    cell.strip_prefix(TEXT).filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}

/// A time as people write it: RFC 3339, `2026-11-23 10:15`, `23.11.2026 10:15`, or with slashes where day and month cannot be mixed
/// up. One without a zone is UTC.
///
/// # Errors
/// Why it is none.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || "must be a time such as 2026-11-23T10:15:00Z or 23.11.2026 10:15".to_owned();
    let (date, clock) = text.split_once([' ', 'T']).ok_or_else(wrong)?;
    let numbers = |text: &str, between: char| {
        let numbers: Option<Vec<i16>> = text.split(between).map(|part| part.trim().parse().ok()).collect();
        numbers.filter(|numbers| numbers.iter().all(|it| *it >= 0))
    };
    let date =
        ['-', '.', '/'].into_iter().find_map(|it| Some((it, numbers(date, it).filter(|n| n.len() == 3)?)));
    let (year, month, day) = match date {
        Some(('-', date)) => (date[0], date[1], date[2]),
        Some(('.', date)) => (date[2], date[1], date[0]),
        Some((_, date)) if date[0] > 12 || date[0] == date[1] => (date[2], date[1], date[0]),
        Some((_, date)) if date[1] > 12 => (date[2], date[0], date[1]),
        Some((_, date)) => {
            let [a, b, year] = [date[0], date[1], date[2]];
            return Err(format!(
                "`{text}` can be two days; write {year:04}-{a:02}-{b:02} or {year:04}-{b:02}-{a:02}, and the time behind it"
            ));
        }
        None => return Err(wrong()),
    };
    if year < 1000 {
        return Err(format!("`{text}` needs a year of four digits"));
    }
    let clock = clock.trim().to_ascii_lowercase();
    let (clock, half) = match (clock.strip_suffix("am"), clock.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (&*clock, None),
    };
    let clock = numbers(clock.trim(), ':').filter(|n| (2..=3).contains(&n.len())).ok_or_else(wrong)?;
    let hour = match half {
        Some(_) if !(1..=12).contains(&clock[0]) => return Err(wrong()),
        Some(half) => clock[0] % 12 + half,
        None => clock[0],
    };
    let small = |number: i16| i8::try_from(number).map_err(|_| wrong());
    let second = small(clock.get(2).copied().unwrap_or(0))?;
    let time = DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(clock[1])?, second, 0);
    let time = time.map_err(|_| wrong())?.to_zoned(jiff::tz::TimeZone::UTC);
    time.map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2026-11-23T10:15:00Z", "2026-11-23T10:15:00Z"),
            ("2026-11-23T10:15:00+01:00", "2026-11-23T09:15:00Z"),
            ("2026-11-23 10:15", "2026-11-23T10:15:00Z"),
            ("2026-11-23T10:15:30", "2026-11-23T10:15:30Z"),
            ("23.11.2026 10:15", "2026-11-23T10:15:00Z"),
            ("3.2.2026 9:05:07", "2026-02-03T09:05:07Z"),
            ("23/11/2026 10:15", "2026-11-23T10:15:00Z"),
            ("11/23/2026 10:15 PM", "2026-11-23T22:15:00Z"),
            ("11/23/2026 12:15 am", "2026-11-23T00:15:00Z"),
            ("11/11/2026 10:15", "2026-11-11T10:15:00Z"),
        ] {
            assert_eq!(time(text).map(|time| time.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for (text, problem) in [
            ("noon", "must be a time"),
            ("10/11/2026 10:15", "can be two days; write 2026-10-11 or 2026-11-10"),
            ("23.11.26 10:15", "a year of four digits"),
            ("31.2.2026 10:15", "must be a time"),
            ("23.11.2026 25:15", "must be a time"),
            ("23.11.2026 13:15 pm", "must be a time"),
            ("-1.2.2026 10:15", "must be a time"),
        ] {
            assert!(time(text).is_err_and(|e| e.contains(problem)), "{text}: {:?}", time(text));
        }
    }

    #[test]
    fn a_formula_cell_becomes_text_and_is_restored() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("@me", "'@me"),
            ("-x", "'-x"),
            ("+49 30 1", "'+49 30 1"),
            ("-0.5", "-0.5"),
            ("+3", "+3"),
            ("'a'", "'a'"),
            ("Prof. Müller", "Prof. Müller"),
            ("", ""),
        ] {
            assert_eq!((&*as_text(cell), from_text(written)), (written, cell));
        }
    }
}
