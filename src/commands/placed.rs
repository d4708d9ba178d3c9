//! Files that are put in their place when they are whole: whoever looks sees the old content or the new one, never a part.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What the name of a file ends in until it is whole.
const UNFINISHED: &str = ".unfinished";

/// A file that is being written beside its place.
pub(super) struct Placed {
    /// As it was asked for, for errors.
    asked: PathBuf,
    /// Behind all links.
    place: PathBuf,
    /// Where it is written meanwhile; none where the place is no file, but a pipe, a terminal or a device.
    beside: Option<PathBuf>,
    writer: BufWriter<File>,
}

/// The name beside `path` for what is not whole yet.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// What an output stands for behind all links, if that is a file or nothing yet.
pub(super) fn place(path: &Path) -> Option<PathBuf> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A link to what is not there yet stays a link.
    let place = fs::read_link(&place).map_or(place.clone(), |target| place.with_file_name("").join(target));
    fs::metadata(&place).map_or(true, |metadata| metadata.is_file()).then_some(place)
}

impl Placed {
    /// Opens a file beside `path`, or in `folder` where one is given, which is on the same file system.
    ///
    /// # Errors
    /// When nothing can be written there; what `path` held is untouched.
    pub(super) fn open(path: &Path, folder: Option<&Path>) -> anyhow::Result<Self> {
        let (place, beside) = match place(path) {
            Some(place) => {
                let beside = folder.map_or_else(|| unfinished(&place), |folder| folder.join("table"));
                (place, Some(beside))
            }
            None => (path.to_owned(), None),
        };
        let file = File::create(beside.as_ref().unwrap_or(&place)).with_context(|| cannot_write(path))?;
        Ok(Self { asked: path.to_owned(), place, beside, writer: BufWriter::new(file) })
    }

    /// Puts it in its place, on the disk.
    ///
    /// # Errors
    /// When that fails; what the place held before is untouched.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.put().with_context(|| cannot_write(&self.asked))
    }

    fn put(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        let Some(beside) = &self.beside else { return Ok(()) };
        let file = self.writer.get_ref();
        if let Ok(before) = fs::metadata(&self.place) {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(beside, &self.place)?;
        self.beside = None;
        Ok(())
    }
}

impl Drop for Placed {
    /// What did not become whole is removed.
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // It may be gone already.
            let _ = fs::remove_file(beside);
        }
    }
}

impl Write for Placed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

pub(super) fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Writes a whole file.
///
/// # Errors
/// When that fails; what it held before is untouched.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut placed = Placed::open(path, None)?;
    placed.write_all(bytes).with_context(|| cannot_write(path))?;
    placed.finish()
}
