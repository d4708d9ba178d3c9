//! What ffprobe reports of a recording before it is played, and what ffmpeg and ffprobe may open.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::deadline::{self, Deadline, wait};
use super::size::{check_size, square};
use super::source::CameraError;
use lectern_record::help::Problem;

/// Timeout of ffprobe for a recording that is played live.
const LIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of ffprobe for a recording that is analysed.
const FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// The slowest recording whose frames stand for twice its own interval, in seconds a frame: a time-lapse with two minutes between
/// its frames.
const SLOWEST: f64 = 120.0;

/// Above so many frames a second the nominal rate is no rate, but the unit in which a container without one counts time.
const FASTEST: f64 = 240.0;

/// Containers that hold their pictures themselves. Playlists, image sequences and scripts would make ffmpeg open other files and
/// addresses, and text is no video.
const CONTAINERS: &str = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,nut,mxf,gxf,dv,rm,wtv,ivf,obu,av1,\
                          h261,h263,h264,hevc,vvc,m4v,vc1,mjpeg,gif,apng,webp_pipe,ty,nsv,live_flv,lvf,kux,caf,swf,yuv4mpegpipe";

/// A recording's properties.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Probe {
    /// Displayed width in pixels, after the rotation in the file's metadata.
    pub(super) width: usize,
    /// Displayed height in pixels.
    pub(super) height: usize,
    /// Length in seconds, if the file has it.
    pub(super) seconds: Option<f64>,
    /// Nominal time between two frames in seconds.
    pub(super) interval: f64,
    /// By how many seconds the stream starts after the first stream of the recording; 0 if unavailable.
    pub(super) late: f64,
    /// Its number among the video streams.
    pub(super) number: usize,
    /// All video streams, where there are several.
    pub(super) others: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Failure>,
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

/// What ffprobe reports instead, with an error code of ffmpeg's (`AVERROR`).
#[derive(Deserialize)]
struct Failure {
    code: i64,
}

/// AVERROR(EINVAL), with which ffmpeg answers a format that is not in [`CONTAINERS`].
const FORMAT_NOT_ALLOWED: i64 = -22;

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    width: usize,
    #[serde(default)]
    height: usize,
    #[serde(default)]
    sample_aspect_ratio: String,
    #[serde(default)]
    r_frame_rate: String,
    #[serde(default)]
    avg_frame_rate: String,
    start_time: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    #[serde(default)]
    rotation: f64,
}

#[derive(Deserialize, Default)]
struct Format {
    start_time: Option<String>,
    duration: Option<String>,
}

/// Runs ffprobe on the video stream of this number, from 0; cover pictures and thumbnails do not count.
///
/// # Errors
/// [`CameraError::Recording`] when ffprobe is not installed or finds no video; [`CameraError::Lost`] when a live one is silent.
#[expect(clippy::disallowed_methods, reason = "ffprobe, which looks at a recording")]
pub(super) fn probe(path: &Path, number: usize, live: bool) -> Result<Probe, CameraError> {
    let entries = "stream=index,width,height,sample_aspect_ratio,r_frame_rate,avg_frame_rate,start_time:stream_side_data=rotation:format=start_time,duration";
    let mut command = Command::new("ffprobe");
    command
        .args(["-v", "error", "-show_error", "-select_streams", "V", "-of", "json", "-show_entries", entries])
        .args(restrictions())
        .arg(file_url(path));
    let (output, said) = answer(path, command, if live { LIVE_TIMEOUT } else { FILE_TIMEOUT })?;
    let said = without_pointers(said.lines().next().unwrap_or("no video stream").trim());
    let no_video = || CameraError::recording(path, format!("holds no video that ffmpeg can read ({said})"));
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| no_video())?;
    if answer.error.is_some_and(|error| error.code == FORMAT_NOT_ALLOWED) {
        let problem = Problem::new(
            "is a playlist, a list of files, or another format that is not opened, because it can name other files and \
             addresses",
        );
        let help = "convert it first, for example with `ffmpeg -i IT lecture.mkv`";
        return Err(CameraError::recording(path, problem.with_help(help)));
    }
    let stream = match (answer.streams.get(number), &answer.streams[..]) {
        (Some(stream), _) => stream,
        (None, []) => return Err(no_video()),
        (None, streams) => {
            let problem = Problem::new(format!("has no video stream {number}, but {}", described(streams)));
            return Err(CameraError::recording(path, problem.with_help("give another --video-stream")));
        }
    };
    let others = (answer.streams.len() > 1).then(|| described(&answer.streams));
    if stream.width == 0 || stream.height == 0 {
        return Err(no_video());
    }
    check_size(stream.width, stream.height).map_err(|e| CameraError::recording(path, e))?;
    let turned = stream.side_data_list.iter().any(|data| data.rotation.abs() % 180.0 > 45.0);
    let aspect = ratio(&stream.sample_aspect_ratio, ':').unwrap_or(1.0);
    let (width, height) = square(stream.width, stream.height, aspect);
    check_size(width, height).map_err(|e| CameraError::recording(path, e))?;
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let value = |text: &Option<String>| text.as_ref()?.parse::<f64>().ok().filter(|it| it.is_finite());
    let seconds = value(&answer.format.duration);
    let starts = (value(&stream.start_time), value(&answer.format.start_time));
    let late = if let (Some(stream), Some(all)) = starts { (stream - all).max(0.0) } else { 0.0 };
    Ok(Probe {
        width,
        height,
        seconds,
        interval: interval(&stream.r_frame_rate, &stream.avg_frame_rate),
        late,
        number,
        others,
    })
}

/// The video streams of a recording with their sizes.
fn described(streams: &[Stream]) -> String {
    let each: Vec<String> =
        (0..).zip(streams).map(|(i, it)| format!("{i} ({} x {})", it.width, it.height)).collect();
    format!(
        "{} video {}: {}",
        each.len(),
        if each.len() == 1 { "stream" } else { "streams" },
        each.join(", ")
    )
}

/// Seconds a frame of a nominal rate such as `30000/1001`, or of the average rate where the nominal one is none; 0.04 where neither
/// is available.
fn interval(nominal: &str, average: &str) -> f64 {
    let hz = |rate: &str| ratio(rate, '/');
    let rate = hz(nominal).filter(|hz| *hz <= FASTEST).or_else(|| hz(average)).or_else(|| hz(nominal));
    rate.map_or(0.04, |hz| (1.0 / hz).min(SLOWEST))
}

/// A ratio such as `30000/1001` or `64:45`, if it is valid and not 0.
fn ratio(text: &str, between: char) -> Option<f64> {
    let (n, d) = text.split_once(between)?;
    let (n, d): (f64, f64) = (n.parse().ok()?, d.parse().ok()?);
    (n > 0.0 && d > 0.0).then_some(n / d)
}

/// Runs ffprobe to its end, unless it writes nothing for `timeout`; returns its standard output and its error messages.
fn answer(path: &Path, mut command: Command, timeout: Duration) -> Result<(Vec<u8>, String), CameraError> {
    let cannot = |e: io::Error| not_started(path, "ffprobe", e);
    let (mut results, into) = io::pipe().map_err(cannot)?;
    let (mut errors, errors_into) = io::pipe().map_err(cannot)?;
    command.stdin(Stdio::null()).stdout(into).stderr(errors_into);
    let mut child = command.spawn().map_err(cannot)?;
    // It holds the write ends of both pipes, which would never close.
    drop(command);
    let mut outputs = (Vec::new(), Vec::new());
    let mut open = [true, true];
    let mut piece = [0; 4096];
    let outcome = loop {
        let deadline = Some(Deadline::after(timeout));
        let ready = match open {
            [true, true] => wait([&results, &errors], deadline),
            [true, false] => wait([&results], deadline).map(|[ready]| [ready, false]),
            [false, true] => wait([&errors], deadline).map(|[ready]| [false, ready]),
            [false, false] => break Ok(()),
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(e) => break Err(e),
        };
        if ready[0] {
            open[0] = drain(&mut results, &mut piece, &mut outputs.0);
        }
        if ready[1] {
            open[1] = drain(&mut errors, &mut piece, &mut outputs.1);
        }
    };
    // It may have ended already; the wait reaps it in either case.
    if outcome.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    match outcome {
        Ok(()) => Ok((outputs.0, String::from_utf8_lossy(&outputs.1).into_owned())),
        Err(e) if deadline::is_over(&e) => Err(CameraError::lost(path, e)),
        Err(e) => Err(cannot(e)),
    }
}

/// A message of ffmpeg without the addresses of its objects (`[h264 @ 0x557a…]`), which differ each time.
pub(super) fn without_pointers(message: &str) -> String {
    let mut parts = message.split(" @ 0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

/// Reads what is available into `kept`, up to 64 KiB in all; false at the end.
pub(super) fn drain(from: &mut impl Read, piece: &mut [u8], kept: &mut Vec<u8>) -> bool {
    const MOST: usize = 64 * 1024;
    match from.read(piece) {
        Ok(0) => false,
        Ok(count) => {
            kept.extend_from_slice(&piece[..count.min(MOST.saturating_sub(kept.len()))]);
            true
        }
        Err(e) => e.kind() == io::ErrorKind::Interrupted,
    }
}

/// Options of ffmpeg and ffprobe that prevent a file from making them open any other.
pub(super) fn restrictions() -> [&'static str; 4] {
    ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS]
}

/// `file:PATH`, so that a name with a colon or a dash is not parsed as a protocol or an option.
pub(super) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

pub(super) fn not_started(path: &Path, program: &str, cause: io::Error) -> CameraError {
    let problem = Problem::new(format!("{program} is needed to read it and did not start"));
    CameraError::recording(path, problem.caused_by(cause).with_help("install ffmpeg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_no_addresses() {
        let message = "[mov,mp4 @ 0x557a0c] moov atom not found [x @ 0xAB]: me @ home";
        assert_eq!(without_pointers(message), "[mov,mp4] moov atom not found [x]: me @ home");
    }
}
