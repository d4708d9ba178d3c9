//! `lectern export`: the classified frames for the programs in which people annotate recordings.
//!
//! `intervals` merges frames that follow each other; `elan`, `praat`, `srt` and `tsv` write them.

mod elan;
mod intervals;
mod praat;
mod srt;
mod tsv;

use std::path::{Path, PathBuf};

use super::samples::Samples;
use super::{UsageError, atomic_file, outputs, samples};
use crate::cli::{Export, ExportFormat};
use crate::help::Problem;

/// Writes one file, or one for each recording into a folder.
///
/// # Errors
/// [`UsageError`] when the table cannot be used, or an output would overwrite it or another one; when something cannot be read or
/// written.
pub fn run(arguments: &Export) -> anyhow::Result<()> {
    let Export { table, to, out } = arguments;
    let recordings = samples::read(table)?;
    let into_folder = out.is_dir();
    if !into_folder && recordings.len() > 1 && *to != ExportFormat::Tsv {
        let problem = Problem::new(format!(
            "{} holds {} recordings, and {} is one file",
            table.display(),
            recordings.len(),
            out.display()
        ));
        return Err(UsageError::new(problem.with_help("name a folder that exists with --out")).into());
    }
    let files: Vec<(PathBuf, &[Samples])> = match into_folder {
        true => recordings.chunks(1).map(|it| (out.join(name(&it[0], *to)), it)).collect(),
        false => vec![(out.clone(), &recordings[..])],
    };
    let requested: Vec<_> = files.iter().map(|(path, _)| ("--out", Some(path.as_path()))).collect();
    outputs::check(&requested, [table.as_path()].into_iter())?;
    for (path, recordings) in &files {
        let text = match to {
            ExportFormat::Elan => elan::write(&recordings[0])?,
            ExportFormat::Praat => praat::write(&recordings[0]),
            ExportFormat::Srt => srt::write(&recordings[0]),
            ExportFormat::Tsv => tsv::write(recordings)?,
        };
        atomic_file::write(path, text.as_bytes())?;
    }
    Ok(())
}

/// The name of a recording's file: as the recording, with another ending.
fn name(recording: &Samples, to: ExportFormat) -> String {
    let ending = match to {
        ExportFormat::Elan => "eaf",
        ExportFormat::Praat => "TextGrid",
        ExportFormat::Srt => "srt",
        ExportFormat::Tsv => "tsv",
    };
    let file = Path::new(recording.file_name());
    let stem =
        file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.is_empty() && *stem != "-");
    let stem = stem.map_or_else(|| recording.label.replace(['/', '\0'], "_"), str::to_owned);
    format!("{stem}.{ending}")
}
