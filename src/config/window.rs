//! `window.*` and the rate: how much one record of a camera must sum up.

use super::layers::{Layers, Located, Place, Refused, within};
use crate::help::Problem;
use crate::rate::{DEFAULT_HZ, RANGE_HZ};

/// The shortest window of a camera, in seconds, without `window.allow_short`.
pub const MIN_SECONDS: u32 = 60;

/// The fewest frames that a window of a camera expects without `window.allow_short`. With fewer a record would say how
/// a person's expression at one moment, and not how often each expression occurred.
pub const MIN_FRAMES: u32 = 30;

/// A sum of frames may be off by this, because rates such as 0.1 have no exact binary form.
const ROUNDING: f64 = 1e-6;

const DEFAULT_SECONDS: u32 = 60;

/// `window.seconds`, `analysis.rate_hz`, and whether a camera's windows are shorter than an aggregate, as `window.allow_short`
/// permits; the latter only if `camera.device` is valid.
pub(super) fn window(
    layers: &Layers,
    is_camera: Option<bool>,
) -> (Result<u32, Refused>, Result<f64, Refused>, Result<bool, Refused>) {
    let divisor = |seconds: u32| match seconds {
        seconds if seconds > 0 && 3600 % seconds == 0 => Ok(seconds),
        _ => Err(format!("must divide 3600, not {seconds}")),
    };
    let seconds = layers.key("window.seconds", |f| &f.window.seconds, divisor);
    let seconds = seconds.map(|seconds| seconds.unwrap_or(DEFAULT_SECONDS));
    let range = within(*RANGE_HZ.start(), *RANGE_HZ.end());
    let rate = layers.key("analysis.rate_hz", |f| &f.analysis.rate_hz, range);
    let rate = rate.map(|rate| rate.unwrap_or(DEFAULT_HZ));
    let short = match (seconds, rate, is_camera) {
        (Ok(seconds), Ok(rate), Some(is_camera)) => aggregate(layers, seconds, rate, is_camera),
        // What is wrong with one of them is noted already.
        _ => Ok(false),
    };
    (seconds, rate, short)
}

/// Whether a window is too short to be an aggregate, where that is permitted.
fn aggregate(layers: &Layers, seconds: u32, rate: f64, is_camera: bool) -> Result<bool, Refused> {
    let frames = f64::from(seconds) * rate + ROUNDING;
    let at_rate = layers.last(|f| &f.analysis.rate_hz).map(|at| at.place);
    let at_seconds = layers.last(|f| &f.window.seconds).map(|at| at.place);
    let refuse = |places: [Option<Place>; 2], problem| match places.into_iter().flatten().next() {
        Some(place) => layers.refuse(&place, problem),
        None => layers.refuse_all(problem),
    };
    if frames < 1.0 {
        let problem =
            Problem::new(format!("analysis.rate_hz = {rate} gives no frame in window.seconds = {seconds}"));
        return Err(refuse([at_rate, at_seconds], problem.with_help("raise one of the two")));
    }
    if !is_camera || (seconds >= MIN_SECONDS && frames >= f64::from(MIN_FRAMES)) {
        return Ok(false);
    }
    let allowed = layers.last(|f| &f.window.allow_short);
    if let Some(Located { value: true, .. }) = allowed {
        return Ok(true);
    }
    let rule = "a record of a camera sums up at least";
    if seconds < MIN_SECONDS {
        let problem =
            Problem::new(format!("window.seconds = {seconds} is too short: {rule} {MIN_SECONDS} s"));
        let help = "set window.seconds = 60; only a test may set window.allow_short = true";
        return Err(refuse([at_seconds, at_rate], problem.with_help(help)));
    }
    let problem = Problem::new(format!(
        "analysis.rate_hz = {rate} is too low for window.seconds = {seconds}: {rule} {MIN_FRAMES} expected frames, and these \
         are {frames:.0}"
    ));
    let longer = (MIN_SECONDS..=3600)
        .find(|longer| 3600 % longer == 0 && f64::from(*longer) * rate + ROUNDING >= f64::from(MIN_FRAMES));
    // 0.1 frames a second are 360 in the longest window, so there always is one.
    let longer = longer.unwrap_or(3600);
    let enough = f64::from(MIN_FRAMES) / f64::from(seconds);
    let help = format!(
        "set analysis.rate_hz = {enough} or window.seconds = {longer}; only a test may set window.allow_short = true"
    );
    Err(refuse([at_rate, at_seconds], problem.with_help(help)))
}
