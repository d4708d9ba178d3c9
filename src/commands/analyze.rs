//! `lectern analyze`: recorded lectures into minutes, the paper's use without its identities.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use jiff::Timestamp;

use super::{STANDARD_OUTPUT, chart, progress_bar};
use crate::camera::{open_recording, stills, video};
use crate::cli::Analyze;
use crate::clock::{SimulatedClock, Stop};
use crate::delivery::payload::{self, Identity};
use crate::delivery::topics::check_level;
use crate::expression::{Expression, Sighting};
use crate::tally::{Counts, Grid, MinuteRecord};
use crate::vision::engine::ModelStore;
use crate::vision::{Analysis, Analyzer};
use crate::watch::{Observer, Watch};

/// Length of a window in seconds.
const WINDOW: u32 = 60;

/// Analyses each recording in turn.
///
/// # Errors
/// When a network cannot be used or an output cannot be written; when a recording is missing or damaged, after
/// all others are analysed.
pub fn run(arguments: &Analyze, models: Option<&Path>) -> anyhow::Result<()> {
    let store = ModelStore::open(models)?;
    let mut analyzer = Analyzer::new(&store, arguments.classifier.as_deref(), Analysis::default())?;
    let mut outputs = Outputs::open(arguments)?;
    let start = arguments.start.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut failed = Vec::new();
    let mut seq = 0;
    for video in &arguments.videos {
        let mut source = match open_recording(video, arguments.rate, false) {
            Ok(source) => source,
            Err(error) => {
                failed.push(error.into());
                continue;
            }
        };
        let stop = Stop::default();
        // Without a time of day the labels are only offsets, so the clock is not a synchronised one.
        let clock = SimulatedClock::starting_at(start, arguments.start.is_some());
        let grid = Grid { seconds: WINDOW, origin: start };
        let watch = Watch { clock: &clock, stop: &stop, grid, rate_hz: arguments.rate, first_seq: seq };
        let bar = progress_bar(frames_of(video, arguments.rate), "frames").with_message(name_of(video));
        let identity = Identity::recorded(&arguments.label.clone().unwrap_or_else(|| label_of(video)));
        outputs.recordings.push((identity.device.clone(), Counts::default()));
        let mut recorder =
            Recorder { identity, outputs: &mut outputs, stop: &stop, bar: &bar, seq, result: Ok(()) };
        analyzer.forget();
        let outcome = watch.run(source.as_mut(), &mut analyzer, &mut recorder);
        seq = recorder.seq;
        recorder.result?;
        bar.finish_and_clear();
        if let Err(error) = outcome {
            failed.push(anyhow::Error::from(error));
        }
    }
    outputs.finish()?;
    let Some(last) = failed.pop() else { return Ok(()) };
    for error in failed {
        eprintln!("lectern: {error}");
    }
    Err(last)
}

/// How many frames will be analysed, where that can be known.
fn frames_of(video: &Path, rate_hz: f64) -> Option<u64> {
    if video.is_dir() {
        return Some(stills::Stills::open(video, false).ok()?.len() as u64);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only a progress bar's length"
    )]
    video::probe(video).ok()?.seconds.map(|seconds| (seconds * rate_hz).round() as u64)
}

fn name_of(video: &Path) -> String {
    video.file_name().map_or_else(|| "standard input".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The file's name as a topic level: what does not fit is replaced by `_`.
fn label_of(video: &Path) -> String {
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    let label: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(64)
        .collect();
    if check_level(&label).is_ok() && label != "-" { label } else { "recording".to_owned() }
}

/// Where results go.
struct Outputs {
    minutes: Option<Table>,
    frames: Option<Table>,
    chart: Option<PathBuf>,
    /// What the chart will show, one entry a recording.
    recordings: Vec<chart::Recording>,
}

/// A CSV file, with its name for errors.
struct Table {
    path: PathBuf,
    csv: csv::Writer<File>,
}

impl Table {
    fn open<'a>(path: &Path, header: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let csv = csv::Writer::from_path(path).with_context(|| cannot_write(path))?;
        let mut table = Self { path: path.to_owned(), csv };
        table.write(header)?;
        Ok(table)
    }

    fn write<T: AsRef<[u8]>>(&mut self, row: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
        self.csv.write_record(row).map_err(io::Error::from).with_context(|| cannot_write(&self.path))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.csv.flush().with_context(|| cannot_write(&self.path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

impl Outputs {
    fn open(arguments: &Analyze) -> anyhow::Result<Self> {
        let counts = ["device", "seq", "start", "seconds", "frames_expected", "frames", "corrupt"];
        let faces = ["no_face", "uncertain", "faces"];
        let kinds = Expression::ALL.map(Expression::name);
        let columns = || counts.into_iter().chain(faces).chain(kinds).chain(["partial"]);
        Ok(Self {
            minutes: arguments.csv.as_deref().map(|path| Table::open(path, columns())).transpose()?,
            frames: arguments
                .frames_csv
                .as_deref()
                .map(|path| Table::open(path, ["device", "seconds", "expression"]))
                .transpose()?,
            chart: arguments.chart.clone(),
            recordings: Vec::new(),
        })
    }

    fn minute(&mut self, identity: &Identity, record: &MinuteRecord) -> anyhow::Result<()> {
        let json = payload::minute(identity, record, false);
        writeln!(io::stdout().lock(), "{json}").context(STANDARD_OUTPUT)?;
        if let Some((_, total)) = self.recordings.last_mut() {
            total.add(&record.counts);
        }
        let Some(table) = &mut self.minutes else { return Ok(()) };
        let counts = &record.counts;
        let mut row = vec![identity.device.clone(), record.seq.to_string(), record.start.to_string()];
        let numbers = [
            record.seconds,
            record.frames_expected,
            counts.frames,
            counts.corrupt,
            counts.no_face,
            counts.uncertain,
            counts.faces(),
        ];
        row.extend(numbers.iter().chain(&counts.kinds).map(u32::to_string));
        row.push(record.partial.to_string());
        table.write(row)
    }

    fn frame(
        &mut self,
        device: &str,
        offset: Duration,
        sightings: Option<&[Sighting]>,
    ) -> anyhow::Result<()> {
        let Some(table) = &mut self.frames else { return Ok(()) };
        let seconds = format!("{:.3}", offset.as_secs_f64());
        let mut write = |expression: &str| table.write([device, &seconds, expression]);
        match sightings {
            None => write("corrupt"),
            Some([]) => write("no_face"),
            Some(faces) => faces.iter().try_for_each(|face| match face {
                Sighting::Certain(kind) => write(kind.name()),
                Sighting::Uncertain => write("uncertain"),
            }),
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        [self.minutes, self.frames].into_iter().flatten().try_for_each(Table::finish)?;
        self.chart.map_or(Ok(()), |path| chart::write(&path, &self.recordings))
    }
}

/// Writes what the watch sees, and stops it when that fails.
struct Recorder<'a> {
    identity: Identity,
    outputs: &'a mut Outputs,
    stop: &'a Stop,
    bar: &'a ProgressBar,
    seq: u64,
    result: anyhow::Result<()>,
}

impl Recorder<'_> {
    fn keep(&mut self, result: anyhow::Result<()>) {
        if result.is_err() {
            self.stop.set();
            self.result = result;
        }
    }
}

impl Observer for Recorder<'_> {
    fn frame(&mut self, offset: Duration, sightings: Option<&[Sighting]>) {
        self.bar.inc(1);
        let result = self.outputs.frame(&self.identity.device, offset, sightings);
        self.keep(result);
    }

    fn window(&mut self, record: MinuteRecord) {
        self.seq = record.seq + 1;
        let bar = self.bar.clone();
        let result = bar.suspend(|| self.outputs.minute(&self.identity, &record));
        self.keep(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_topic_levels() {
        assert_eq!(label_of(Path::new("/lectures/Week 3: Ärger.mp4")), "Week_3___rger");
        assert_eq!(label_of(Path::new("-")), "recording");
        assert_eq!(label_of(Path::new("a.b.mkv")), "a.b");
    }
}
