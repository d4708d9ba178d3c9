//! A folder of stills as a recording: JPEG and PNG by name, one a tick.

use std::error::Error;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::frame::Frame;
use super::size::{MOST_PIXELS, check_size};
use super::source::{CameraError, Capture, FrameSource};
use lectern_record::help::{Explained, Problem};

/// The most bytes that a picture may take while it is decoded: some have more than 8 bits a channel, or transparency.
const MOST_BYTES: u64 = 4 * MOST_PIXELS as u64;

/// The stills of a folder.
pub struct Stills {
    files: Vec<PathBuf>,
    next: usize,
    endless: bool,
}

impl Stills {
    /// Lists the stills of `folder`.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it cannot be read or holds none.
    pub fn open(folder: &Path, endless: bool) -> Result<Self, CameraError> {
        let entries = std::fs::read_dir(folder).map_err(|e| CameraError::unreadable(folder, e))?;
        let mut files: Vec<_> =
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_still(p)).collect();
        if files.is_empty() {
            return Err(CameraError::recording(folder, "holds no .jpg, .jpeg or .png file"));
        }
        files.sort();
        Ok(Self { files, next: 0, endless })
    }

    /// A recording of one still.
    #[must_use]
    pub fn one(file: &Path, endless: bool) -> Self {
        Self { files: vec![file.to_owned()], next: 0, endless }
    }
}

impl FrameSource for Stills {
    fn next(&mut self) -> Result<Capture, CameraError> {
        if self.next == self.files.len() {
            if !self.endless {
                return Ok(Capture::End);
            }
            self.next = 0;
        }
        let file = &self.files[self.next];
        self.next += 1;
        Ok(read(file).map_or_else(
            |error| {
                log::warn!("{}; it is counted as corrupt", Explained(&error));
                Capture::Corrupt
            },
            Capture::Frame,
        ))
    }

    fn ticks(&self) -> Option<u64> {
        (!self.endless).then_some(self.files.len() as u64)
    }
}

/// Whether a file is a still of a folder, by its name.
#[must_use]
pub fn is_still(path: &Path) -> bool {
    has_extension(path, &["jpg", "jpeg", "png"])
}

/// Whether a name ends in one of these, in letters of either case.
pub(super) fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Reads one picture, gray or colour.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing, damaged or no picture.
pub fn read(path: &Path) -> Result<Frame, CameraError> {
    fn unreadable(path: &Path, cause: impl Error + Send + Sync + 'static) -> CameraError {
        CameraError::recording(path, Problem::new("is no readable picture").caused_by(cause))
    }
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| unreadable(path, e))?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    // Reads the header alone.
    let decoder = reader.into_decoder().map_err(|e| unreadable(path, e))?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize).map_err(|e| CameraError::recording(path, e))?;
    if decoder.total_bytes() > MOST_BYTES {
        let megabytes = decoder.total_bytes() / 1_000_000;
        let most = MOST_BYTES / 1_000_000;
        let problem = Problem::new(format!("takes {megabytes} MB, and at most {most} are read"));
        return Err(CameraError::recording(path, problem.with_help("scale it down first")));
    }
    let rgb = DynamicImage::from_decoder(decoder).map_err(|e| unreadable(path, e))?.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Frame::from_rgb(width, height, rgb.into_raw())
        .ok_or_else(|| CameraError::recording(path, "is an empty picture"))
}
