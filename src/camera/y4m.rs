//! Uncompressed video in the YUV4MPEG2 (Y4M) container, from a file or from standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Stdin};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::decode::{self, Chroma};
use super::{CameraError, Capture, FrameSource, LONGEST_SIDE};

/// The longest header line that is read; real ones have less than a hundred bytes.
const LONGEST_LINE: u64 = 4096;

/// A Y4M stream, sampled at the analysis rate.
pub struct Y4m {
    input: Input,
    path: PathBuf,
    header: Header,
    /// Frames of the stream for each frame that is shown; below 1 where the stream is slower than the ticks.
    step: f64,
    /// The last frame that was read, undecoded.
    last: Zeroizing<Vec<u8>>,
    /// Frames of the stream read so far, and frames shown so far.
    read: u64,
    shown: u64,
}

enum Input {
    File { reader: BufReader<File>, endless: bool },
    Stdin(BufReader<Stdin>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    width: usize,
    height: usize,
    frames_per_second: f64,
    chroma: Chroma,
}

impl Y4m {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it cannot be read or is no 8-bit Y4M.
    pub fn open(path: &Path, rate_hz: f64, endless: bool) -> Result<Self, CameraError> {
        let file =
            File::open(path).map_err(|e| CameraError::recording(path, format!("cannot be read: {e}")))?;
        Self::new(Input::File { reader: BufReader::new(file), endless }, path, rate_hz)
    }

    /// Reads the header from standard input.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it is no 8-bit Y4M.
    pub fn stdin(rate_hz: f64) -> Result<Self, CameraError> {
        Self::new(Input::Stdin(BufReader::new(std::io::stdin())), Path::new("-"), rate_hz)
    }

    fn new(mut input: Input, path: &Path, rate_hz: f64) -> Result<Self, CameraError> {
        let header = Header::read(input.reader()).map_err(|e| CameraError::recording(path, e))?;
        let step = header.frames_per_second / rate_hz;
        let last = Zeroizing::new(vec![0; header.chroma.frame_bytes(header.width, header.height)]);
        Ok(Self { input, path: path.to_owned(), header, step, last, read: 0, shown: 0 })
    }

    /// Reads the next frame's bytes into `last`; false at the end of the stream.
    fn read_frame(&mut self) -> Result<bool, CameraError> {
        loop {
            let cut_off = |what: &str| {
                CameraError::recording(
                    &self.path,
                    format!("is cut off ({what}); what could be read is counted"),
                )
            };
            let reader = self.input.reader();
            let line = read_line(reader).map_err(|e| cut_off(&e))?;
            if line.is_empty() {
                if self.read > 0 && self.input.rewind(&self.path)? {
                    continue;
                }
                return Ok(false);
            }
            if !line.starts_with("FRAME") {
                return Err(cut_off("no frame header where one should be"));
            }
            reader.read_exact(&mut self.last).map_err(|_| cut_off("the last frame is not whole"))?;
            self.read += 1;
            return Ok(true);
        }
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
        // The frame that is on at the tick; those between are read and dropped undecoded.
        let wanted = (self.shown as f64 * self.step) as u64;
        self.shown += 1;
        while self.read <= wanted {
            if !self.read_frame()? {
                return Ok(Capture::End);
            }
        }
        let Header { width, height, chroma, .. } = self.header;
        Ok(decode::planar(&self.last, width, height, chroma).map_or(Capture::Corrupt, Capture::Frame))
    }
}

impl Input {
    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Self::File { reader, .. } => reader,
            Self::Stdin(reader) => reader,
        }
    }

    /// Goes back to the first frame of an endless file; false when there is no going back.
    fn rewind(&mut self, path: &Path) -> Result<bool, CameraError> {
        let Self::File { reader, endless: true } = self else { return Ok(false) };
        std::io::Seek::rewind(reader).map_err(|e| CameraError::recording(path, e.to_string()))?;
        Header::read(reader).map_err(|e| CameraError::recording(path, e))?;
        Ok(true)
    }
}

impl Header {
    fn read(reader: &mut dyn BufRead) -> Result<Self, String> {
        let line = read_line(reader)?;
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err(
                "is no Y4M stream; make one with `ffmpeg -i VIDEO -f yuv4mpegpipe -pix_fmt yuv420p -`"
                    .to_owned(),
            );
        }
        let (mut width, mut height, mut frames_per_second, mut chroma) = (0, 0, 0.0, Chroma::Yuv420);
        for word in words {
            let bad = || format!("has a bad Y4M parameter: {word}");
            let (kind, value) = word.split_at_checked(1).ok_or_else(bad)?;
            match kind {
                "W" => width = value.parse().map_err(|_| bad())?,
                "H" => height = value.parse().map_err(|_| bad())?,
                "F" => {
                    let (n, d) = value.split_once(':').ok_or_else(bad)?;
                    let (n, d): (f64, f64) = (n.parse().map_err(|_| bad())?, d.parse().map_err(|_| bad())?);
                    frames_per_second = n / d;
                }
                "C" => {
                    chroma = Chroma::from_y4m(value).ok_or_else(|| {
                        format!("has pixels in {value}; 8-bit 420, 422, 444 and mono are read")
                    })?;
                }
                _ => {}
            }
        }
        let side = 1..=LONGEST_SIDE;
        if !side.contains(&width) || !side.contains(&height) {
            return Err(format!("says that it is {width} x {height} pixels"));
        }
        if !(frames_per_second.is_finite() && frames_per_second > 0.0) {
            return Err("does not say how many frames a second it has".to_owned());
        }
        Ok(Self { width, height, frames_per_second, chroma })
    }
}

/// One line without its end; empty at the end of the stream.
fn read_line(reader: &mut dyn BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    if line.is_empty() {
        return Ok(String::new());
    }
    if line.pop() != Some(b'\n') {
        return Err("a header line does not end".to_owned());
    }
    String::from_utf8(line).map_err(|_| "is no Y4M stream".to_owned())
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
                Capture::Frame(frame) => shades.push(frame.rgb()[0]),
                Capture::Corrupt => panic!("corrupt"),
                Capture::End => break,
            }
        }
        shades
    }

    #[test]
    fn every_second_frame_is_shown_at_half_the_rate() {
        let file = file(&stream(6));
        let all = shades(Y4m::open(file.path(), 4.0, false).unwrap(), 99);
        assert_eq!(all.len(), 6);
        let half = shades(Y4m::open(file.path(), 2.0, false).unwrap(), 99);
        assert_eq!(half, [all[0], all[2], all[4]]);
        let twice = shades(Y4m::open(file.path(), 8.0, false).unwrap(), 99);
        assert_eq!(twice, all.iter().flat_map(|shade| [*shade; 2]).collect::<Vec<_>>());
        assert_eq!(shades(Y4m::open(file.path(), 4.0, true).unwrap(), 8).len(), 8);
    }

    #[test]
    fn a_torn_stream_is_told_from_one_that_ended() {
        let whole = stream(2);
        let file = file(&whole[..whole.len() - 1]);
        let mut source = Y4m::open(file.path(), 4.0, false).unwrap();
        assert!(matches!(source.next(), Ok(Capture::Frame(_))));
        assert!(matches!(source.next(), Err(CameraError::Recording { .. })));
    }

    #[test]
    fn bad_headers_are_refused() {
        for header in
            ["", "RIFF\n", "YUV4MPEG2 W2\n", "YUV4MPEG2 W2 H2 F0:0\n", "YUV4MPEG2 W2 H2 F1:1 C420p10\n"]
        {
            let file = file(header.as_bytes());
            assert!(Y4m::open(file.path(), 4.0, false).is_err(), "{header}");
        }
    }
}
