//! The few file operations that the spool is made of, so that tests can make each of them fail.
#![expect(clippy::disallowed_methods, reason = "the spool's folders are what `run` writes")]

use std::cell::OnceCell;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, open, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::names::{self, LOCK};

/// A folder of small files, written by one process at a time.
pub trait Storage: Send {
    /// The names of all regular files.
    ///
    /// # Errors
    /// As the system has them; so for every function here.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The whole of a file; [`io::ErrorKind::FileTooLarge`] where it is longer than `longest`, and
    /// [`io::ErrorKind::InvalidInput`] where it is no regular one.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>>;
    /// `length` bytes of a file from `offset` on; [`io::ErrorKind::UnexpectedEof`] where it is shorter.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Adds bytes at the end of a file, which is made if there is none. After an error some of them may be there.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended to a file, and its name, would survive a power loss.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another content; if this process dies meanwhile, it has either the old one or the new one.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn rename(&mut self, name: &str, new: &str) -> io::Result<()>;
    /// Removes a file; that there is none is no error.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// Whether a file could not be read because it cannot be ours: no regular file, or one that is far too long.
pub(super) fn is_foreign(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput)
}

/// A real folder, locked for this process; its files are readable by this user alone.
///
/// It is held open, so that it stays the same one whatever is renamed above it.
pub struct Directory {
    path: PathBuf,
    handle: OnceCell<Handle>,
    /// The file appended to last, and whether its name is known to be on the disk.
    open: Option<(String, File, bool)>,
}

struct Handle {
    folder: File,
    _lock: File,
}

impl Directory {
    /// Opens a folder, and makes it if only its last part is missing.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process uses it ([`io::ErrorKind::ResourceBusy`]).
    pub fn open(path: &Path) -> io::Result<Self> {
        let this = Self::at(path);
        this.handle()?;
        Ok(this)
    }

    /// The same for a folder that may come later: it is opened by the first operation that finds it.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), handle: OnceCell::new(), open: None }
    }

    fn handle(&self) -> io::Result<&Handle> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let folder = File::from(open_folder(&self.path)?);
        let lock = open_file(&folder, LOCK, OFlags::WRONLY | OFlags::CREATE)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let told =
                    "another process uses this folder; end that one, or name another folder for one of them";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, told));
            }
            locked => locked?,
        }
        Ok(self.handle.get_or_init(|| Handle { folder, _lock: lock }))
    }

    fn file(&mut self, name: &str) -> io::Result<&mut (String, File, bool)> {
        if self.open.as_ref().is_none_or(|(open, ..)| open != name) {
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
            let file = open_file(&self.handle()?.folder, name, flags);
            if file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                // The folder was removed. Whoever makes it again at its path will be found the next time.
                self.handle.take();
            }
            self.open = Some((name.to_owned(), file?, false));
        }
        self.open.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn open_folder(path: &Path) -> Result<rustix::fd::OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a regular file, and waits for nobody: neither for the other end of a pipe nor for a device.
fn open_file(folder: &File, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a regular file"));
    match openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
        // A link, a pipe that nobody reads, a folder.
        Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => Err(no_file()),
        Err(error) => Err(error.into()),
        Ok(file) => {
            let file = File::from(file);
            if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
        }
    }
}

/// The names of all files in a folder, and whether each is a regular one.
fn list(folder: &File) -> io::Result<Vec<(String, bool)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = entry.file_name().to_str() else { continue };
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) => FileType::from_raw_mode(status.st_mode),
                // It went meanwhile, or reading it will tell.
                Err(_) => FileType::RegularFile,
            },
            kind => kind,
        };
        names.push((name.to_owned(), kind == FileType::RegularFile));
    }
    Ok(names)
}

fn read(folder: &File, name: &str, longest: usize) -> io::Result<Vec<u8>> {
    let file = open_file(folder, name, OFlags::RDONLY)?;
    let mut bytes = Vec::new();
    // One more, so that a longer file shows.
    let read = file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
    if read > longest { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let (ours, others): (Vec<_>, Vec<_>) =
            list(&self.handle()?.folder)?.into_iter().partition(|(_, is_file)| *is_file);
        for (name, _) in others {
            if names::is_ours(&name) {
                log::warn!("{}: is not a regular file; it is left alone", self.path.join(name).display());
            }
        }
        Ok(ours.into_iter().map(|(name, _)| name).collect())
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        read(&self.handle()?.folder, name, longest)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        open_file(&self.handle()?.folder, name, OFlags::RDONLY)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.1.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let (_, file, known) = self.file(name)?;
        file.sync_data()?;
        if !*known {
            self.handle()?.folder.sync_all()?;
            self.file(name)?.2 = true;
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        let folder = &self.handle()?.folder;
        open_file(folder, &new, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?.write_all(bytes)?;
        Ok(renameat(folder, &new, folder, name)?)
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        self.open.take_if(|(open, ..)| open == name);
        let folder = &self.handle()?.folder;
        renameat(folder, name, folder, new)?;
        folder.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.take_if(|(open, ..)| open == name);
        match unlinkat(&self.handle()?.folder, name, AtFlags::empty()) {
            Err(error) if error != Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The files of a folder that another process may be using, for whoever only looks: nothing is made, locked or changed.
pub(super) struct Looked(File);

impl Looked {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(open_folder(path)?.into()))
    }

    pub(super) fn names(&self) -> io::Result<Vec<(String, bool)>> {
        list(&self.0)
    }

    pub(super) fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        read(&self.0, name, longest)
    }
}
