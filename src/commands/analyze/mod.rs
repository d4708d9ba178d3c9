//! `lectern analyze`: recorded lectures into minutes, the paper's use without its identities.
//!
//! `list` selects the recordings, `identity` computes their identifiers, `recorder` writes the watch's results as the rows of
//! `tables`, and `results` combines all recordings, with `checkpoint` for those that an earlier run finished.

mod checkpoint;
mod identity;
mod list;
mod progress;
mod recorder;
mod results;
mod segments;
mod tables;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;
use tokio::sync::mpsc;

use self::checkpoint::RecordingResult;
use self::identity::Namer;
use self::list::{List, Recording};
use self::progress::Progress;
use self::recorder::{Recorder, Summary};
use self::results::{End, Results};
use self::segments::Segment;
use self::tables::TableRows;
use super::{Interrupted, UsageError, explain, outputs};
use crate::camera::{CameraError, Capture, open_recording_among, rotated};
use crate::cli::Analyze;
use crate::clock::{SimulatedClock, Stop};
use crate::delivery::payload::Identity;
use crate::help::{Explained, Problem};
use crate::logging::printable::print_error;
use crate::process::signals::{Signals, is_ignored};
use crate::rate::RANGE_HZ;
use crate::vision::Analyzer;
use crate::vision::models::ModelStore;
use crate::watch::Watch;
use crate::window::Grid;

/// Pictures of another video stream that are tried where a recording shows nearly no face, and the most streams that are.
const STREAM_TRIES: u32 = 8;
const MAX_STREAMS: usize = 8;

/// The number of SIGHUP.
const HANGUP: i32 = 1;

/// Analyses all recordings, several in parallel.
///
/// # Errors
/// [`UsageError`] when no frame falls into a window, when the list cannot be used, or when an output would overwrite an input,
/// another output or an earlier run's results; [`Interrupted`] after a signal; when a network cannot be used or an output cannot be
/// written; when a recording is missing, damaged or without a single picture, after all others are analysed.
pub fn run(arguments: &Analyze, models: Option<&Path>) -> anyhow::Result<()> {
    let Analyze { rate, window, .. } = arguments;
    if rate * f64::from(*window) < 1.0 {
        let problem = Problem::new(format!("--rate {rate} gives no frame in --window {window}"));
        return Err(UsageError::new(problem.with_help("give a longer window or a higher rate")).into());
    }
    let list = List::of(arguments)?;
    list.left_out.iter().for_each(print_error);
    let inputs = list.recordings.iter().map(|it| it.path.as_path());
    let inputs = inputs.chain(arguments.classifier.as_deref()).chain(arguments.manifest.as_deref());
    let inputs = inputs.chain(arguments.segments.as_deref());
    let requested = [
        ("--csv", arguments.csv.as_deref()),
        ("--frames-csv", arguments.frames_csv.as_deref()),
        ("--faces-csv", arguments.faces_csv.as_deref()),
        ("--segments-csv", arguments.segments_csv.as_deref()),
        ("--chart", arguments.chart.as_deref()),
    ];
    outputs::check(&requested, inputs)?;
    let segments = match &arguments.segments {
        Some(path) => segments::read(path, &list.recordings)?,
        None => vec![Vec::new(); list.recordings.len()],
    };
    let store = ModelStore::open(models)?;
    let settings = identity::settings(arguments, &store)?;
    let cores =
        arguments.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let jobs = cores.min(list.recordings.len());
    let job = Job {
        arguments,
        jobs,
        // Several threads of one decoder cost more than one: only worth it where cores would be idle.
        decoder_threads: cores / jobs.max(1),
        list: &list,
        segments,
        namer: Namer::new(&settings, &list.recordings),
        settings: &settings,
        results: Results::open(arguments, list.recordings.len())?,
        progress: Progress::new(list.recordings.len()),
        stop: Stop::default(),
        next: AtomicUsize::new(0),
        store: &store,
    };
    let signal = job.work()?;
    job.progress.clear();
    let begun = job.next.load(Ordering::Relaxed).min(list.recordings.len());
    let mut failed = job.results.finish(&list.columns, signal.is_some())?;
    if let Some(number) = signal {
        failed.iter().for_each(explain::print);
        let Analyze { csv, frames_csv, faces_csv, segments_csv, .. } = arguments;
        let has_table = [csv, frames_csv, faces_csv, segments_csv].iter().any(|it| it.is_some());
        let problem = Problem::new(format!(
            "interrupted in recording {begun} of {}: what was counted so far is written",
            list.recordings.len()
        ));
        let problem = if has_table { problem.with_help("go on with --resume") } else { problem };
        return Err(Interrupted { number, problem }.into());
    }
    let Some(last) = failed.pop() else { return Ok(()) };
    failed.iter().for_each(explain::print);
    Err(last)
}

/// The state that the threads share.
struct Job<'a> {
    arguments: &'a Analyze,
    /// Recordings that are analysed in parallel.
    jobs: usize,
    /// Decoder threads for each of them.
    decoder_threads: usize,
    list: &'a List,
    /// By recording.
    segments: Vec<Vec<Segment>>,
    namer: Namer<'a>,
    settings: &'a str,
    results: Results,
    progress: Progress,
    stop: Stop,
    /// The index of the next recording.
    next: AtomicUsize,
    store: &'a ModelStore,
}

impl Job<'_> {
    /// Starts the threads and waits for their end; returns the number of the first signal, if one arrived.
    #[expect(clippy::disallowed_methods, reason = "one thread for each recording that is analysed at a time")]
    fn work(&self) -> anyhow::Result<Option<i32>> {
        // `nohup` ignores SIGHUP.
        let ignores_hangup = is_ignored(HANGUP);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::listen()?
        };
        thread::scope(|scope| {
            let (ended, mut all_ended) = mpsc::channel::<()>(1);
            let threads: Vec<_> = (0..self.jobs)
                .map(|_| {
                    let ended = ended.clone();
                    scope.spawn(move || {
                        let outcome = self.work_on();
                        drop(ended);
                        outcome
                    })
                })
                .collect();
            drop(ended);
            let signal = runtime.block_on(async {
                let mut first = None;
                loop {
                    tokio::select! {
                        _ = all_ended.recv() => return first,
                        number = signals.number() => match first {
                            _ if ignores_hangup && number == HANGUP => {}
                            // The second signal: a source may block forever, so exit at once.
                            Some(_) => std::process::exit(128 + number),
                            None => {
                                self.stop.set();
                                first = Some(number);
                            }
                        },
                    }
                }
            });
            for thread in threads {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(signal)
        })
    }

    /// One thread: analyses recordings until none is left.
    fn work_on(&self) -> anyhow::Result<()> {
        let mut analyzer = None;
        while !self.stop.is_set() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(recording) = self.list.recordings.get(index) else { break };
            let outcome = self.analyze(index, recording, &mut analyzer);
            if outcome.is_err() {
                // The other recordings would fail alike.
                self.stop.set();
                return outcome;
            }
        }
        Ok(())
    }

    /// Analyses one recording, unless an earlier run did.
    fn analyze(
        &self,
        index: usize,
        recording: &Recording,
        analyzer: &mut Option<Analyzer>,
    ) -> anyhow::Result<()> {
        let Self { arguments, results, progress, stop, settings, .. } = self;
        let cannot_be_read = |e| anyhow::Error::from(CameraError::unreadable(&recording.path, e));
        let boot = match self.namer.boot(index, recording) {
            Ok(boot) => boot,
            Err(e) => return results.end(index, End::Nothing(Some(cannot_be_read(e)))),
        };
        let identity = Identity { device: recording.device(), boot };
        let (frames, faces) = (arguments.frames_csv.is_some(), arguments.faces_csv.is_some());
        let segments = &self.segments[index];
        let key = self.key(recording, &identity, segments);
        if let Some(result) = results.earlier(&key) {
            progress.skip();
            results.lines(index, &result.lines)?;
            return results.end(index, End::Kept(key));
        }
        let analyzer = match analyzer {
            Some(analyzer) => analyzer,
            None => analyzer.insert(
                Analyzer::new(self.store, arguments.classifier.as_deref(), arguments.analysis())?
                    .for_recordings(self.store)?,
            ),
        };
        let mut source = match open_recording_among(
            &recording.path,
            arguments.video_stream,
            arguments.rate,
            self.decoder_threads,
            stop,
        ) {
            Ok(source) => rotated(source, arguments.rotate),
            Err(_) if stop.is_set() => return Ok(()),
            Err(error) => return results.end(index, End::Nothing(Some(error.into()))),
        };
        if let Some(streams) = source.other_streams() {
            let (named, number) = (&recording.source, arguments.video_stream);
            let hint = "--video-stream N analyses another one";
            progress.print_error(format_args!("{named}: has {streams}; {number} is analysed, {hint}"));
        }
        if let Some(left_out) = source.left_out() {
            progress.print_error(format_args!("{}: {left_out}", recording.source));
        }
        // Without a start time the labels are offsets, so the clock does not count as synchronised.
        let start = recording.start.unwrap_or(Timestamp::UNIX_EPOCH);
        let clock = SimulatedClock::starting_at(start, recording.start.is_some());
        let grid = Grid { seconds: arguments.window, origin: start };
        let watch = Watch { clock: &clock, stop, grid, rate_hz: arguments.rate, evenly: true, first_seq: 0 };
        let Recording { label, source: named, carried, .. } = recording;
        let names = [identity.device.clone(), identity.boot.clone(), label.clone(), named.clone()];
        let mut recorder = Recorder {
            table_rows: TableRows::new(names, settings, carried, frames, faces, segments, arguments.rate),
            identity,
            results,
            index,
            stop,
            progress,
            bar: progress.bar(recording.name(), source.ticks()),
            source: named,
            summary: Summary::default(),
            result: Ok(()),
        };
        analyzer.forget();
        let outcome = watch.run(source.as_mut(), analyzer, &mut recorder);
        let Recorder { result, .. } = &mut recorder;
        std::mem::replace(result, Ok(()))?;
        let cut_short = stop.is_set();
        if !cut_short {
            let streams = match source.other_streams() {
                Some(_) if recorder.summary.is_mostly_empty() => {
                    self.other_streams(&recording.path, source.ticks(), analyzer)?
                }
                _ => Vec::new(),
            };
            recorder.end(arguments, analyzer.alternatives(), &streams);
        }
        let failure = match outcome {
            Err(error) => Some(Explained(&error).to_string()),
            Ok(_) if recorder.summary.is_blank() && !cut_short => {
                let problem = Problem::new("not one picture of it could be read");
                let problem = problem.with_help("play it, and record or convert it again");
                Some(Explained(&CameraError::recording(&recording.path, problem)).to_string())
            }
            Ok(_) => None,
        };
        let Recorder { table_rows, summary, .. } = recorder;
        let rows = table_rows.into_bytes()?.map(|rows| String::from_utf8_lossy(&rows).into_owned());
        let result = RecordingResult { lines: summary.lines, rows, failure };
        if cut_short { results.end(index, End::Here(result)) } else { results.keep(index, key, result) }
    }

    /// Each other video stream, how many of its first pictures were tried, and how many of these show a face.
    fn other_streams(
        &self,
        path: &Path,
        ticks: Option<u64>,
        analyzer: &mut Analyzer,
    ) -> anyhow::Result<Vec<(usize, u32, u32)>> {
        let Analyze { rate, rotate, video_stream, .. } = *self.arguments;
        // Spread over a short recording; of a long one, the beginning.
        let every = ticks.unwrap_or(0).checked_div(STREAM_TRIES.into()).unwrap_or(0).max(1);
        let rate_hz = (rate / f64::from(u32::try_from(every).unwrap_or(u32::MAX))).max(*RANGE_HZ.start());
        let mut streams = Vec::new();
        for number in (0..MAX_STREAMS).filter(|number| *number != video_stream) {
            let opened = open_recording_among(path, number, rate_hz, self.decoder_threads, &self.stop);
            let Ok(source) = opened else { break };
            let mut source = rotated(source, rotate);
            let (mut tried, mut faces) = (0, 0);
            while tried < STREAM_TRIES
                && let Ok(Capture::Frame(frame)) = source.next()
            {
                tried += 1;
                faces += u32::from(analyzer.shows_face(&frame)?);
                source.recycle(frame);
            }
            streams.push((number, tried, faces));
        }
        Ok(streams)
    }

    /// A hash of all that a recording's rows depend on.
    fn key(&self, recording: &Recording, identity: &Identity, segments: &[Segment]) -> String {
        let Analyze { frames_csv, faces_csv, .. } = self.arguments;
        let tables = format!("{} {}", frames_csv.is_some(), faces_csv.is_some());
        let segments = if segments.is_empty() { String::new() } else { format!("{segments:?}") };
        let names =
            [&*identity.device, &identity.boot, &recording.label, &recording.source, &tables, &segments];
        let carried = self.list.columns.iter().chain(&recording.carried).map(String::as_str);
        identity::key(&names.into_iter().chain(carried).collect::<Vec<_>>())
    }
}
