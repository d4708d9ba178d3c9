//! A folder of stills as a recording: JPEG and PNG by name, one a tick.

use std::path::{Path, PathBuf};

use super::{CameraError, Capture, Frame, FrameSource};

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
        let entries = std::fs::read_dir(folder)
            .map_err(|e| CameraError::recording(folder, format!("cannot be read: {e}")))?;
        let mut files: Vec<_> =
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_still(p)).collect();
        if files.is_empty() {
            return Err(CameraError::recording(folder, "holds no .jpg, .jpeg or .png file"));
        }
        files.sort();
        Ok(Self { files, next: 0, endless })
    }

    /// How many stills there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none; never true for an opened folder.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
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
                log::warn!("{error}; it is counted as corrupt");
                Capture::Corrupt
            },
            Capture::Frame,
        ))
    }
}

fn is_still(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| ["jpg", "jpeg", "png"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Reads one picture, gray or colour.
///
/// # Errors
/// [`CameraError::Recording`] when it is missing, damaged or no picture.
pub fn read(path: &Path) -> Result<Frame, CameraError> {
    let problem =
        |e: &dyn std::fmt::Display| CameraError::recording(path, format!("is no readable picture: {e}"));
    let reader = image::ImageReader::open(path).map_err(|e| problem(&e))?;
    let picture = reader.with_guessed_format().map_err(|e| problem(&e))?.decode().map_err(|e| problem(&e))?;
    let rgb = picture.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Frame::from_rgb(width, height, rgb.into_raw()).ok_or_else(|| problem(&"it is empty"))
}
