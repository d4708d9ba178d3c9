//! Uncompressed video in the YUV4MPEG2 (Y4M) container, from a file or from standard input.

use std::cell::Cell;
use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use zeroize::{Zeroize, Zeroizing};

use super::deadline::{self, Deadline, SILENCE, TimedReader};
use super::decode;
use super::frame::{Chroma, Frame};
use super::size::{check_size, square};
use super::source::{CameraError, Capture, FrameSource};
use lectern_record::clock::Stop;
use lectern_record::help::Problem;

/// The longest header line that is read; real ones have less than a hundred bytes.
pub(super) const MAX_LINE: u64 = 4096;

/// Frames a second that a stream may have. A slower one would show a frame for longer than it stands for.
const RATES: std::ops::RangeInclusive<f64> = 0.1..=1000.0;

/// A Y4M stream, sampled at the analysis rate.
pub struct Y4m {
    reader: BufReader<Box<dyn Read>>,
    /// The deadline of the next frame, where it is live.
    deadline: Option<Rc<Cell<Deadline>>>,
    /// The same file, to go back to its start at its end.
    again: Option<File>,
    path: PathBuf,
    header: Header,
    /// Frames of the stream for each frame that is shown; below 1 where the stream is slower than the ticks.
    step: f64,
    /// The last frame that was read, undecoded.
    last: Zeroizing<Vec<u8>>,
    /// A wiped frame, whose memory the next one reuses.
    spare: Option<Frame>,
    /// Frames of the stream that were read so far.
    read: u64,
    /// Ticks so far.
    shown: u64,
    /// Age of the last frame at its tick, in seconds.
    age: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) frames_per_second: f64,
    pub(super) chroma: Chroma,
    /// Width of a pixel as a share of its height.
    aspect: f64,
}

impl Y4m {
    /// Reads the header of a file or a pipe; from its start again, and live, when `endless`. Waiting for bytes ends with `stop`.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it cannot be read or is no 8-bit Y4M; [`CameraError::Lost`] when it is live and silent.
    #[expect(clippy::disallowed_methods, reason = "opened to be read alone")]
    pub fn open(path: &Path, rate_hz: f64, endless: bool, stop: &Stop) -> Result<Self, CameraError> {
        let cannot = |e: io::Error| CameraError::unreadable(path, e);
        // Without blocking until a pipe has a writer: the first read waits for it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| cannot(e.into()))?);
        let again = match file.metadata().map_err(cannot)?.is_file() && endless {
            true => Some(file.try_clone().map_err(cannot)?),
            false => None,
        };
        Self::timed_reader(file, again, path, rate_hz, endless, stop)
    }

    /// Reads the header from standard input. Waiting for bytes ends with `stop`.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it is no 8-bit Y4M.
    pub fn stdin(rate_hz: f64, stop: &Stop) -> Result<Self, CameraError> {
        let path = Path::new("-");
        let input = io::stdin().as_fd().try_clone_to_owned();
        let input = input.map_err(|e| CameraError::unreadable(path, e))?;
        Self::timed_reader(File::from(input), None, path, rate_hz, false, stop)
    }

    /// Reads the header of any stream; `path` names it in errors.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it is no 8-bit Y4M.
    pub fn from_reader(reader: impl Read + 'static, path: &Path, rate_hz: f64) -> Result<Self, CameraError> {
        Self::new(Box::new(reader), None, path, rate_hz)
    }

    fn timed_reader(
        file: File,
        again: Option<File>,
        path: &Path,
        rate_hz: f64,
        live: bool,
        stop: &Stop,
    ) -> Result<Self, CameraError> {
        let deadline = live.then(|| Rc::new(Cell::new(Deadline::after(SILENCE))));
        let timed_reader = TimedReader { file, deadline: deadline.clone(), stop: stop.clone() };
        let y4m = Self::new(Box::new(timed_reader), again, path, rate_hz)?;
        Ok(Self { deadline, ..y4m })
    }

    fn new(
        reader: Box<dyn Read>,
        again: Option<File>,
        path: &Path,
        rate_hz: f64,
    ) -> Result<Self, CameraError> {
        let mut reader = BufReader::new(reader);
        let header = Header::read(&mut reader).map_err(|bad| bad.of(path))?;
        let step = header.frames_per_second / rate_hz;
        let last = Zeroizing::new(vec![0; header.chroma.frame_bytes(header.width, header.height)]);
        let path = path.to_owned();
        Ok(Self {
            reader,
            deadline: None,
            again,
            path,
            header,
            step,
            last,
            spare: None,
            read: 0,
            shown: 0,
            age: 0.0,
        })
    }

    /// Reads the next frame's bytes into `last`; false at the end of the stream.
    fn read_frame(&mut self) -> Result<bool, CameraError> {
        if let Some(deadline) = &self.deadline {
            deadline.set(Deadline::after(SILENCE));
        }
        let cut_off = |e: io::Error| {
            if deadline::is_over(&e) {
                return CameraError::lost(&self.path, e);
            }
            let problem = Problem::new("is cut off").caused_by(e).with_help("what could be read is counted");
            CameraError::recording(&self.path, problem)
        };
        let mut line = read_line(&mut self.reader).map_err(cut_off)?;
        if line.is_empty()
            && self.read > 0
            && let Some(file) = &mut self.again
        {
            // What is buffered was read to its end.
            file.rewind().map_err(cut_off)?;
            let header = Header::read(&mut self.reader).map_err(|bad| bad.of(&self.path))?;
            if header != self.header {
                return Err(cut_off(malformed("it has become another one")));
            }
            line = read_line(&mut self.reader).map_err(cut_off)?;
        }
        if line.is_empty() {
            return Ok(false);
        }
        if !line.starts_with("FRAME") {
            return Err(cut_off(malformed("no frame header where one should be")));
        }
        self.reader.read_exact(&mut self.last).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(malformed("the last frame is not whole")),
            _ => cut_off(e),
        })?;
        self.read += 1;
        Ok(true)
    }
}

impl FrameSource for Y4m {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "2^53 frames are longer than any lecture"
    )]
    fn next(&mut self) -> Result<Capture, CameraError> {
        // The last frame at or before this tick, as a player shows it; those between are read and dropped undecoded. The summand
        // is the error of the multiplication.
        let due = self.shown as f64 * self.step;
        let needed = (due + 1e-6).floor() as u64;
        self.age = (due - needed as f64) / self.header.frames_per_second;
        self.shown += 1;
        while self.read <= needed {
            if !self.read_frame()? {
                return Ok(Capture::End);
            }
        }
        Ok(self.header.decode(&self.last, self.spare.take()))
    }

    fn age(&self) -> Duration {
        Duration::try_from_secs_f64(self.age).unwrap_or_default()
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

/// Why a header cannot be used.
pub(super) enum BadHeader {
    /// It cannot be read.
    Read(io::Error),
    /// It is no Y4M, or one that is not read.
    Form(Problem),
}

impl BadHeader {
    /// The error of the stream of this name; one that is silent is lost.
    fn of(self, path: &Path) -> CameraError {
        match self {
            Self::Read(cause) if deadline::is_over(&cause) => CameraError::lost(path, cause),
            Self::Read(cause) => CameraError::unreadable(path, cause),
            Self::Form(problem) => CameraError::recording(path, problem),
        }
    }
}

impl Display for BadHeader {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(cause) => cause.fmt(f),
            Self::Form(problem) => problem.fmt(f),
        }
    }
}

impl Display for Header {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} pixels at {} frames a second", self.width, self.height, self.frames_per_second)
    }
}

/// A stream that is not as it should be.
fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is no Y4M.
fn bad(what: impl Into<Problem>) -> BadHeader {
    BadHeader::Form(what.into())
}

impl Header {
    /// A frame's bytes as a picture, in square pixels.
    pub(super) fn decode(&self, bytes: &[u8], spare: Option<Frame>) -> Capture {
        let shown = square(self.width, self.height, self.aspect);
        match decode::planar(bytes, self.width, self.height, self.chroma, spare) {
            Some(frame) if shown != (self.width, self.height) => {
                Capture::Frame(frame.into_rgb().scaled(shown.0, shown.1))
            }
            other => other.map_or(Capture::Corrupt, Capture::Frame),
        }
    }

    /// Reads the header line.
    pub(super) fn read(reader: &mut dyn BufRead) -> Result<Self, BadHeader> {
        let line = read_line(reader).map_err(BadHeader::Read)?;
        let mut parameters = line.split_ascii_whitespace();
        if parameters.next() != Some("YUV4MPEG2") {
            return Err(bad(Problem::new("is no Y4M stream")
                .with_help("make one with `ffmpeg -i VIDEO -f yuv4mpegpipe -pix_fmt yuv420p -`")));
        }
        let (mut width, mut height, mut frames_per_second, mut chroma, mut aspect) =
            (0, 0, 0.0, Chroma::Yuv420, 1.0);
        for word in parameters {
            let bad_word = || bad(format!("has a bad Y4M parameter: {word}"));
            let (kind, value) = word.split_at_checked(1).ok_or_else(bad_word)?;
            match kind {
                "W" => width = value.parse().map_err(|_| bad_word())?,
                "H" => height = value.parse().map_err(|_| bad_word())?,
                "F" => {
                    let (n, d) = value.split_once(':').ok_or_else(bad_word)?;
                    let (n, d): (f64, f64) =
                        (n.parse().map_err(|_| bad_word())?, d.parse().map_err(|_| bad_word())?);
                    frames_per_second = n / d;
                }
                // 0:0 means unknown.
                "A" => {
                    let parts =
                        value.split_once(':').and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
                    let (n, d): (f64, f64) = parts.ok_or_else(bad_word)?;
                    aspect = if n > 0.0 && d > 0.0 { n / d } else { 1.0 };
                }
                "C" => {
                    chroma = Chroma::from_y4m(value).ok_or_else(|| {
                        bad(Problem::new(format!("has pixels in {value}"))
                            .with_help("convert it: 8-bit 420, 422, 444 and mono are read"))
                    })?;
                }
                _ => {}
            }
        }
        check_size(width, height).map_err(bad)?;
        let shown = square(width, height, aspect);
        check_size(shown.0, shown.1).map_err(bad)?;
        if !(frames_per_second.is_finite() && frames_per_second > 0.0) {
            return Err(bad("does not say how many frames a second it has"));
        }
        if !RATES.contains(&frames_per_second) {
            let what = format!("says that it has {frames_per_second} frames a second");
            let (least, most) = (RATES.start(), RATES.end());
            return Err(bad(Problem::new(what).with_help(format!("convert it: {least} to {most} are read"))));
        }
        Ok(Self { width, height, frames_per_second, chroma, aspect })
    }
}

/// One line without its end; empty at the end of the stream.
fn read_line(reader: &mut dyn BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(String::new());
    }
    if line.pop() != Some(b'\n') {
        return Err(malformed("a header line does not end"));
    }
    String::from_utf8(line).map_err(|_| malformed("a header line is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".y4m").tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn stream(frames: u8) -> Vec<u8> {
        let mut bytes = b"YUV4MPEG2 W2 H2 F4:1 Ip A1:1 Cmono\n".to_vec();
        for i in 0..frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend_from_slice(&[16 + 20 * i; 4]);
        }
        bytes
    }

    fn shades(mut source: Y4m, most: usize) -> Vec<u8> {
        let mut shades = Vec::new();
        while shades.len() < most {
            match source.next().unwrap() {
                Capture::Frame(frame) => shades.push(frame.into_rgb().rgb()[0]),
                Capture::Corrupt | Capture::Missing => panic!("corrupt"),
                Capture::End => break,
            }
        }
        shades
    }

    #[test]
    fn every_second_frame_is_shown_at_half_the_rate() {
        let file = file(&stream(6));
        let all = shades(Y4m::open(file.path(), 4.0, false, &Stop::default()).unwrap(), 99);
        assert_eq!(all.len(), 6);
        let half = shades(Y4m::open(file.path(), 2.0, false, &Stop::default()).unwrap(), 99);
        assert_eq!(half, [all[0], all[2], all[4]]);
        let twice = shades(Y4m::open(file.path(), 8.0, false, &Stop::default()).unwrap(), 99);
        assert_eq!(twice, all.iter().flat_map(|shade| [*shade; 2]).collect::<Vec<_>>());
        assert_eq!(shades(Y4m::open(file.path(), 4.0, true, &Stop::default()).unwrap(), 8).len(), 8);
    }

    #[test]
    fn a_truncated_stream_differs_from_one_that_ended() {
        let whole = stream(2);
        let file = file(&whole[..whole.len() - 1]);
        let mut source = Y4m::open(file.path(), 4.0, false, &Stop::default()).unwrap();
        assert!(matches!(source.next(), Ok(Capture::Frame(_))));
        assert!(matches!(source.next(), Err(CameraError::Recording { .. })));
    }

    #[test]
    fn bad_headers_are_refused() {
        for header in
            ["", "RIFF\n", "YUV4MPEG2 W2\n", "YUV4MPEG2 W2 H2 F0:0\n", "YUV4MPEG2 W2 H2 F1:1 C420p10\n"]
        {
            let file = file(header.as_bytes());
            assert!(Y4m::open(file.path(), 4.0, false, &Stop::default()).is_err(), "{header}");
        }
    }

    #[test]
    fn absurd_rates_and_sizes_are_refused_with_what_is_read() {
        for (header, expected) in [
            ("YUV4MPEG2 W2 H2 F1000000:1\n", "0.1 to 1000 are read"),
            ("YUV4MPEG2 W2 H2 F1:1000000\n", "0.1 to 1000 are read"),
            ("YUV4MPEG2 W20000 H20000 F25:1\n", "at most 8192 x 4096"),
        ] {
            let refused = Y4m::from_reader(header.as_bytes(), Path::new("stream"), 2.0);
            let message = lectern_record::help::Explained(&refused.err().unwrap()).to_string();
            assert!(message.starts_with("stream: ") && message.contains(expected), "{message}");
        }
    }
}
