//! Where frames come from: a V4L2 camera, a recording, a folder of stills, or the staged lecture of the demo.

mod child;
pub mod decode;
mod frame;
mod jpeg;
mod live;
mod patience;
mod probe;
pub mod staged;
pub mod stills;
mod timeline;
pub mod v4l2;
pub mod video;
pub mod y4m;

use std::path::{Path, PathBuf};

pub use frame::Frame;
pub use live::Live;

/// The longest side of a picture in pixels.
const LONGEST_SIDE: usize = 8192;

/// The most pixels of a picture, whoever shows it. Video of 7680 x 4320 fits, and a photograph of 33 megapixels; a header that
/// claims more does not get to ask for the memory.
const MOST_PIXELS: usize = 8192 * 4096;

/// Whether a picture is larger than any that is read.
fn is_too_large(width: usize, height: usize) -> bool {
    width.max(height) > LONGEST_SIDE || width.saturating_mul(height) > MOST_PIXELS
}

/// The same as an error's words; an empty picture is refused too.
fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 {
        Err(format!("says that it is {width} x {height} pixels"))
    } else if is_too_large(width, height) {
        Err(format!(
            "is {width} x {height} pixels, and at most {LONGEST_SIDE} x {} are read; scale it down first",
            MOST_PIXELS / LONGEST_SIDE
        ))
    } else {
        Ok(())
    }
}

/// Something that shows one picture whenever it is asked.
pub trait FrameSource {
    /// The newest picture there is; blocks until there is one.
    ///
    /// # Errors
    /// [`CameraError::Lost`] when the source may come back after [`FrameSource::reopen`]; any other kind is
    /// final.
    fn next(&mut self) -> Result<Capture, CameraError>;

    /// Opens a lost source again, with its format negotiated anew.
    ///
    /// # Errors
    /// [`CameraError::Lost`] while it is still away; any other kind is final.
    fn reopen(&mut self) -> Result<(), CameraError> {
        Ok(())
    }

    /// How many ticks it will have, where that can be known.
    fn ticks(&self) -> Option<u64> {
        None
    }

    /// Takes back a frame that is no longer needed; one that keeps its memory for the next wipes it first.
    fn recycle(&mut self, _frame: Frame) {}
}

/// What a source shows on a tick.
pub enum Capture {
    /// A picture.
    Frame(Frame),
    /// A picture that was torn, empty or could not be decoded.
    Corrupt,
    /// Nothing: the recording has no picture for this tick.
    Missing,
    /// The recording is over.
    End,
}

/// Why there is no picture, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The camera is away: wait, then [`FrameSource::reopen`].
    #[error("{device}: no picture: {cause}; {}", advice(cause))]
    Lost {
        /// The device as configured.
        device: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The camera is there and cannot be used.
    #[error("{device}: {problem}")]
    Unusable {
        /// The device as configured.
        device: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// A recording or a still cannot be read, or ended before its time.
    #[error("{}: {problem}", path.display())]
    Recording {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and the way out.
        problem: String,
    },
}

/// The way out of a lost camera.
fn advice(cause: &std::io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EBUSY) => "another program uses it: `fuser -v` on the device names that program",
        Some(libc::EACCES | libc::EPERM) => "let this user into the group `video`",
        None if patience::is_over(cause) => "see whether what writes it still runs",
        _ => "plug it in again, or name another one in camera.device",
    }
}

impl CameraError {
    /// A recording that is silent, or any other trouble with reading it.
    fn lost(path: &Path, cause: std::io::Error) -> Self {
        Self::Lost { device: path.display().to_string(), cause }
    }

    pub(crate) fn recording(path: &Path, problem: impl Into<String>) -> Self {
        Self::Recording { path: path.to_owned(), problem: problem.into() }
    }
}

/// Opens a recording, sampled at `rate_hz` frames for each second of its own time.
///
/// `path` is a folder of stills (one tick each), a single still, a `.y4m` file, `-` for Y4M on standard input, a pipe (FIFO) that
/// carries Y4M, or a file that ffmpeg reads. With `endless` it starts again at its end, and is played live: one that shows
/// nothing for four seconds is lost. Otherwise it is waited for as long as it takes.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing or unreadable, or when ffmpeg is not installed;
/// [`CameraError::Lost`] when it is silent.
pub fn open_recording(path: &Path, rate_hz: f64, endless: bool) -> Result<Box<dyn FrameSource>, CameraError> {
    use std::os::unix::fs::FileTypeExt;
    if path.as_os_str() == "-" {
        return Ok(Box::new(y4m::Y4m::stdin(rate_hz)?));
    }
    let kind = std::fs::metadata(path)
        .map_err(|e| CameraError::recording(path, format!("cannot be read: {e}")))?
        .file_type();
    if kind.is_dir() {
        Ok(Box::new(stills::Stills::open(path, endless)?))
    } else if kind.is_fifo() || (kind.is_file() && has_extension(path, &["y4m"])) {
        Ok(Box::new(y4m::Y4m::open(path, rate_hz, endless)?))
    } else if kind.is_file() && stills::is_still(path) {
        Ok(Box::new(stills::Stills::one(path, endless)))
    } else if kind.is_file() {
        Ok(Box::new(video::Video::open(path, rate_hz, endless)?))
    } else {
        Err(CameraError::recording(
            path,
            "is no recording; name a file, a folder of stills, or a pipe with Y4M",
        ))
    }
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_limit_holds_for_the_size_of_any_picture() {
        assert!(
            [(7680, 4320), (6000, 4000), (4096, 8192), (1, 1)]
                .iter()
                .all(|(w, h)| check_size(*w, *h).is_ok())
        );
        assert!(
            [(20_000, 20_000), (8193, 1), (8192, 4097), (usize::MAX, usize::MAX)]
                .iter()
                .all(|(w, h)| check_size(*w, *h).is_err_and(|e| e.contains("at most 8192 x 4096")))
        );
        assert!(check_size(0, 5).is_err());
    }
}
