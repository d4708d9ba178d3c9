//! The few file operations that the spool is made of, so that tests can make each of them fail.
#![expect(clippy::disallowed_methods, reason = "the spool's folders are what `run` writes")]

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, FsWord, Mode, OFlags, flock, fstatfs, mkdirat, open, openat,
    renameat, statat, statfs, unlinkat,
};
use rustix::io::Errno;

use super::record;

/// No folder of ours has more files; a listing ends there.
const MOST_FILES: usize = 1 << 18;

/// A folder of small files, written by one process at a time. A name is that of a file, or `folder/file`. Errors are the system's.
#[allow(clippy::missing_errors_doc, reason = "told once, above")]
pub trait Storage: Send {
    /// The names of all regular files, those in the folders of records included.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The whole of a file; [`io::ErrorKind::FileTooLarge`] where it is longer than `longest`, and
    /// [`io::ErrorKind::InvalidInput`] where it is no regular one or another user's.
    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>>;
    /// Gives a file another content; if this process dies meanwhile, it has either the old one or the new one. `durably`: also if
    /// the power is lost; but the file may be missing then, until [`Storage::sync`].
    fn write(&mut self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()>;
    /// Returns when the names of the files in this one's folder would survive a power loss.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Removes a file; that there is none is no error.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Whether a power loss takes everything.
    fn is_in_memory(&self) -> bool {
        false
    }
}

/// Whether a file could not be read because it cannot be ours: no regular file, one that is far too long, or another user's.
pub(super) fn is_foreign(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput)
}

/// A real folder, locked for this process; its files are readable by this user alone.
///
/// It is held open, so that it stays the same one whatever is renamed above it. It is opened by the first operation that finds it,
/// and made if only its last part is missing; to read it, it need not be writable.
pub struct Directory {
    path: PathBuf,
    folder: OnceCell<Folder>,
    /// The folder of records whose own name is known to be on the disk.
    known: Option<String>,
}

impl Directory {
    /// A folder that may come later.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), folder: OnceCell::new(), known: None }
    }

    fn folder(&self) -> io::Result<&Folder> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let folder = match Folder::at(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                mkdirat(rustix::fs::CWD, &self.path, Mode::RWXU)?;
                Folder::at(&self.path)?
            }
            folder => folder?,
        };
        match flock(&folder.0, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let told =
                    "another process uses this folder; end that one, or name another folder for one of them";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, told));
            }
            locked => locked?,
        }
        Ok(self.folder.get_or_init(|| folder))
    }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder()?.list()
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        self.folder()?.read(name, longest)
    }

    fn write(&mut self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()> {
        let done = self.folder()?.write(name, bytes, durably);
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // The folder was removed. Whoever makes it again at its path will be found the next time.
            self.folder.take();
        }
        done
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let folder = self.folder()?;
        if let Some((records, _)) = name.split_once('/') {
            folder.open_folder(records)?.sync_all()?;
            if self.known.as_deref() == Some(records) {
                return Ok(());
            }
        }
        folder.0.sync_all()?;
        self.known = name.split_once('/').map(|(records, _)| records.to_owned());
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let folder = self.folder()?;
        let (place, file) = match folder.place(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            place => place?,
        };
        match unlinkat(&place, file, AtFlags::empty()) {
            Err(error) if error != Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        // The last record of a folder takes it along.
        if let Some((records, _)) = name.split_once('/')
            && unlinkat(&folder.0, records, AtFlags::REMOVEDIR).is_ok()
        {
            self.known.take_if(|known| known == records);
        }
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        self.folder().is_ok_and(|folder| is_in_memory(&folder.0))
    }
}

/// An open folder; whoever only looks makes, locks and changes nothing.
pub(super) struct Folder(File);

impl Folder {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, FOLDER, Mode::empty())?.into()))
    }

    /// A folder of records.
    fn open_folder(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?.into())
    }

    /// The folder that a file is in, and its name there.
    fn place<'a>(&self, name: &'a str) -> io::Result<(File, &'a str)> {
        match name.split_once('/') {
            Some((folder, file)) => Ok((self.open_folder(folder)?, file)),
            None => Ok((self.0.try_clone()?, name)),
        }
    }

    /// Writes a file beside the one that it is to replace, and then over it.
    fn write(&self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()> {
        if let Some((records, _)) = name.split_once('/') {
            match mkdirat(&self.0, records, Mode::RWXU) {
                Err(error) if error != Errno::EXIST => return Err(error.into()),
                _ => {}
            }
        }
        let (place, name) = self.place(name)?;
        let new = format!("{name}.new");
        let mut file = open_file(&place, &new, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
        let written = file.write_all(bytes).and_then(|()| if durably { file.sync_data() } else { Ok(()) });
        written.and_then(|()| Ok(renameat(&place, &new, &place, name)?)).inspect_err(|_| {
            // It may take what little room is left.
            let _ = unlinkat(&place, &new, AtFlags::empty());
        })
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, kind) in entries(&self.0)? {
            if kind == FileType::Directory && record::is_folder(&name) {
                match self.open_folder(&name) {
                    Ok(folder) => {
                        names.extend(entries(&folder)?.into_iter().map(|(file, _)| format!("{name}/{file}")));
                    }
                    // The service has removed its last record meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            } else if kind == FileType::RegularFile {
                names.push(name);
            }
            if names.len() > MOST_FILES {
                let problem = "holds more files than the spool ever makes; move away what is not the spool's";
                return Err(io::Error::other(problem));
            }
        }
        Ok(names)
    }

    pub(super) fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        let (place, file) = self.place(name)?;
        let file = open_file(&place, file, OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        // One more, so that a longer file shows.
        let read = file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
        if read > longest { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a regular file of this user, and does not block: neither for the other end of a pipe nor for a device.
fn open_file(folder: &File, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let others = |user: u32| refuse(format!("belongs to another user ({user})"));
    let we = rustix::process::geteuid().as_raw();
    match openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
        // A link, a pipe that nobody reads, a folder.
        Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => Err(refuse("is not a regular file".to_owned())),
        Err(Errno::ACCESS) => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if found.st_uid != we => Err(others(found.st_uid)),
            _ => Err(Errno::ACCESS.into()),
        },
        Err(error) => Err(error.into()),
        Ok(file) => {
            let file = File::from(file);
            let found = file.metadata()?;
            match found.is_file() {
                true if found.uid() == we => Ok(file),
                true => Err(others(found.uid())),
                false => Err(refuse("is not a regular file".to_owned())),
            }
        }
    }
}

/// The names in a folder, and what each is.
fn entries(folder: &File) -> io::Result<Vec<(String, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)?.take(MOST_FILES + 1) {
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
        if !matches!(name, "." | "..") {
            names.push((name.to_owned(), kind));
        }
    }
    Ok(names)
}

const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6_u32 as FsWord;
const OVERLAY: FsWord = 0x794c_7630;

/// Whether what is written into this folder is in memory: a tmpfs, or an overlay whose upper layer is one.
///
/// # Errors
/// When it cannot be opened.
pub fn is_lost_with_power(folder: &Path) -> io::Result<bool> {
    Ok(is_in_memory(&Folder::at(folder)?.0))
}

fn is_in_memory(folder: &File) -> bool {
    match fstatfs(folder).map(|found| found.f_type) {
        Ok(TMPFS | RAMFS) => true,
        Ok(OVERLAY) => upper_layer(folder)
            .and_then(|upper| statfs(upper).ok())
            .is_some_and(|upper| matches!(upper.f_type, TMPFS | RAMFS)),
        _ => false,
    }
}

/// The folder that holds what is written into an overlay, as `/proc/self/mountinfo` names it.
fn upper_layer(folder: &File) -> Option<PathBuf> {
    let device = folder.metadata().ok()?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|mount| mount.split(' ').nth(2) == Some(&device))?;
    let options = mount.rsplit(' ').next()?;
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(PathBuf::from)
}
