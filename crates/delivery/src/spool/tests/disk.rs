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
    /// Whether nothing can be removed either.
    pub(super) is_read_only: bool,
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
        Folder { name: name.to_owned(), storage: Box::new(self.clone()) }
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

    /// Whether the process is dead.
    fn living(&self) -> io::Result<()> {
        match &mut *self.dies_in.lock().unwrap() {
            Some(0) => return Err(unreadable()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    /// Whether writing fails.
    fn writing(&mut self) -> io::Result<()> {
        match &mut self.fails_in {
            Some(0) => return Err(full()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
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

    fn write(&mut self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()> {
        let mut inner = self.inner();
        inner.living()?;
        let mut file = File { bytes: bytes.to_vec(), safe: (!durably).then_some(bytes.len()) };
        if let Err(error) = inner.writing() {
            file.bytes.truncate(bytes.len() / 2);
            inner.files.insert(format!("{name}.new"), file);
            return Err(error);
        }
        // Where the same was there before, it stays safe.
        if !inner.files.get(name).is_some_and(|file| file.bytes == bytes && file.safe.is_some()) {
            inner.files.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.living()?;
        inner.writing()?;
        let folder = |name: &str| name.split_once('/').map(|(folder, _)| folder.to_owned());
        let synced = |other: &String| folder(other) == folder(name);
        inner.files.iter_mut().filter(|(other, _)| synced(other)).for_each(|(_, file)| {
            file.safe = Some(file.bytes.len());
        });
        inner.removed.retain(|(other, _)| !synced(other));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.living()?;
        if inner.is_read_only {
            return Err(unreadable());
        }
        inner.bad.remove(name);
        if let Some(file) = inner.files.remove(name).filter(|file| file.safe.is_some()) {
            inner.removed.push((name.to_owned(), file));
        }
        Ok(())
    }
}
