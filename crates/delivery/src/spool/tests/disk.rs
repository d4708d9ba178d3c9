//! A folder in memory that fails on command, which no real disk does; `tests.rs` also uses real folders.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::{Folder, Storage};

/// A folder in memory that can fail, be torn and be damaged. Copies share their files.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(super) struct Inner {
    pub(super) files: BTreeMap<String, File>,
    /// Calls that write until one fails; that one writes half of its bytes.
    pub(super) fails_in: Option<u32>,
    /// How many of the next reads fail: of a list, a file or a part of it.
    pub(super) reads_fail: u32,
    /// Files that cannot be read.
    pub(super) bad: BTreeSet<String>,
    /// Calls that write, to any folder, until the process dies; then they do nothing.
    pub(super) dies_in: Arc<Mutex<Option<u32>>>,
    /// What was removed since the folder was synced last: a power loss may bring it back.
    removed: Vec<(String, File)>,
}

#[derive(Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// How many bytes a power loss leaves for certain; none where even the name is not safe yet.
    pub(super) safe: Option<usize>,
}

impl Fake {
    /// Another folder of the process that uses `other`.
    pub(super) fn in_process_of(other: &Self) -> Self {
        let dies_in = other.inner().dies_in.clone();
        Self(Arc::new(Mutex::new(Inner { dies_in, ..Inner::default() })))
    }

    /// From now on its process is as good as dead: it reads, and writes nothing.
    pub(crate) fn take_no_more_writes(&self) {
        *self.inner().dies_in.lock().unwrap() = Some(0);
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What a power loss leaves: each file's safe bytes, and of the others `luck` in 256, or zeroes instead; and the last
    /// removals, `luck` in 256 of them, did not happen.
    pub(super) fn lose_power(&self, luck: u8, zeroes: bool) {
        let mut inner = self.inner();
        inner.files.retain(|_, file| file.safe.is_some() || luck > 128);
        let removed = std::mem::take(&mut inner.removed);
        // File systems keep the order in which names come and go.
        if inner.files.values().all(|file| file.safe.is_some()) {
            let stay = removed.len() - removed.len() * usize::from(luck) / 256;
            for (name, file) in removed.into_iter().skip(stay) {
                inner.files.entry(name).or_insert(file);
            }
        }
        for file in inner.files.values_mut() {
            let safe = file.safe.unwrap_or(0);
            let more = (file.bytes.len() - safe) * usize::from(luck) / 256;
            let length = file.bytes.len();
            file.bytes.truncate(safe + more);
            if zeroes {
                file.bytes.resize(length, 0);
            }
            file.safe = Some(file.bytes.len());
        }
        inner.fails_in = None;
    }

    pub(super) fn named(&self, name: &str) -> Folder {
        Folder { name: name.to_owned(), storage: Ok(Box::new(self.clone())) }
    }
}

impl Inner {
    fn is_dead(&self) -> bool {
        match &mut *self.dies_in.lock().unwrap() {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn fails(&mut self) -> bool {
        match &mut self.fails_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

fn unreadable() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Inner {
    /// Whether reading fails, in passing or because of this file.
    fn reading(&mut self, name: &str) -> io::Result<()> {
        let passing = self.reads_fail > 0;
        self.reads_fail = self.reads_fail.saturating_sub(1);
        if passing || self.bad.contains(name) { Err(unreadable()) } else { Ok(()) }
    }
}

impl Storage for Fake {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        inner.reading("")?;
        Ok(inner.files.keys().cloned().collect())
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        inner.reading(name)?;
        let file = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        if file.bytes.len() > longest {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.bytes.clone())
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name, usize::MAX)?;
        let start = usize::try_from(offset).unwrap();
        bytes.get(start..start + length).map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() {
            return Err(unreadable());
        }
        let fails = inner.fails();
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        inner.files.entry(name.to_owned()).or_default().bytes.extend(written);
        if fails { Err(full()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        let file = inner.files.get_mut(name).unwrap();
        if file.safe.replace(file.bytes.len()).is_none() {
            inner.removed.clear();
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        inner.files.insert(name.to_owned(), File { bytes: bytes.to_vec(), safe: Some(bytes.len()) });
        Ok(())
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        let file = inner.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.files.insert(new.to_owned(), file);
        if inner.bad.remove(name) {
            inner.bad.insert(new.to_owned());
        }
        inner.removed.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() {
            return Err(unreadable());
        }
        inner.bad.remove(name);
        if let Some(file) = inner.files.remove(name).filter(|file| file.safe.is_some()) {
            inner.removed.push((name.to_owned(), file));
        }
        Ok(())
    }
}
