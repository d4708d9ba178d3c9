//! `lectern analyze`: recorded lectures into minutes, the paper's use without its identities.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use jiff::Timestamp;

use super::{STANDARD_OUTPUT, chart, outputs, progress_bar};
use crate::camera::{CameraError, open_recording};
use crate::cli::Analyze;
use crate::clock::{SimulatedClock, Stop};
use crate::delivery::payload::{self, Identity};
use crate::delivery::topics::{MAX_LEVEL_BYTES, check_level, may_be_in_level};
use crate::expression::{Expression, Sighting};
use crate::service::printable::complain;
use crate::tally::{Counts, Grid, MinuteRecord};
use crate::vision::models::ModelStore;
use crate::vision::{Analysis, Analyzer};
use crate::watch::{Observer, Watch};

/// Length of a window in seconds.
const WINDOW: u32 = 60;

/// Stretches without a picture that are told of, for each recording; of the others only how many there are.
const TOLD_PAUSES: u32 = 10;

/// Analyses each recording in turn.
///
/// # Errors
/// [`super::UsageError`] when an output would overwrite an input or another output; when a network cannot be used or an output
/// cannot be written; when a recording is missing, damaged or without a single picture, after all others are analysed.
pub fn run(arguments: &Analyze, models: Option<&Path>) -> anyhow::Result<()> {
    outputs::check(arguments)?;
    let store = ModelStore::open(models)?;
    let analysis = Analysis { baseline: arguments.baseline, ..arguments.looked_for.analysis() };
    let mut analyzer = Analyzer::new(&store, arguments.classifier.as_deref(), analysis)?;
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
        let bar = progress_bar(source.ticks(), "frames").with_message(name_of(video));
        let identity = Identity::recorded(&arguments.label.clone().unwrap_or_else(|| label_of(video)));
        outputs.recordings.push((identity.device.clone(), Counts::default()));
        let mut recorder = Recorder {
            identity,
            outputs: &mut outputs,
            stop: &stop,
            bar: &bar,
            seq,
            result: Ok(()),
            video,
            pictures: 0,
            pause_began: None,
            pauses: 0,
        };
        analyzer.forget();
        let outcome = watch.run(source.as_mut(), &mut analyzer, &mut recorder);
        seq = recorder.seq;
        let (pictures, pauses) = (recorder.pictures, recorder.pauses);
        recorder.result?;
        bar.finish_and_clear();
        if let Some(untold) = pauses.checked_sub(TOLD_PAUSES).filter(|untold| *untold > 0) {
            complain(format_args!("{}: {untold} more stretches without a picture", video.display()));
        }
        match outcome {
            Err(error) => failed.push(anyhow::Error::from(error)),
            Ok(_) if pictures == 0 => {
                let problem = "not one picture of it could be read; play it, and record or convert it again";
                let error = CameraError::Recording { path: video.clone(), problem: problem.to_owned() };
                failed.push(error.into());
            }
            Ok(_) => {}
        }
    }
    outputs.finish()?;
    let Some(last) = failed.pop() else { return Ok(()) };
    for error in failed {
        complain(&error);
    }
    Err(last)
}

fn name_of(video: &Path) -> String {
    video.file_name().map_or_else(|| "standard input".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The file's name as a topic level: what does not fit is replaced by `_`.
fn label_of(video: &Path) -> String {
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    let label: String =
        stem.chars().map(|c| if may_be_in_level(c) { c } else { '_' }).take(MAX_LEVEL_BYTES).collect();
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
    video: &'a Path,
    /// Pictures analysed.
    pictures: u64,
    /// Where the stretch without a picture began that is on.
    pause_began: Option<Duration>,
    pauses: u32,
}

impl Recorder<'_> {
    fn keep(&mut self, result: anyhow::Result<()>) {
        if result.is_err() {
            self.stop.set();
            self.result = result;
        }
    }

    /// Tells of the stretch without a picture that ends at this offset.
    fn end_pause(&mut self, offset: Duration) {
        let Some(began) = self.pause_began.take() else { return };
        self.pauses += 1;
        if self.pauses <= TOLD_PAUSES {
            let (video, began, ended) = (self.video.display(), clock_face(began), clock_face(offset));
            self.bar.suspend(|| {
                complain(format_args!(
                    "{video}: no picture from {began} to {ended}; these frames are expected, not counted"
                ));
            });
        }
    }
}

/// A time in a recording, as players show it.
fn clock_face(offset: Duration) -> String {
    let seconds = offset.as_secs();
    format!(
        "{}:{:02}:{:02}.{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        offset.subsec_millis() / 100
    )
}

impl Observer for Recorder<'_> {
    fn frame(&mut self, offset: Duration, sightings: Option<&[Sighting]>) {
        self.bar.inc(1);
        self.pictures += u64::from(sightings.is_some());
        self.end_pause(offset);
        let result = self.outputs.frame(&self.identity.device, offset, sightings);
        self.keep(result);
    }

    fn missing(&mut self, offset: Duration) {
        self.bar.inc(1);
        self.pause_began.get_or_insert(offset);
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
