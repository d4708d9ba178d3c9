//! What people coded: intervals of a recording with the expression that they saw.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::UsageError;
use super::super::label_set::LabelSet;
use super::super::samples::{Observation, Samples};
use super::super::spreadsheet::{Table, bytes, decoded, from_text};
use super::elan;
use crate::expression::Expression;
use crate::help::Problem;

/// A person's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Kind(Expression),
    /// One of the 7 kinds, without its intensity.
    Merged(usize),
    /// `uncertain`, `no_face` or `corrupt`: looked at, and none of the kinds.
    None,
}

/// One interval; its end is exclusive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Interval {
    /// The recording's position in the table of frames.
    pub(super) recording: usize,
    pub(super) coder: String,
    /// Milliseconds.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) label: Label,
    /// Where it was read: for errors.
    place: String,
}

/// The intervals of all files.
#[derive(Debug, Default)]
pub(super) struct Codings {
    /// By recording, coder and start.
    pub(super) intervals: Vec<Interval>,
    /// Sources that the table of frames does not have, with how often they were named.
    pub(super) unknown: BTreeMap<String, usize>,
}

/// From the words of a coding scheme to kinds: a table with the columns `value` and `expression`, and where wanted `tier` and
/// `coder`.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    rows: Vec<MappingRow>,
    /// Whether tiers that it does not name are left out.
    has_tiers: bool,
}

#[derive(Debug)]
struct MappingRow {
    value: String,
    /// Empty leaves the interval out.
    expression: String,
    tier: String,
    coder: String,
}

impl Mapping {
    /// # Errors
    /// [`UsageError`] when it has no such columns; when it cannot be read.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let table = Table::open(path, "value", "a mapping has the columns value and expression")?;
        let named = |problem: Problem| UsageError::in_file(path, problem);
        let expression =
            table.position("expression").ok_or_else(|| named("has no column `expression`".into()))?;
        let value = table.position("value").unwrap_or_default();
        let (tier, coder) = (table.position("tier"), table.position("coder"));
        let mut rows = Vec::new();
        for row in table.rows() {
            let (_, row) = row.map_err(named)?;
            let cell = |at: Option<usize>| {
                at.and_then(|at| row.get(at)).map_or_else(String::new, |it| from_text(it).to_owned())
            };
            let [value, expression] = [Some(value), Some(expression)].map(cell);
            rows.push(MappingRow { value, expression, tier: cell(tier), coder: cell(coder) });
        }
        Ok(Self { has_tiers: rows.iter().any(|row| !row.tier.is_empty()), rows })
    }

    /// The expression and the coder of an annotation; none if it is left out.
    fn of<'a>(&'a self, tier: &'a str, value: &'a str) -> Option<(&'a str, &'a str)> {
        let mut of_tier = self.rows.iter().filter(|row| row.tier.is_empty() || row.tier == tier).peekable();
        if self.has_tiers {
            of_tier.peek()?;
        }
        let Some(row) = of_tier.find(|row| row.value == value) else { return Some((value, tier)) };
        let coder = if row.coder.is_empty() { tier } else { &row.coder };
        (!row.expression.is_empty()).then_some((&*row.expression, coder))
    }
}

impl Codings {
    /// Adds the intervals of a file.
    ///
    /// # Errors
    /// [`UsageError`] with the line of what cannot be used; when it cannot be read.
    pub(super) fn read(
        &mut self,
        path: &Path,
        mapping: &Mapping,
        recordings: &[Samples],
    ) -> anyhow::Result<()> {
        let bytes = bytes(path)?;
        let named = |problem: Problem| UsageError::in_file(path, problem);
        let text = decoded(bytes).map_err(named)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let read = match Table::read(text.clone().into(), "start", "") {
            Ok(table) => self.table(&table, &stem, mapping, recordings),
            Err(_) => self.export(&text, &stem, mapping, recordings),
        };
        Ok(read.map_err(named)?)
    }

    fn table(
        &mut self,
        table: &Table,
        stem: &str,
        mapping: &Mapping,
        recordings: &[Samples],
    ) -> Result<(), Problem> {
        let help =
            "a table of codings has the columns source, start, end, expression, and where wanted coder";
        let must = |name: &str| table.column(name, help);
        let [source, start, end, expression] =
            [must("source")?, must("start")?, must("end")?, must("expression")?];
        let coder = table.position("coder");
        for row in table.rows() {
            let (line, row) = row?;
            let cell = |at: usize| row.get(at).map(from_text).unwrap_or_default();
            let time = |at: usize| {
                super::milliseconds(cell(at))
                    .ok_or_else(|| format!("line {line}: `{}` is no time in seconds", cell(at)))
            };
            let coder = coder.map(cell).filter(|name| !name.is_empty()).unwrap_or(stem);
            // A form that is not filled in yet.
            if cell(expression).is_empty() {
                continue;
            }
            let Some(recording) = of_source(recordings, cell(source)) else {
                *self.unknown.entry(cell(source).to_owned()).or_default() += 1;
                continue;
            };
            let annotation = elan::Annotation {
                line,
                tier: coder.to_owned(),
                start: time(start)?,
                end: time(end)?,
                value: cell(expression).to_owned(),
            };
            self.add(annotation, recording, stem, mapping)?;
        }
        Ok(())
    }

    fn export(
        &mut self,
        text: &str,
        stem: &str,
        mapping: &Mapping,
        recordings: &[Samples],
    ) -> Result<(), Problem> {
        let annotations = elan::read(text)?;
        // An export names no recording.
        let mut begins: Vec<usize> = (0..recordings.len())
            .filter(|at| recordings.len() == 1 || stem.starts_with(stem_of(recordings[*at].file_name())))
            .collect();
        begins.sort_by_key(|at| std::cmp::Reverse(recordings[*at].file_name().len()));
        let Some(recording) = begins.first() else {
            let problem = Problem::new("does not say which recording it is of");
            return Err(problem
                .with_help("give it a name that begins with the recording's, as monday.txt for monday.mkv"));
        };
        annotations.into_iter().try_for_each(|it| self.add(it, *recording, stem, mapping))
    }

    fn add(
        &mut self,
        annotation: elan::Annotation,
        recording: usize,
        stem: &str,
        mapping: &Mapping,
    ) -> Result<(), Problem> {
        let elan::Annotation { line, tier, start, end, value } = annotation;
        let Some((expression, coder)) = mapping.of(&tier, &value) else { return Ok(()) };
        let label = label(expression).ok_or_else(|| {
            let problem = Problem::new(format!("line {line}: `{expression}` is none of the 13 or 7 kinds"));
            problem.with_help("name the kind of each word in a --mapping")
        })?;
        if end <= start {
            return Err(format!("line {line}: ends before it begins").into());
        }
        let place = format!("{stem} line {line}");
        self.intervals.push(Interval { recording, coder: coder.to_owned(), start, end, label, place });
        Ok(())
    }

    /// Sorts the intervals.
    ///
    /// # Errors
    /// When a coder coded a moment twice.
    pub(super) fn sort(&mut self) -> Result<(), UsageError> {
        self.intervals
            .sort_by(|a, b| (a.recording, &a.coder, a.start).cmp(&(b.recording, &b.coder, b.start)));
        for pair in self.intervals.windows(2) {
            let [one, other] = pair else { continue };
            let same = (one.recording, &one.coder) == (other.recording, &other.coder);
            if same && other.start < one.end {
                let problem =
                    format!("{} and {}: `{}` coded the same moment twice", one.place, other.place, one.coder);
                let help = "give each coder a name: a column `coder` or, in ELAN, a tier for each";
                return Err(UsageError::new(Problem::new(problem).with_help(help)));
            }
        }
        Ok(())
    }
}

/// The recording with this source, or the only one with this file name.
fn of_source(recordings: &[Samples], source: &str) -> Option<usize> {
    let exact = recordings.iter().position(|it| it.source == source);
    let name = Path::new(source).file_name()?.to_str()?;
    let mut alike = (0..recordings.len()).filter(|at| recordings[*at].file_name() == name);
    exact.or_else(|| alike.next().filter(|_| alike.next().is_none()))
}

fn stem_of(name: &str) -> &str {
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name)
}

/// A name as people write it: `happy_weak`, `Happy weak`, `happy`.
fn label(text: &str) -> Option<Label> {
    let name = text.to_lowercase().replace([' ', '-'], "_");
    match Observation::parse(&name) {
        Some(Observation::Kind(kind)) => Some(Label::Kind(kind)),
        Some(_) => Some(Label::None),
        None => LabelSet::seven().kinds.iter().position(|kind| kind.name == name).map(Label::Merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings() -> [Samples; 2] {
        ["a/monday.mkv", "tuesday.mkv"].map(|source| Samples {
            label: String::new(),
            source: source.to_owned(),
            rows: Vec::new(),
        })
    }

    fn read(name: &str, text: &str, mapping: &str) -> anyhow::Result<Vec<(usize, String, u64, Label)>> {
        let folder = tempfile::tempdir()?;
        let [path, words] = [name, "words.csv"].map(|name| folder.path().join(name));
        std::fs::write(&path, text)?;
        std::fs::write(&words, mapping)?;
        let mapping = if mapping.is_empty() { Mapping::default() } else { Mapping::read(&words)? };
        let mut codings = Codings::default();
        codings.read(&path, &mapping, &recordings())?;
        codings.sort()?;
        let intervals = codings.intervals.into_iter();
        Ok(intervals.map(|it| (it.recording, it.coder, it.start, it.label)).collect())
    }

    #[test]
    fn tables_and_exports_are_read() {
        let happy = Label::Kind(Expression::ALL[7]);
        let table = "source;start;end;expression\nmonday.mkv;1;2.5;Happy weak\nnone.mkv;1;2;sad\na/monday.mkv;0;1;happy\n";
        let found = read("anna.csv", table, "").unwrap();
        let expected = [(0, 0, Label::Merged(4)), (0, 1000, happy)];
        assert_eq!(found, expected.map(|(at, start, label)| (at, "anna".to_owned(), start, label)));
        let export = "Anna\t1.000\t2.000\tsmile\nAnna\t2.000\t3.000\t?\nwords\t1.000\t2.000\thello\n";
        let mapping = "value,expression,tier\nsmile,happy_weak,Anna\n?,,Anna\n";
        assert_eq!(read("tuesday_1.txt", export, mapping).unwrap(), [(1, "Anna".to_owned(), 1000, happy)]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let header = "source,start,end,expression,coder\n";
        for (row, expected) in [
            ("monday.mkv,1,2,glad,A\n", "line 2: `glad` is none of the 13 or 7 kinds"),
            ("monday.mkv,2,2,sad,A\n", "line 2: ends before it begins"),
            ("monday.mkv,x,2,sad,A\n", "line 2: `x` is no time"),
            (
                "monday.mkv,1,3,sad,A\nmonday.mkv,2,4,sad,A\n",
                "line 2 and c line 3: `A` coded the same moment twice",
            ),
        ] {
            let error = read("c.csv", &format!("{header}{row}"), "").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = read("other.txt", "Anna\t1.000\t2.000\tsad\n", "").unwrap_err();
        assert!(error.to_string().contains("does not say which recording"), "{error}");
    }
}
