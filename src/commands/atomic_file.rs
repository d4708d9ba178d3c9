//! Files that are put in their place when they are whole: whoever looks sees the old content or the new one, never a part.
#![expect(
    clippy::disallowed_methods,
    reason = "tables, charts, pages and metrics that are asked for are put in place here"
)]

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::help::Problem;

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
    /// Those that it gets; none: those of what the place holds.
    permissions: Option<Permissions>,
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
    // A pipe of the shell's (`>(…)`) has a name that leads nowhere.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return None;
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A link to what is not there yet stays a link.
    Some(fs::read_link(&place).map_or(place.clone(), |target| place.with_file_name("").join(target)))
}

impl Placed {
    /// Opens a file beside `path`, or in `folder` where one is given, which is on the same file system.
    ///
    /// # Errors
    /// When nothing can be written there; what `path` held is untouched.
    pub(super) fn open(path: &Path, folder: Option<&Path>) -> anyhow::Result<Self> {
        Self::create(path, folder).with_context(|| cannot_write(path))
    }

    fn create(path: &Path, folder: Option<&Path>) -> io::Result<Self> {
        let (place, beside) = match place(path) {
            Some(place) => {
                let beside = folder.map_or_else(|| unfinished(&place), |folder| folder.join("table"));
                (place, Some(beside))
            }
            None => (path.to_owned(), None),
        };
        let file = match &beside {
            Some(beside) => anew(beside)?,
            None => File::create(&place)?,
        };
        Ok(Self { asked: path.to_owned(), place, beside, permissions: None, writer: BufWriter::new(file) })
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
        let before = || fs::metadata(&self.place).ok().map(|metadata| metadata.permissions());
        if let Some(permissions) = self.permissions.take().or_else(before) {
            file.set_permissions(permissions)?;
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

/// Makes a file in the place of what an earlier run left. Where others may write into the folder, a link that one of them has put
/// there is removed and not followed.
fn anew(path: &Path) -> io::Result<File> {
    if path.is_dir() {
        let problem = Problem::new(format!("{} holds what an earlier run has finished", path.display()));
        return Err(io::Error::other(problem.with_help("go on with it (--resume), or remove that folder")));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

pub(super) fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Writes a whole file.
///
/// # Errors
/// When that fails; what it held before is untouched.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, None).with_context(|| cannot_write(path))
}

/// The same, with these permissions where some are given.
///
/// # Errors
/// As [`write`], without the file's name.
pub(super) fn replace(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let mut placed = Placed::create(path, None)?;
    placed.permissions = permissions;
    placed.write_all(bytes)?;
    placed.put()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [out, victim] = ["metrics.prom", "victim"].map(|name| folder.path().join(name));
        fs::write(&victim, "as it was").unwrap();
        symlink(&victim, unfinished(&out)).unwrap();
        write(&out, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
        assert_eq!(fs::read_to_string(&out).unwrap(), "new");
        assert!(out.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_pipe_of_the_shells_is_written_into() {
        let (mut reader, writer) = io::pipe().unwrap();
        let name = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        assert_eq!(place(&name), None);
        write(&name, b"table").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "table");
    }
}
