//! Tables of frames and of faces, as `lectern analyze` writes them, read back into one list of observations for each recording.

use std::collections::HashMap;
use std::path::Path;

use super::UsageError;
use super::spreadsheet::{Table, from_text};
use crate::expression::{Expression, Sighting};
use crate::help::Problem;

/// Later times are taken for damage: half a year.
const MAX_SECONDS: f64 = 16e6;

/// What one face, or a frame without one, was classified as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Observation {
    Kind(Expression),
    Uncertain,
    NoFace,
    Corrupt,
}

impl Observation {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let others = [Self::Uncertain, Self::NoFace, Self::Corrupt];
        Expression::ALL.into_iter().map(Self::Kind).chain(others).find(|it| it.name() == name)
    }

    /// The name in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Uncertain => "uncertain",
            Self::NoFace => "no_face",
            Self::Corrupt => "corrupt",
        }
    }
}

impl From<Sighting> for Observation {
    fn from(sighting: Sighting) -> Self {
        match sighting {
            Sighting::Certain(kind) => Self::Kind(kind),
            Sighting::Uncertain => Self::Uncertain,
        }
    }
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Milliseconds since the start of the recording.
    pub(super) at: u64,
    /// Which face: its track, or its number in the frame.
    pub(super) face: u32,
    pub(super) observation: Observation,
    /// In a table of faces.
    pub(super) details: Option<Details>,
}

/// What only a table of faces has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Details {
    /// Probability of the kind, or of the most probable one; none for a face that is too small.
    pub(super) probability: Option<f32>,
    /// Left, top, width, height in pixels of the picture.
    pub(super) bounds: [f32; 4],
}

/// One recording's rows, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples {
    pub(super) label: String,
    /// The file as it was named.
    pub(super) source: String,
    pub(super) rows: Vec<Sample>,
}

impl Samples {
    /// The time between two analysed frames in milliseconds: the median.
    pub(super) fn period(&self) -> u64 {
        let mut steps: Vec<u64> =
            self.rows.windows(2).map(|pair| pair[1].at - pair[0].at).filter(|step| *step > 0).collect();
        let middle = steps.len() / 2;
        if steps.is_empty() { 500 } else { *steps.select_nth_unstable(middle).1 }
    }

    /// The file's name without its folder.
    pub(super) fn file_name(&self) -> &str {
        Path::new(&self.source).file_name().and_then(|name| name.to_str()).unwrap_or(&self.source)
    }
}

/// Reads a table of frames or of faces.
///
/// # Errors
/// [`UsageError`] when it is neither; when it cannot be read.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Samples>> {
    let found = Table::open(path, "seconds", HELP)?;
    parse(&found).map_err(|problem| UsageError::in_file(path, problem).into())
}

const HELP: &str = "name a table that `lectern analyze --frames-csv` or `--faces-csv` wrote";

fn parse(table: &Table) -> Result<Vec<Samples>, Problem> {
    let must = |name: &str| table.column(name, HELP);
    let [device, boot] = [must("device")?, must("boot")?];
    let names = [must("label")?, must("source")?];
    // The minutes have `seconds` too.
    let [seconds, expression] = [must("seconds")?, must("expression")?];
    let face = table.position("face");
    let bounds = match face {
        Some(_) => Some([must("x")?, must("y")?, must("width")?, must("height")?]),
        None => None,
    };
    let kinds: Vec<Option<usize>> = Expression::ALL.map(|kind| table.position(kind.name())).into();
    let track = table.position("track").or(face);
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    let mut recordings: Vec<Samples> = Vec::new();
    for row in table.whole_rows() {
        let (line, row) = row?;
        let key = (row[device].to_owned(), row[boot].to_owned());
        let place = *places.entry(key).or_insert_with(|| {
            let [label, source] = names.map(|at| from_text(&row[at]).to_owned());
            recordings.push(Samples { label, source, rows: Vec::new() });
            recordings.len() - 1
        });
        let number = |at: usize| {
            let number = row[at].parse::<f32>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| Problem::from(format!("line {line}: `{}` is no number", &row[at])))
        };
        let at = milliseconds(&row[seconds])
            .ok_or_else(|| format!("line {line}: `{}` is no time in seconds", &row[seconds]))?;
        let observation = Observation::parse(&row[expression]).ok_or_else(|| {
            Problem::from(format!("line {line}: `{}` is none of the 13 kinds", &row[expression]))
        })?;
        let rows = &mut recordings[place].rows;
        let face = match track {
            Some(track) => row[track]
                .parse()
                .map_err(|_| format!("line {line}: `{}` is no number of a face", &row[track]))?,
            // In a table of frames the faces of a frame follow each other.
            None => rows.last().filter(|last| last.at == at).map_or(0, |last| last.face + 1),
        };
        let details = match bounds {
            Some([x, y, width, height]) => {
                let probabilities = kinds.iter().flatten().filter_map(|at| row[*at].parse::<f32>().ok());
                let probability = match observation {
                    Observation::Kind(kind) => kinds[kind.index()].and_then(|at| row[at].parse().ok()),
                    _ => probabilities.reduce(f32::max),
                };
                let bounds = [number(x)?, number(y)?, number(width)?, number(height)?];
                Some(Details { probability, bounds })
            }
            None => None,
        };
        rows.push(Sample { at, face, observation, details });
    }
    if recordings.is_empty() {
        return Err(Problem::new("has no row").with_help(HELP));
    }
    // Stable: the faces of a frame stay in their order.
    recordings.iter_mut().for_each(|it| it.rows.sort_by_key(|row| row.at));
    Ok(recordings)
}

/// Seconds, or hours, minutes and seconds with colons between them, in milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    if text.matches(':').count() > 2 {
        return None;
    }
    let mut seconds = 0.0;
    for part in text.split(':') {
        let part: f64 = part.parse().ok()?;
        if !(0.0..=MAX_SECONDS).contains(&part) {
            return None;
        }
        seconds = 60.0 * seconds + part;
    }
    (seconds <= MAX_SECONDS).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Samples>, Problem> {
        parse(&Table::read(text.into(), "seconds", HELP).unwrap())
    }

    #[test]
    fn faces_of_a_frame_are_counted_and_tracks_are_taken_where_there_are_some() {
        let frames = "device,boot,label,source,seconds,picture_seconds,expression\n\
            d,1,L,a.mkv,0.000,0.000,neutral\nd,1,L,a.mkv,0.000,0.000,happy_weak\nd,1,L,a.mkv,0.500,0.480,no_face\n";
        let recordings = read(frames).unwrap();
        let found: Vec<_> =
            recordings[0].rows.iter().map(|row| (row.at, row.face, row.observation.name())).collect();
        assert_eq!(found, [(0, 0, "neutral"), (0, 1, "happy_weak"), (500, 0, "no_face")]);
        assert_eq!((recordings[0].period(), recordings[0].file_name()), (500, "a.mkv"));
        let faces = "track;source;label;device;boot;seconds;face;x;y;width;height;score;expression;happy_weak\n\
            7;a;b;c;d;1;0;1.5;2;3;4;.9;happy_weak;0.75\n";
        let row = &read(faces).unwrap()[0].rows[0];
        let details = row.details.as_ref().unwrap();
        assert_eq!((row.face, details.probability, details.bounds), (7, Some(0.75), [1.5, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn a_bad_row_is_named() {
        let header = "device,boot,label,source,seconds,expression\n";
        for (row, expected) in [
            ("", "has no row"),
            ("d,1,L,a\n", "line 2: has 4 cells"),
            ("d,1,L,a,-1,neutral\n", "line 2: `-1` is no time"),
            ("d,1,L,a,NaN,neutral\n", "line 2: `NaN` is no time"),
            ("d,1,L,a,1,glad\n", "line 2: `glad` is none of the 13 kinds"),
        ] {
            let problem = read(&format!("{header}{row}")).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
