//! Files that replace their target atomically: a reader finds the old content or the new, never a part.
#![expect(
    clippy::disallowed_methods,
    reason = "tables, charts, pages and metrics that are asked for are put in place here"
)]

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::help::Problem;

/// The suffix of a file that is not complete yet.
const UNFINISHED: &str = ".unfinished";

/// Who may read a file that is not there yet; one that is replaced keeps its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whom the umask allows.
    Default,
    /// This user.
    Private,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Default => 0o666,
            Self::Private => 0o600,
        }
    }
}

/// Whether a file is this user's.
pub(super) fn is_own(file: &Metadata) -> bool {
    file.uid() == rustix::process::geteuid().as_raw()
}

/// A file that is written under a temporary name beside its target.
pub(super) struct AtomicFile {
    /// The path as given, for errors.
    requested: PathBuf,
    /// The target, with all links resolved.
    place: PathBuf,
    /// The temporary path; none where the target is a pipe, a terminal or a device.
    temporary: Option<PathBuf>,
    /// The permissions to set; none for those that it was created with.
    permissions: Option<Permissions>,
    writer: BufWriter<File>,
}

/// The temporary name beside `path`.
pub(super) fn unfinished_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// The target of an output with all links resolved, if that is a file or absent.
pub(super) fn place(path: &Path) -> Option<PathBuf> {
    // The name of a shell's process substitution (`>(…)`) cannot be resolved.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return None;
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A dangling link stays a link.
    Some(fs::read_link(&place).map_or(place.clone(), |target| place.with_file_name("").join(target)))
}

impl AtomicFile {
    /// Opens a file beside `path`, or in `folder` where one is given, which is on the same file system.
    ///
    /// # Errors
    /// When it cannot be created; `path` is unchanged.
    pub(super) fn open(path: &Path, folder: Option<&Path>, access: Access) -> anyhow::Result<Self> {
        Self::create(path, folder, access).with_context(|| cannot_write(path))
    }

    fn create(path: &Path, folder: Option<&Path>, access: Access) -> io::Result<Self> {
        let (place, temporary) = match place(path) {
            Some(place) => {
                let temporary = folder.map_or_else(|| unfinished_name(&place), |folder| folder.join("table"));
                (place, Some(temporary))
            }
            None => (path.to_owned(), None),
        };
        let existing = fs::metadata(&place).ok();
        if existing.as_ref().is_some_and(|it| it.file_type().is_fifo() && !is_own(it) && it.uid() != 0) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is a pipe of another user"));
        }
        // Those of another user's file would be his choice.
        let permissions = existing.filter(|it| it.is_file() && is_own(it)).map(|it| it.permissions());
        let file = match &temporary {
            // Never more open than it will be.
            Some(temporary) => create_temporary(
                temporary,
                permissions.as_ref().map_or(access.mode(), |it| it.mode() & 0o777),
            )?,
            None => File::create(&place)?,
        };
        Ok(Self { requested: path.to_owned(), place, temporary, permissions, writer: BufWriter::new(file) })
    }

    /// Syncs the file to disk and renames it to its target.
    ///
    /// # Errors
    /// When that fails; the target is unchanged.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.put().with_context(|| cannot_write(&self.requested))
    }

    fn put(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        let Some(temporary) = &self.temporary else { return Ok(()) };
        let file = self.writer.get_ref();
        if let Some(permissions) = self.permissions.take() {
            file.set_permissions(permissions)?;
        }
        file.sync_all()?;
        fs::rename(temporary, &self.place)?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for AtomicFile {
    /// Removes an incomplete file.
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // It may be gone already.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Creates a temporary file, and removes one that an earlier run left. In a folder that others may write to, a link planted
/// there is removed and not followed.
fn create_temporary(path: &Path, mode: u32) -> io::Result<File> {
    if path.is_dir() {
        let problem = Problem::new(format!("{} holds what an earlier run has finished", path.display()));
        return Err(io::Error::other(problem.with_help("go on with it (--resume), or remove that folder")));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

pub(super) fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Writes a whole file.
///
/// # Errors
/// When that fails; the target is unchanged.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, None).with_context(|| cannot_write(path))
}

/// Writes a whole file, with these permissions where some are given.
///
/// # Errors
/// As [`write`], without the file's name.
pub(super) fn replace(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let mut file = AtomicFile::create(path, None, Access::Default)?;
    if permissions.is_some() {
        file.permissions = permissions;
    }
    file.write_all(bytes)?;
    file.put()
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
        symlink(&victim, unfinished_name(&out)).unwrap();
        write(&out, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
        assert_eq!(fs::read_to_string(&out).unwrap(), "new");
        assert!(out.symlink_metadata().unwrap().is_file());
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_private_at_each_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.csv");
        for (before, access, expected) in [
            (None, Access::Private, 0o600),
            (Some(0o640), Access::Private, 0o640),
            (Some(0o600), Access::Default, 0o600),
        ] {
            let _ = fs::remove_file(&path);
            if let Some(before) = before {
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            }
            let file = AtomicFile::open(&path, None, access).unwrap();
            assert_eq!(mode(&unfinished_name(&path)) & !expected, 0);
            file.finish().unwrap();
            assert_eq!(mode(&path), expected);
        }
    }

    /// Only root can give a file away.
    #[test]
    fn the_permissions_of_another_users_file_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.csv");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
            return;
        }
        AtomicFile::open(&path, None, Access::Private).unwrap().finish().unwrap();
        assert_eq!(mode(&path), 0o600);
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
