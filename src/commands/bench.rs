//! `lectern bench`: what a frame costs on this device, stage by stage.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use zeroize::Zeroize;

use super::STANDARD_OUTPUT;
use crate::camera::synthetic::SyntheticLecture;
use crate::camera::{Capture, Frame, FrameSource, decode, open_recording};
use crate::cli::Bench;
use crate::clock::cpu_time;
use crate::file;
use crate::logging::printable::{print_json, print_lines};
use crate::rate;
use crate::vision::models::ModelStore;
use crate::vision::{Analyzer, Stage};

/// Frames analysed for each second of a clip, as the daemon does by default.
const RATE_HZ: f64 = rate::DEFAULT_HZ;

/// How many frames of the synthetic lecture are analysed: its minute, in which the lecturer is once out of the picture.
const SYNTHETIC_FRAMES: usize = 120;

/// What was measured. Times are milliseconds of this thread's CPU time; means over the analysed frames.
#[derive(Serialize)]
struct Report {
    /// The clip as given, or `staged`.
    clip: PathBuf,
    /// Frames analysed.
    frames: usize,
    /// Frames in which a face was found.
    found: usize,
    stages: Stages,
    /// All stages together.
    frame_ms: f64,
    /// The longest frame.
    worst_ms: f64,
    /// Frames a second that one core of this device could analyse, doing nothing else.
    rate_hz: f64,
    /// The most memory that this process has held, in units of 10^6 bytes.
    peak_rss_mb: f64,
}

#[derive(Serialize, Default, Clone, Copy)]
struct Stages {
    /// From the camera's YUYV to a frame, and wiping it in the end.
    decode_ms: f64,
    /// Tracking or searching.
    find_ms: f64,
    /// Cutting the faces out.
    align_ms: f64,
    /// Naming their expressions.
    classify_ms: f64,
}

/// Measures one clip, or the synthetic lecture.
///
/// # Errors
/// When the clip or a network cannot be used, or holds no picture.
pub fn run(arguments: &Bench, models: Option<&Path>) -> anyhow::Result<()> {
    let mut analyzer = Analyzer::new(&ModelStore::open(models)?, None, arguments.looked_for.analysis())?;
    let (clip, mut source, most): (_, Box<dyn FrameSource>, _) = match &arguments.clip {
        Some(clip) => (clip.clone(), open_recording(clip, RATE_HZ, false)?, usize::MAX),
        None => (PathBuf::from("staged"), Box::new(SyntheticLecture::new(RATE_HZ)?), SYNTHETIC_FRAMES),
    };
    let mut stages = Stages::default();
    let (mut frames, mut found, mut worst_ms) = (0, 0, 0.0f64);
    let mut spare = None;
    while frames < most {
        let shown = match source.next()? {
            Capture::Frame(frame) => frame.into_rgb(),
            Capture::Corrupt | Capture::Missing => continue,
            Capture::End => break,
        };
        let packed = pack(&shown);
        if frames == 0 {
            // The first picture's size determines plans and allocations; those belong to the start, not to a
            // frame.
            spare = decode::yuyv(&packed, shown.width(), shown.height(), 0, None);
            analyzer.analyze(&shown)?;
            analyzer.forget();
        }
        let measured = measure(&mut analyzer, &packed, &shown, &mut spare)?;
        frames += 1;
        found += usize::from(measured.found);
        worst_ms = worst_ms.max(measured.stages.total());
        stages.add(&measured.stages);
    }
    if frames == 0 {
        bail!("{}: holds no picture", clip.display());
    }
    let stages = stages.each(|ms| ms / to_f64(frames));
    let frame_ms = stages.total();
    let report = Report {
        clip,
        frames,
        found,
        stages,
        frame_ms,
        worst_ms,
        rate_hz: 1000.0 / frame_ms,
        peak_rss_mb: peak_rss_mb()?,
    };
    let printed = match arguments.json {
        true => print_json(&serde_json::to_string(&report)?),
        false => print_lines(report.for_people().lines()),
    };
    printed.context(STANDARD_OUTPUT)
}

/// One frame's cost.
struct Measured {
    stages: Stages,
    found: bool,
}

/// Analyses one packed frame, in the memory of `spare` and back into it, as a camera does.
fn measure(
    analyzer: &mut Analyzer,
    packed: &[u8],
    shown: &Frame,
    spare: &mut Option<Frame>,
) -> anyhow::Result<Measured> {
    let mut stages = Stages::default();
    let mut last = cpu_time();
    let mut lap = || {
        let now = cpu_time();
        let lap = now.saturating_sub(last);
        last = now;
        lap.as_secs_f64() * 1000.0
    };
    let mut frame = decode::yuyv(packed, shown.width(), shown.height(), 0, spare.take())
        .context("the clip has no pixels")?;
    stages.decode_ms = lap();
    let sightings = analyzer.analyze_in_stages(&frame, &mut |stage| {
        *match stage {
            Stage::Find => &mut stages.find_ms,
            Stage::Align => &mut stages.align_ms,
            Stage::Classify => &mut stages.classify_ms,
        } += lap();
    })?;
    let found = !sightings.is_empty();
    // As `FrameSource::recycle` does.
    frame.zeroize();
    stages.decode_ms += lap();
    *spare = Some(frame);
    Ok(Measured { found, stages })
}

impl Stages {
    fn total(&self) -> f64 {
        self.decode_ms + self.find_ms + self.align_ms + self.classify_ms
    }

    fn add(&mut self, other: &Self) {
        self.decode_ms += other.decode_ms;
        self.find_ms += other.find_ms;
        self.align_ms += other.align_ms;
        self.classify_ms += other.classify_ms;
    }

    fn each(&self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            decode_ms: f(self.decode_ms),
            find_ms: f(self.find_ms),
            align_ms: f(self.align_ms),
            classify_ms: f(self.classify_ms),
        }
    }
}

impl Report {
    fn for_people(&self) -> String {
        let Stages { decode_ms, find_ms, align_ms, classify_ms } = self.stages;
        format!(
            "clip        {} ({} frames, a face in {})\n\
             decode      {decode_ms:8.3} ms\n\
             find        {find_ms:8.3} ms   followed or searched for\n\
             align       {align_ms:8.3} ms\n\
             classify    {classify_ms:8.3} ms\n\
             frame       {:8.3} ms   the longest: {:.3} ms\n\
             one core analyses {:.1} frames a second; at {RATE_HZ} a second it is busy {:.1} % of the time\n\
             peak memory {:.1} MB",
            self.clip.display(),
            self.frames,
            self.found,
            self.frame_ms,
            self.worst_ms,
            self.rate_hz,
            100.0 * RATE_HZ / self.rate_hz,
            self.peak_rss_mb,
        )
    }
}

/// The picture as a camera sends it, YUYV in BT.601's limited range, so that decoding is measured too.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limited range fits a byte")]
fn pack(frame: &Frame) -> Vec<u8> {
    let ycbcr = |pixel: &[u8]| {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        [
            16.0 + 0.2568 * r + 0.5041 * g + 0.0979 * b,
            128.0 - 0.1482 * r - 0.2910 * g + 0.4392 * b,
            128.0 + 0.4392 * r - 0.3678 * g - 0.0714 * b,
        ]
    };
    let mut packed = Vec::with_capacity(frame.width().div_ceil(2) * 4 * frame.height());
    for y in 0..frame.height() {
        for pair in frame.row(y).chunks(6) {
            let (first, second) = (ycbcr(&pair[..3]), ycbcr(&pair[pair.len() - 3..]));
            let [cb, cr] = [1, 2].map(|i| f32::midpoint(first[i], second[i]));
            packed.extend([first[0], cb, second[0], cr].map(|v| v.round() as u8));
        }
    }
    packed
}

/// The peak memory so far, from the kernel.
fn peak_rss_mb() -> anyhow::Result<f64> {
    let status =
        file::read_to_string(Path::new("/proc/self/status"), 64 << 10).context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(kib.context("/proc/self/status has no VmHWM")? * 1024.0 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 frames are longer than any clip")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_picture_is_decoded_to_itself() {
        let rgb = [[10, 200, 90], [10, 200, 90], [250, 3, 128]].concat();
        let frame = Frame::from_rgb(3, 1, rgb).unwrap();
        let again = decode::yuyv(&pack(&frame), 3, 1, 0, None).unwrap().into_rgb();
        for (a, b) in again.rgb().iter().zip(frame.rgb()) {
            assert!(a.abs_diff(*b) <= 2, "{:?}", again.rgb());
        }
    }
}
