//! The few file operations that the spool is made of, so that tests can make each of them fail.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file whose lock says that a folder is in use.
const LOCK: &str = "lock";

/// A folder of small files, written by one process at a time.
pub trait Storage: Send {
    /// The names of all files.
    ///
    /// # Errors
    /// As the system has them; so for every function here.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The whole of a file.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// `length` bytes of a file from `offset` on.
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
    /// Removes a file; that there is none is no error.
    #[allow(clippy::missing_errors_doc, reason = "told once, above")]
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A real folder, locked for this process; its files are readable by this user alone.
pub struct Directory {
    path: PathBuf,
    /// The file appended to last, and whether its name is known to be on the disk.
    open: Option<(String, File, bool)>,
    _lock: File,
}

impl Directory {
    /// Opens a folder, and makes it if only its last part is missing.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process uses it ([`io::ErrorKind::WouldBlock`]).
    pub fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path: path.to_owned(), open: None, _lock: lock })
    }

    fn file(&mut self, name: &str) -> io::Result<&mut (String, File, bool)> {
        if self.open.as_ref().is_none_or(|(open, ..)| open != name) {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(name))?;
            self.open = Some((name.to_owned(), file, false));
        }
        self.open.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.path)?;
        // A name that is not UTF-8 is none of ours.
        names.filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose()).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(self.path.join(name))?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.1.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let folder = self.path.clone();
        let (_, file, known) = self.file(name)?;
        file.sync_data()?;
        if !*known {
            File::open(folder)?.sync_all()?;
            *known = true;
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?
            .write_all(bytes)?;
        std::fs::rename(new, self.path.join(name))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.take_if(|(open, ..)| open == name);
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
