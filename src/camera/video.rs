//! A recording in any format that ffmpeg reads, decoded by an `ffmpeg` child process into a pipe of raw RGB.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde::Deserialize;
use zeroize::Zeroize;

use super::{CameraError, Capture, Frame, FrameSource, LONGEST_SIDE};

/// A recording being played at the analysis rate.
pub struct Video {
    path: PathBuf,
    width: usize,
    height: usize,
    decoder: Option<Decoder>,
    /// A wiped frame, whose memory the next one takes.
    spare: Option<Frame>,
}

struct Decoder {
    child: Child,
    pixels: ChildStdout,
    /// Collects what ffmpeg says; it must be read, or ffmpeg blocks on a full pipe.
    complaints: JoinHandle<String>,
}

/// What is known of a recording before it is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// Width in pixels as it is shown, turned by the rotation that the file asks for.
    pub width: usize,
    /// Height in pixels as it is shown.
    pub height: usize,
    /// Length in seconds, where the file says it.
    pub seconds: Option<f64>,
}

impl Video {
    /// Starts to decode `path`, sampled at `rate_hz` frames a second; again from its start when `endless`.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when ffmpeg is not installed or finds no video in the file.
    pub fn open(path: &Path, rate_hz: f64, endless: bool) -> Result<Self, CameraError> {
        let Probe { width, height, .. } = probe(path)?;
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-v", "error"]);
        if endless {
            command.args(["-stream_loop", "-1"]);
        }
        command.arg("-i").arg(file_url(path));
        let filter = format!("fps={rate_hz}:round=near:start_time=0,scale={width}:{height}");
        command.args(["-map", "0:v:0", "-vf", &filter, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| not_started(path, "ffmpeg", &e))?;
        let (pixels, errors) = child.stdout.take().zip(child.stderr.take()).expect("both are piped above");
        let complaints = std::thread::spawn(move || {
            let mut said = Vec::new();
            // Only the beginning matters; the rest is read and thrown away.
            let mut errors = errors.take(64 * 1024);
            let _ = errors.read_to_end(&mut said);
            let _ = io::copy(&mut errors.into_inner(), &mut io::sink());
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Self {
            path: path.to_owned(),
            width,
            height,
            decoder: Some(Decoder { child, pixels, complaints }),
            spare: None,
        })
    }

    /// Ends the child and tells whether the recording was sound.
    fn finish(&mut self) -> Result<Capture, CameraError> {
        let Some(Decoder { mut child, pixels, complaints }) = self.decoder.take() else {
            return Ok(Capture::End);
        };
        // Closed first, or a child that still writes would never end.
        drop(pixels);
        let status = child.wait();
        let complaints = complaints.join().unwrap_or_default();
        let sound = status.is_ok_and(|status| status.success());
        if sound && complaints.trim().is_empty() {
            return Ok(Capture::End);
        }
        let said = complaints.lines().find(|line| !line.trim().is_empty()).unwrap_or("it ended early");
        Err(CameraError::recording(
            &self.path,
            format!("is damaged or cut off (ffmpeg: {}); what could be read is counted", said.trim()),
        ))
    }
}

impl FrameSource for Video {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let Some(decoder) = &mut self.decoder else { return Ok(Capture::End) };
        let mut frame = Frame::reuse(self.spare.take(), self.width, self.height);
        match decoder.pixels.read_exact(frame.rgb_mut()) {
            Ok(()) => Ok(Capture::Frame(frame)),
            Err(_) => self.finish(),
        }
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        if let Some(decoder) = &mut self.decoder {
            // It may have ended already; either way nothing is left behind.
            let _ = decoder.child.kill();
            let _ = decoder.child.wait();
        }
    }
}

/// Asks ffprobe for the size and length of the first video stream.
///
/// # Errors
/// [`CameraError::Recording`] when ffprobe is not installed or finds no video.
pub fn probe(path: &Path) -> Result<Probe, CameraError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        streams: Vec<Stream>,
        #[serde(default)]
        format: Format,
    }
    #[derive(Deserialize)]
    struct Stream {
        width: usize,
        height: usize,
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
        duration: Option<String>,
    }

    let entries = "stream=width,height:stream_side_data=rotation:format=duration";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "json", "-show_entries", entries])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| not_started(path, "ffprobe", &e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("no video stream").trim();
    let no_video = || CameraError::recording(path, format!("holds no video that ffmpeg can read ({said})"));
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| no_video())?;
    let side = 1..=LONGEST_SIDE;
    let usable = |stream: &&Stream| side.contains(&stream.width) && side.contains(&stream.height);
    let stream = answer.streams.first().filter(usable).ok_or_else(no_video)?;
    let turned = stream.side_data_list.iter().any(|data| data.rotation.abs() % 180.0 > 45.0);
    let (width, height) = if turned { (stream.height, stream.width) } else { (stream.width, stream.height) };
    let seconds = answer.format.duration.and_then(|text| text.parse().ok());
    Ok(Probe { width, height, seconds })
}

/// `file:PATH`, so that a name with a colon or a dash is not taken for a protocol or an option.
fn file_url(path: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(path);
    url
}

fn not_started(path: &Path, program: &str, cause: &io::Error) -> CameraError {
    let problem = format!("{program} is needed to read it and did not start ({cause}); install ffmpeg");
    CameraError::recording(path, problem)
}
