//! `lectern eval`: prints the results of the detector and the classifier for single pictures, and of the tracker for a
//! recording's, one JSON line each.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{STANDARD_OUTPUT, progress_bar};
use crate::camera::{Capture, Frame, open_recording, stills};
use crate::cli::{Eval, EvalClassify, EvalDetect, EvalTrack};
use crate::clock::cpu_time;
use crate::expression::Expression;
use crate::help::Explained;
use crate::logging::printable::{print_error, print_json};
use crate::vision::baseline::NeutralBaseline;
use crate::vision::classifier::{Classifier, Probabilities};
use crate::vision::geometry::{Face, View};
use crate::vision::models::ModelStore;
use crate::vision::mtcnn::Detector;
use crate::vision::{Analyzer, FaceResult, Faces, Region, Stage};

/// The longer side that pictures are scaled to before the search, in pixels.
const LONGER_SIDE: f64 = 640.0;

/// Seconds from one picture to the next of `--person`.
const PERSON_PERIOD_S: f32 = 0.5;

/// Runs one of the measurements.
///
/// # Errors
/// When a network or a recording cannot be used, or when pictures could not be read; those are named on standard error,
/// and all others are measured.
pub fn run(arguments: &Eval, models: Option<&Path>) -> anyhow::Result<()> {
    let store = ModelStore::open(models)?;
    match arguments {
        Eval::Detect(arguments) => detect(arguments, &store),
        Eval::Classify(arguments) => classify(arguments, &store),
        Eval::Track(arguments) => track(arguments, &store),
    }
}

#[derive(Serialize)]
struct DetectLine<'a> {
    file: Cow<'a, str>,
    faces: Vec<FoundFace>,
}

/// A face in the picture's own pixels.
#[derive(Serialize)]
struct FoundFace {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
    score: f32,
    landmarks: [[f64; 2]; 5],
}

fn detect(arguments: &EvalDetect, store: &ModelStore) -> anyhow::Result<()> {
    let mut detector = Detector::new(store)?;
    for_each_picture(&arguments.images, |file, frame| {
        let scale = LONGER_SIDE / to_f64(frame.width().max(frame.height()));
        let scaled = frame.scaled(scaled(frame.width(), scale), scaled(frame.height(), scale));
        let across = to_f64(frame.width()) / to_f64(scaled.width());
        let down = to_f64(frame.height()) / to_f64(scaled.height());
        let faces = detector.search(&View::new(&scaled, Region::WHOLE), arguments.min_face)?;
        let faces = faces.iter().map(|face| FoundFace::new(face, across, down)).collect();
        Ok(serde_json::to_string(&DetectLine { file: file.to_string_lossy(), faces })?)
    })
}

impl FoundFace {
    fn new(face: &Face, across: f64, down: f64) -> Self {
        let bbox = face.bbox;
        Self {
            x: f64::from(bbox.x1) * across,
            y: f64::from(bbox.y1) * down,
            w: f64::from(bbox.width()) * across,
            h: f64::from(bbox.height()) * down,
            score: face.score,
            landmarks: face.landmarks.map(|p| [f64::from(p.x) * across, f64::from(p.y) * down]),
        }
    }
}

#[derive(Serialize)]
struct ClassifyLine<'a> {
    file: Cow<'a, str>,
    probabilities: Named<'a>,
}

/// Probabilities by name, in the payload's order.
struct Named<'a>(&'a Probabilities);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Expression::COUNT))?;
        for kind in Expression::ALL {
            map.serialize_entry(kind.name(), &self.0[kind.index()])?;
        }
        map.end()
    }
}

fn classify(arguments: &EvalClassify, store: &ModelStore) -> anyhow::Result<()> {
    let mut classifier = match &arguments.classifier {
        Some(file) => Classifier::from_file(file, store)?,
        None => Classifier::new(store)?,
    };
    let mut person = arguments.person.then(NeutralBaseline::default);
    for_each_picture(&arguments.images, |file, frame| {
        let mut logits = classifier.logits_of_crop(frame)?;
        if let Some(baseline) = &mut person {
            baseline.adapt(&mut logits, classifier.neutral_logits(), PERSON_PERIOD_S);
        }
        let probabilities = classifier.probabilities(&logits);
        Ok(serde_json::to_string(&ClassifyLine {
            file: file.to_string_lossy(),
            probabilities: Named(&probabilities),
        })?)
    })
}

#[derive(Serialize)]
struct TrackLine {
    /// Seconds since the start.
    t: f64,
    faces: Vec<TrackedFace>,
    searched: bool,
    /// CPU time of this thread for finding the faces.
    find_ms: f64,
    /// CPU time of this thread for the whole analysis.
    cpu_ms: f64,
}

/// A face in the whole picture's pixels.
#[derive(Serialize)]
struct TrackedFace {
    #[serde(rename = "box")]
    bbox: [f32; 4],
    score: f32,
}

fn track(arguments: &EvalTrack, store: &ModelStore) -> anyhow::Result<()> {
    let mut analysis = arguments.looked_for.analysis();
    if arguments.all {
        analysis.faces = Faces::All;
    }
    let mut analyzer = Analyzer::new(store, None, analysis)?;
    if arguments.search {
        analyzer = analyzer.for_recordings(store)?;
    }
    analyzer.expect_rate(arguments.rate);
    let mut source = open_recording(&arguments.video, arguments.rate, false)?;
    for tick in 0u32.. {
        match source.next()? {
            Capture::Frame(frame) => {
                if arguments.search {
                    analyzer.forget();
                }
                let t = f64::from(tick) / arguments.rate;
                let line = tracked(&mut analyzer, &frame, t)?;
                source.recycle(frame);
                print_json(&serde_json::to_string(&line)?).context(STANDARD_OUTPUT)?;
            }
            Capture::Corrupt => {}
            Capture::Missing => analyzer.forget(),
            Capture::End => break,
        }
    }
    Ok(())
}

/// Analyses one frame.
fn tracked(analyzer: &mut Analyzer, frame: &Frame, t: f64) -> anyhow::Result<TrackLine> {
    let searches = analyzer.searches();
    let began = cpu_time();
    let mut found = began;
    analyzer.analyze_in_stages(frame, &mut |stage| {
        if stage == Stage::Find {
            found = cpu_time();
        }
    })?;
    let ended = cpu_time();
    let faces = analyzer.seen().iter().map(|FaceResult { bbox, score, .. }| TrackedFace {
        bbox: [bbox.x1, bbox.y1, bbox.x2, bbox.y2],
        score: *score,
    });
    let ms_since_began = |then: Duration| then.saturating_sub(began).as_secs_f64() * 1000.0;
    Ok(TrackLine {
        t,
        faces: faces.collect(),
        searched: analyzer.searches() > searches,
        find_ms: ms_since_began(found),
        cpu_ms: ms_since_began(ended),
    })
}

/// Prints one line for each picture that can be read; fails at the end if some could not.
fn for_each_picture(
    files: &[PathBuf],
    mut line: impl FnMut(&Path, &Frame) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let bar = progress_bar(Some(files.len() as u64), "pictures");
    let mut unreadable = 0;
    for file in files {
        match stills::read(file) {
            Ok(frame) => print_json(&line(file, &frame)?).context(STANDARD_OUTPUT)?,
            Err(error) => {
                unreadable += 1;
                bar.suspend(|| print_error(Explained(&error)));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if unreadable > 0 {
        bail!("{unreadable} of {} pictures could not be read", files.len());
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sides of pictures are far below 2^53")]
fn to_f64(length: usize) -> f64 {
    length as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 640, at least 1")]
fn scaled(length: usize, scale: f64) -> usize {
    (to_f64(length) * scale).round().max(1.0) as usize
}
