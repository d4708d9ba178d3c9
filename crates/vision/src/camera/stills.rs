//! A folder of stills as a recording: JPEG and PNG by name, one a tick.

use std::cmp::Ordering;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::frame::Frame;
use super::jpeg;
use super::size::{MAX_PIXELS, check_size};
use super::source::{CameraError, Capture, FrameSource};
use lectern_record::file;
use lectern_record::help::{Explained, Problem};

/// The most bytes of a picture's file, and of what it occupies while it is decoded: some have more than 8 bits a channel, or transparency.
const MAX_BYTES: usize = 4 * MAX_PIXELS;

/// The stills of a folder.
pub struct Stills {
    files: Vec<PathBuf>,
    next: usize,
    endless: bool,
    /// Pictures that are no part of it.
    companions: usize,
}

impl Stills {
    /// Lists the stills of `folder`.
    ///
    /// # Errors
    /// [`CameraError::Recording`] when it cannot be read or holds none.
    pub fn open(folder: &Path, endless: bool) -> Result<Self, CameraError> {
        let (files, companions) = list(folder, is_still).map_err(|e| CameraError::unreadable(folder, e))?;
        if files.is_empty() {
            return Err(CameraError::recording(folder, "holds no .jpg, .jpeg or .png file"));
        }
        Ok(Self { files, next: 0, endless, companions })
    }

    /// A recording of one still.
    #[must_use]
    pub fn one(file: &Path, endless: bool) -> Self {
        Self { files: vec![file.to_owned()], next: 0, endless, companions: 0 }
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

    fn left_out(&self) -> Option<String> {
        (self.companions > 0).then(|| companions_left_out(self.companions))
    }
}

/// The files of a folder that are of a kind, in natural order, and how many others are companions of such: files that begin with a
/// dot, as macOS writes `._1.jpg` beside `1.jpg` on other systems' drives.
///
/// # Errors
/// When it cannot be read.
pub fn list(folder: &Path, is_kind: impl Fn(&Path) -> bool) -> io::Result<(Vec<PathBuf>, usize)> {
    let is_companion = |path: &PathBuf| path.file_name().is_some_and(|it| it.as_encoded_bytes()[0] == b'.');
    let files = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).filter(|it| is_kind(it));
    let (companions, mut files): (Vec<_>, Vec<_>) = files.partition(is_companion);
    files.sort_by(|a, b| natural_order(a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes()));
    Ok((files, companions.len()))
}

/// The message about files that begin with a dot.
#[must_use]
pub fn companions_left_out(count: usize) -> String {
    format!("{count} files whose names begin with a dot are left out")
}

/// Digits without leading zeros.
fn significant(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|digit| **digit == b'0').count()..]
}

/// Natural order of names: numbers in them by their value, so that 2 comes before 10.
fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let split = |text: &[u8]| text.iter().position(|byte| !is_digit(byte)).unwrap_or(text.len());
    let (mut left, mut right) = (a, b);
    while let ([x, ..], [y, ..]) = (left, right) {
        let (order, read) = if is_digit(x) && is_digit(y) {
            let read = (split(left), split(right));
            let (m, n) = (significant(&left[..read.0]), significant(&right[..read.1]));
            (m.len().cmp(&n.len()).then_with(|| m.cmp(n)), read)
        } else {
            (x.cmp(y), (1, 1))
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (&left[read.0..], &right[read.1..]);
    }
    // 1 and 01 are not the same name.
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Whether a file is a still of a folder, by its name.
#[must_use]
pub fn is_still(path: &Path) -> bool {
    has_extension(path, &["jpg", "jpeg", "png"])
}

/// Whether a name ends in one of these, in letters of either case.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| extensions.iter().any(|extension| e.eq_ignore_ascii_case(extension)))
}

/// Reads one picture, gray or colour.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing, damaged or no picture.
pub fn read(path: &Path) -> Result<Frame, CameraError> {
    fn unreadable(path: &Path, cause: impl Error + Send + Sync + 'static) -> CameraError {
        CameraError::recording(path, Problem::new("is no readable picture").caused_by(cause))
    }
    let bytes = file::read(path, MAX_BYTES).map_err(|e| unreadable(path, e))?;
    let reader = ImageReader::new(io::Cursor::new(&bytes)).with_guessed_format();
    let mut reader = reader.map_err(|e| unreadable(path, e))?;
    let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_BYTES as u64);
    reader.limits(limits);
    // Reads the header alone.
    let mut decoder = reader.into_decoder().map_err(|e| unreadable(path, e))?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize).map_err(|e| CameraError::recording(path, e))?;
    if decoder.total_bytes() > MAX_BYTES as u64 {
        let megabytes = decoder.total_bytes() / 1_000_000;
        let most = MAX_BYTES / 1_000_000;
        let problem = Problem::new(format!("takes {megabytes} MB, and at most {most} are read"));
        return Err(CameraError::recording(path, problem.with_help("scale it down first")));
    }
    if is_jpeg {
        jpeg::check(&bytes).map_err(|e| unreadable(path, e))?;
    }
    // What the camera wrote about how it was held (EXIF); where that cannot be read, the picture is as it is.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| unreadable(path, e))?;
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Frame::from_rgb(width, height, rgb.into_raw())
        .ok_or_else(|| CameraError::recording(path, "is an empty picture"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_by_value() {
        let ordered = ["1", "01", "2", "3.jpg", "3a.jpg", "10.jpg", "a2b1", "a2b10", "a10b1", "b", "ä1"];
        for (i, a) in ordered.iter().enumerate() {
            for (k, b) in ordered.iter().enumerate() {
                let order = natural_order(a.as_bytes(), b.as_bytes());
                assert!(order == i.cmp(&k) || (i < 2 && k < 2 && order == a.cmp(b)), "{a} {b}");
            }
        }
    }
}
