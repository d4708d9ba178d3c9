//! The list of recordings, from the command line or a manifest.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::UsageError;
use super::super::spreadsheet::{self, Table};
use super::tables;
use crate::camera::stills;
use crate::camera::video::is_video;
use crate::cli::Analyze;
use crate::delivery::topics::{MAX_LEVEL_BYTES, may_be_in_level};
use crate::help::Problem;

/// One recording of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recording {
    pub(super) path: PathBuf,
    /// The path as given.
    pub(super) source: String,
    /// Its label for people.
    pub(super) label: String,
    pub(super) start: Option<Timestamp>,
    /// Its other cells in the manifest, one for each of [`List::columns`].
    pub(super) carried: Vec<String>,
}

/// All recordings, in order.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) recordings: Vec<Recording>,
    /// Columns of the manifest that are carried through.
    pub(super) columns: Vec<String>,
    /// What lies in folders of videos and is no recording of the list: messages.
    pub(super) left_out: Vec<String>,
}

impl Recording {
    /// The label as a topic level: what does not fit is replaced by `_`.
    pub(super) fn device(&self) -> String {
        // A spreadsheet reads a leading minus as a formula.
        let fits = |(i, c): (usize, char)| may_be_in_level(c) && !(i == 0 && c == '-');
        let level = self.label.chars().enumerate().map(|it| if fits(it) { it.1 } else { '_' });
        level.take(MAX_LEVEL_BYTES).collect()
    }

    /// The name of its file, or the label of one that has none.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(|| self.label.clone(), |name| name.to_string_lossy().into_owned())
    }
}

impl List {
    /// # Errors
    /// When labels or times do not belong to recordings one by one, or when the manifest cannot be used.
    pub(super) fn of(arguments: &Analyze) -> anyhow::Result<Self> {
        if let Some(manifest) = &arguments.manifest {
            return read(manifest);
        }
        let mut left_out = Vec::new();
        let mut videos = Vec::new();
        for given in &arguments.videos {
            match folder_of_videos(given, &mut left_out) {
                Some(inside) => videos.extend(inside),
                None => videos.push(given.clone()),
            }
        }
        for (option, given) in [("--label", arguments.label.len()), ("--start", arguments.start.len())] {
            if given != 0 && given != videos.len() {
                let problem =
                    Problem::new(format!("{option} is given {given} times for {} recordings", videos.len()));
                let help = "give it once for each, in the same order, or list them in a --manifest";
                return Err(UsageError::new(problem.with_help(help)).into());
            }
        }
        let recordings = videos.iter().enumerate().map(|(i, path)| Recording {
            path: path.clone(),
            source: path.to_string_lossy().into_owned(),
            label: arguments.label.get(i).cloned().unwrap_or_else(|| label_of(path)),
            start: arguments.start.get(i).copied(),
            carried: Vec::new(),
        });
        Ok(Self { recordings: recordings.collect(), columns: Vec::new(), left_out })
    }
}

/// The videos of a folder in natural order, if it is one that holds some; what else it holds is added to `left_out`.
fn folder_of_videos(path: &Path, left_out: &mut Vec<String>) -> Option<Vec<PathBuf>> {
    if !path.is_dir() {
        return None;
    }
    // One that cannot be read is reported when it is opened as a recording.
    let (videos, companions) = stills::list(path, is_video).ok().filter(|(videos, _)| !videos.is_empty())?;
    let pictures = stills::list(path, stills::is_still).map_or(0, |(pictures, _)| pictures.len());
    let folder = path.display();
    if companions > 0 {
        left_out.push(format!("{folder}: {}", stills::companions_left_out(companions)));
    }
    if pictures > 0 {
        left_out.push(format!("{folder}: {pictures} pictures beside videos are left out"));
    }
    Some(videos)
}

/// The default label: the file's name without its extension.
fn label_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if stem.is_empty() || stem == "-" { "recording".to_owned() } else { stem.into_owned() }
}

fn read(manifest: &Path) -> anyhow::Result<List> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    parse(spreadsheet::bytes(manifest)?, folder)
        .map_err(|problem| UsageError::in_file(manifest, problem).into())
}

/// Files are named from `folder` on.
fn parse(text: Vec<u8>, folder: &Path) -> Result<List, Problem> {
    let table = Table::read(text, "file", "its first line names the columns")?;
    let rows = table.rows().collect::<Result<Vec<_>, _>>()?;
    let (header, position) = (&table.header, |name: &str| table.position(name));
    let file = position("file");
    let (label, start) = (position("label"), position("start"));
    let ours = [file, label, start];
    // Spreadsheets write columns behind the last one that once had a cell.
    let is_empty = |at: usize| {
        header[at].is_empty() && rows.iter().all(|(_, row)| row.get(at).is_none_or(str::is_empty))
    };
    let carried: Vec<usize> =
        (0..header.len()).filter(|at| !ours.contains(&Some(*at)) && !is_empty(*at)).collect();
    let columns: Vec<String> = carried.iter().map(|i| header[*i].to_owned()).collect();
    for (i, column) in columns.iter().enumerate() {
        if column.is_empty() || tables::is_reserved(column) || columns[..i].contains(column) {
            let problem = Problem::new(format!("has a column `{column}`, which the tables have already"));
            return Err(problem.with_help("give it another name"));
        }
    }
    let mut recordings = Vec::new();
    for (line, row) in &rows {
        if row.len() < header.len() || row.iter().skip(header.len()).any(|cell| !cell.is_empty()) {
            let (cells, columns) = (row.len(), header.len());
            return Err(format!(
                "line {line}: has {cells} cells, and the first line names {columns} columns"
            )
            .into());
        }
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).filter(|cell| !cell.is_empty());
        let source = cell(file).ok_or_else(|| format!("line {line}: has no file"))?;
        let start =
            cell(start).map(spreadsheet::time).transpose().map_err(|e| format!("line {line}: start {e}"))?;
        let path = folder.join(source);
        recordings.push(Recording {
            label: cell(label).map_or_else(|| label_of(&path), str::to_owned),
            source: source.to_owned(),
            path,
            start,
            carried: carried.iter().map(|at| row[*at].to_owned()).collect(),
        });
    }
    if recordings.is_empty() {
        return Err("lists no recording".into());
    }
    Ok(List { recordings, columns, left_out: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(label: &str) -> Recording {
        Recording {
            path: PathBuf::new(),
            source: String::new(),
            label: label.to_owned(),
            start: None,
            carried: Vec::new(),
        }
    }

    #[test]
    fn any_label_becomes_a_valid_topic_level() {
        assert_eq!(label_of(Path::new("/lectures/Week 3: Ärger.mp4")), "Week 3: Ärger");
        assert_eq!(label_of(Path::new("-")), "recording");
        assert_eq!(label_of(Path::new("a.b.mkv")), "a.b");
        for (label, device) in [
            ("Week 3: Ärger", "Week_3___rger"),
            ("Prof. Müller", "Prof._M_ller"),
            ("-1-2", "_1-2"),
            (&"x".repeat(99), &"x".repeat(64)),
        ] {
            let made = recording(label).device();
            assert_eq!(made, device);
            assert!(crate::delivery::topics::check_level(&made).is_ok());
        }
    }

    #[test]
    fn a_manifests_paths_are_relative_and_columns_carried() {
        let comma =
            "file,label,teacher,start\na.mkv,Algebra 1,\"Weiß, Dr.\",2026-11-23T10:15:00Z\n/b/c.mkv,,,\n";
        let list = parse(comma.into(), Path::new("/lectures")).unwrap();
        assert_eq!(list.columns, ["teacher"]);
        let [first, second] = &list.recordings[..] else { panic!("two") };
        assert_eq!((first.path.to_str(), &*first.label), (Some("/lectures/a.mkv"), "Algebra 1"));
        assert_eq!((&*first.source, &first.carried[..]), ("a.mkv", &["Weiß, Dr.".to_owned()][..]));
        assert_eq!(first.start, Some("2026-11-23T10:15:00Z".parse().unwrap()));
        assert_eq!((second.path.to_str(), &*second.label, second.start), (Some("/b/c.mkv"), "c", None));
        let semicolons = parse("\u{feff}label;file\r\nX;a.mkv\r\n".into(), Path::new("")).unwrap();
        assert_eq!((&*semicolons.recordings[0].label, &*semicolons.recordings[0].source), ("X", "a.mkv"));
    }

    #[test]
    fn a_manifest_is_read_as_spreadsheets_write_it() {
        let wide = |text: &str| "\u{feff}".chars().chain(text.chars()).collect::<String>();
        let wide = |text: &str| wide(text).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for text in [
            b"file;label;start\r\na.mkv;X;23.11.2026 10:15\r\n;;\r\n;;\r\n".to_vec(),
            b"sep=;\r\nfile;label;start\r\na.mkv;X;2026-11-23 10:15\r\n".to_vec(),
            b"sep=\t\nFile\tLabel\tStart\na.mkv\tX\t23/11/2026 10:15\n".to_vec(),
            wide("File\tLabel\tstart\r\na.mkv\tX\t11/23/2026 10:15 AM\r\n"),
            b"file;label;start;\"room, building\"\r\na.mkv;X;23.11.2026 10:15;1\r\n".to_vec(),
            b"file;label;start;a, b, c, d\na.mkv;X;23.11.2026 10:15;1\n".to_vec(),
            b"FILE,LABEL,START,,\na.mkv,X,2026-11-23T10:15:00Z,,\n".to_vec(),
        ] {
            let list = parse(text.clone(), Path::new("")).unwrap();
            let found: Vec<_> =
                list.recordings.iter().map(|it| (&*it.source, &*it.label, it.start)).collect();
            let start = "2026-11-23T10:15:00Z".parse().ok();
            assert_eq!(found, [("a.mkv", "X", start)], "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_bad_manifest_is_refused_with_the_place() {
        for (text, expected) in [
            ("", "no column `file`"),
            ("name\nx\n", "no column `file`"),
            ("file\n", "lists no recording"),
            ("file,seq\na,1\n", "`seq`, which the tables have already"),
            ("file,a,a\nx,1,2\n", "`a`, which the tables have already"),
            ("file,label\na\n", "line 2: has 1 cells"),
            ("file,start\na,noon\n", "line 2: start must be a time"),
            ("file,label\n,x\n", "line 2: has no file"),
            ("file;label\r\na;X\r\n\r\na;Y\r\n;Z\r\n", "line 5: has no file"),
            ("sep=;\r\nfile;label\r\na;X\r\n;Z\r\n", "line 4: has no file"),
            ("file,start\na,10/11/2026 10:15\n", "line 2: start `10/11/2026 10:15` can be two days"),
        ] {
            let problem = parse(text.into(), Path::new("")).unwrap_err();
            assert!(problem.to_string().contains(expected), "{text:?}: {problem}");
        }
    }
}
